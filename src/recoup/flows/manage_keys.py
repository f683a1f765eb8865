"""Create, list, change and revoke an organization's API keys.

Called by the command line. Every process asks for a key at every call and keeps none: what is done
here holds from the next call on, everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from msgspec import UNSET

from recoup.flows.find_organization import organization_must_exist
from recoup.rules.key_permissions import by_resource, read_permissions
from recoup.rules.persons_word import unsaid
from recoup.rules.records.keys import RowKey
from recoup.rules.refusal import Refused, invalid, not_found
from recoup.store import api_keys, audit_log, db
from recoup.store.api_keys import ApiKey, KeyChange
from recoup.store.audit_log import AuditEntry
from recoup.store.db import Pool


async def create_key(
    pool: Pool,
    organization_id: UUID,
    *,
    key_id: UUID,
    key: str,
    name: str,
    expires_at: datetime | None,
    by: str,
    audit_id: UUID,
    now: datetime,
    permissions: Iterable[str] | None = None,
) -> None:
    """Keep the digest of a new key. Without `permissions` it may do everything.

    :raises Refused: `organization_not_found`; 422 for a blank `by`, for an end that is past, or for
        a permission that there is not.
    """
    _refuse_nobody(by)
    _refuse_past(expires_at, now=now)
    held = None if permissions is None else read_permissions(permissions)
    async with db.transaction(pool, tenants=[organization_id]) as conn:
        await organization_must_exist(conn, organization_id)
        await api_keys.insert(
            conn, organization_id, key_id, key, name=name, expires_at=expires_at, now=now,
            permissions=held,
        )  # fmt: skip
        entry = AuditEntry(
            organization_id=organization_id,
            id=audit_id,
            actor=by.strip(),
            action="api_key.created",
            object_id=key_id,
            detail=_shown(KeyChange(name=name, expires_at=expires_at, permissions=held)),
        )
        await audit_log.write(conn, [entry], now=now)


async def list_keys(pool: Pool, organization_id: UUID) -> list[ApiKey]:
    """The organization's keys, oldest first.

    :raises Refused: `organization_not_found`.
    """
    async with db.transaction(pool, tenants=[organization_id]) as conn:
        await organization_must_exist(conn, organization_id)
        return await api_keys.list_all(conn, organization_id)


async def change_key(
    pool: Pool, key: RowKey, said: KeyChange, *, by: str, audit_id: UUID, now: datetime
) -> ApiKey:
    """Change what is said of a key that is in use, and answer what it has become.

    :raises Refused: `api_key_not_found`, also for one that is revoked; 422 for a blank `by`, for
        nothing said, an end that is past, or a permission that there is not.
    """
    _refuse_nobody(by)
    if said == KeyChange():
        raise Refused(invalid({"base": ["value_is_mandatory"]}))
    if said.expires_at is not UNSET:
        _refuse_past(said.expires_at, now=now)
    if said.permissions:
        said = msgspec.structs.replace(said, permissions=read_permissions(said.permissions))
    async with db.transaction(pool, tenants=[key.organization_id]) as conn:
        changed = await api_keys.change(conn, key, said)
        if changed is None:
            raise Refused(not_found("api_key"))
        entry = AuditEntry(
            organization_id=key.organization_id,
            id=audit_id,
            actor=by.strip(),
            action="api_key.changed",
            object_id=key.id,
            detail=_shown(said),
        )
        await audit_log.write(conn, [entry], now=now)
    return changed


async def revoke_key(pool: Pool, key: RowKey, *, by: str, audit_id: UUID, now: datetime) -> None:
    """Revoke a key: the next request that shows it is refused.

    :raises Refused: `api_key_not_found`, also for one that is revoked already; 422 for a blank
        `by`.
    """
    _refuse_nobody(by)
    async with db.transaction(pool, tenants=[key.organization_id]) as conn:
        if not await api_keys.revoke(conn, key.organization_id, key.id, now=now):
            raise Refused(not_found("api_key"))
        entry = AuditEntry(
            organization_id=key.organization_id,
            id=audit_id,
            actor=by.strip(),
            action="api_key.revoked",
            object_id=key.id,
            detail={},
        )
        await audit_log.write(conn, [entry], now=now)


def _refuse_nobody(by: str) -> None:
    if broken := unsaid(by=by):
        raise Refused(invalid(broken))


def _refuse_past(expires_at: datetime | None, *, now: datetime) -> None:
    if expires_at is not None and expires_at <= now:
        raise Refused(invalid({"expires_at": ["value_is_out_of_range"]}))


def _shown(said: KeyChange) -> dict[str, Any]:
    """What was said, as the audit log keeps it."""
    shown: dict[str, Any] = {}
    if said.name is not UNSET:
        shown["name"] = said.name
    if said.expires_at is not UNSET:
        shown["expires_at"] = said.expires_at and said.expires_at.isoformat()
    if said.permissions is not UNSET:
        held = said.permissions
        shown["permissions"] = None if held is None else by_resource(held)
    return shown

"""Create, list and revoke an organization's API keys."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from recoup.flows.find_organization import organization_must_exist
from recoup.rules.refusal import Refused, invalid, not_found
from recoup.store import api_keys, db
from recoup.store.api_keys import ApiKey
from recoup.store.db import Pool


async def create_key(
    pool: Pool,
    organization_id: UUID,
    *,
    key_id: UUID,
    key: str,
    name: str,
    expires_at: datetime | None,
    now: datetime,
) -> None:
    """Keep the digest of a new key.

    :raises Refused: `organization_not_found`; 422 for an end that is past.
    """
    if expires_at is not None and expires_at <= now:
        raise Refused(invalid({"expires_at": ["value_is_out_of_range"]}))
    async with db.transaction(pool, tenants=[organization_id]) as conn:
        await organization_must_exist(conn, organization_id)
        await api_keys.insert(
            conn, organization_id, key_id, key, name=name, expires_at=expires_at, now=now
        )


async def list_keys(pool: Pool, organization_id: UUID) -> list[ApiKey]:
    """The organization's keys, oldest first.

    :raises Refused: `organization_not_found`.
    """
    async with db.transaction(pool, tenants=[organization_id]) as conn:
        await organization_must_exist(conn, organization_id)
        return await api_keys.list_all(conn, organization_id)


async def revoke_key(pool: Pool, organization_id: UUID, key_id: UUID, *, now: datetime) -> None:
    """Revoke a key: the next request that shows it is refused.

    :raises Refused: `api_key_not_found`, also for one that is revoked already.
    """
    async with db.transaction(pool, tenants=[organization_id]) as conn:
        if not await api_keys.revoke(conn, organization_id, key_id, now=now):
            raise Refused(not_found("api_key"))

"""Add an organization's account at a payment provider, with its secrets sealed; and open those."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg
import msgspec

from recoup.flows.find_organization import organization_must_exist
from recoup.rules.records.provider_accounts import ProviderAccount, ProviderKind
from recoup.rules.refusal import Refused, invalid
from recoup.store import provider_accounts
from recoup.store.db import Conn
from recoup.store.secret_box import SecretBox

_FIELD: Final = "secrets"


async def add_provider_account(
    conn: Conn,
    organization_id: UUID,
    kind: str,
    code: str,
    name: str,
    secrets: Mapping[str, str],
    *,
    box: SecretBox,
    account_id: UUID,
    now: datetime,
) -> ProviderAccount:
    """Add the account; `secrets` are what its provider's adapter wants, by name.

    :raises Refused: `organization_not_found`; 422 for a kind that we do not know, a blank code or
        name, or a code that is taken.
    """
    await organization_must_exist(conn, organization_id)
    broken: dict[str, list[str]] = {}
    if kind not in {*ProviderKind}:
        broken["kind"] = ["value_is_invalid"]
    broken |= {
        field: ["value_is_mandatory"]
        for field, said in (("code", code), ("name", name))
        if not said.strip()
    }
    if broken:
        raise Refused(invalid(broken))
    sealed = seal_secrets(secrets, organization_id, account_id, box)
    account = ProviderAccount(
        organization_id=organization_id,
        id=account_id,
        kind=ProviderKind(kind),
        code=code,
        name=name,
        secrets_sealed=sealed,
        created_at=now,
    )
    try:
        await provider_accounts.insert(conn, account)
    except asyncpg.UniqueViolationError:
        raise Refused(invalid({"code": ["value_already_exist"]})) from None
    return account


def seal_secrets(
    secrets: Mapping[str, str], organization_id: UUID, account_id: UUID, box: SecretBox
) -> bytes:
    """Seal an account's secrets, for this account of this organization alone."""
    return box.seal(
        msgspec.json.encode(dict(secrets)),
        organization_id=organization_id,
        row=account_id,
        field=_FIELD,
    )


def open_secrets(account: ProviderAccount, box: SecretBox) -> dict[str, str]:
    """Read the account's secrets, by name.

    :raises WrongSecretKeyError: they were sealed with another key, or for another account.
    """
    opened = box.open(
        account.secrets_sealed,
        organization_id=account.organization_id,
        row=account.id,
        field=_FIELD,
    )
    return msgspec.json.decode(opened, type=dict[str, str])

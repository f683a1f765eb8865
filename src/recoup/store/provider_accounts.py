"""Rows of `provider_accounts`: where an organization's money is taken."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final
from uuid import UUID

import asyncpg
import msgspec

from recoup.rules.lago.pages import Page
from recoup.rules.records.keys import RowKey
from recoup.rules.records.provider_accounts import ProviderAccount, ProviderKind
from recoup.store.db import Conn
from recoup.store.listing import part, rows_and_total
from recoup.store.rows import columns, insertion, update, values

_BY_IDS: Final = f"""
    SELECT {columns(ProviderAccount, "a")}
      FROM unnest($1::uuid[], $2::uuid[]) AS asked (organization_id, id)
      JOIN provider_accounts a USING (organization_id, id)
"""

_LIVE: Final = f"""
    SELECT {columns(ProviderAccount)} FROM provider_accounts
     WHERE organization_id = $1 AND ($2::text IS NULL OR kind = $2) AND deleted_at IS NULL
     ORDER BY created_at, id
"""

_OF_CODE: Final = f"""
    SELECT {columns(ProviderAccount)} FROM provider_accounts
     WHERE organization_id = $1 AND kind = $2 AND ($3::text IS NULL OR code = $3)
     ORDER BY created_at DESC, id
"""

_NEWEST_FIRST: Final = f"""
    SELECT {columns(ProviderAccount)} FROM provider_accounts
     WHERE organization_id = $1 AND deleted_at IS NULL
     ORDER BY created_at DESC, id DESC
"""

_COUNT: Final = """
    SELECT count(*) FROM provider_accounts WHERE organization_id = $1 AND deleted_at IS NULL
"""

_ALL_OF_KIND: Final = """
    SELECT organization_id, id FROM provider_accounts WHERE kind = $1 AND deleted_at IS NULL
"""

_EVERYBODYS: Final = """
    SELECT organization_id, id FROM provider_accounts
     WHERE deleted_at IS NULL ORDER BY organization_id, id
"""

_LOCK: Final = f"""
    SELECT {columns(ProviderAccount)} FROM provider_accounts
     WHERE organization_id = $1 AND (id = $2 OR code = $3) AND deleted_at IS NULL
       FOR NO KEY UPDATE
"""

_UPDATE: Final = update("provider_accounts", ProviderAccount, key=("organization_id", "id"))
_INSERT: Final = insertion("provider_accounts", ProviderAccount)


async def by_ids(conn: Conn, keys: Collection[RowKey]) -> dict[RowKey, ProviderAccount]:
    """These accounts, deleted ones too: an attempt that was sent there is still looked up there."""
    if not keys:
        return {}
    rows = await conn.fetch(
        _BY_IDS, [key.organization_id for key in keys], [key.id for key in keys]
    )
    return {account.key: account for account in map(_account, rows)}


async def of_code(
    conn: Conn, organization_id: UUID, kind: str, code: str | None
) -> list[ProviderAccount]:
    """The accounts of this kind with this code, newest first, removed ones too.

    Without a code: all, if they have one code between them.
    """
    rows = await conn.fetch(_OF_CODE, organization_id, kind, code)
    accounts = [_account(row) for row in rows]
    live_codes = {account.code for account in accounts if account.deleted_at is None}
    if len(live_codes) > 1:
        return []
    codes = live_codes or {account.code for account in accounts[:1]}
    return [account for account in accounts if account.code in codes]


async def live(conn: Conn, organization_id: UUID, kind: str | None = None) -> list[ProviderAccount]:
    """The organization's live accounts (of one kind, where it is given), oldest first."""
    return [_account(row) for row in await conn.fetch(_LIVE, organization_id, kind)]


async def page(
    conn: Conn, organization_id: UUID, wanted: Page
) -> tuple[list[ProviderAccount], int]:
    """One page of the organization's live accounts, newest first, and how many there are in all."""
    select = f"{_NEWEST_FIRST} {part(wanted)}"
    rows, total = await rows_and_total(conn, select, _COUNT, [organization_id], wanted)
    return [_account(row) for row in rows], total


async def all_of_kind(scout: Conn, kind: str) -> list[RowKey]:
    """The live accounts of one kind, of all tenants: for the scout, which sees no secrets."""
    rows = await scout.fetch(_ALL_OF_KIND, kind)
    return [RowKey(row["organization_id"], row["id"]) for row in rows]


async def everybodys(scout: Conn) -> list[RowKey]:
    """The accounts of all tenants that are not deleted."""
    rows = await scout.fetch(_EVERYBODYS)
    return [RowKey(row["organization_id"], row["id"]) for row in rows]


async def insert(conn: Conn, account: ProviderAccount) -> None:
    """Add an account.

    :raises asyncpg.UniqueViolationError: the organization has a live one with this code.
    """
    await conn.execute(_INSERT, *values(account))


async def lock(conn: Conn, organization_id: UUID, which: UUID | str) -> ProviderAccount | None:
    """Lock the live account with this id or code until the transaction ends."""
    by_id, by_code = (which, None) if isinstance(which, UUID) else (None, which)
    row = await conn.fetchrow(_LOCK, organization_id, by_id, by_code)
    return row and _account(row)


async def write(conn: Conn, account: ProviderAccount) -> None:
    """Write every field of an account that exists; with `deleted_at` it is live no more."""
    await conn.execute(_UPDATE, *values(account))


def _account(row: asyncpg.Record) -> ProviderAccount:
    return msgspec.structs.replace(ProviderAccount(**dict(row)), kind=ProviderKind(row["kind"]))

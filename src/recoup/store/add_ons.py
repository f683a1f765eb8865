"""Rows of `add_ons`, with the taxes that are applied to them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg

from recoup.rules.lago.pages import Page
from recoup.rules.records.add_ons import AddOn
from recoup.rules.records.taxes import Tax
from recoup.store import taxes
from recoup.store.db import Conn
from recoup.store.listing import part, rows_and_total

_SELECT: Final = """
    SELECT organization_id, id, code, name, invoice_display_name, description, amount_cents,
           amount_currency, created_at
      FROM add_ons
"""

_BY_CODES: Final = f"""{_SELECT}
     WHERE organization_id = $1 AND code = ANY ($2::text[]) AND deleted_at IS NULL
"""

_BY_IDS: Final = f"{_SELECT} WHERE organization_id = $1 AND id = ANY ($2::uuid[])"

_ALL: Final = f"""{_SELECT}
     WHERE organization_id = $1 AND deleted_at IS NULL
     ORDER BY created_at DESC, id
"""

_COUNT: Final = "SELECT count(*) FROM add_ons WHERE organization_id = $1 AND deleted_at IS NULL"

_INSERT: Final = """
    INSERT INTO add_ons (organization_id, id, code, name, invoice_display_name, description,
                         amount_cents, amount_currency, created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)
"""

_UPDATE: Final = """
    UPDATE add_ons
       SET code = $3, name = $4, invoice_display_name = $5, description = $6, amount_cents = $7,
           amount_currency = $8, updated_at = $9
     WHERE organization_id = $1 AND id = $2
"""

_DELETE: Final = "UPDATE add_ons SET deleted_at = $3 WHERE organization_id = $1 AND id = $2"

_UNAPPLY_TAXES: Final = "DELETE FROM add_on_taxes WHERE organization_id = $1 AND add_on_id = $2"

_APPLY_TAXES: Final = """
    INSERT INTO add_on_taxes (organization_id, add_on_id, tax_id)
    SELECT $1, $2, tax_id FROM unnest($3::uuid[]) AS tax_id
        ON CONFLICT DO NOTHING
"""


_LOCK = """
    SELECT FROM add_ons WHERE organization_id = $1 AND code = $2 AND deleted_at IS NULL
       FOR NO KEY UPDATE
"""


async def lock_by_code(conn: Conn, organization_id: UUID, code: str) -> None:
    """Lock the add-on with this code, if there is one: of two who change it, one waits."""
    await conn.execute(_LOCK, organization_id, code)


async def by_codes(conn: Conn, organization_id: UUID, codes: Collection[str]) -> dict[str, AddOn]:
    """The organization's add-ons with these codes, by code; unknown codes are left out."""
    rows = await conn.fetch(
        _BY_CODES, organization_id, [code for code in codes if "\0" not in code]
    )
    return {add_on.code: add_on for add_on in await _add_ons(conn, organization_id, rows)}


async def by_ids(conn: Conn, organization_id: UUID, ids: Collection[UUID]) -> dict[UUID, AddOn]:
    """These add-ons as they are now, deleted ones as they were last."""
    rows = await conn.fetch(_BY_IDS, organization_id, list(ids))
    return {add_on.id: add_on for add_on in await _add_ons(conn, organization_id, rows)}


async def page(conn: Conn, organization_id: UUID, wanted: Page) -> tuple[list[AddOn], int]:
    """One page, newest first, and how many there are in all."""
    select = f"{_ALL} {part(wanted)}"
    rows, total = await rows_and_total(conn, select, _COUNT, [organization_id], wanted)
    return await _add_ons(conn, organization_id, rows), total


async def insert(conn: Conn, add_on: AddOn) -> None:
    """Add an add-on, without its taxes.

    :raises asyncpg.UniqueViolationError: the organization has one with this code.
    """
    await conn.execute(
        _INSERT, add_on.organization_id, add_on.id, add_on.code, add_on.name,
        add_on.invoice_display_name, add_on.description, add_on.amount_cents,
        add_on.amount_currency, add_on.created_at,
    )  # fmt: skip


async def update(conn: Conn, add_on: AddOn, *, now: datetime) -> None:
    """Write the add-on's own fields.

    :raises asyncpg.UniqueViolationError: the organization has another one with this code.
    """
    await conn.execute(
        _UPDATE, add_on.organization_id, add_on.id, add_on.code, add_on.name,
        add_on.invoice_display_name, add_on.description, add_on.amount_cents,
        add_on.amount_currency, now,
    )  # fmt: skip


async def delete(conn: Conn, add_on: AddOn, *, now: datetime) -> None:
    """Hide the add-on: its code is free again, and the fees made of it keep what it was."""
    await conn.execute(_DELETE, add_on.organization_id, add_on.id, now)


async def apply_taxes(conn: Conn, add_on: AddOn, applied: Collection[Tax]) -> None:
    """Apply these taxes to the add-on, and no others.

    Called after its row was written: two calls at once for one add-on wait for each other there.
    """
    await conn.execute(_UNAPPLY_TAXES, add_on.organization_id, add_on.id)
    tax_ids = [tax.id for tax in applied]
    await conn.execute(_APPLY_TAXES, add_on.organization_id, add_on.id, tax_ids)


async def _add_ons(
    conn: Conn, organization_id: UUID, rows: Sequence[asyncpg.Record]
) -> list[AddOn]:
    applied = await taxes.of_add_ons(conn, organization_id, [row["id"] for row in rows])
    return [AddOn(**dict(row), taxes=applied.get(row["id"], ())) for row in rows]

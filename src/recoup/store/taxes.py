"""Rows of `taxes` and what they are applied to."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from recoup.rules.lago.pages import Page
from recoup.rules.records.keys import RowKey
from recoup.rules.records.taxes import Tax
from recoup.store.db import Conn
from recoup.store.listing import part, rows_and_total

_COLUMNS = """
           t.organization_id, t.id, t.code, t.name, t.description, t.rate, t.created_at,
           ARRAY(SELECT b.code FROM billing_entity_taxes bt
                   JOIN billing_entities b
                     ON (b.organization_id, b.id) = (bt.organization_id, bt.billing_entity_id)
                  WHERE (bt.organization_id, bt.tax_id) = (t.organization_id, t.id)
                  ORDER BY b.code) AS billing_entity_codes
"""

_SELECT = f"SELECT {_COLUMNS} FROM taxes t"

_OF_ADD_ONS = f"""
    SELECT applied.add_on_id AS owner_id, {_COLUMNS}
      FROM add_on_taxes applied
      JOIN taxes t ON (t.organization_id, t.id) = (applied.organization_id, applied.tax_id)
     WHERE applied.organization_id = $1 AND applied.add_on_id = ANY ($2::uuid[])
       AND t.deleted_at IS NULL
     ORDER BY t.created_at, t.id
"""

_OF_BILLING_ENTITIES = f"""
    SELECT applied.billing_entity_id AS owner_id, {_COLUMNS}
      FROM billing_entity_taxes applied
      JOIN taxes t ON (t.organization_id, t.id) = (applied.organization_id, applied.tax_id)
     WHERE applied.organization_id = $1 AND applied.billing_entity_id = ANY ($2::uuid[])
       AND t.deleted_at IS NULL
     ORDER BY t.created_at, t.id
"""

_OF_CUSTOMERS = f"""
    SELECT applied.customer_id AS owner_id, {_COLUMNS}
      FROM unnest($1::uuid[], $2::uuid[]) AS asked (organization_id, customer_id)
      JOIN customer_taxes applied USING (organization_id, customer_id)
      JOIN taxes t ON (t.organization_id, t.id) = (applied.organization_id, applied.tax_id)
     WHERE t.deleted_at IS NULL
     ORDER BY t.created_at, t.id
"""

_BY_CODES = (
    f"{_SELECT} WHERE t.organization_id = $1 AND t.code = ANY ($2::text[]) AND t.deleted_at IS NULL"
)

_ALL = f"""{_SELECT}
     WHERE t.organization_id = $1 AND t.deleted_at IS NULL
     ORDER BY t.created_at DESC, t.id
"""

_COUNT = "SELECT count(*) FROM taxes WHERE organization_id = $1 AND deleted_at IS NULL"

_INSERT = """
    INSERT INTO taxes (organization_id, id, code, name, description, rate, created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $7)
"""

_UPDATE = """
    UPDATE taxes SET code = $3, name = $4, description = $5, rate = $6, updated_at = $7
     WHERE organization_id = $1 AND id = $2
"""

_DELETE = "UPDATE taxes SET deleted_at = $3 WHERE organization_id = $1 AND id = $2"

_UNAPPLY = [
    "DELETE FROM billing_entity_taxes WHERE organization_id = $1 AND tax_id = $2",
    "DELETE FROM customer_taxes WHERE organization_id = $1 AND tax_id = $2",
    "DELETE FROM add_on_taxes WHERE organization_id = $1 AND tax_id = $2",
]

_APPLY_TO_DEFAULT_ENTITY = """
    INSERT INTO billing_entity_taxes (organization_id, billing_entity_id, tax_id)
    SELECT organization_id, id, $2 FROM billing_entities WHERE organization_id = $1 AND is_default
        ON CONFLICT DO NOTHING
"""

_UNAPPLY_FROM_ENTITY = (
    "DELETE FROM billing_entity_taxes WHERE organization_id = $1 AND billing_entity_id = $2"
)
_APPLY_TO_ENTITY = """
    INSERT INTO billing_entity_taxes (organization_id, billing_entity_id, tax_id)
    SELECT $1, $2, tax_id FROM unnest($3::uuid[]) AS tax_id
"""

_TAKE_FROM_DEFAULT_ENTITY = """
    DELETE FROM billing_entity_taxes bt USING billing_entities b
     WHERE bt.organization_id = $1 AND bt.tax_id = $2
       AND (b.organization_id, b.id) = (bt.organization_id, bt.billing_entity_id) AND b.is_default
"""


_LOCK = """
    SELECT FROM taxes WHERE organization_id = $1 AND code = $2 AND deleted_at IS NULL
       FOR NO KEY UPDATE
"""


async def lock_by_code(conn: Conn, organization_id: UUID, code: str) -> None:
    """Lock the tax with this code, if there is one: of two who change it, one waits."""
    await conn.execute(_LOCK, organization_id, code)


async def by_codes(conn: Conn, organization_id: UUID, codes: Collection[str]) -> dict[str, Tax]:
    """The organization's taxes with these codes, by code; unknown codes are left out."""
    rows = await conn.fetch(
        _BY_CODES, organization_id, [code for code in codes if "\0" not in code]
    )
    return {row["code"]: Tax(**dict(row)) for row in rows}


async def of_add_ons(
    conn: Conn, organization_id: UUID, add_on_ids: Collection[UUID]
) -> dict[UUID, tuple[Tax, ...]]:
    """The taxes applied to each of these add-ons, oldest first; one without any is left out."""
    return _by_owner(await conn.fetch(_OF_ADD_ONS, organization_id, list(add_on_ids)))


async def of_billing_entities(
    conn: Conn, organization_id: UUID, entity_ids: Collection[UUID]
) -> dict[UUID, tuple[Tax, ...]]:
    """The taxes applied to each of these billing entities, as for add-ons."""
    return _by_owner(await conn.fetch(_OF_BILLING_ENTITIES, organization_id, list(entity_ids)))


async def of_customers(conn: Conn, keys: Collection[RowKey]) -> dict[RowKey, tuple[Tax, ...]]:
    """The taxes of each of these customers' own, oldest first; those without are left out."""
    found: dict[RowKey, tuple[Tax, ...]] = {}
    organization_ids, ids = [key.organization_id for key in keys], [key.id for key in keys]
    for row in await conn.fetch(_OF_CUSTOMERS, organization_ids, ids):
        fields: dict[str, Any] = dict(row)
        key = RowKey(fields["organization_id"], fields.pop("owner_id"))
        found[key] = (*found.get(key, ()), Tax(**fields))
    return found


async def page(conn: Conn, organization_id: UUID, wanted: Page) -> tuple[list[Tax], int]:
    """One page, newest first, and how many there are in all."""
    select = f"{_ALL} {part(wanted)}"
    rows, total = await rows_and_total(conn, select, _COUNT, [organization_id], wanted)
    return [Tax(**dict(row)) for row in rows], total


async def insert(conn: Conn, tax: Tax) -> None:
    """Add a tax.

    :raises asyncpg.UniqueViolationError: the organization has one with this code.
    """
    await conn.execute(
        _INSERT, tax.organization_id, tax.id, tax.code, tax.name, tax.description, tax.rate,
        tax.created_at,
    )  # fmt: skip


async def update(conn: Conn, tax: Tax, *, now: datetime) -> None:
    """Write the tax's own fields.

    :raises asyncpg.UniqueViolationError: the organization has another one with this code.
    """
    await conn.execute(
        _UPDATE, tax.organization_id, tax.id, tax.code, tax.name, tax.description, tax.rate, now
    )


async def delete(conn: Conn, tax: Tax, *, now: datetime) -> None:
    """Hide the tax and take it from everything: invoices keep what it was."""
    for statement in _UNAPPLY:
        await conn.execute(statement, tax.organization_id, tax.id)
    await conn.execute(_DELETE, tax.organization_id, tax.id, now)


async def apply_to_default_entity(conn: Conn, tax: Tax, *, applied: bool) -> None:
    """Attach the tax to the organization's default billing entity, or take it off."""
    statement = _APPLY_TO_DEFAULT_ENTITY if applied else _TAKE_FROM_DEFAULT_ENTITY
    await conn.execute(statement, tax.organization_id, tax.id)


async def replace_of_billing_entity(
    conn: Conn, organization_id: UUID, entity_id: UUID, applied: Collection[Tax]
) -> None:
    """Make these the billing entity's taxes. Of two who do so, one waits for the organization."""
    await conn.execute(_UNAPPLY_FROM_ENTITY, organization_id, entity_id)
    await conn.execute(_APPLY_TO_ENTITY, organization_id, entity_id, [tax.id for tax in applied])


def _by_owner(rows: Sequence[asyncpg.Record]) -> dict[UUID, tuple[Tax, ...]]:
    found: dict[UUID, tuple[Tax, ...]] = {}
    for row in rows:
        tax = dict(row)
        owner_id = tax.pop("owner_id")
        found[owner_id] = (*found.get(owner_id, ()), Tax(**tax))
    return found

"""Rows of `payment_methods`: at most one default for each customer, kept by a unique index.

What would surprise you: whoever changes a customer's methods holds the lock on the customer's row,
so that two calls at once cannot both find themselves the first.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any, Final

import asyncpg
import msgspec

from recoup.rules.lago.pages import Page
from recoup.rules.records.keys import RowKey
from recoup.rules.records.payment_methods import PaymentMethod
from recoup.rules.records.provider_accounts import ProviderKind
from recoup.store.db import Conn
from recoup.store.listing import part, rows_and_total

_SELECT: Final = """
    SELECT m.organization_id, m.id, m.customer_id, m.provider_customer_id, m.provider_method_id,
           m.is_default, m.details, m.created_at, m.deleted_at,
           a.kind AS provider_kind, a.code AS provider_code, a.name AS provider_name
      FROM payment_methods m
      JOIN provider_customers pc
        ON (pc.organization_id, pc.id) = (m.organization_id, m.provider_customer_id)
      JOIN provider_accounts a
        ON (a.organization_id, a.id) = (pc.organization_id, pc.provider_account_id)
"""

_OF_CUSTOMER: Final = f"""{_SELECT}
     WHERE m.organization_id = $1 AND m.customer_id = $2 AND m.deleted_at IS NULL
     ORDER BY m.created_at, m.id
"""

_PAGE: Final = f"""{_SELECT}
     WHERE m.organization_id = $1 AND m.customer_id = $2 AND m.deleted_at IS NULL
     ORDER BY m.created_at DESC, m.id
"""

_COUNT: Final = """
    SELECT count(*) FROM payment_methods
     WHERE organization_id = $1 AND customer_id = $2 AND deleted_at IS NULL
"""

_BY_IDS: Final = f"""{_SELECT}
     WHERE (m.organization_id, m.id) IN (SELECT * FROM unnest($1::uuid[], $2::uuid[]))
"""

_INSERT: Final = """
    INSERT INTO payment_methods (organization_id, id, customer_id, provider_customer_id,
                                 provider_method_id, is_default, details, created_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""

# Two statements: the index allows no second default, not even within one statement.
_NO_DEFAULT: Final = """
    UPDATE payment_methods SET is_default = false
     WHERE organization_id = $1 AND customer_id = $2 AND is_default
"""
_DEFAULT: Final = """
    UPDATE payment_methods SET is_default = true WHERE organization_id = $1 AND id = $2
"""

_DELETE: Final = """
    UPDATE payment_methods SET deleted_at = $3, is_default = false
     WHERE organization_id = $1 AND id = ANY ($2::uuid[]) AND deleted_at IS NULL
"""

_MARK_GONE: Final = """
    UPDATE payment_methods SET gone_at_provider = true WHERE organization_id = $1 AND id = $2
"""

# The last deletion decides: who deleted a method may have attached it again since.
_DELETED_HERE: Final = """
    SELECT CASE WHEN NOT gone_at_provider THEN deleted_at END FROM payment_methods
     WHERE organization_id = $1 AND provider_customer_id = $2 AND provider_method_id = $3
       AND deleted_at IS NOT NULL
     ORDER BY deleted_at DESC, id LIMIT 1
"""

_DELETE_OF_CUSTOMER: Final = """
    UPDATE payment_methods SET deleted_at = $3, is_default = false
     WHERE organization_id = $1 AND customer_id = $2 AND deleted_at IS NULL
"""


async def of_customer(conn: Conn, customer: RowKey) -> list[PaymentMethod]:
    """The customer's kept methods, oldest first."""
    rows = await conn.fetch(_OF_CUSTOMER, customer.organization_id, customer.id)
    return [_method(row) for row in rows]


async def page(conn: Conn, customer: RowKey, wanted: Page) -> tuple[list[PaymentMethod], int]:
    """One page of the customer's kept methods, newest first, and how many there are in all."""
    whose = (customer.organization_id, customer.id)
    rows, total = await rows_and_total(conn, f"{_PAGE} {part(wanted)}", _COUNT, whose, wanted)
    return [_method(row) for row in rows], total


async def by_ids(conn: Conn, keys: Collection[RowKey]) -> dict[RowKey, PaymentMethod]:
    """These methods, deleted ones too; those that do not exist are left out."""
    rows = await conn.fetch(
        _BY_IDS, [key.organization_id for key in keys], [key.id for key in keys]
    )
    return {RowKey(row["organization_id"], row["id"]): _method(row) for row in rows}


async def insert(conn: Conn, method: PaymentMethod) -> None:
    """Add a method.

    :raises asyncpg.UniqueViolationError: the link has it already, or the customer another default.
    """
    await conn.execute(
        _INSERT, method.organization_id, method.id, method.customer_id,
        method.provider_customer_id, method.provider_method_id, method.is_default,
        msgspec.json.encode(method.details).decode(), method.created_at,
    )  # fmt: skip


async def make_default(conn: Conn, method: PaymentMethod) -> None:
    """Make this kept method its customer's default, in place of whichever was."""
    await conn.execute(_NO_DEFAULT, method.organization_id, method.customer_id)
    await conn.execute(_DEFAULT, method.organization_id, method.id)


async def delete(conn: Conn, method: PaymentMethod, *, now: datetime) -> None:
    """Hide the method; a default is no longer one, and no other becomes it."""
    await conn.execute(_DELETE, method.organization_id, [method.id], now)


async def mark_gone(conn: Conn, method: PaymentMethod) -> None:
    """Note of a deleted method that its provider has it no more, and that nobody here chose so."""
    await conn.execute(_MARK_GONE, method.organization_id, method.id)


async def deleted_here_at(conn: Conn, link: RowKey, provider_method_id: str) -> datetime | None:
    """When a caller deleted this method of a link's; None: nobody did, or not the last time."""
    at: datetime | None = await conn.fetchval(
        _DELETED_HERE, link.organization_id, link.id, provider_method_id
    )
    return at


async def delete_of_customer(conn: Conn, customer: RowKey, *, now: datetime) -> None:
    """Hide all of the customer's methods."""
    await conn.execute(_DELETE_OF_CUSTOMER, customer.organization_id, customer.id, now)


def _method(row: asyncpg.Record) -> PaymentMethod:
    fields: dict[str, Any] = dict(row)
    fields["provider_kind"] = ProviderKind(fields["provider_kind"])
    fields["details"] = msgspec.json.decode(fields["details"], type=dict[str, object])
    return PaymentMethod(**fields)

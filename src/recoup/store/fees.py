"""Rows of `fees` and `applied_taxes`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg
import msgspec

from recoup.rules.invoice_status import HIDDEN, VISIBLE
from recoup.rules.lago.pages import Page
from recoup.rules.records.fees import AppliedTax, Fee, FeeDetails
from recoup.rules.records.keys import RowKey
from recoup.store.conditions import Conditions, words
from recoup.store.db import Conn
from recoup.store.listing import part, rows_and_total
from recoup.store.rows import columns, insertion, values

_INSERT: Final = insertion("fees", Fee)
_INSERT_TAX: Final = insertion("applied_taxes", AppliedTax)

# An invoice's taxes before its fees: some of them refer to one.
_DROP_TAXES: Final = "DELETE FROM applied_taxes WHERE organization_id = $1 AND invoice_id = $2"
_DROP: Final = "DELETE FROM fees WHERE organization_id = $1 AND invoice_id = $2"

_COLUMNS: Final = f"{columns(Fee, 'f')}, i.payment_status, i.self_billed"
_FEES: Final = f"""
    SELECT {_COLUMNS}
      FROM fees f
      JOIN invoices i ON (i.organization_id, i.id) = (f.organization_id, f.invoice_id)
"""

_OF_INVOICES: Final = f"""
    {_FEES}
      JOIN unnest($1::uuid[], $2::uuid[]) AS asked (organization_id, invoice_id)
        ON (f.organization_id, f.invoice_id) = (asked.organization_id, asked.invoice_id)
     ORDER BY f.organization_id, f.invoice_id, f.position
"""

_TAXES_OF_INVOICES: Final = f"""
    SELECT {columns(AppliedTax, "t")}
      FROM unnest($1::uuid[], $2::uuid[]) AS asked (organization_id, invoice_id)
      JOIN applied_taxes t USING (organization_id, invoice_id)
     WHERE $3 OR t.fee_id IS NULL
     ORDER BY t.organization_id, t.invoice_id, t.tax_code, t.id
"""

_TAXES_OF_FEES: Final = f"""
    SELECT {columns(AppliedTax, "t")} FROM applied_taxes t
     WHERE t.organization_id = $1 AND t.invoice_id = ANY ($2::uuid[])
       AND t.fee_id = ANY ($3::uuid[])
     ORDER BY t.tax_code, t.id
"""

_COUNT: Final = """
    SELECT count(*)
      FROM fees f
      JOIN invoices i ON (i.organization_id, i.id) = (f.organization_id, f.invoice_id)
"""
_ORDER: Final = "ORDER BY f.created_at, f.invoice_id, f.position"

# Whoever asks nothing of the invoices takes a page of ids first, along an index that has all that
# they ask for, and then looks up these fees and their invoices alone.
_PAGE: Final = """
    SELECT {columns}
      FROM (SELECT f.organization_id, f.id FROM fees f WHERE {where} {order} {part}) page
      JOIN fees f USING (organization_id, id)
      JOIN invoices i ON (i.organization_id, i.id) = (f.organization_id, f.invoice_id)
     {order}
"""
# Hidden invoices are few, and most tenants have none: they are gathered once, from an index of
# theirs, and not looked for with each fee.
_IS_OF_SHOWN_INVOICE: Final = f"""
    f.invoice_id NOT IN (SELECT h.id FROM invoices h
                          WHERE h.organization_id = {{0}} AND h.status IN {words(HIDDEN)})
"""


class FeeFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which fees a list wants; None: all. `nothing` is a wish that no one-off fee can meet."""

    id: UUID | None = None
    payment_status: str | None = None
    currency: str | None = None
    external_customer_id: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    nothing: bool = False


async def insert(conn: Conn, fees: Sequence[Fee], taxes: Sequence[AppliedTax]) -> None:
    """Add the fees of an invoice, and what taxes take of them and of the whole."""
    await conn.executemany(_INSERT, [values(fee) for fee in fees])
    await conn.executemany(_INSERT_TAX, [values(tax) for tax in taxes])


async def replace(
    conn: Conn, invoice: RowKey, fees: Sequence[Fee], taxes: Sequence[AppliedTax]
) -> None:
    """Make these the fees of a draft, and what taxes take of them, and no others."""
    await conn.execute(_DROP_TAXES, invoice.organization_id, invoice.id)
    await conn.execute(_DROP, invoice.organization_id, invoice.id)
    await insert(conn, fees, taxes)


async def of_invoices(
    conn: Conn, invoices: Collection[RowKey], *, with_fees: bool = True
) -> tuple[dict[RowKey, list[FeeDetails]], dict[RowKey, list[AppliedTax]]]:
    """Each invoice's fees in their order, and the taxes of each as a whole, by code.

    Without fees the first is empty.
    """
    asked = [key.organization_id for key in invoices], [key.id for key in invoices]
    of_wholes: dict[RowKey, list[AppliedTax]] = defaultdict(list)
    of_fees: list[AppliedTax] = []
    for row in await conn.fetch(_TAXES_OF_INVOICES, *asked, with_fees):
        tax = AppliedTax(**dict(row))
        if tax.fee_id is None:
            of_wholes[tax.invoice_key].append(tax)
        else:
            of_fees.append(tax)
    fees: dict[RowKey, list[FeeDetails]] = defaultdict(list)
    if not with_fees:
        return fees, of_wholes
    for details in _details(await conn.fetch(_OF_INVOICES, *asked), of_fees):
        fees[details.fee.invoice_key].append(details)
    return fees, of_wholes


async def page(
    conn: Conn, organization_id: UUID, wanted: FeeFilter, page: Page
) -> tuple[list[FeeDetails], int]:
    """One page, oldest first, and how many there are in all; those of hidden invoices are not."""
    where = _where(organization_id, wanted)
    if wanted.payment_status is None and wanted.external_customer_id is None:
        where.add(_IS_OF_SHOWN_INVOICE, organization_id)
        select = _PAGE.format(columns=_COLUMNS, where=where.sql(), order=_ORDER, part=part(page))
        count = f"SELECT count(*) FROM fees f WHERE {where.sql()}"
    else:
        _add_of_invoices(where, organization_id, wanted)
        select = f"{_FEES} WHERE {where.sql()} {_ORDER} {part(page)}"
        count = f"{_COUNT} WHERE {where.sql()}"
    rows, total = await rows_and_total(conn, select, count, where.values, page)
    taxes = await conn.fetch(
        _TAXES_OF_FEES,
        organization_id,
        list({row["invoice_id"] for row in rows}),
        [row["id"] for row in rows],
    )
    return _details(rows, [AppliedTax(**dict(row)) for row in taxes]), total


def _details(rows: Sequence[asyncpg.Record], taxes: Sequence[AppliedTax]) -> list[FeeDetails]:
    of_fee: dict[UUID | None, list[AppliedTax]] = defaultdict(list)
    for tax in taxes:
        of_fee[tax.fee_id].append(tax)
    found = []
    for row in rows:
        shown = dict(row)
        payment_status, self_billed = shown.pop("payment_status"), shown.pop("self_billed")
        fee = Fee(**shown)
        found.append(FeeDetails(fee, payment_status, self_billed, tuple(of_fee[fee.id])))
    return found


def _where(organization_id: UUID, wanted: FeeFilter) -> Conditions:
    where = Conditions()
    where.add("f.organization_id = {0}", organization_id)
    if wanted.nothing:
        where.add("false")
    if wanted.id is not None:
        where.add("f.id = {0}", wanted.id)
    if wanted.currency is not None:
        where.add("f.amount_currency = {0}", wanted.currency)
    if wanted.created_from is not None:
        where.add("f.created_at >= {0}", wanted.created_from)
    if wanted.created_to is not None:
        where.add("f.created_at <= {0}", wanted.created_to)
    return where


def _add_of_invoices(where: Conditions, organization_id: UUID, wanted: FeeFilter) -> None:
    where.add(f"i.status IN {words(VISIBLE)}")
    if wanted.payment_status is not None:
        where.add("i.payment_status = {0}", wanted.payment_status)
    if wanted.external_customer_id is not None:
        where.add(
            "i.customer_id IN (SELECT c.id FROM customers c"
            " WHERE c.organization_id = {0} AND c.external_id = {1})",
            organization_id,
            wanted.external_customer_id,
        )

"""Rows of `payment_requests`, and which invoices each is of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from recoup.rules.lago.pages import Page
from recoup.rules.records.collection import Debt
from recoup.rules.records.keys import RowKey
from recoup.rules.records.payment_requests import PaymentRequest, PaymentRequestDetails
from recoup.store import customers, invoices
from recoup.store.conditions import Conditions
from recoup.store.db import Conn
from recoup.store.listing import ids_and_total
from recoup.store.rows import columns, insertion, key_arrays, row_key, values

_INSERT: Final = insertion("payment_requests", PaymentRequest)
_INSERT_INVOICES: Final = """
    INSERT INTO payment_request_invoices
           (organization_id, payment_request_id, invoice_id, amount_cents)
    SELECT $1, $2, asked.* FROM unnest($3::uuid[], $4::bigint[]) AS asked
"""

_FIND: Final = f"""
    SELECT {columns(PaymentRequest, "r")}
      FROM unnest($1::uuid[], $2::uuid[]) AS asked (organization_id, id)
      JOIN payment_requests r USING (organization_id, id)
"""

_INVOICES: Final = """
    SELECT pri.organization_id, pri.payment_request_id, pri.invoice_id
      FROM unnest($1::uuid[], $2::uuid[]) AS asked (organization_id, payment_request_id)
      JOIN payment_request_invoices pri USING (organization_id, payment_request_id)
      JOIN invoices i ON (i.organization_id, i.id) = (pri.organization_id, pri.invoice_id)
     ORDER BY i.issuing_date, i.created_at, i.id
"""

_END: Final = """
    UPDATE payment_requests r SET payment_status = ended.payment_status, updated_at = $4
      FROM unnest($1::uuid[], $2::uuid[], $3::text[])
           AS ended (organization_id, id, payment_status)
     WHERE (r.organization_id, r.id) = (ended.organization_id, ended.id)
"""

_HAS_SUCCEEDED: Final = """
    SELECT EXISTS (
        SELECT FROM payment_request_invoices pri
          JOIN payment_requests r
            ON (r.organization_id, r.id) = (pri.organization_id, pri.payment_request_id)
         WHERE pri.organization_id = $1 AND pri.invoice_id = $2
           AND r.payment_status = 'succeeded')
"""

_LEFT: Final = """
    SELECT asked.organization_id, asked.id
      FROM unnest($1::uuid[], $2::uuid[]) AS asked (organization_id, id)
     WHERE EXISTS (
           SELECT FROM payment_request_invoices pri
             JOIN invoices i ON (i.organization_id, i.id) = (pri.organization_id, pri.invoice_id)
            WHERE (pri.organization_id, pri.payment_request_id) = (asked.organization_id, asked.id)
              AND i.status = 'finalized' AND i.due_cents > 0 AND i.held_because IS NULL
              AND i.next_try_at IS NULL)
"""


class RequestFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which payment requests a list wants; None: all. Deleted customers count as customers."""

    id: UUID | None = None
    external_customer_id: str | None = None
    payment_status: str | None = None
    currency: str | None = None
    billing_entity_codes: tuple[str, ...] | None = None


async def insert(conn: Conn, request: PaymentRequest, debts: Sequence[Debt]) -> None:
    """Add a request of these invoices, each for what is due of it now."""
    await conn.execute(_INSERT, *values(request))
    await conn.execute(
        _INSERT_INVOICES,
        request.organization_id,
        request.id,
        [debt.id for debt in debts],
        [debt.due_cents for debt in debts],
    )


async def end(conn: Conn, ended: Mapping[RowKey, str], *, now: datetime) -> None:
    """Show what became of these requests: `succeeded` or `failed`."""
    if ended:
        await conn.execute(_END, *key_arrays(ended.keys()), list(ended.values()), now)


async def left_to_their_payer(conn: Conn, keys: Collection[RowKey]) -> set[RowKey]:
    """Those of these requests with something due that the schedule will not try.

    What is held waits for a person of ours: it may be paid.
    """
    if not keys:
        return set()
    return {row_key(row) for row in await conn.fetch(_LEFT, *key_arrays(keys))}


async def has_succeeded_with(conn: Conn, invoice: RowKey) -> bool:
    """Whether a request of this invoice was paid."""
    found: bool = await conn.fetchval(_HAS_SUCCEEDED, invoice.organization_id, invoice.id)
    return found


async def details(conn: Conn, keys: Collection[RowKey]) -> dict[RowKey, PaymentRequestDetails]:
    """These requests with all that is shown of them; those that do not exist are left out."""
    rows = await conn.fetch(_FIND, *key_arrays(keys))
    found = {request.key: request for request in (PaymentRequest(**dict(row)) for row in rows)}
    if not found:
        return {}
    covered: dict[RowKey, list[RowKey]] = defaultdict(list)
    for row in await conn.fetch(_INVOICES, *key_arrays(found.keys())):
        key = RowKey(row["organization_id"], row["payment_request_id"])
        covered[key].append(RowKey(row["organization_id"], row["invoice_id"]))
    wanted = {one for some in covered.values() for one in some}
    shown = await invoices.details(conn, wanted, with_fees=False)  # which no request shows
    whose = await customers.details(conn, {request.customer_key for request in found.values()})
    return {
        key: PaymentRequestDetails(
            request=request,
            customer=whose[request.customer_key],
            invoices=tuple(shown[one] for one in covered[key]),
        )
        for key, request in found.items()
    }


async def page(
    conn: Conn, organization_id: UUID, wanted: RequestFilter, page: Page
) -> tuple[list[PaymentRequestDetails], int]:
    """One page, newest first, and how many there are in all."""
    where = _where(organization_id, wanted)
    ids, total = await ids_and_total(
        conn,
        f"SELECT r.id FROM payment_requests r WHERE {where.sql()} ORDER BY r.created_at DESC, r.id",
        f"SELECT count(*) FROM payment_requests r WHERE {where.sql()}",
        where.values,
        page,
    )
    keys = [RowKey(organization_id, one) for one in ids]
    found = await details(conn, keys)
    return [found[key] for key in keys], total


def _where(organization_id: UUID, wanted: RequestFilter) -> Conditions:
    where = Conditions()
    where.add("r.organization_id = {0}", organization_id)
    plain: list[tuple[str, object]] = [
        ("r.id = {0}", wanted.id),
        ("r.payment_status = {0}", wanted.payment_status),
        ("r.currency = {0}", wanted.currency),
    ]
    for condition, value in plain:
        if value is not None:
            where.add(condition, value)
    if wanted.external_customer_id is not None:
        where.add(
            "r.customer_id IN (SELECT c.id FROM customers c"
            " WHERE c.organization_id = {0} AND c.external_id = {1})",
            organization_id,
            wanted.external_customer_id,
        )
    if wanted.billing_entity_codes is not None:
        where.add(
            "r.billing_entity_id IN (SELECT b.id FROM billing_entities b"
            " WHERE b.organization_id = {0} AND b.code = ANY ({1}::text[]))",
            organization_id,
            wanted.billing_entity_codes,
        )
    return where

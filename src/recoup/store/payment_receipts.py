"""Rows of `payment_receipts`, and the counters that number them within a customer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Final
from uuid import UUID

import asyncpg
import msgspec

from recoup.rules.lago.pages import Page
from recoup.rules.records.document_pages import DocumentKind
from recoup.rules.records.keys import RowKey
from recoup.rules.records.payment_receipts import (
    PaidShare,
    PaymentReceipt,
    PaymentReceiptDetails,
    Received,
)
from recoup.store import documents, payments
from recoup.store.conditions import Conditions
from recoup.store.db import Conn
from recoup.store.listing import ids_and_total
from recoup.store.rows import columns, key_arrays, row_key

# Whoever draws numbers holds the counters until the transaction ends: no number is ever left out.
_DRAW: Final = """
    WITH drawn AS (
        INSERT INTO payment_receipt_counters AS counter (organization_id, customer_id, last)
        SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::int[])
               AS asked (organization_id, customer_id, how_many)
         ORDER BY organization_id, customer_id  -- everybody in this order, against deadlocks
            ON CONFLICT (organization_id, customer_id)
            DO UPDATE SET last = counter.last + excluded.last
     RETURNING organization_id, customer_id, last
    )
    SELECT drawn.organization_id, drawn.customer_id AS id, drawn.last, c.slug
      FROM drawn
      JOIN customers c ON (c.organization_id, c.id) = (drawn.organization_id, drawn.customer_id)
"""

# As `_DRAW` of nothing: in one statement, for a counter that is made first and one that is held
# first would be two orders.
_LOCK_COUNTERS: Final = """
    INSERT INTO payment_receipt_counters AS counter (organization_id, customer_id, last)
    SELECT asked.*, 0 FROM unnest($1::uuid[], $2::uuid[]) AS asked (organization_id, customer_id)
     ORDER BY organization_id, customer_id
        ON CONFLICT (organization_id, customer_id) DO UPDATE SET last = counter.last
"""

_INSERT: Final = """
    INSERT INTO payment_receipts
           (organization_id, id, payment_id, customer_id, sequential_id, number, created_at)
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::int[], $6::text[],
                         $7::timestamptz[])
"""

_FIND: Final = f"""
    SELECT {columns(PaymentReceipt, "r")}
      FROM unnest($1::uuid[], $2::uuid[]) AS asked (organization_id, id)
      JOIN payment_receipts r USING (organization_id, id)
"""


_RECEIVED: Final = """
    SELECT p.organization_id, p.id, p.customer_id, p.amount_cents, p.currency,
           CASE WHEN p.payment_type = 'manual' THEN p.created_at
                ELSE coalesce(p.ended_at, p.created_at) END AS paid_at,
           CASE WHEN p.payment_type = 'manual' THEN p.reference END AS reference,
           m.details AS method, covered.*
      FROM unnest($1::uuid[], $2::uuid[]) AS asked (organization_id, id)
      JOIN payments p USING (organization_id, id)
      LEFT JOIN payment_methods m
        ON (m.organization_id, m.id) = (p.organization_id, p.payment_method_id)
      CROSS JOIN LATERAL (
           SELECT array_agg(i.number ORDER BY i.created_at, i.id) AS numbers,
                  array_agg(i.issuing_date ORDER BY i.created_at, i.id) AS dates,
                  array_agg(i.total_cents ORDER BY i.created_at, i.id) AS totals,
                  array_agg(pi.applied_cents ORDER BY i.created_at, i.id) AS shares,
                  (array_agg(i.billing_entity_id ORDER BY i.created_at, i.id))[1] AS entity_id,
                  bool_or(i.self_billed) AS self_billed
             FROM payment_invoices pi
             JOIN invoices i ON (i.organization_id, i.id) = (pi.organization_id, pi.invoice_id)
            WHERE (pi.organization_id, pi.payment_id) = (p.organization_id, p.id)
           ) AS covered
"""


class Drawn(msgspec.Struct, frozen=True):
    """Numbers that are a customer's from now on: up to `last`, under its slug."""

    last: int
    slug: str


class ReceiptFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which receipts a list wants; None: all."""

    id: UUID | None = None
    invoice_id: UUID | None = None


async def draw(conn: Conn, customers: Sequence[RowKey]) -> dict[RowKey, Drawn]:
    """Draw a number for each of these customers, named as often as they need one."""
    wanted = Counter(customers)
    rows = await conn.fetch(_DRAW, *key_arrays(wanted.keys()), list(wanted.values()))
    return {
        RowKey(row["organization_id"], row["id"]): Drawn(row["last"], row["slug"]) for row in rows
    }


async def lock_counters(conn: Conn, customers: Collection[RowKey]) -> None:
    """Hold these customers' numbers, for whoever draws them one by one further on.

    Also of those who have none: two of whom each makes what the other waits for would be stuck.
    """
    await conn.execute(_LOCK_COUNTERS, *key_arrays(customers))


async def insert(conn: Conn, receipts: Sequence[PaymentReceipt]) -> None:
    """Add receipts. A second one of a payment is refused by the database."""
    await conn.execute(
        _INSERT,
        [one.organization_id for one in receipts],
        [one.id for one in receipts],
        [one.payment_id for one in receipts],
        [one.customer_id for one in receipts],
        [one.sequential_id for one in receipts],
        [one.number for one in receipts],
        [one.created_at for one in receipts],
    )


async def page(
    conn: Conn, organization_id: UUID, wanted: ReceiptFilter, page: Page
) -> tuple[list[PaymentReceiptDetails], int]:
    """One page, newest first, and how many there are in all."""
    where = _where(organization_id, wanted)
    ids, total = await ids_and_total(
        conn,
        f"SELECT r.id FROM payment_receipts r WHERE {where.sql()} ORDER BY r.created_at DESC, r.id",
        f"SELECT count(*) FROM payment_receipts r WHERE {where.sql()}",
        where.values,
        page,
    )
    keys = [RowKey(organization_id, id_) for id_ in ids]
    found = await details(conn, keys)
    return [found[key] for key in keys], total


async def details(conn: Conn, keys: Collection[RowKey]) -> dict[RowKey, PaymentReceiptDetails]:
    """These receipts with their payments; those that do not exist are left out."""
    found = [PaymentReceipt(**dict(row)) for row in await conn.fetch(_FIND, *key_arrays(keys))]
    paid = await payments.details(conn, {one.payment_key for one in found})
    opened = await documents.shown(conn, DocumentKind.PAYMENT_RECEIPT, {one.key for one in found})
    return {
        one.key: PaymentReceiptDetails(one, paid[one.payment_key], opened.get(one.key))
        for one in found
    }


async def received(conn: Conn, payments: Collection[RowKey]) -> dict[RowKey, Received]:
    """What the receipts of these payments tell: one statement, however many there are."""
    rows = await conn.fetch(_RECEIVED, *key_arrays(payments))
    return {one.payment: one for one in map(_received, rows)}


def _received(row: asyncpg.Record) -> Received:
    organization_id, method = row["organization_id"], row["method"]
    shares = zip(row["numbers"], row["dates"], row["totals"], row["shares"], strict=True)
    return Received(
        payment=row_key(row),
        customer=RowKey(organization_id, row["customer_id"]),
        entity=RowKey(organization_id, row["entity_id"]),
        amount_cents=row["amount_cents"],
        currency=row["currency"],
        paid_at=row["paid_at"],
        reference=row["reference"],
        self_billed=row["self_billed"],
        method=None if method is None else msgspec.json.decode(method, type=dict[str, object]),
        invoices=tuple(
            PaidShare(number=number, issued_on=day, total_cents=total, applied_cents=applied)
            for number, day, total, applied in shares
        ),
    )


def _where(organization_id: UUID, wanted: ReceiptFilter) -> Conditions:
    where = Conditions()
    where.add("r.organization_id = {0}", organization_id)
    if wanted.id is not None:
        where.add("r.id = {0}", wanted.id)
    if wanted.invoice_id is not None:
        where.add(
            "r.payment_id IN (SELECT pi.payment_id FROM payment_invoices pi"
            " WHERE pi.organization_id = {0} AND pi.invoice_id = {1})",
            organization_id,
            wanted.invoice_id,
        )
    return where

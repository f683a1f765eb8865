"""Rows of `payments` as they are shown, and those made by hand. Attempts: `store/attempts.py`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec

from recoup.rules.attempt_state import State
from recoup.rules.invoice_status import HIDDEN, VISIBLE
from recoup.rules.lago.pages import Page
from recoup.rules.records.invoices import Invoice
from recoup.rules.records.keys import RowKey
from recoup.rules.records.payment_methods import PaymentMethod
from recoup.rules.records.payments import PaidInvoice, PaymentDetails
from recoup.store import payment_methods
from recoup.store.conditions import Conditions, words
from recoup.store.db import Conn
from recoup.store.listing import ids_and_total

_DETAILS: Final = """
    SELECT p.organization_id, p.id, p.state, p.payment_type, p.customer_id,
           c.external_id AS external_customer_id, p.amount_cents, p.currency, p.reference,
           a.kind AS provider_kind, a.code AS provider_code, p.provider_customer_id,
           p.provider_payment_id, p.provider_status, p.next_action, p.payment_method_id,
           p.created_at, covered.ids, covered.numbers
      FROM unnest($1::uuid[], $2::uuid[]) AS asked (organization_id, id)
      JOIN payments p USING (organization_id, id)
      JOIN customers c ON (c.organization_id, c.id) = (p.organization_id, p.customer_id)
      LEFT JOIN provider_accounts a
        ON (a.organization_id, a.id) = (p.organization_id, p.provider_account_id)
      CROSS JOIN LATERAL (
           SELECT array_agg(i.id ORDER BY i.created_at, i.id) AS ids,
                  array_agg(i.number ORDER BY i.created_at, i.id) AS numbers
             FROM payment_invoices pi
             JOIN invoices i ON (i.organization_id, i.id) = (pi.organization_id, pi.invoice_id)
            WHERE (pi.organization_id, pi.payment_id) = (p.organization_id, p.id)
           ) AS covered
"""

_INSERT_BY_HAND: Final = """
    WITH by_hand AS (
        INSERT INTO payments (organization_id, id, state, payment_type, customer_id, amount_cents,
               currency, asked_by, reference, provider_status, created_at, ended_at)
        VALUES ($1, $2, 'succeeded', 'manual', $3, $4, $5, 'api', $6, 'succeeded', $7, $8)
    )
    INSERT INTO payment_invoices (organization_id, payment_id, invoice_id, amount_cents,
           applied_cents, payment_status_before, open)
    VALUES ($1, $2, $9, $4, $4, $10, false)
"""

# Hidden invoices with payments are next to none, so that is asked first, once for the whole list:
# only where there are any must each payment say of which invoices it is.
_IS_OF_SHOWN_INVOICE: Final = f"""
    NOT EXISTS (SELECT FROM invoices h
                  JOIN payment_invoices hp
                    ON (hp.organization_id, hp.invoice_id) = (h.organization_id, h.id)
                 WHERE h.organization_id = {{0}} AND h.status IN {words(HIDDEN)})
    OR EXISTS (SELECT FROM payment_invoices pi
                 JOIN invoices i
                   ON (i.organization_id, i.id) = (pi.organization_id, pi.invoice_id)
                WHERE pi.organization_id = {{0}} AND pi.payment_id = p.id
                  AND i.status IN {words(VISIBLE)})
"""

PAID_ON_PAGE: Final = (State.PROCESSING.value, State.SUCCEEDED.value)


class PaymentFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which payments a list wants; None: all."""

    id: UUID | None = None
    invoice_id: UUID | None = None
    external_customer_id: str | None = None


async def details(conn: Conn, keys: Collection[RowKey]) -> dict[RowKey, PaymentDetails]:
    """These payments with all that is shown of them; those that do not exist are left out."""
    rows = await conn.fetch(
        _DETAILS, [key.organization_id for key in keys], [key.id for key in keys]
    )
    charged_on = {
        RowKey(row["organization_id"], row["payment_method_id"])
        for row in rows
        if row["payment_method_id"]
    }
    methods = await payment_methods.by_ids(conn, charged_on) if charged_on else {}
    return {RowKey(row["organization_id"], row["id"]): _details(row, methods) for row in rows}


async def page(
    conn: Conn, organization_id: UUID, wanted: PaymentFilter, page: Page
) -> tuple[list[PaymentDetails], int]:
    """One page, newest first, and how many there are in all.

    Withdrawn attempts are not shown, nor payments of invoices that are not.
    """
    where = _where(organization_id, wanted)
    ids, count = await ids_and_total(
        conn,
        f"SELECT p.id FROM payments p WHERE {where.sql()} ORDER BY p.created_at DESC, p.id",
        f"SELECT count(*) FROM payments p WHERE {where.sql()}",
        where.values,
        page,
    )
    keys = [RowKey(organization_id, one) for one in ids]
    found = await details(conn, keys)
    return [found[key] for key in keys], count


async def insert_by_hand(
    conn: Conn,
    payment_id: UUID,
    invoice: Invoice,
    amount_cents: int,
    *,
    reference: str,
    paid_at: datetime,
    now: datetime,
) -> None:
    """Add a payment that was made outside of any provider: it has succeeded from the start."""
    await conn.execute(
        _INSERT_BY_HAND, invoice.organization_id, payment_id, invoice.customer_id, amount_cents,
        invoice.currency, reference, paid_at, now, invoice.id, invoice.payment_status,
    )  # fmt: skip


def _where(organization_id: UUID, wanted: PaymentFilter) -> Conditions:
    where = Conditions()
    where.add("p.organization_id = {0}", organization_id)
    where.add("p.state <> {0}", State.WITHDRAWN.value)
    # A hosted page is a payment once somebody pays there.
    where.add(f"(p.manner <> 'page' OR p.state IN {words(PAID_ON_PAGE)})")
    where.add(_IS_OF_SHOWN_INVOICE, organization_id)
    if wanted.id is not None:
        where.add("p.id = {0}", wanted.id)
    if wanted.invoice_id is not None:
        where.add(
            "p.id IN (SELECT pi.payment_id FROM payment_invoices pi"
            " WHERE pi.organization_id = {0} AND pi.invoice_id = {1})",
            organization_id,
            wanted.invoice_id,
        )
    if wanted.external_customer_id is not None:
        where.add(
            "p.customer_id IN (SELECT c.id FROM customers c"
            " WHERE c.organization_id = {0} AND c.external_id = {1})",
            organization_id,
            wanted.external_customer_id,
        )
    return where


def _details(row: asyncpg.Record, methods: Mapping[RowKey, PaymentMethod]) -> PaymentDetails:
    shown: dict[str, Any] = dict(row)
    method = methods.get(RowKey(row["organization_id"], shown.pop("payment_method_id")))
    ids, numbers = shown.pop("ids"), shown.pop("numbers")
    next_action = shown.pop("next_action")
    return PaymentDetails(
        **shown | {"state": State(shown["state"])},
        invoices=tuple(PaidInvoice(*one) for one in zip(ids, numbers, strict=True)),
        next_action=None if next_action is None else msgspec.json.decode(next_action),
        method=method,
    )

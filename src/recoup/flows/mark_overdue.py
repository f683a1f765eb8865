"""Mark the invoices that have become late, and tell of each once (contract section 8.1).

Called by the clock, hourly. Whoever has a dunning campaign is looked at for it at once.

What would surprise you: the day is UTC's, whatever the customer's.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import uuid5

from recoup.flows.batches import serve_each
from recoup.flows.tell import News, tell
from recoup.rules.invoice_dates import becomes_overdue
from recoup.rules.lago.invoices import Include, invoice_object
from recoup.rules.records.invoices import Invoice, InvoiceDetails
from recoup.rules.records.keys import RowKey
from recoup.store import db, dunnings, invoices
from recoup.store.db import Pool

MOST_AT_ONCE: Final = 500  # bounds how long one transaction holds its locks


async def mark_all_overdue(pool: Pool, scout: Pool, *, now: datetime) -> int:
    """Mark every invoice of every tenant that is late by `now`; say how many were not before."""
    marked = 0
    while True:
        async with db.nameless(scout) as conn:
            found = await invoices.find_newly_overdue(
                conn, today=now.astimezone(UTC).date(), limit=MOST_AT_ONCE
            )
        # One that somebody holds is left for the next hour, and keeps nobody else.
        answers = await serve_each(lambda some: _mark(pool, some, now=now), found) if found else []
        marked += (of_these := sum(answer is True for answer in answers))
        if len(found) < MOST_AT_ONCE or not of_these:
            return marked


async def mark_overdue(pool: Pool, keys: Collection[RowKey], *, now: datetime) -> int:
    """Mark those of these invoices that are late and were not before; say how many they are."""
    return sum(await _mark(pool, list(keys), now=now)) if keys else 0


async def _mark(pool: Pool, keys: Sequence[RowKey], *, now: datetime) -> list[bool]:
    """Mark them in one transaction; say of each, in order, whether it was."""
    async with db.transaction(pool, tenants={key.organization_id for key in keys}) as conn:
        locked = await invoices.lock(conn, keys)
        late = [invoice.key for invoice in locked.values() if _becomes_overdue(invoice, now)]
        await invoices.become_overdue(conn, late, now=now)
        await dunnings.wake(conn, {locked[key].customer_key for key in late}, now=now)
        details = await invoices.details(conn, late)
        await tell(conn, [_overdue(details[key], now) for key in late], now=now)
    return [key in details for key in keys]


def _becomes_overdue(invoice: Invoice, now: datetime) -> bool:
    return becomes_overdue(
        is_finalized=invoice.status == "finalized",
        is_paid=invoice.payment_status == "succeeded",
        is_overdue=invoice.payment_overdue,
        dispute_is_lost=invoice.payment_dispute_lost_at is not None,
        due=invoice.payment_due_date,
        now=now,
    )


def _overdue(details: InvoiceDetails, now: datetime) -> News:
    invoice = details.invoice
    return News(
        organization_id=invoice.organization_id,
        webhook_type="invoice.payment_overdue",
        object_type="invoice",
        payload=invoice_object(details, Include.CUSTOMER_FEES_AND_TAXES),
        object_id=invoice.id,
        # Named by the time, too: one that was paid and is unpaid again becomes late again.
        cause=uuid5(invoice.id, now.isoformat()),
    )

"""Collect what a customer owes, now that it has left a new payment method.

Called by the worker, for the job that was promised with the method. Failed invoices too: Lago
leaves those to a person (contract section 5.8).

What would surprise you: an invoice's open payment page is closed for it, as for a retry that
somebody asks for. One that the provider does not say to be dead stays, and so does its invoice.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from uuid import UUID

from recoup.flows.batches import Failed, serve_each
from recoup.flows.close_payment_page import close_payment_page, retry_past_pages
from recoup.flows.open_provider import Providers
from recoup.flows.retry_payment import Accepted, Ask, retry_payments
from recoup.rules.new_method_policy import MOST_CHARGES, MOST_INVOICES, WITHIN
from recoup.rules.records.collection import AskedBy
from recoup.rules.records.keys import RowKey
from recoup.store import db, tries
from recoup.store.db import Pool


async def collect_from_customer(
    pool: Pool,
    providers: Providers,
    customer: RowKey,
    *,
    new_id: Callable[[], UUID],
    now: Callable[[], datetime],
) -> int:
    """Begin an attempt for each open invoice of the customer's; answer how many were begun.

    Run again, it finds those under way, and begins no other.

    :raises Exception: what the database said of an ask that failed alone; the others were begun.
    """
    async with db.transaction(pool, tenants=[customer.organization_id]) as conn:
        open_invoices = await tries.open_invoices(
            conn, customer, sent_since=now() - WITHIN, sent_at_most=MOST_CHARGES, most=MOST_INVOICES
        )
    asks = [Ask(invoice, new_id(), AskedBy.NEW_METHOD) for invoice in open_invoices]
    answers = await retry_past_pages(
        asks,
        retry=partial(serve_each, lambda some: retry_payments(pool, some, now=now())),
        close=lambda page: close_payment_page(pool, providers, page, now=now),
    )
    for answer in answers:
        if isinstance(answer, Failed):
            raise answer.error
    return sum(isinstance(answer, Accepted) for answer in answers)

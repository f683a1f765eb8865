"""What a page of a list asks of the database, and how often."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final
from uuid import UUID

import pytest
from asyncpg.connection import LoggedQuery

from recoup import clock
from recoup.rules.lago.pages import Page
from recoup.store import (
    credit_note_lists,
    customer_lists,
    db,
    fees,
    invoice_lists,
    payment_receipts,
    payment_requests,
    payments,
)
from recoup.store.credit_note_lists import CreditNoteFilter
from recoup.store.customer_lists import Wanted
from recoup.store.db import Conn, Pool
from recoup.store.fees import FeeFilter
from recoup.store.invoice_lists import InvoiceFilter
from recoup.store.payment_receipts import ReceiptFilter
from recoup.store.payment_requests import RequestFilter
from recoup.store.payments import PaymentFilter

List = Callable[[Conn, UUID, Page], Awaitable[tuple[Sequence[Any], int]]]

LISTS: Final[dict[str, List]] = {
    "credit notes": lambda conn, whose, page: credit_note_lists.page(
        conn, whose, CreditNoteFilter(), page
    ),
    "customers": lambda conn, whose, page: customer_lists.page(conn, whose, Wanted(), page),
    "fees": lambda conn, whose, page: fees.page(conn, whose, FeeFilter(), page),
    "invoices": lambda conn, whose, page: invoice_lists.page(conn, whose, InvoiceFilter(), page),
    "payment receipts": lambda conn, whose, page: payment_receipts.page(
        conn, whose, ReceiptFilter(), page
    ),
    "payment requests": lambda conn, whose, page: payment_requests.page(
        conn, whose, RequestFilter(), page
    ),
    "payments": lambda conn, whose, page: payments.page(conn, whose, PaymentFilter(), page),
}


@pytest.mark.parametrize("name", LISTS)
async def test_a_page_that_is_not_full_is_not_counted_besides(pool: Pool, name: str) -> None:
    tenant, asked = clock.new_id(), list[str]()

    def note(query: LoggedQuery) -> None:
        asked.append(query.query)

    async with db.transaction(pool, tenants=[tenant]) as conn:
        with conn.query_logger(note):
            assert await LISTS[name](conn, tenant, Page(number=1, size=20)) == ([], 0)
    assert [query for query in asked if "LIMIT 20" in query], "it is the page that is asked for"
    assert not [query for query in asked if "count(*)" in query]

"""What the lists of all that comes after invoices and payments read: nobody else's rows.

As `test_list_plans.py` has it, for credit notes, payment requests, receipts, refunds, findings,
deliveries of webhooks, and mails: four hundred of each are ours, of a hundred thousand.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from typing import Any, Final
from uuid import UUID

import pytest
import pytest_asyncio

from bench.numbered import Kind, numbered_id
from recoup.rules.delivery_state import DeliveryState
from recoup.rules.lago.pages import Page
from recoup.rules.records.keys import RowKey
from recoup.store import (
    credit_note_lists,
    delivery_lists,
    findings,
    mails,
    payment_methods,
    payment_receipts,
    payment_requests,
    refund_lists,
)
from recoup.store.credit_note_lists import CreditNoteFilter
from recoup.store.db import Conn, Pool
from recoup.store.delivery_lists import DeliveryFilter
from recoup.store.payment_receipts import ReceiptFilter
from recoup.store.payment_requests import RequestFilter
from tests.store.crowd import A_FEW, OUR_INDEX, OUR_OWN, OURS, few_among_many
from tests.store.plans import Bound, List, assert_reads_its_own

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOON: Final = datetime(2025, 6, 1, 12, tzinfo=UTC)
INVOICE: Final = UUID(numbered_id(Kind.INVOICE, 0))
CUSTOMER: Final = RowKey(OURS, UUID(numbered_id(Kind.CUSTOMER, 7)))
ENDPOINT: Final = UUID(numbered_id(Kind.ENDPOINT, 1))  # of few

# Of twenty that are shown, whatever finds them: the pages of the invoices and customers with each.
OF_NOTES: Final = Bound(OUR_OWN.rows, pages=800)
OF_REQUESTS: Final = Bound(OUR_OWN.rows, pages=1_100)
A_PIECE: Final = Bound(rows=90, pages=280)  # to show, and another to lock


def of_notes(**wanted: Any) -> List:
    return lambda conn, page: credit_note_lists.page(conn, OURS, CreditNoteFilter(**wanted), page)


def of_requests(**wanted: Any) -> List:
    return lambda conn, page: payment_requests.page(conn, OURS, RequestFilter(**wanted), page)


def of_receipts(**wanted: Any) -> List:
    return lambda conn, page: payment_receipts.page(conn, OURS, ReceiptFilter(**wanted), page)


def of_refunds(silent_since: datetime | None = None) -> List:
    return lambda conn, page: refund_lists.page(conn, OURS, page, silent_since=silent_since)


def of_open_refunds(silent_since: datetime | None = None) -> List:
    return lambda conn, page: refund_lists.oldest_open(
        conn, OURS, silent_since=silent_since, most=page.size
    )


def of_findings(are_open: bool | None = None) -> List:
    return lambda conn, page: findings.page(conn, OURS, page, are_open=are_open)


def of_deliveries(**wanted: Any) -> List:
    chosen = DeliveryFilter(**wanted)

    async def look(conn: Conn, page: Page) -> object:
        found = await delivery_lists.piece(conn, OURS, chosen, after=None, most=page.size)
        await delivery_lists.lock_ended(conn, OURS, chosen, after=None, most=page.size)
        return found

    return look


def of_mails() -> List:
    return lambda conn, page: mails.unsent(conn, OURS, most=page.size)


def of_methods(conn: Conn, page: Page) -> Any:
    return payment_methods.page(conn, CUSTOMER, page)


LISTS: Final[dict[str, tuple[List, Bound]]] = {
    "methods of a customer": (of_methods, A_FEW),
    "notes": (of_notes(), OF_NOTES),
    "notes of a customer": (of_notes(external_customer_id="customer-7"), A_FEW),
    "notes by credit": (of_notes(credit_statuses=("voided",)), OF_NOTES),
    "notes by refund": (of_notes(refund_statuses=("failed",)), OF_NOTES),
    "notes by reason": (of_notes(reasons=("fraudulent_charge",)), OF_NOTES),
    "notes by part": (of_notes(types=("credit", "refund")), OF_NOTES),
    "notes by currency": (of_notes(currency="USD"), OF_NOTES),
    "notes of an invoice": (of_notes(invoice_number="LST-000000008"), OUR_INDEX),
    "notes by order number": (of_notes(purchase_order_number="PO-8"), A_FEW),
    "notes of partners": (of_notes(self_billed=True), OF_NOTES),
    "notes of no partner": (of_notes(self_billed=False), OF_NOTES),
    "notes issued since": (of_notes(issued_from=date(2025, 12, 1)), OF_NOTES),
    "notes issued until": (of_notes(issued_to=date(2025, 3, 1)), OF_NOTES),
    "notes by amount": (of_notes(amount_from=50_000, amount_to=60_000), OF_NOTES),
    "notes by entity": (of_notes(billing_entity_codes=("second",)), OF_NOTES),
    "notes by both entities": (of_notes(billing_entity_codes=("first", "second")), OF_NOTES),
    "notes searched for": (of_notes(search_term="payer-77"), OF_NOTES),
    "requests": (of_requests(), OF_REQUESTS),
    "a request": (of_requests(id=UUID(numbered_id(Kind.REQUEST, 0))), A_FEW),
    "requests to a customer": (of_requests(external_customer_id="customer-7"), A_FEW),
    "requests by payment status": (of_requests(payment_status="failed"), OF_REQUESTS),
    "requests by currency": (of_requests(currency="USD"), OF_REQUESTS),
    "requests by entity": (of_requests(billing_entity_codes=("second",)), OF_REQUESTS),
    "receipts": (of_receipts(), OUR_OWN),
    "a receipt": (of_receipts(id=UUID(numbered_id(Kind.RECEIPT, 0))), A_FEW),
    "receipts of an invoice": (of_receipts(invoice_id=INVOICE), A_FEW),
    "refunds": (of_refunds(), OUR_INDEX),
    "refunds for a person": (of_refunds(NOON), A_FEW),
    "open refunds": (of_open_refunds(), A_FEW),
    "open refunds for a person": (of_open_refunds(NOON), A_FEW),
    "findings": (of_findings(), OUR_INDEX),
    "open findings": (of_findings(are_open=True), OUR_INDEX),
    "resolved findings": (of_findings(are_open=False), OUR_INDEX),
    "the oldest open findings": (lambda conn, _page: findings.open_ones(conn, OURS), A_FEW),
    "deliveries": (of_deliveries(), A_PIECE),
    "deliveries that wait": (of_deliveries(state=DeliveryState.WAITING), A_PIECE),
    "deliveries given up": (of_deliveries(state=DeliveryState.GIVEN_UP), A_PIECE),
    "deliveries that came": (of_deliveries(state=DeliveryState.DELIVERED), A_PIECE),
    "deliveries by type": (of_deliveries(webhook_type="invoice.voided"), A_PIECE),
    "deliveries about a row": (of_deliveries(object_id=INVOICE), A_FEW),
    "deliveries to an endpoint": (of_deliveries(endpoint_id=ENDPOINT), A_PIECE),
    # A tenant that was told little: `test_delivery_plans.py` has one that was told much.
    "deliveries told since": (of_deliveries(created_from=NOON), OUR_OWN),
    "deliveries told until": (of_deliveries(created_to=NOON), OUR_OWN),
    "mails that were not sent": (of_mails(), A_FEW),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def crowd(server_dsn: str, template: str) -> AsyncIterator[Pool]:
    """The application's connections to a database in which we are few among many."""
    async with few_among_many(server_dsn, template, later=True) as pool:
        yield pool


@pytest.mark.parametrize("name", LISTS)
async def test_a_list_reads_an_index_and_nobody_elses_rows(crowd: Pool, name: str) -> None:
    await assert_reads_its_own(crowd, OURS, *LISTS[name])

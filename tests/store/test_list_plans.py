"""What each list reads: of the index that its filter names, and of nobody else's rows.

A hundred thousand invoices, payments and fees, of which one tenant has four hundred of each, evenly
among the others'. Every statement of every list is explained as the application runs it, under
row-level security, for the very values and as a plan that is kept for any. What is held against a
bound is what was touched, rows and pages, not which words the plan uses for it.

A filter that finds a few rows may touch some more than it finds; one that finds many, or looks
where no index leads, may look at each of the tenant's own, in an index, which holds many on a page.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Any, Final
from uuid import UUID

import pytest
import pytest_asyncio

from bench.numbered import Kind, numbered_id
from recoup.rules.lago.pages import Page
from recoup.rules.records.keys import RowKey
from recoup.store import customer_lists, db, fees, invoice_lists, payments, portal_invoices
from recoup.store.customer_lists import Wanted
from recoup.store.db import Conn, Pool
from recoup.store.fees import FeeFilter
from recoup.store.invoice_lists import InvoiceFilter
from recoup.store.payments import PaymentFilter
from tests.store.crowd import A_FEW, OUR_CUSTOMERS, OUR_OWN, OUR_ROWS, OURS, few_among_many
from tests.store.plans import Bound, List, assert_reads_its_own

pytestmark = pytest.mark.asyncio(loop_scope="module")


# By an index alone, twice, and what is shown of the twenty: they lie on a page each. Whoever looked
# at each row would touch four hundred pages more, or, of customers, two hundred.
PAYMENTS: Final = Bound(rows=OUR_OWN.rows, pages=450)
FEES: Final = Bound(rows=OUR_OWN.rows, pages=300)
OF_INVOICES: Final = Bound(rows=OUR_OWN.rows, pages=450)  # fees by what their invoices are
A_FEW_CUSTOMERS: Final = Bound(rows=3 * OUR_CUSTOMERS, pages=100)
CUSTOMERS: Final = Bound(rows=3 * OUR_CUSTOMERS, pages=300)
FAR: Final = 19  # a page with nearly all before it


def of_invoices(**wanted: Any) -> List:
    return lambda conn, page: invoice_lists.page(conn, OURS, InvoiceFilter(**wanted), page)


def of_payments(**wanted: Any) -> List:
    return lambda conn, page: payments.page(conn, OURS, PaymentFilter(**wanted), page)


def of_fees(**wanted: Any) -> List:
    return lambda conn, page: fees.page(conn, OURS, FeeFilter(**wanted), page)


def of_customers(**wanted: Any) -> List:
    return lambda conn, page: customer_lists.page(conn, OURS, Wanted(**wanted), page)


def of_a_payer(conn: Conn, page: Page) -> Any:
    return portal_invoices.page(conn, PAYER, size=page.size, offset=0)


def far(ask: List) -> List:
    return lambda conn, page: ask(conn, Page(FAR, page.size))


PAYER: Final = RowKey(OURS, UUID(numbered_id(Kind.CUSTOMER, 7)))
INVOICE: Final = UUID(numbered_id(Kind.INVOICE, 0))
LISTS: Final[dict[str, tuple[List, Bound]]] = {
    "invoices": (of_invoices(), OUR_OWN),
    "invoices of a customer": (of_invoices(external_customer_id="customer-7"), A_FEW),
    "invoices by status": (of_invoices(statuses=("voided",)), OUR_OWN),
    "invoices by statuses": (of_invoices(statuses=("draft", "voided")), OUR_OWN),
    "invoices by payment status": (of_invoices(payment_statuses=("failed",)), OUR_OWN),
    "overdue invoices": (of_invoices(payment_overdue=True), OUR_OWN),
    "invoices not overdue": (of_invoices(payment_overdue=False), OUR_OWN),
    "partially paid invoices": (of_invoices(partially_paid=True), OUR_OWN),
    "self-billed invoices": (of_invoices(self_billed=True), OUR_OWN),
    "disputed invoices": (of_invoices(payment_dispute_lost=True), OUR_OWN),
    "invoices by type": (of_invoices(invoice_type="one_off"), OUR_OWN),
    "invoices of no type": (of_invoices(invoice_type="credit"), OUR_OWN),
    "invoices by currency": (of_invoices(currency="USD"), OUR_OWN),
    "invoices issued since": (of_invoices(issued_from=date(2025, 12, 1)), OUR_OWN),
    "invoices issued until": (of_invoices(issued_to=date(2025, 3, 1)), OUR_OWN),
    "invoices by amount": (of_invoices(amount_from=50_000, amount_to=60_000), OUR_OWN),
    "invoices by entity": (of_invoices(billing_entity_codes=("second",)), OUR_OWN),
    "invoices by metadata": (of_invoices(metadata={"order": "order-8"}), A_FEW),
    "invoices without a key": (of_invoices(metadata={"order": ""}), OUR_OWN),
    "invoices by order number": (of_invoices(purchase_order_number="PO-8"), A_FEW),
    "paid invoices": (of_invoices(settlements=("payment",)), OUR_OWN),
    "credited invoices": (of_invoices(settlements=("credit_note",)), OUR_OWN),
    "invoices searched for": (of_invoices(search_term="payer-77"), OUR_OWN),
    "invoices far behind": (far(of_invoices()), OUR_OWN),
    "a payer's own invoices": (of_a_payer, A_FEW),
    "payments": (of_payments(), PAYMENTS),
    "payments of a customer": (of_payments(external_customer_id="customer-7"), A_FEW),
    "payments of an invoice": (of_payments(invoice_id=INVOICE), A_FEW),
    "fees": (of_fees(), FEES),
    "fees by payment status": (of_fees(payment_status="failed"), OF_INVOICES),
    "fees by currency": (of_fees(currency="USD"), FEES),
    "fees of a customer": (of_fees(external_customer_id="customer-7"), A_FEW),
    "fees made since": (of_fees(created_from=datetime(2025, 12, 1, tzinfo=UTC)), FEES),
    "fees made until": (of_fees(created_to=datetime(2025, 3, 1, tzinfo=UTC)), FEES),
    "fees far behind": (far(of_fees()), FEES),
    "customers": (of_customers(), CUSTOMERS),
    "a customer": (of_customers(external_id="customer-7"), A_FEW),
    "customers searched for": (of_customers(search_term="payer-77"), CUSTOMERS),
    "customers by account type": (of_customers(account_types=["partner"]), CUSTOMERS),
    "customers by entity": (of_customers(billing_entity_codes=["second"]), CUSTOMERS),
    "customers by country": (of_customers(countries=["FR"]), CUSTOMERS),
    "customers by state": (of_customers(states=["State 7"]), CUSTOMERS),
    "customers by zip code": (of_customers(zipcodes=["Zip 7"]), A_FEW_CUSTOMERS),
    "customers by currency": (of_customers(currencies=["USD"]), CUSTOMERS),
    "customers with a tax number": (of_customers(has_tax_identification_number=True), CUSTOMERS),
    "customers by type": (of_customers(customer_type="company"), CUSTOMERS),
    "customers of no type": (of_customers(has_customer_type=False), OUR_OWN),
    "customers by metadata": (of_customers(metadata={"tier": "tier-8"}), CUSTOMERS),
    "customers without a key": (of_customers(metadata={"tier": ""}), OUR_OWN),
}


# Below a customer everything is found by them: some more may be looked at than is shown.
OF_CUSTOMER: Final = Bound(rows=2 * A_FEW.rows, pages=A_FEW.pages)
ALSO_ASKED: Final[list[dict[str, Any]]] = [
    {"statuses": ("voided",)}, {"payment_statuses": ("failed",)}, {"payment_overdue": True},
    {"payment_overdue": False}, {"partially_paid": True}, {"self_billed": True},
    {"payment_dispute_lost": True}, {"invoice_type": "one_off"}, {"currency": "USD"},
    {"issued_from": date(2025, 12, 1)}, {"issued_to": date(2025, 3, 1)}, {"amount_from": 50_000},
    {"amount_to": 60_000}, {"billing_entity_codes": ("second",)}, {"metadata": {"order": ""}},
    {"metadata": {"order": "order-8"}}, {"purchase_order_number": "PO-8"},
    {"settlements": ("payment",)}, {"settlements": ("credit_note",)},
    {"search_term": "payer-77"},
]  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def crowd(server_dsn: str, template: str) -> AsyncIterator[Pool]:
    """The application's connections to a database in which we are few among many."""
    async with few_among_many(server_dsn, template) as pool:
        yield pool


@pytest.mark.parametrize("name", LISTS)
async def test_a_list_reads_an_index_and_nobody_elses_rows(crowd: Pool, name: str) -> None:
    await assert_reads_its_own(crowd, OURS, *LISTS[name])


@pytest.mark.parametrize("also", ALSO_ASKED, ids=str)
async def test_a_customers_invoices_are_found_by_them(crowd: Pool, also: dict[str, Any]) -> None:
    ask = of_invoices(external_customer_id="customer-7", **also)
    await assert_reads_its_own(crowd, OURS, ask, OF_CUSTOMER)


async def test_pages_are_planned_for_their_values_and_what_is_shown_of_them_for_any(
    crowd: Pool,
) -> None:
    """Neither is left to what PostgreSQL estimates, which is another in each database."""
    async with db.transaction(crowd, tenants=[OURS]) as conn:
        for ask in (of_invoices(), of_payments(), of_fees()):
            await ask(conn, Page(size=20))
        planned = await conn.fetch(
            "SELECT statement, generic_plans, custom_plans FROM pg_prepared_statements"
        )
    pages = [one for one in planned if re.search(r"LIMIT 20\b|^SELECT count", one["statement"])]
    shown = [one for one in planned if "FROM unnest(" in one["statement"]]
    assert len(pages) >= 6
    assert {one["generic_plans"] for one in pages} == {0}
    assert len(shown) >= 2
    assert {one["custom_plans"] for one in shown} == {0}


@pytest.mark.parametrize("ask", [of_invoices(), of_payments(), of_fees()])
async def test_the_total_is_the_same_on_every_page_and_past_the_last(
    crowd: Pool, ask: List
) -> None:
    async with db.transaction(crowd, tenants=[OURS]) as conn:
        for size, number, shown in [
            (1, 1, 1), (150, 1, 150), (150, 3, 100), (150, 4, 0), (400, 1, 400), (400, 2, 0),
            (1_000, 1, 400), (1_000, 2, 0), (100, 4, 100),
        ]:  # fmt: skip
            found, total = await ask(conn, Page(number, size))
            assert (len(found), total) == (shown, OUR_ROWS), f"page {number} of {size}"


async def test_what_hangs_on_a_hidden_invoice_is_on_no_page_and_in_no_total(crowd: Pool) -> None:
    with suppress(UndoneError):
        async with db.transaction(crowd, tenants=[OURS]) as conn:
            await conn.execute(
                "UPDATE invoices SET status = 'closed' WHERE organization_id = $1 AND id = $2",
                OURS, INVOICE,
            )  # fmt: skip
            for ask in (of_invoices(), of_payments(), of_fees()):
                for size in (OUR_ROWS - 1, OUR_ROWS):  # counted, and seen to be the last page
                    found, total = await ask(conn, Page(size=size))
                    assert (len(found), total) == (OUR_ROWS - 1, OUR_ROWS - 1)
            assert await of_payments(invoice_id=INVOICE)(conn, Page()) == ([], 0)
            raise UndoneError


class UndoneError(Exception):
    """A transaction is not to stay."""

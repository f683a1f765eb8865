"""What each list reads: of the index that its filter names, and of nobody else's rows.

A hundred thousand invoices, payments and fees, of which one tenant has four hundred of each, evenly
among the others'. Every statement of every list is explained as the application runs it, under
row-level security, for the very values and as a plan that is kept for any. What is held against a
bound is what was touched, rows and pages, not which words the plan uses for it.

A filter that finds a few rows may touch some more than it finds; one that finds many, or looks
where no index leads, may look at each of the tenant's own, in an index, which holds many on a page.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec
import pytest
import pytest_asyncio
from asyncpg.connection import LoggedQuery

from bench.list_stock import Tenant, lay_in_lists
from bench.numbered import Kind, numbered_id
from recoup.rules.lago.pages import Page
from recoup.store import customer_lists, db, fees, invoice_lists, payments
from recoup.store.customer_lists import Wanted
from recoup.store.db import Conn, Pool
from recoup.store.fees import FeeFilter
from recoup.store.invoice_lists import InvoiceFilter
from recoup.store.payments import PaymentFilter
from tests.databases import as_owner, own_database

pytestmark = pytest.mark.asyncio(loop_scope="module")

OURS, ENTITY = UUID(int=0xA), UUID(int=0xE)
ROWS, OUR_ROWS, OUR_CUSTOMERS = 100_000, 400, 200
SIZE: Final = 20  # of a page
BIG: Final = {
    "invoices", "invoice_metadata", "payments", "payment_invoices", "fees", "customers",
    "customer_metadata", "applied_taxes",
}  # fmt: skip

_TENANT: Final = """
    INSERT INTO organizations (id, name, slug, document_number_prefix, hmac_key_sealed,
           created_at, updated_at)
    VALUES ($1, 'Ours', 'ours', 'OUR', '', now(), now())
"""
_ENTITY: Final = """
    INSERT INTO billing_entities (organization_id, id, code, name, is_default,
           document_number_prefix, created_at, updated_at)
    VALUES ($1, $2, 'first', 'First', true, 'OUR', now(), now())
"""

List = Callable[[Conn, Page], Awaitable[tuple[Sequence[Any], int]]]


class Bound(msgspec.Struct, frozen=True):
    """What the statements of one list may touch together: rows, and pages of 8 kB."""

    rows: int
    pages: int


# A page of twenty invoices shows their customers, metadata and taxes: 420 pages in memory, however
# the twenty were found.
A_FEW: Final = Bound(rows=60, pages=130)
OUR_OWN: Final = Bound(rows=5 * OUR_ROWS // 2, pages=700)


def of_invoices(**wanted: Any) -> List:
    return lambda conn, page: invoice_lists.page(conn, OURS, InvoiceFilter(**wanted), page)


def of_payments(**wanted: Any) -> List:
    return lambda conn, page: payments.page(conn, OURS, PaymentFilter(**wanted), page)


def of_fees(**wanted: Any) -> List:
    return lambda conn, page: fees.page(conn, OURS, FeeFilter(**wanted), page)


def of_customers(**wanted: Any) -> List:
    return lambda conn, page: customer_lists.page(conn, OURS, Wanted(**wanted), page)


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
    "payments": (of_payments(), OUR_OWN),
    "payments of a customer": (of_payments(external_customer_id="customer-7"), A_FEW),
    "payments of an invoice": (of_payments(invoice_id=INVOICE), A_FEW),
    "fees": (of_fees(), OUR_OWN),
    "fees by payment status": (of_fees(payment_status="failed"), OUR_OWN),
    "fees by currency": (of_fees(currency="USD"), OUR_OWN),
    "fees of a customer": (of_fees(external_customer_id="customer-7"), A_FEW),
    "fees made since": (of_fees(created_from=datetime(2025, 12, 1, tzinfo=UTC)), OUR_OWN),
    "fees made until": (of_fees(created_to=datetime(2025, 3, 1, tzinfo=UTC)), OUR_OWN),
    "customers": (of_customers(), OUR_OWN),
    "a customer": (of_customers(external_id="customer-7"), A_FEW),
    "customers searched for": (of_customers(search_term="payer-77"), OUR_OWN),
    "customers by account type": (of_customers(account_types=["partner"]), OUR_OWN),
    "customers by entity": (of_customers(billing_entity_codes=["second"]), OUR_OWN),
    "customers by country": (of_customers(countries=["FR"]), OUR_OWN),
    "customers by state": (of_customers(states=["State 7"]), OUR_OWN),
    "customers by zip code": (of_customers(zipcodes=["Zip 7"]), OUR_OWN),
    "customers by currency": (of_customers(currencies=["USD"]), OUR_OWN),
    "customers with a tax number": (of_customers(has_tax_identification_number=True), OUR_OWN),
    "customers by type": (of_customers(customer_type="company"), OUR_OWN),
    "customers of no type": (of_customers(has_customer_type=False), OUR_OWN),
    "customers by metadata": (of_customers(metadata={"tier": "tier-8"}), OUR_OWN),
    "customers without a key": (of_customers(metadata={"tier": ""}), OUR_OWN),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def crowd(server_dsn: str, template: str) -> AsyncIterator[Pool]:
    """The application's connections to a database in which we are few among many."""
    async with own_database(server_dsn, template) as dsn:
        owner = await asyncpg.connect(as_owner(dsn))
        await owner.execute(_TENANT, OURS)
        await owner.execute(_ENTITY, OURS, ENTITY)
        await owner.close()
        tenant = Tenant(str(OURS), str(ENTITY), customers=OUR_CUSTOMERS)
        await lay_in_lists(as_owner(dsn), tenant, rows=ROWS, ours=OUR_ROWS)
        pool = await db.connect(dsn, least=1, most=1)
        yield pool
        await pool.close()


@pytest.mark.parametrize("plan_for", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("name", LISTS)
async def test_a_list_reads_an_index_and_nobody_elses_rows(
    crowd: Pool, name: str, plan_for: str
) -> None:
    ask, bound = LISTS[name]
    async with db.transaction(crowd, tenants=[OURS]) as conn:
        statements = await statements_of(conn, ask)
        await conn.execute(f"SET LOCAL plan_cache_mode = {plan_for}")
        plans = [await explained(conn, one) for one in statements]
    touched = [touched_by(plan) for plan in plans]
    rows, pages = sum(one.rows for one in touched), sum(one.pages for one in touched)
    assert not {one for plan in plans for one in scanned_whole(plan)}
    assert rows <= bound.rows
    assert pages <= bound.pages


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


async def statements_of(conn: Conn, ask: List) -> list[LoggedQuery]:
    """What a page of this list, which finds something, asks the database."""
    asked: list[LoggedQuery] = []
    conn.add_query_logger(asked.append)
    await ask(conn, Page(size=SIZE))
    conn.remove_query_logger(asked.append)
    return asked


async def explained(conn: Conn, statement: LoggedQuery) -> dict[str, Any]:
    """The plan of a statement, run as it was."""
    await conn.execute(f"PREPARE asked AS {statement.query}")
    values = f"({', '.join(map(literal, statement.args))})" if statement.args else ""
    said = await conn.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE asked{values}")
    await conn.execute("DEALLOCATE asked")
    [plan] = msgspec.json.decode(said)
    return plan["Plan"]


def literal(value: Any) -> str:
    """A parameter's value as SQL, its type being known there."""
    if value is None:
        return "NULL"
    if isinstance(value, list | tuple):
        return "'{" + ",".join(f'"{one}"' for one in value) + "}'"
    return f"'{value}'"


def touched_by(plan: dict[str, Any]) -> Bound:
    """The rows that a plan read of tables and indexes, found or not, and the pages it read."""
    rows = sum(
        node["Actual Loops"]
        * (
            node["Actual Rows"]
            + node.get("Rows Removed by Filter", 0)
            + node.get("Rows Removed by Index Recheck", 0)
        )
        for node in nodes_of(plan)
        if node.get("Relation Name") in BIG
    )
    return Bound(rows=round(rows), pages=plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


def scanned_whole(plan: dict[str, Any]) -> Iterator[str]:
    """The big tables of which a plan read every row, or every index entry, of every tenant."""
    for node in nodes_of(plan):
        if node["Node Type"] == "Seq Scan" and node["Relation Name"] in BIG:
            yield node["Relation Name"]


def nodes_of(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A plan's nodes, from the top."""
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes_of(below)

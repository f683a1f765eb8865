"""Whoever takes in what a provider tells locks all invoices at once: no two can be stuck."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress

import asyncpg

from recoup import clock
from recoup.flows.mend_from_list import Mending, Taken
from recoup.providers.protocol import ListedCharge, Paid
from recoup.rules.records.collection import idempotency_key
from recoup.rules.records.keys import RowKey
from recoup.store import db, payment_receipts
from recoup.store.db import Pool
from recoup.store.reconciliations import Reconciliation
from tests.conftest import eventually, waiting_for_locks
from tests.databases import as_owner
from tests.flows.test_retry_race import patient
from tests.shop import SandboxServer, Shop


def told(shop: Shop, key: str, invoice: RowKey) -> ListedCharge:
    """A charge that the provider lists as paid, of this key and for this invoice."""
    return ListedCharge(
        key, f"ch_{key}", Paid(f"ch_{key}", "succeeded", 1_000, "EUR"), 1_000, "EUR",
        metadata={
            "lago_invoice_id": str(invoice.id), "lago_organization_id": str(shop.organization_id),
        },
    )  # fmt: skip


async def take(pool: Pool, shop: Shop, *charges: ListedCharge) -> Taken:
    now = shop.clock.now()
    one = Reconciliation(
        organization_id=shop.organization_id, id=clock.new_id(),
        provider_account_id=shop.account_id, state="listing", since=now, before=now,
        next_page=None, listed=0, foreign_charges=0, began_at=now, ended_at=None,
    )  # fmt: skip
    async with db.transaction(pool, tenants=[shop.organization_id]) as conn:
        return await Mending(conn, one, now=now).take(charges)


async def test_two_whose_charges_are_for_the_same_invoices_do_not_wait_for_each_other(
    shop: Shop, psp: SandboxServer, dsn: str
) -> None:
    """Each knows the attempt of one invoice, and has lost one of the other's."""
    invoices = [await shop.sell("pm_sandbox_timeout_charged") for _ in range(2)]
    attempts = [await shop.collect(invoice) for invoice in invoices]
    known = [
        told(shop, idempotency_key(attempt.id), invoice)
        for attempt, invoice in zip(attempts, invoices, strict=True)
    ]
    lost = [told(shop, idempotency_key(clock.new_id()), invoice) for invoice in invoices]
    async with AsyncExitStack() as stack:
        pools = [await stack.enter_async_context(patient(dsn)) for _ in known]
        held = await asyncpg.connect(as_owner(dsn))
        stack.push_async_callback(held.close)
        async with held.transaction():
            await held.execute("SELECT FROM invoices WHERE id = $1 FOR UPDATE", invoices[0].id)

            async def wait(how_many: int) -> None:
                async def do() -> bool:
                    return await waiting_for_locks(shop.owner) == how_many

                await eventually(do, what=f"{how_many} wait for the held invoice")

            first = asyncio.create_task(take(pools[0], shop, known[0], lost[1]))
            await wait(1)
            second = asyncio.create_task(take(pools[1], shop, known[1], lost[0]))
            await wait(2)
        # Let go in this order, the first one would go on to what the second has in hand.
        taken = await asyncio.gather(first, second)
    assert [one.ours for one in taken] == [(attempts[0],), (attempts[1],)]
    for attempt in attempts:
        assert await shop.state(attempt) == "succeeded"


async def test_two_that_number_receipts_of_the_same_customers_do_not_wait_for_each_other(
    shop: Shop, psp: SandboxServer, dsn: str
) -> None:
    """Each knows an attempt of one customer, and has lost one of the other's."""
    customers = sorted([await shop.customer("pm_sandbox_timeout_charged") for _ in range(2)])
    for customer in customers:  # each has a receipt, so each has a counter
        paid = await shop.invoice(customer)
        [charge] = [told(shop, idempotency_key(clock.new_id()), paid)]
        await take(shop.pool, shop, charge)
    known, lost = [], []
    for customer in customers:
        invoice = await shop.invoice(customer)
        known.append(told(shop, idempotency_key((await shop.collect(invoice)).id), invoice))
        lost.append(told(shop, idempotency_key(clock.new_id()), await shop.invoice(customer)))
    async with AsyncExitStack() as stack:
        pools = [await stack.enter_async_context(patient(dsn)) for _ in known]
        held = await asyncpg.connect(as_owner(dsn))
        stack.push_async_callback(held.close)
        async with held.transaction():
            await held.execute(
                "SELECT FROM payment_receipt_counters WHERE customer_id = $1 FOR UPDATE",
                customers[1],
            )

            async def wait(how_many: int) -> None:
                async def do() -> bool:
                    return await waiting_for_locks(shop.owner) == how_many

                await eventually(do, what=f"{how_many} wait for a counter")

            first = asyncio.create_task(take(pools[0], shop, known[1], lost[0]))
            await wait(1)
            second = asyncio.create_task(take(pools[1], shop, known[0], lost[1]))
            await wait(2)
        await asyncio.gather(first, second)
    receipts = await shop.owner.fetch(
        "SELECT customer_id, count(*) FROM payment_receipts GROUP BY 1 ORDER BY 1"
    )
    assert [tuple(row) for row in receipts] == [(customer, 3) for customer in customers]


async def test_first_receipts_are_numbered_beside_a_batch_that_numbers_theirs(
    shop: Shop, psp: SandboxServer, dsn: str
) -> None:
    """The list has them in one order, and a batch draws in another: no counter is there yet."""
    customers = sorted([await shop.customer("pm_sandbox_timeout_charged") for _ in range(2)])
    told_of = []
    for customer in reversed(customers):
        invoice = await shop.invoice(customer)
        told_of.append(told(shop, idempotency_key((await shop.collect(invoice)).id), invoice))
    first, last = (RowKey(shop.organization_id, customer) for customer in customers)
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(patient(dsn))
        batch = await stack.enter_async_context(patient(dsn))
        with suppress(UndoneError):
            async with db.transaction(batch, tenants=[shop.organization_id]) as conn:
                await payment_receipts.draw(conn, [first])
                taking = asyncio.create_task(take(pool, shop, *told_of))

                async def waits() -> bool:
                    return await waiting_for_locks(shop.owner) == 1

                await eventually(waits, what="the page waits for the first one's counter")
                await payment_receipts.draw(conn, [last])
                raise UndoneError
        await taking
    numbered = await shop.owner.fetch("SELECT last FROM payment_receipt_counters")
    assert [row["last"] for row in numbered] == [1, 1]


class UndoneError(Exception):
    """A transaction is not to stay."""


async def test_what_is_sent_while_the_page_waits_for_its_invoice_stays_as_it_was_sent(
    shop: Shop, psp: SandboxServer, dsn: str
) -> None:
    invoice = await shop.sell("pm_sandbox_ok")
    attempt = await shop.begun(invoice)
    listed = told(shop, idempotency_key(attempt.id), invoice)
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(patient(dsn))
        held = await asyncpg.connect(as_owner(dsn))
        stack.push_async_callback(held.close)
        async with held.transaction():
            await held.execute("SELECT FROM invoices WHERE id = $1 FOR UPDATE", invoice.id)
            taking = asyncio.create_task(take(pool, shop, listed))

            async def waits() -> bool:
                return await waiting_for_locks(shop.owner) == 1

            await eventually(waits, what="the page to wait for the held invoice")
            await held.execute(
                "UPDATE payments SET state = 'sent', request = 'as it was', sent_at = $2,"
                " provider_account_id = $3 WHERE id = $1",
                attempt.id, shop.clock.now(), shop.account_id,
            )  # fmt: skip
        await taking
    row = await shop.row("payments", attempt)
    assert (row["state"], row["request"]) == ("succeeded", "as it was")

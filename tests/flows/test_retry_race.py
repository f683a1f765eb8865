"""Two processes ask for one invoice at the same moment: one attempt, one refusal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import asyncpg
import pytest

from recoup import clock
from recoup.flows.retry_payment import Accepted, Ask, retry_payments
from recoup.rules.records.collection import AskedBy
from recoup.rules.refusal import Refusal
from recoup.store import db
from recoup.store.db import Pool
from tests.conftest import eventually, waiting_for_locks
from tests.shop import Shop


async def test_of_two_processes_that_ask_at_once_one_begins(shop: Shop, dsn: str) -> None:
    invoice = await shop.sell("pm_sandbox_ok")
    asks = [Ask(invoice, clock.new_id(), AskedBy.API) for _ in range(2)]
    async with AsyncExitStack() as stack:
        pools = [await stack.enter_async_context(patient(dsn)) for _ in asks]
        async with shop.owner.transaction():  # until both wait for the same row, neither gets it
            await shop.owner.execute("SELECT FROM invoices WHERE id = $1 FOR UPDATE", invoice.id)
            asking = asyncio.gather(
                *(
                    retry_payments(pool, [ask], now=shop.clock.now())
                    for pool, ask in zip(pools, asks, strict=True)
                )
            )
            stack.callback(asking.cancel)
            await eventually(lambda: both_wait(shop.owner), what="both wait for the invoice")
        answers = [answer for [answer] in await asking]
    [accepted] = [answer for answer in answers if isinstance(answer, Accepted)]
    [refusal] = [answer for answer in answers if isinstance(answer, Refusal)]
    assert refusal.code == "payment_processor_is_currently_handling_payment"
    [attempt] = await shop.owner.fetch("SELECT id FROM payments")
    assert attempt["id"] == accepted.attempt_id
    for table, count in [("payment_invoices", 1), ("decisions", 1), ("pgqueuer", 1)]:
        assert await shop.owner.fetchval(f"SELECT count(*) FROM {table}") == count


@asynccontextmanager
async def patient(dsn: str) -> AsyncIterator[Pool]:
    """A process with one connection, which waits longer for a row than a test waits for it."""
    pool = await db.connect(dsn, most=1)
    try:
        await pool.execute("SET lock_timeout = '60s'")
        yield pool
    finally:
        await pool.close()


async def both_wait(owner: asyncpg.Connection) -> bool:
    return await waiting_for_locks(owner) == 2


async def test_the_database_refuses_a_second_open_attempt_though_nobody_locked(shop: Shop) -> None:
    invoice = await shop.sell("pm_sandbox_ok")
    await shop.begun(invoice)
    other = await shop.begun(await shop.sell("pm_sandbox_ok"))
    with pytest.raises(asyncpg.UniqueViolationError) as refused:
        await shop.owner.execute(
            "UPDATE payment_invoices SET invoice_id = $1 WHERE payment_id = $2",
            invoice.id,
            other.id,
        )
    assert refused.value.constraint_name == "one_open_payment"

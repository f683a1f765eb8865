"""Work is promised in the transaction that makes it necessary: both are there, or neither is.

The queue is closed to the application (its right to write there is taken away), and whatever needs
it must leave nothing behind.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import asyncpg
import pytest

from recoup import clock
from recoup.flows.reports import Report, Source
from recoup.flows.retry_payment import Accepted, Ask, retry_payments
from recoup.flows.sweep import JOB_MAY_BE_GONE_AFTER
from recoup.flows.tell import News, tell
from recoup.providers.protocol import Paid
from recoup.rules.records.collection import AskedBy
from recoup.store import db, waiting_attempts
from tests.flows.test_provider_events import paid, receive
from tests.shop import Shop, sent

LEFT_BEHIND = ("payments", "payment_invoices", "decisions", "events", "webhook_deliveries")


@asynccontextmanager
async def queue_closed(shop: Shop) -> AsyncIterator[None]:
    await shop.owner.execute("REVOKE INSERT ON pgqueuer FROM recoup_app")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        yield
    await shop.owner.execute("GRANT INSERT ON pgqueuer TO recoup_app")


async def listen(shop: Shop) -> None:
    await shop.owner.execute(
        "INSERT INTO webhook_endpoints (organization_id, id, webhook_url, created_at)"
        " VALUES ($1, $2, 'https://shop.test', now())",
        shop.organization_id,
        clock.new_id(),
    )


async def counts(shop: Shop, *tables: str) -> dict[str, int]:
    return {table: await shop.owner.fetchval(f"SELECT count(*) FROM {table}") for table in tables}


async def test_no_attempt_begins_that_nobody_was_told_to_send(shop: Shop) -> None:
    invoice = await shop.sell("pm_sandbox_ok")
    async with queue_closed(shop):
        await shop.ask(invoice)
    assert set((await counts(shop, *LEFT_BEHIND)).values()) == {0}
    assert isinstance(await shop.ask(invoice), Accepted)
    assert await counts(shop, "payments", "pgqueuer") == {"payments": 1, "pgqueuer": 1}


async def test_nothing_is_told_that_nobody_was_told_to_deliver(shop: Shop) -> None:
    await listen(shop)
    invoice, attempt = await sent(shop)
    outcome = Paid("ch_1", "succeeded", 1_000, "EUR")
    async with queue_closed(shop):
        await shop.settling.ask(Report(attempt, outcome, Source.ANSWER))
    assert await shop.state(attempt) == "sent"
    assert await shop.shown(invoice) == ("pending", 1_000)
    assert await counts(shop, "events", "webhook_deliveries", "ledger_entries") == {
        "events": 0, "webhook_deliveries": 0, "ledger_entries": 0,
    }  # fmt: skip


async def test_no_event_is_taken_in_that_nobody_was_told_to_apply(shop: Shop) -> None:
    _, attempt = await sent(shop)
    async with queue_closed(shop):
        await receive(shop, paid(attempt))
    assert await counts(shop, "provider_events") == {"provider_events": 0}
    assert await receive(shop, paid(attempt)) == 1  # so the provider's next try is taken in


async def test_an_ask_repeated_with_its_ids_is_the_same_ask(shop: Shop) -> None:
    """Whoever lost the answer to a COMMIT asks again with the same ids."""
    await listen(shop)
    begins = await shop.sell("pm_sandbox_ok")
    ends_at_once = await shop.invoice(await shop.customer())
    asks = [Ask(invoice, clock.new_id(), AskedBy.API) for invoice in (begins, ends_at_once)]
    first = await retry_payments(shop.pool, asks, now=shop.clock.now())
    before = await counts(shop, *LEFT_BEHIND, "pgqueuer")
    assert await retry_payments(shop.pool, asks, now=shop.clock.now()) == first
    assert await counts(shop, *LEFT_BEHIND, "pgqueuer") == before
    assert (before["payments"], before["decisions"], before["events"]) == (1, 2, 1)


async def test_the_same_news_of_the_same_cause_is_told_once(shop: Shop) -> None:
    await listen(shop)
    news = News(
        organization_id=shop.organization_id, webhook_type="invoice.voided", object_type="invoice",
        payload={}, object_id=clock.new_id(), cause=clock.new_id(),
    )  # fmt: skip
    for _ in range(3):
        async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
            await tell(conn, [news, news], now=shop.clock.now())
    told = {"events": 1, "webhook_deliveries": 1, "pgqueuer": 1}
    assert await counts(shop, *told) == told


async def test_an_attempt_whose_job_is_gone_is_found(shop: Shop, scout: db.Pool) -> None:
    attempt = await shop.begun(await shop.sell("pm_sandbox_ok"))
    found = []
    for passed in (timedelta(), JOB_MAY_BE_GONE_AFTER):
        before = shop.clock.now() + passed - JOB_MAY_BE_GONE_AFTER
        async with db.nameless(scout) as conn:
            found.append(
                await waiting_attempts.ready_since(conn, before=before, most=10, now=before)
            )
    assert found == [[], [attempt]]

"""An account is called as often as its provider allows, and left alone while that is down."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import asyncpg
import pytest

from recoup import clock
from recoup.flows.retry_payment import Ask, retry_payments
from recoup.flows.submit_attempt import ToSend, begin_sending
from recoup.flows.sweep import sweep
from recoup.providers.protocol import RateLimit
from recoup.providers.sandbox import SandboxProvider
from recoup.rules.provider_pace import OPEN_FOR, OUTAGES_TO_OPEN, PROBE_FOR
from recoup.rules.records.collection import AskedBy
from recoup.rules.records.keys import RowKey
from recoup.store.db import Pool
from tests.shop import SandboxServer, Shop

LIMIT = RateLimit(calls_per_second=10, burst=20)


async def ready(shop: Shop, how_many: int) -> list[RowKey]:
    customer = await shop.customer("pm_sandbox_ok")
    asks = [Ask(await shop.invoice(customer), clock.new_id(), AskedBy.API) for _ in range(how_many)]
    await retry_payments(shop.pool, asks, now=shop.clock.now())
    return [RowKey(ask.invoice.organization_id, ask.attempt_id) for ask in asks]


async def begin(shop: Shop, keys: list[RowKey]) -> int:
    """How many of these may be sent now."""
    begun = await begin_sending(shop.pool, shop.providers, keys, now=shop.clock.now())
    return sum(isinstance(one, ToSend) for one in begun)


async def due(shop: Shop) -> list[RowKey]:
    rows = await shop.owner.fetch(
        "SELECT organization_id, id FROM payments WHERE state = 'ready' AND send_at <= $1",
        shop.clock.now(),
    )
    return [RowKey(*row) for row in rows]


async def states(shop: Shop) -> dict[str, int]:
    rows = await shop.owner.fetch("SELECT state, count(*) FROM payments GROUP BY state")
    return dict(map(tuple, rows))


async def open_until(shop: Shop) -> datetime | None:
    return await shop.owner.fetchval("SELECT open_until FROM provider_health")


@pytest.fixture
def limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sandbox publishes a limit: which one is data of the adapter."""
    monkeypatch.setattr(SandboxProvider, "limit", LIMIT)


async def test_never_more_than_the_burst_and_the_rate(shop: Shop, limited: None) -> None:
    keys = await ready(shop, 100)
    halves = await asyncio.gather(begin(shop, keys[:50]), begin(shop, keys[50:]))
    assert sum(halves) == LIMIT.burst  # whoever asks, and however many at once
    sent = sum(halves)
    for second in range(1, 9):
        shop.clock.advance(seconds=1)
        sent += await begin(shop, await due(shop))
        assert sent <= LIMIT.burst + second * LIMIT.calls_per_second
    assert sent == 100
    assert await states(shop) == {"sent": 100}


async def test_what_is_held_back_is_promised_again_by_the_sweep(
    shop: Shop, scout: Pool, limited: None
) -> None:
    keys = await ready(shop, LIMIT.burst + 5)
    await begin(shop, keys)
    await shop.owner.execute("DELETE FROM pgqueuer")
    shop.clock.advance(seconds=0.25)
    await sweep(shop.pool, scout, new_id=clock.new_id, now=shop.clock.now())
    assert (
        await shop.owner.fetchval(
            "SELECT count(*) FROM pgqueuer WHERE entrypoint = 'submit_attempt'"
        )
        == 2
    )  # two of ten a second


async def outage(shop: Shop, psp: SandboxServer) -> list[RowKey]:
    """So many attempts whose answers were lost that the account is left alone."""
    await psp.faults("error_before=1")
    keys = await ready(shop, OUTAGES_TO_OPEN)
    for key in keys:
        await shop.submit(key)
    assert await open_until(shop) is not None
    return keys


async def test_an_outage_parks_and_never_fails(shop: Shop, psp: SandboxServer) -> None:
    assert await open_until(shop) is None
    await outage(shop, psp)
    assert await open_until(shop) == shop.clock.now() + OPEN_FOR
    waiting = await ready(shop, 10)
    assert await begin(shop, waiting) == 0
    assert await states(shop) == {"unknown": OUTAGES_TO_OPEN, "ready": 10}
    assert "invoice.payment_failure" not in await shop.words()


async def test_one_probe_goes_through_whoever_asks(shop: Shop, psp: SandboxServer) -> None:
    await outage(shop, psp)
    shop.clock.advance(seconds=OPEN_FOR.total_seconds())
    waiting = await ready(shop, 10)
    halves = await asyncio.gather(begin(shop, waiting[:5]), begin(shop, waiting[5:]))
    assert sum(halves) == 1
    # Whoever probes was killed: another one may, in a while.
    shop.clock.advance(seconds=PROBE_FOR.total_seconds())
    assert await begin(shop, await due(shop)) == 1


async def test_an_answer_frees_all_that_was_held_back(shop: Shop, psp: SandboxServer) -> None:
    await outage(shop, psp)
    waiting = await ready(shop, 10)
    assert await begin(shop, waiting) == 0
    await psp.faults("")
    shop.clock.advance(seconds=OPEN_FOR.total_seconds())
    await shop.submit(waiting[0])
    assert await shop.state(waiting[0]) == "succeeded"
    assert await open_until(shop) is None
    assert await begin(shop, await due(shop)) == 9


async def test_a_probe_that_gets_no_answer_waits_longer(shop: Shop, psp: SandboxServer) -> None:
    await outage(shop, psp)
    shop.clock.advance(seconds=OPEN_FOR.total_seconds())
    [probe] = await ready(shop, 1)
    await shop.submit(probe)
    assert await open_until(shop) == shop.clock.now() + 2 * OPEN_FOR


async def test_a_look_up_that_is_answered_closes_it_as_well(shop: Shop, psp: SandboxServer) -> None:
    [key, *_] = await outage(shop, psp)
    await psp.faults("")
    shop.clock.advance(minutes=1)
    await shop.look_up(key)
    assert await open_until(shop) is None


async def test_a_no_is_an_answer(shop: Shop, psp: SandboxServer) -> None:
    await outage(shop, psp)
    await psp.faults("")
    shop.clock.advance(seconds=OPEN_FOR.total_seconds())
    await shop.collect(await shop.sell("pm_sandbox_stolen_card"))
    assert await open_until(shop) is None


async def test_who_is_called_too_often_is_slowed(
    shop: Shop, psp: SandboxServer, limited: None
) -> None:
    await psp.faults("rate_limited=1")
    [key] = await ready(shop, 1)
    await shop.submit(key)
    until = await shop.owner.fetchval("SELECT slow_until FROM provider_health")
    assert until >= shop.clock.now() + timedelta(minutes=1)
    assert await open_until(shop) is None
    await shop.owner.execute("UPDATE provider_health SET tokens = 0, refilled_at = $1",
                             shop.clock.now())  # fmt: skip
    keys = await ready(shop, 20)
    shop.clock.advance(seconds=1)
    assert await begin(shop, keys) == LIMIT.calls_per_second / 2


async def test_anothers_account_is_called_as_ever(
    shop: Shop, psp: SandboxServer, pool: Pool, owner: asyncpg.Connection
) -> None:
    await outage(shop, psp)
    other = await Shop(pool, owner, shop.providers, shop.clock).open()
    assert await begin(other, await ready(other, 3)) == 3

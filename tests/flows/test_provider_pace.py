"""An account is called as often as its provider allows, and left alone while that is down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta

import aiohttp
import asyncpg
import httpx
import pytest
from aiohttp import web

from recoup import clock
from recoup.api.app import make_app
from recoup.api.edge import Edge
from recoup.flows.begin_sending import ToSend, begin_sending
from recoup.flows.keep_methods import ProviderSilentError, check_method
from recoup.flows.open_payment_page import open_payment_page
from recoup.flows.open_provider import Providers
from recoup.flows.retry_payment import Ask, retry_payments
from recoup.flows.submit_refund import submit_refund
from recoup.flows.sweep import sweep
from recoup.flows.take_calls import KEPT_FOR_THE_AWAITED, UNTOLD_LIMIT
from recoup.flows.wake_account import MOST_AT_ONCE
from recoup.providers.protocol import RateLimit
from recoup.providers.sandbox import SandboxProvider
from recoup.rules.provider_pace import OPEN_FOR, OUTAGES_TO_OPEN, PAUSE, PROBE_FOR
from recoup.rules.records.collection import AskedBy
from recoup.rules.records.keys import RowKey
from recoup.rules.refusal import Refused
from recoup.store.db import Pool
from tests.conftest import eventually
from tests.databases import as_owner
from tests.flows.test_retry_race import both_wait, patient
from tests.flows.test_submit_refund import surprise
from tests.shop import BOX, SandboxServer, Shop

LIMIT = RateLimit(calls_per_second=10, burst=20)


async def ready(shop: Shop, how_many: int, method: str = "pm_sandbox_ok") -> list[RowKey]:
    customer = await shop.customer(method)
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
    # Whoever asks, and however many at once; and never what is kept for who is awaited.
    assert sum(halves) == LIMIT.burst - LIMIT.burst // KEPT_FOR_THE_AWAITED
    sent = sum(halves)
    for second in range(1, 10):
        shop.clock.advance(seconds=1)
        sent += await begin(shop, await due(shop))
        assert sent <= LIMIT.burst + second * LIMIT.calls_per_second
    assert sent == 100
    assert await states(shop) == {"sent": 100}


async def test_two_who_call_at_the_same_moment_share_what_may_be_called(
    shop: Shop, dsn: str, limited: None
) -> None:
    keys = await ready(shop, LIMIT.burst + 1)
    sent = await begin(shop, keys[:1])  # from now on the account has a row to meet at
    async with AsyncExitStack() as stack:
        pools = [await stack.enter_async_context(patient(dsn)) for _ in range(2)]
        async with shop.owner.transaction():  # until both wait for that row, neither gets it
            await shop.owner.execute("SELECT FROM provider_health FOR NO KEY UPDATE")
            sending = asyncio.gather(
                *(
                    begin_sending(pool, shop.providers, half, now=shop.clock.now())
                    for pool, half in zip(pools, (keys[1:11], keys[11:]), strict=True)
                )
            )
            stack.callback(sending.cancel)
            await eventually(lambda: both_wait(shop.owner), what="both wait for the account")
        begun = [one for half in await sending for one in half]
    sent += sum(isinstance(one, ToSend) for one in begun)
    assert sent == LIMIT.burst - LIMIT.burst // KEPT_FOR_THE_AWAITED


async def test_what_is_held_back_is_promised_again_by_the_sweep(
    shop: Shop, scout: Pool, limited: None
) -> None:
    keys = await ready(shop, LIMIT.burst + 5)
    assert await begin(shop, keys) == LIMIT.burst - LIMIT.burst // KEPT_FOR_THE_AWAITED
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


async def test_health_and_metrics_say_that_a_provider_is_down_for_as_long_as_it_is(
    shop: Shop, psp: SandboxServer, scout: Pool
) -> None:
    down = "1 accounts at sandbox are left alone: it does not answer."
    figure = 'recoup_provider_accounts_down{provider="sandbox"}'
    edge = Edge(shop.pool, scout=scout, providers=shop.providers,
                now=shop.clock.now, new_id=clock.new_id)  # fmt: skip
    transport = httpx.ASGITransport(make_app(edge, servers=[]))
    async with httpx.AsyncClient(transport=transport, base_url="http://recoup.test") as visitor:

        async def said() -> tuple[int, str | None, str, str]:
            health = await visitor.get("/health")
            told = (await visitor.get("/metrics")).text.splitlines()
            [waiting] = [line for line in told if line.startswith("recoup_attempts_held_back ")]
            [count] = [line for line in told if line.startswith(figure)]
            return health.status_code, health.json().get("details"), count, waiting

        assert await said() == (200, None, f"{figure} 0.0", "recoup_attempts_held_back 0.0")
        [lost, *_] = await outage(shop, psp)
        assert await begin(shop, await ready(shop, 3)) == 0
        assert await said() == (200, down, f"{figure} 1.0", "recoup_attempts_held_back 3.0")
        shop.clock.advance(minutes=1)  # its time is over, and nobody has seen it answer
        assert (await said())[1:3] == (down, f"{figure} 1.0")
        await psp.faults("")
        await shop.look_up(lost)
        assert (await said())[:3] == (200, None, f"{figure} 0.0")


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


PARK_MANY = """
    INSERT INTO payments
    SELECT (jsonb_populate_record(p, jsonb_build_object('id', gen_random_uuid()))).*
      FROM payments p, generate_series(1, $2) WHERE p.id = $1
"""


async def test_however_many_were_held_back_all_are_due(shop: Shop, psp: SandboxServer) -> None:
    [lost, *_] = await outage(shop, psp)
    waiting = await ready(shop, 2)
    assert await begin(shop, waiting) == 0
    more = 2 * MOST_AT_ONCE + 10
    await shop.owner.execute(PARK_MANY, waiting[1].id, more)
    assert await due(shop) == []
    await psp.faults("")
    shop.clock.advance(seconds=OPEN_FOR.total_seconds() - 1)
    await shop.look_up(lost)  # a question may go before the time
    assert await open_until(shop) is None
    assert len(await due(shop)) == 2 + more


async def test_what_somebody_holds_keeps_nobody_waiting(
    shop: Shop, psp: SandboxServer, dsn: str
) -> None:
    """Were attempts waited for with the account's row in hand, that would be a deadlock."""
    [lost, *_] = await outage(shop, psp)
    waiting = await ready(shop, 3)
    assert await begin(shop, waiting) == 0
    await psp.faults("")
    shop.clock.advance(seconds=1)
    held = await asyncpg.connect(as_owner(dsn))
    try:
        async with held.transaction():
            await held.execute("SELECT FROM payments WHERE id = $1 FOR UPDATE", waiting[0].id)
            await shop.look_up(lost)
            assert await open_until(shop) is None
            assert sorted(await due(shop)) == sorted(waiting[1:])
    finally:
        await held.close()
    shop.clock.advance(seconds=OPEN_FOR.total_seconds())  # the one has a time of its own
    assert sorted(await due(shop)) == sorted(waiting)


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
    kept = LIMIT.burst // KEPT_FOR_THE_AWAITED
    await shop.owner.execute("UPDATE provider_health SET tokens = $2, refilled_at = $1",
                             shop.clock.now(), kept)  # fmt: skip
    keys = await ready(shop, 20)
    assert await begin(shop, keys) == 0  # as it asked, it is left alone for a second
    shop.clock.advance(seconds=1)
    assert await begin(shop, keys) == LIMIT.calls_per_second / 2


async def test_anothers_account_is_called_as_ever(
    shop: Shop, psp: SandboxServer, pool: Pool, owner: asyncpg.Connection
) -> None:
    await outage(shop, psp)
    other = await Shop(pool, owner, shop.providers, shop.clock).open()
    assert await begin(other, await ready(other, 3)) == 3


def answers(status: int, how_many: list[int]) -> web.Application:
    """A provider that answers every call so, and counts them."""

    async def answer(request: web.Request) -> web.Response:
        how_many.append(status)
        return web.json_response({"error": {"type": "t", "code": "c"}}, status=status)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    return app


@asynccontextmanager
async def another_provider(shop: Shop, status: int) -> AsyncIterator[list[int]]:
    """The shop's provider is one that answers every call so."""
    calls: list[int] = []
    runner = web.AppRunner(answers(status, calls))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    before = shop.providers
    try:
        async with aiohttp.ClientSession() as http:
            base = f"http://127.0.0.1:{runner.addresses[0][1]}"
            shop.through(Providers(http, BOX, sandbox_base=base))
            yield calls
    finally:
        shop.through(before)
        await runner.cleanup()


async def test_a_429_without_a_time_leaves_the_account_alone_for_a_moment(shop: Shop) -> None:
    async with another_provider(shop, 429):
        [key] = await ready(shop, 1)
        await shop.submit(key)
    health = await shop.owner.fetchrow("SELECT * FROM provider_health")
    assert shop.clock.now() < health["paused_until"] <= shop.clock.now() + PAUSE
    assert (health["outages_in_a_row"], health["open_until"]) == (0, None)
    waiting = await ready(shop, 20)
    assert await begin(shop, waiting) == 0
    assert await states(shop) == {"unknown": 1, "ready": 20}
    shop.clock.at = health["paused_until"]
    # It publishes no limit, and has one for as long as it is slowed.
    assert 0 < await begin(shop, await due(shop)) <= UNTOLD_LIMIT.burst


async def test_a_429_ends_an_outage(shop: Shop, psp: SandboxServer) -> None:
    await outage(shop, psp)
    shop.clock.advance(seconds=OPEN_FOR.total_seconds())
    async with another_provider(shop, 429):
        [key] = await ready(shop, 1)
        await shop.submit(key)
    assert await open_until(shop) is None


async def test_while_it_is_down_few_are_asked_about_and_none_counts_as_silent(
    shop: Shop, psp: SandboxServer
) -> None:
    keys = await outage(shop, psp)
    began = shop.clock.now()
    async with another_provider(shop, 500) as calls:
        while shop.clock.now() < began + timedelta(minutes=5):
            for key in keys:
                if (await shop.row("payments", key))["look_up_at"] <= shop.clock.now():
                    await shop.look_up(key)
            shop.clock.advance(seconds=5)
    assert 5 <= len(calls) <= 2 * timedelta(minutes=5) / PROBE_FOR
    rows = [await shop.row("payments", key) for key in keys]
    assert sum(row["look_ups_unanswered"] for row in rows) == len(calls)
    latest = max(row["look_up_at"] for row in rows)
    assert latest <= shop.clock.now() + timedelta(minutes=1)  # each has a time
    await psp.faults("")
    shop.clock.at = latest
    for key in keys:
        await shop.look_up(key)
    assert await states(shop) == {"succeeded": len(keys)}


async def test_a_re_send_goes_on_with_its_look_up_and_takes_a_call_for_it(
    shop: Shop, psp: SandboxServer, limited: None
) -> None:
    """Were it put off, its look-up would be made anew, take the next call, and so on for ever."""
    await psp.faults("drop_before=1")
    [key] = await ready(shop, 1)
    await shop.submit(key)
    await psp.faults("")
    shop.clock.advance(minutes=1)
    kept = LIMIT.burst // KEPT_FOR_THE_AWAITED
    await shop.owner.execute("UPDATE provider_health SET tokens = $1, refilled_at = $2",
                             kept + 1, shop.clock.now())  # fmt: skip
    await shop.look_up(key)  # the last call that is not kept back, and one of those that are
    assert await states(shop) == {"succeeded": 1}
    assert await shop.owner.fetchval("SELECT tokens FROM provider_health") == kept - 1


async def test_a_refund_waits_like_a_charge_and_goes_when_the_account_answers(
    shop: Shop, psp: SandboxServer, scout: Pool
) -> None:
    refund = await surprise(shop)
    await outage(shop, psp)
    await submit_refund(shop.pool, shop.providers, refund, now=shop.clock.now)
    row = await shop.row("refunds", refund)
    assert (row["state"], row["send_at"]) == ("ready", shop.clock.now() + OPEN_FOR)
    await psp.faults("")
    shop.clock.advance(seconds=OPEN_FOR.total_seconds())
    await shop.owner.execute("DELETE FROM pgqueuer")
    await sweep(shop.pool, scout, new_id=clock.new_id, now=shop.clock.now())
    promised = "SELECT count(*) FROM pgqueuer WHERE entrypoint = 'submit_refund'"
    assert await shop.owner.fetchval(promised) == 1
    await submit_refund(shop.pool, shop.providers, refund, now=shop.clock.now)
    assert (await shop.row("refunds", refund))["state"] == "succeeded"
    assert await open_until(shop) is None


async def test_nobody_is_kept_waiting_at_a_page_and_no_page_is_left_behind(
    shop: Shop, psp: SandboxServer
) -> None:
    await outage(shop, psp)
    invoice = await shop.sell("pm_sandbox_ok")
    with pytest.raises(Refused) as refused:
        await open_payment_page(shop.pool, shop.providers, shop.organization_id, invoice.id,
                                new_id=clock.new_id, now=shop.clock.now)  # fmt: skip
    assert refused.value.refusal.details == {"base": ["payment_provider_error"]}
    assert await states(shop) == {"unknown": OUTAGES_TO_OPEN, "withdrawn": 1}
    assert await shop.shown(invoice) == ("pending", 1_000)


async def test_a_method_is_checked_again_when_its_account_may_be_asked(
    shop: Shop, psp: SandboxServer
) -> None:
    await outage(shop, psp)
    method = RowKey(*await shop.owner.fetchrow("SELECT organization_id, id FROM payment_methods"))
    for why in ("http_500", "left_alone"):  # it was the probe, and the next one waits for another
        with pytest.raises(ProviderSilentError, match=why):
            await check_method(shop.pool, shop.providers, method, now=shop.clock.now())
    await psp.faults("")
    shop.clock.advance(seconds=PROBE_FOR.total_seconds())
    await check_method(shop.pool, shop.providers, method, now=shop.clock.now())
    assert await open_until(shop) is None


async def test_what_is_awaited_has_calls_of_its_own(shop: Shop, limited: None) -> None:
    keys = await ready(shop, 2 * LIMIT.burst)
    await begin(shop, keys)
    invoice = await shop.sell("pm_sandbox_ok")
    page = await open_payment_page(shop.pool, shop.providers, shop.organization_id, invoice.id,
                                   new_id=clock.new_id, now=shop.clock.now)  # fmt: skip
    assert page.url

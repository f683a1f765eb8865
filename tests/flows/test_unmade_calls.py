"""A look-up that asks nobody uses up nothing: neither a call of the limit's nor the one probe."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import asyncpg

from recoup import clock
from recoup.flows.call_account import AccountLine, LeftAlone
from recoup.flows.note_outcome import is_news
from recoup.flows.open_provider import Providers
from recoup.providers.protocol import CannotList, Declined, NotKnown, Refund, RefundOrder
from recoup.rules.provider_key import TRY_EVERY
from recoup.rules.provider_pace import OPEN_FOR, OUTAGES_TO_OPEN, PROBE_FOR
from recoup.rules.records.keys import RowKey
from recoup.store import db, provider_accounts
from recoup.store.db import Pool
from tests.flows.debits import Debits
from tests.flows.test_provider_pace import begin, due, open_until, ready, states
from tests.providers.adyen_stub import AdyenStub, adyen_stub
from tests.shop import BOX, MovableClock, Shop


@asynccontextmanager
async def at_adyen(pool: Pool, owner: asyncpg.Connection) -> AsyncIterator[tuple[Shop, AdyenStub]]:
    """A shop whose account is at Adyen, which cannot be asked what became of a payment."""
    async with adyen_stub() as stub, aiohttp.ClientSession() as http:
        providers = Providers(http, BOX, sandbox_base="http://127.0.0.1:9", adyen_base=stub.base)
        shop = await Shop(pool, owner, providers, MovableClock()).open()
        await shop.moves_to("adyen", {"api_key": "k", "merchant_account": "m"})
        yield shop, stub


async def outage(shop: Shop, stub: AdyenStub) -> list[RowKey]:
    """So many attempts whose answers were lost that the account is left alone."""
    stub.fault = "unavailable"
    keys = await at_adyen_ready(shop, OUTAGES_TO_OPEN)
    for key in keys:
        await shop.submit(key)
    assert await open_until(shop) is not None
    return keys


async def at_adyen_ready(shop: Shop, how_many: int) -> list[RowKey]:
    keys = await ready(shop, how_many, "paid")
    await shop.owner.execute("UPDATE customers SET payment_provider = 'adyen'")
    return keys


async def line_of(shop: Shop) -> AccountLine:
    key = RowKey(shop.organization_id, shop.account_id)
    async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
        account = (await provider_accounts.by_ids(conn, [key]))[key]
    return AccountLine(shop.pool, shop.providers, account, now=shop.clock.now)


async def health(shop: Shop) -> asyncpg.Record:
    row = await shop.owner.fetchrow("SELECT * FROM provider_health")
    assert row is not None
    return row


async def test_the_probe_is_still_there_for_whoever_calls(
    pool: Pool, owner: asyncpg.Connection
) -> None:
    async with at_adyen(pool, owner) as (shop, stub):
        [lost, *_] = await outage(shop, stub)
        shop.clock.advance(days=1)  # too late to send it again, so its look-up asks nobody
        await shop.look_up(lost)
        assert await shop.state(lost) == "needs_review"
        assert (await health(shop))["probing_until"] is None
        assert await open_until(shop) is not None  # it is no answer either
        stub.fault = ""
        [waiting] = await at_adyen_ready(shop, 1)
        await shop.submit(waiting)
        assert await shop.state(waiting) == "succeeded"
        assert await open_until(shop) is None


async def test_who_met_the_probe_meanwhile_need_not_wait_its_length(
    pool: Pool, owner: asyncpg.Connection
) -> None:
    async with at_adyen(pool, owner) as (shop, stub):
        await outage(shop, stub)
        waiting = await at_adyen_ready(shop, 3)
        shop.clock.advance(seconds=OPEN_FOR.total_seconds())
        line = await line_of(shop)

        async def ask_nobody(_provider: object) -> CannotList:
            assert await begin(shop, waiting) == 0
            return CannotList()

        assert isinstance(await line.ask(ask_nobody), CannotList)
        [one] = await due(shop)
        assert await begin(shop, [one]) == 1
        assert await begin(shop, [key for key in waiting if key != one]) == 0


async def test_the_re_send_after_it_is_the_question_that_may_be_asked(
    pool: Pool, owner: asyncpg.Connection
) -> None:
    """While the account is left alone one goes out all the same, and then none for a while."""
    async with at_adyen(pool, owner) as (shop, stub):
        first, second, *_ = await outage(shop, stub)
        shop.clock.advance(seconds=1)
        assert shop.clock.now() < await open_until(shop)
        await shop.look_up(first)
        assert (await health(shop))["probing_until"] == shop.clock.now() + PROBE_FOR
        await shop.look_up(second)
        row = await shop.row("payments", second)
        assert row["look_up_at"] == shop.clock.now() + PROBE_FOR
        stub.fault = ""
        shop.clock.advance(seconds=PROBE_FOR.total_seconds())
        await shop.look_up(second)
        assert await shop.state(second) == "succeeded"
        assert len(stub.payments) == 1
        assert await open_until(shop) is None


async def test_a_refused_key_is_tried_by_whoever_calls(
    pool: Pool, owner: asyncpg.Connection
) -> None:
    async with at_adyen(pool, owner) as (shop, _stub):
        [key] = await at_adyen_ready(shop, 1)
        since = shop.clock.now()
        await shop.owner.execute(
            "INSERT INTO provider_health (organization_id, provider_account_id, key_refused_at,"
            " key_tried_at) VALUES ($1, $2, $3, $3)",
            shop.organization_id, shop.account_id, since,
        )  # fmt: skip
        line = await line_of(shop)
        told = await line.ask(lambda provider: provider.find_method("m", None))
        assert told == NotKnown(was_asked=False)
        assert (await health(shop))["key_refused_at"] == since
        assert await begin(shop, [key]) == 1
        assert (await health(shop))["key_tried_at"] == since + TRY_EVERY
        left = await line.ask(lambda provider: provider.find_method("m", "c"))
        assert isinstance(left, LeftAlone)


async def test_what_no_provider_can_know_takes_no_call(debits: Debits) -> None:
    shop = debits.shop
    await ready(shop, 1)
    line = await line_of(shop)
    await line.ask(lambda provider: provider.find_method("MD1", None))
    before = (await health(shop))["tokens"]
    for _ in range(3):
        told = await line.ask(lambda provider: provider.find_method("../customers", None))
        assert told == NotKnown(was_asked=False)
    assert (await health(shop))["tokens"] == before
    asked = len(debits.stub.requests)
    await line.ask(lambda provider: provider.find_method("MD1", None))
    assert (await health(shop))["tokens"] == before - 1
    assert len(debits.stub.requests) == asked + 1


async def test_a_shopper_whom_adyen_cannot_have_takes_no_probe(
    pool: Pool, owner: asyncpg.Connection
) -> None:
    async with at_adyen(pool, owner) as (shop, stub):
        await outage(shop, stub)
        line = await line_of(shop)
        told = await line.ask(lambda provider: provider.list_methods(".."))
        assert told == NotKnown(was_asked=False)
        assert (await health(shop))["probing_until"] is None
        assert await open_until(shop) is not None
        assert await states(shop) == {"unknown": OUTAGES_TO_OPEN}


async def test_a_refund_of_a_payment_that_nobody_can_have_is_no_answer_of_adyens(
    pool: Pool, owner: asyncpg.Connection
) -> None:
    async with at_adyen(pool, owner) as (shop, stub):
        await outage(shop, stub)
        shop.clock.advance(seconds=OPEN_FOR.total_seconds())
        line = await line_of(shop)
        order = RefundOrder(
            refund_id=clock.new_id(), provider_payment_id="..", amount_cents=1, currency="EUR",
            charged_cents=1, reference="r", metadata={},
        )  # fmt: skip
        refund = Refund("refund-1", line.provider.render_refund(order))
        told = await line.order(lambda provider: provider.refund(refund))
        assert told == Declined("no_such_id", was_asked=False)
        assert await open_until(shop) is not None
        assert (await health(shop))["probing_until"] is None
        assert not is_news(told), "nor where it is the first call, which has no line"

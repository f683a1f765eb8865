"""No webhook ever comes: look-ups alone find out, within five minutes of the provider answering.

Adyen cannot be asked: there the look-up is the same request under the same key. A direct debit is
not paid for days; within minutes it is known that it was taken, which is what a lost answer left
open. That no webhook comes while the service is killed as well, is
`tests/processes/test_stripe_kills.py`'s.

The five minutes are those of attempts without an answer. One that the provider has called
`processing` is asked about by the steps of `rules/look_up_schedule.py`, which grow to a day.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import TypeAlias

import aiohttp
import asyncpg
import pytest
import pytest_asyncio
from aiohttp import web

from recoup import clock
from recoup.flows.open_provider import Providers
from recoup.flows.sweep import sweep
from recoup.rules.records.keys import RowKey
from recoup.store.db import Pool
from tests.flows.debits import Debits
from tests.flows.page_worlds import at_stripe
from tests.own_shop import NOWHERE
from tests.providers.adyen_stub import AdyenStub, adyen_stub
from tests.providers.stripe_world import Handler, localstripe
from tests.shop import BOX, MovableClock, SandboxServer, Shop

ATTEMPTS = 12
OUTAGE_SECONDS = 20 * 60
WITHIN_SECONDS = 5 * 60
TICK_SECONDS = 5
SetFault: TypeAlias = Callable[[str], Awaitable[None]]
Sell: TypeAlias = Callable[[], Awaitable[RowKey]]


async def tick(shop: Shop, scout: Pool, seconds: int) -> None:
    """Let time pass; keep what the sweep promises."""
    keep = {"look_up_attempt": shop.look_up, "submit_attempt": shop.submit}
    for _ in range(0, seconds, TICK_SECONDS):
        shop.clock.advance(seconds=TICK_SECONDS)
        await sweep(shop.pool, scout, new_id=clock.new_id, now=shop.clock.now())
        promised = await shop.owner.fetch(
            "DELETE FROM pgqueuer WHERE entrypoint = ANY ($1::text[])"
            " RETURNING entrypoint, convert_from(payload, 'UTF8') AS row",
            list(keep),
        )
        for job in promised:
            await keep[job["entrypoint"]](RowKey.read(job["row"]))


async def sell_at(shop: Shop, kind: str, method: str) -> RowKey:
    """An invoice of a new customer who pays by this method, through this kind of provider."""
    invoice = await shop.sell(method)
    await shop.owner.execute("UPDATE customers SET payment_provider = $1", kind)
    return invoice


async def lose_everything(
    shop: Shop, scout: Pool, sell: Sell, fault: SetFault, *, lost: tuple[str, str]
) -> Counter[str]:
    """Charge while answers are lost, then while nobody answers at all; then all is well again.

    `lost` are the faults: after the money has moved, and before. Answers the states that the
    attempts are in five minutes later.
    """
    for number in range(ATTEMPTS):
        await fault("")
        invoice = await sell()
        await fault(lost[number % 2])
        await shop.collect(invoice)
    await fault(lost[1])
    await tick(shop, scout, OUTAGE_SECONDS)
    states = await shop.owner.fetch("SELECT state FROM payments")
    # Once it is seen that nobody answers, what is left is parked: it was never sent.
    assert {row["state"] for row in states} <= {"unknown", "ready"}, "nobody was told anything"
    await fault("")
    await tick(shop, scout, WITHIN_SECONDS)
    assert await shop.owner.fetchval("SELECT count(*) FROM provider_events") == 0
    return Counter(row["state"] for row in await shop.owner.fetch("SELECT state FROM payments"))


async def test_the_sandbox_is_asked(shop: Shop, scout: Pool, psp: SandboxServer) -> None:
    async def fault(said: str) -> None:
        await psp.faults(said and f"{said}=1")

    lost = ("drop_after", "drop_before")
    sell = partial(sell_at, shop, "sandbox", "pm_sandbox_ok")
    states = await lose_everything(shop, scout, sell, fault, lost=lost)
    assert states == {"succeeded": ATTEMPTS}
    charged = Counter(one["metadata"]["lago_invoice_id"] for one in await psp.charges())
    assert (len(charged), set(charged.values())) == (ATTEMPTS, {1})


async def test_gocardless_is_asked(debits: Debits, scout: Pool) -> None:
    async def fault(said: str) -> None:
        debits.stub.fault = said

    lost = ("drop_after", "drop_before")
    sell = partial(sell_at, debits.shop, "gocardless", "MD1")
    states = await lose_everything(debits.shop, scout, sell, fault, lost=lost)
    assert states == {"processing": ATTEMPTS}
    payments = debits.stub.books["payments"]
    assert len(payments) == ATTEMPTS
    for payment in payments:
        debits.stub.become(str(payment["id"]), "paid_out")
    debits.shop.clock.advance(days=4)
    await tick(debits.shop, scout, TICK_SECONDS)
    assert await debits.shop.owner.fetchval("SELECT bool_and(state = 'succeeded') FROM payments")


class HangsUp:
    """A wire to Stripe that hangs up on its callers, after the call was carried or before."""

    def __init__(self) -> None:
        self.fault = ""

    async def carry(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Carry a call there, and its answer back, as the fault has it."""
        if not self.fault:
            return await handler(request)
        if self.fault == "drop_after":
            await handler(request)
        if request.transport:
            request.transport.abort()
        return web.Response()


async def test_stripe_is_asked(pool: Pool, owner: asyncpg.Connection, scout: Pool) -> None:
    wire = HangsUp()

    async def fault(said: str) -> None:
        wire.fault = said

    with localstripe() as base:
        async with at_stripe(pool, owner, base, wire=wire.carry) as world:
            lost = ("drop_after", "drop_before")
            states = await lose_everything(world.shop, scout, world.sell, fault, lost=lost)
            assert states == {"succeeded": ATTEMPTS}
            charged = Counter(
                one["metadata"]["lago_invoice_id"]
                for one in await world.stripe.charges()
                if one["status"] == "succeeded"
            )
            assert (len(charged), set(charged.values())) == (ATTEMPTS, {1})
            assert set(world.stripe.gate.charges_under_key.values()) == {1}


class Cards:
    """A shop whose account is at Adyen, and Adyen's books."""

    def __init__(self, shop: Shop, stub: AdyenStub) -> None:
        self.shop = shop
        self.stub = stub


@pytest_asyncio.fixture
async def cards(pool: Pool, owner: asyncpg.Connection) -> AsyncIterator[Cards]:
    async with adyen_stub() as stub, aiohttp.ClientSession() as http:
        providers = Providers(http, BOX, sandbox_base=NOWHERE, adyen_base=stub.base)
        shop = await Shop(pool, owner, providers, MovableClock()).open()
        secrets = {"api_key": "AQ", "merchant_account": "Acme", "hmac_key": "ab" * 32}
        await shop.moves_to("adyen", secrets)
        yield Cards(shop, stub)


@pytest.mark.parametrize("after", ["drop_after", "error_after", "html"])
async def test_adyen_is_sent_the_same_again(cards: Cards, scout: Pool, after: str) -> None:
    async def fault(said: str) -> None:
        cards.stub.fault = said

    sell = partial(sell_at, cards.shop, "adyen", "paid")
    states = await lose_everything(cards.shop, scout, sell, fault, lost=(after, "unavailable"))
    assert states == {"succeeded": ATTEMPTS}
    keys = await cards.shop.owner.fetch("SELECT 'payment-' || id FROM payments")
    assert set(cards.stub.payments) == {row[0] for row in keys}

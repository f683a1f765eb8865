"""No webhook ever comes: look-ups alone find out, within five minutes of the provider answering.

Stripe's part is `tests/processes/test_stripe_kills.py`, where no webhook comes either. Adyen cannot
be asked: there the look-up is the same request under the same key. A direct debit is not paid for
days; within minutes it is known that it was taken, which is what a lost answer left open.

The five minutes are those of attempts without an answer. One that the provider has called
`processing` is asked about by the steps of `rules/look_up_schedule.py`, which grow to a day.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias

import aiohttp
import asyncpg
import pytest
import pytest_asyncio

from recoup import clock
from recoup.flows.open_provider import Providers
from recoup.flows.sweep import sweep
from recoup.rules.records.keys import RowKey
from recoup.store.db import Pool
from tests.flows.debits import Debits
from tests.own_shop import NOWHERE
from tests.providers.adyen_stub import AdyenStub, adyen_stub
from tests.shop import BOX, MovableClock, SandboxServer, Shop

ATTEMPTS = 12
OUTAGE_SECONDS = 20 * 60
WITHIN_SECONDS = 5 * 60
TICK_SECONDS = 5
SetFault: TypeAlias = Callable[[str], Awaitable[None]]


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


async def lose_everything(
    shop: Shop, scout: Pool, method: str, kind: str, fault: SetFault, *, lost: tuple[str, str]
) -> Counter[str]:
    """Charge while answers are lost, then while nobody answers at all; then all is well again.

    `lost` are the faults: after the money has moved, and before. Answers the states that the
    attempts are in five minutes later.
    """
    for number in range(ATTEMPTS):
        invoice = await shop.sell(method)
        await shop.owner.execute("UPDATE customers SET payment_provider = $1", kind)
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
    states = await lose_everything(shop, scout, "pm_sandbox_ok", "sandbox", fault, lost=lost)
    assert states == {"succeeded": ATTEMPTS}
    charged = Counter(one["metadata"]["lago_invoice_id"] for one in await psp.charges())
    assert (len(charged), set(charged.values())) == (ATTEMPTS, {1})


async def test_gocardless_is_asked(debits: Debits, scout: Pool) -> None:
    async def fault(said: str) -> None:
        debits.stub.fault = said

    lost = ("drop_after", "drop_before")
    states = await lose_everything(debits.shop, scout, "MD1", "gocardless", fault, lost=lost)
    assert states == {"processing": ATTEMPTS}
    payments = debits.stub.books["payments"]
    assert len(payments) == ATTEMPTS
    for payment in payments:
        debits.stub.become(str(payment["id"]), "paid_out")
    debits.shop.clock.advance(days=4)
    await tick(debits.shop, scout, TICK_SECONDS)
    assert await debits.shop.owner.fetchval("SELECT bool_and(state = 'succeeded') FROM payments")


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

    states = await lose_everything(
        cards.shop, scout, "paid", "adyen", fault, lost=(after, "unavailable")
    )
    assert states == {"succeeded": ATTEMPTS}
    keys = await cards.shop.owner.fetch("SELECT 'payment-' || id FROM payments")
    assert set(cards.stub.payments) == {row[0] for row in keys}

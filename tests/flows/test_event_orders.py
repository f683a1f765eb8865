"""A payment's events in every order, each told one to three times: the same end, and told once.

Every order is an invoice of its own, and goes the whole way: signed as its provider signs, kept
once, applied through the one door. A step that its end overtook may go untold; nothing is told
that the right order does not tell.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from itertools import permutations
from typing import Any

import aiohttp
import asyncpg
import pytest
import pytest_asyncio

from recoup import clock
from recoup.flows.apply_event import apply_event
from recoup.flows.open_provider import Providers
from recoup.flows.receive_event import receive_event
from recoup.flows.reports import Report, Source
from recoup.flows.settle_attempt import settle_attempts
from recoup.providers.protocol import Paid
from recoup.rules.records.keys import RowKey
from recoup.store import db, quarantines
from recoup.store.db import Pool
from tests.flows.event_stories import (
    SECRETS,
    STORIES,
    Before,
    Event,
    known_as,
    refund_of,
    webhook,
)
from tests.own_shop import NOWHERE
from tests.shop import BOX, MovableClock, Shop

LATER = timedelta(hours=2)  # past every step at which an event that waits is tried again
END = {"payment.succeeded", "invoice.payment_failure"}


class Listener:
    """A shop whose account is of this kind, and whom only events tell anything."""

    def __init__(self, shop: Shop, kind: str) -> None:
        self.shop = shop
        self.kind = kind

    async def hears(
        self, events: Sequence[Event], turn: int, before: Before
    ) -> tuple[RowKey, RowKey, RowKey]:
        """Have what was before, and hear the events in this order, one to three times each.

        Answers the invoice, the attempt, and the key of its refund. The n-th event of the turn-th
        order is told `(turn + n) % 3 + 1` times, so that over all orders each is told once, twice
        and thrice: the second time at once, the third when all others have been.
        """
        shop = self.shop
        invoice, attempt = await self._begins(before)
        times = [(turn + number) % 3 + 1 for number, _ in enumerate(events)]
        told = [event for event, often in zip(events, times, strict=True)
                for _ in range(min(often, 2))]  # fmt: skip
        late = [event for event, often in zip(events, times, strict=True) if often == 3]
        for event in (*told, *late):
            await self._receive(attempt, event)
            await self._apply_all()
        shop.clock.advance(seconds=LATER.total_seconds())
        await self._apply_all()
        refund = RowKey(attempt.organization_id, refund_of(self.kind, attempt.id))
        return invoice, attempt, refund

    async def _begins(self, before: Before) -> tuple[RowKey, RowKey]:
        """Sell and send, and what else there is before the first event."""
        shop = self.shop
        invoice = await shop.sell("method_1")
        await shop.owner.execute("UPDATE customers SET payment_provider = $1", self.kind)
        attempt = await shop.begun(invoice)
        if before is Before.ON_A_PAGE:
            await shop.change("payments", attempt, manner="page")
        if before is Before.LOST:
            now, tenants = shop.clock.now(), [shop.organization_id]
            async with db.transaction(shop.pool, tenants=tenants) as conn:
                await quarantines.begin(
                    conn, tenants, because="restored", compare_since=now, now=now
                )
        await shop.sending.ask(attempt)
        if before in {Before.PAID_BACK, Before.LOST}:
            await shop.owner.execute("UPDATE provider_accounts SET refund_surprises = true")
            await shop.change("invoices", invoice, status="voided")
        if before is Before.PAID_BACK:
            await self._pays_back(attempt)
        return invoice, attempt

    async def _pays_back(self, attempt: RowKey) -> None:
        shop, now = self.shop, self.shop.clock.now()
        paid = Paid(known_as(self.kind, attempt.id), "succeeded", 1_000, "EUR")
        await settle_attempts(shop.pool, [Report(attempt, paid, Source.LOOK_UP)], now=now)
        refund = RowKey(attempt.organization_id, refund_of(self.kind, attempt.id))
        await shop.change("refunds", refund, state="sent", sent_at=now, request="{}")

    async def _receive(self, attempt: RowKey, event: Event) -> None:
        now = self.shop.clock.now()
        body, headers = webhook(self.kind, attempt.id, event, at=int(now.timestamp()))
        await receive_event(
            self.shop.pool, self.shop.providers, self.shop.organization_id, kind=self.kind,
            code="sandbox", body=body, headers=headers, new_id=clock.new_id, now=now,
        )  # fmt: skip

    async def _apply_all(self) -> None:
        kept = await self.shop.owner.fetch(
            "SELECT organization_id, id FROM provider_events WHERE applied_at IS NULL"
        )
        for event in kept:
            await apply_event(
                self.shop.pool, self.shop.providers, RowKey(*event), jitter=timedelta(),
                new_id=clock.new_id, now=self.shop.clock.now(),
            )  # fmt: skip

    async def end_of(self, invoice: RowKey, attempt: RowKey, refund: RowKey) -> tuple[Any, ...]:
        """What it has come to: states, what the invoice shows, what contradicts it, the books."""
        against = await self.shop.owner.fetch(
            "SELECT reason, amount_cents FROM contradictions WHERE payment_id = $1",
            attempt.id,
        )
        booked = await self.shop.owner.fetch(
            "SELECT account, sum(amount_cents)::int FROM ledger_entries WHERE payment_id = $1"
            " GROUP BY account HAVING sum(amount_cents) <> 0",
            attempt.id,
        )
        paid_back = "SELECT state FROM refunds WHERE id = $1"
        return (
            await self.shop.state(attempt),
            await self.shop.owner.fetchval(paid_back, refund.id),
            sorted(map(tuple, against)),
            await self.shop.shown(invoice),
            sorted(map(tuple, booked)),
        )

    async def told_of(self, *rows: RowKey) -> list[str]:
        """The types of what was told of these rows."""
        told = await self.shop.owner.fetch(
            "SELECT webhook_type FROM events WHERE object_id = ANY ($1::uuid[])",
            [row.id for row in rows],
        )
        return sorted(row["webhook_type"] for row in told)


@pytest_asyncio.fixture
async def hall(
    pool: Pool, owner: asyncpg.Connection, request: pytest.FixtureRequest
) -> AsyncIterator[Listener]:
    kind = request.param
    async with aiohttp.ClientSession() as http:
        providers = Providers(http, BOX, sandbox_base=NOWHERE)
        shop = await Shop(pool, owner, providers, MovableClock()).open()
        await shop.moves_to(kind, SECRETS[kind])
        yield Listener(shop, kind)
        await providers.close()


@pytest.mark.parametrize(
    ("hall", "story"),
    [pytest.param(kind, (kind, story), id=f"{kind}: {story}") for kind, story in STORIES],
    indirect=["hall"],
)
async def test_every_order_comes_to_the_same_end(hall: Listener, story: tuple[str, str]) -> None:
    told_so = STORIES[story]
    right = await hall.hears(told_so.events, 0, told_so.before)
    end, told = await hall.end_of(*right), await hall.told_of(*right)
    assert end[:2] == (told_so.state, told_so.refund)
    assert len(end[2]) == told_so.contradictions
    assert sum(one in END for one in told) == told_so.ends_told
    for turn, order in enumerate(permutations(told_so.events)):
        heard = await hall.hears(order, turn, told_so.before)
        names = [what for what, _ in order]
        assert await hall.end_of(*heard) == end, names
        now_told = await hall.told_of(*heard)
        assert Counter(now_told) <= Counter(told), (names, now_told)
        assert set(now_told) & END == set(told) & END, (names, now_told)

"""A refund whose sending a restore has lost is paid back once, and a lost one not twice."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import aiohttp
import asyncpg
import pytest
import pytest_asyncio

from recoup import clock
from recoup.flows.notice_restore import hold_all_back
from recoup.flows.open_provider import Providers
from recoup.flows.reconcile_account import ASK_AGAIN_AFTER, reconcile_account
from recoup.flows.release_quarantine import release_quarantine
from recoup.flows.settle_refund_by_hand import list_open_refunds
from recoup.flows.submit_refund import look_up_refund, submit_refund
from recoup.flows.sweep import sweep
from recoup.rules.look_up_schedule import RE_SEND_WITHIN, UNANSWERED_AT_MOST
from recoup.rules.records.keys import RowKey
from recoup.store.db import Pool
from tests.flows.cards import Cards, open_cards
from tests.flows.event_stories import SECRETS
from tests.flows.paid_back import ForgetfulStripe
from tests.flows.test_settle_refund import second_charge
from tests.shop import BOX

ENDS = {"succeeded": "succeeded", "pending": "processing", "failed": "failed"}  # theirs, and ours
PAYMENT = "ch_2"  # the second charge, which goes back


class Till(Cards):
    """A shop that owes a refund, and a Stripe that has forgotten its keys."""

    books: ForgetfulStripe

    async def owes(self) -> RowKey:
        """A refund that is ready: as far as we know nobody has sent it."""
        await second_charge(self.shop, pays_back=True)
        return RowKey(*await self.shop.owner.fetchrow("SELECT organization_id, id FROM refunds"))

    async def is_restored(self, scout: Pool, *, hours: float = 1) -> None:
        """Notice that the database is as it was so long ago."""
        now = self.shop.clock.now()
        await hold_all_back(
            self.shop.pool, scout, because="another_cluster", by="ann",
            since=now - timedelta(hours=hours), new_id=clock.new_id, now=now,
        )  # fmt: skip

    async def is_let_go(self) -> None:
        """A person ends the quarantine."""
        await release_quarantine(
            self.shop.pool, self.shop.organization_id, by="ann", reason="compared",
            new_id=clock.new_id, now=self.shop.clock.now(),
        )  # fmt: skip

    async def compares(self) -> None:
        """Compare with Stripe's books."""
        self.shop.clock.advance(seconds=ASK_AGAIN_AFTER.total_seconds() + 1)
        await reconcile_account(
            self.shop.pool, self.shop.providers,
            RowKey(self.shop.organization_id, self.shop.account_id),
            new_id=clock.new_id, now=self.shop.clock.now,
        )  # fmt: skip

    async def sends(self, refund: RowKey) -> None:
        """Do what the sweep promises of a refund that is ready."""
        await submit_refund(self.shop.pool, self.shop.providers, refund, now=self.shop.clock.now)

    async def is_promised(self, scout: Pool) -> bool:
        """Whether the sweep has somebody send a refund."""
        await self.shop.owner.execute("DELETE FROM pgqueuer")
        now = self.shop.clock.now()
        await sweep(self.shop.pool, scout, new_id=clock.new_id, now=now)
        promised = "SELECT count(*) > 0 FROM pgqueuer WHERE entrypoint = 'submit_refund'"
        return await self.shop.owner.fetchval(promised)

    async def looks_up(self, refund: RowKey) -> None:
        await look_up_refund(self.shop.pool, self.shop.providers, refund, now=self.shop.clock.now)

    @asynccontextmanager
    async def at_adyen(self) -> AsyncIterator[Callable[[], int]]:
        """Have the account at Adyen, where all is turned away; answers how often it was called."""
        await self.shop.moves_to("adyen", SECRETS["adyen"])
        before = self.books.asked
        async with aiohttp.ClientSession() as http:
            base = self.books.base
            self.shop.through(Providers(http, BOX, sandbox_base=base, adyen_base=base))
            yield lambda: self.books.asked - before

    async def state(self, refund: RowKey) -> str:
        return (await self.shop.row("refunds", refund))["state"]

    async def findings(self) -> list[str]:
        """What was found of refunds."""
        rows = await self.shop.owner.fetch(
            "SELECT what FROM reconciliation_findings WHERE idempotency_key LIKE 'refund-%'"
        )
        return [row["what"] for row in rows]

    async def unapplied(self) -> int:
        """What belongs to nothing: the second charge, until it has gone back."""
        cents = "SELECT -sum(amount_cents)::int FROM ledger_entries WHERE account = 'unapplied'"
        return await self.shop.owner.fetchval(cents)


@pytest_asyncio.fixture
async def till(pool: Pool, owner: asyncpg.Connection) -> AsyncIterator[Till]:
    async with open_cards(pool, owner, ForgetfulStripe()) as opened:
        # What is charged comes in by hand, so Stripe is called for refunds alone.
        yield Till(opened.shop, opened.books)


async def assert_it_went_back_once(till: Till, refund: RowKey, status: str) -> None:
    assert await till.state(refund) == ENDS[status]
    assert [one["status"] for one in till.books.refunds] == [status]
    assert await till.unapplied() == (0 if status == "succeeded" else 1_000)


@pytest.mark.parametrize("status", ENDS)
async def test_an_event_shows_that_it_was_sent(till: Till, scout: Pool, status: str) -> None:
    refund = await till.owes()
    made = till.books.knows(refund.id, status, payment=PAYMENT)
    await till.is_restored(scout)
    word = await till.hears("refund.updated", made)
    assert word == f"refund_moved_to_{ENDS[status]}"
    await till.is_let_go()
    till.shop.clock.advance(minutes=1)
    assert not await till.is_promised(scout)
    await till.sends(refund)
    await assert_it_went_back_once(till, refund, status)


@pytest.mark.parametrize("status", ENDS)
async def test_it_is_asked_for_before_it_is_sent(till: Till, scout: Pool, status: str) -> None:
    refund = await till.owes()
    made = till.books.knows(refund.id, status, payment=PAYMENT)
    await till.is_restored(scout)
    await till.sends(refund)
    assert await till.state(refund) == "ready"  # nothing is sent meanwhile, nor asked
    await till.is_let_go()
    till.shop.clock.advance(minutes=1)
    assert await till.is_promised(scout)
    for _ in range(2):
        await till.sends(refund)
    await assert_it_went_back_once(till, refund, status)
    assert await till.hears("refund.updated", made) == "nothing_new"
    await assert_it_went_back_once(till, refund, status)


@pytest.mark.parametrize("status", ENDS)
async def test_comparing_asks_for_it_as_well(till: Till, scout: Pool, status: str) -> None:
    refund = await till.owes()
    till.books.knows(refund.id, status, payment=PAYMENT)
    till.shop.clock.advance(hours=1)
    await till.is_restored(scout)
    await till.compares()
    await assert_it_went_back_once(till, refund, status)
    await till.sends(refund)
    await assert_it_went_back_once(till, refund, status)
    assert await till.findings() == []


async def test_what_was_pending_ends_by_its_look_ups(till: Till, scout: Pool) -> None:
    refund = await till.owes()
    made = till.books.knows(refund.id, "pending", payment=PAYMENT)
    await till.is_restored(scout)
    await till.is_let_go()
    await till.sends(refund)
    made["status"] = "succeeded"
    till.shop.clock.at = (await till.shop.row("refunds", refund))["look_up_at"]
    await till.looks_up(refund)
    await assert_it_went_back_once(till, refund, "succeeded")


async def test_one_that_nobody_has_sent_is_sent_once(till: Till, scout: Pool) -> None:
    refund = await till.owes()
    till.shop.clock.advance(hours=1)
    await till.is_restored(scout)
    await till.compares()  # nothing to find, and the account is let go
    assert await till.state(refund) == "ready"
    assert await till.findings() == []
    assert await till.is_promised(scout)
    for _ in range(3):
        await till.sends(refund)
    await assert_it_went_back_once(till, refund, "succeeded")


async def test_where_no_answer_comes_it_waits(till: Till, scout: Pool) -> None:
    refund = await till.owes()
    till.books.knows(refund.id, "succeeded", payment=PAYMENT)
    await till.is_restored(scout)
    await till.is_let_go()
    till.books.silent = True
    await till.sends(refund)
    row = await till.shop.row("refunds", refund)
    assert (row["state"], row["send_at"]) == ("ready", till.shop.clock.now() + UNANSWERED_AT_MOST)
    till.books.silent = False
    till.shop.clock.at = row["send_at"]
    await till.sends(refund)
    await assert_it_went_back_once(till, refund, "succeeded")


async def test_where_the_provider_never_says_a_person_does(till: Till, scout: Pool) -> None:
    refund = await till.owes()
    await till.is_restored(scout)
    await till.is_let_go()
    till.books.lacks_payments = True
    await till.sends(refund)
    assert await till.state(refund) == "ready"  # it may say tomorrow
    till.shop.clock.advance(days=1)
    await till.sends(refund)
    assert await till.state(refund) == "unknown"
    [waits] = await list_open_refunds(
        till.shop.pool, till.shop.organization_id, needs_review=True, now=till.shop.clock.now()
    )
    assert waits.key == refund
    till.books.lacks_payments = False
    till.shop.clock.advance(minutes=1)
    await till.looks_up(refund)
    assert await till.state(refund) == "needs_review"  # nobody sends it but a person
    assert till.books.refunds == []


async def test_an_account_that_is_out_for_a_day_leaves_it_unsent(till: Till, scout: Pool) -> None:
    refund = await till.owes()
    await till.is_restored(scout)
    await till.is_let_go()
    till.shop.clock.advance(days=1)
    till.books.silent = True
    await till.sends(refund)
    assert await till.state(refund) == "ready"
    till.books.silent = False
    till.shop.clock.at = (await till.shop.row("refunds", refund))["send_at"]
    await till.sends(refund)
    await assert_it_went_back_once(till, refund, "succeeded")


async def test_one_that_a_restore_has_lost_is_made_anew_and_not_paid_twice(
    till: Till, scout: Pool
) -> None:
    """Its charge is told of anew after the restore, and its refund has the id that it had."""
    refund = await till.owes()
    till.books.knows(refund.id, "succeeded", payment=PAYMENT)
    await till.is_restored(scout)
    await till.is_let_go()
    till.shop.clock.advance(hours=30)
    await till.shop.change("refunds", refund, created_at=till.shop.clock.now())
    await till.sends(refund)
    await assert_it_went_back_once(till, refund, "succeeded")


async def test_one_that_a_person_asks_for_later_is_not_asked_about(till: Till, scout: Pool) -> None:
    refund = await till.owes()
    await till.is_restored(scout)
    await till.is_let_go()
    till.shop.clock.advance(hours=30)
    now = till.shop.clock.now()
    await till.shop.change("refunds", refund, created_at=now, asked_by="api")
    before = till.books.asked
    await till.sends(refund)
    assert till.books.asked == before + 1
    await assert_it_went_back_once(till, refund, "succeeded")


async def test_an_event_of_one_that_a_restore_has_lost_waits_in_quarantine(
    till: Till, scout: Pool
) -> None:
    refund = await till.owes()
    gone = till.books.knows(clock.new_id(), "succeeded", payment=PAYMENT)
    await till.is_restored(scout)
    event = await till.receives("refund.updated", gone)
    assert await till.applies(event) is None
    await till.is_let_go()
    assert await till.applies(event) == "no_such_refund"
    assert await till.state(refund) == "ready"


@pytest.mark.parametrize(
    ("hours", "state"),
    [(-1, "sent"), (1, "needs_review")],
    ids=["its key lives still", "its key may be gone"],
)
async def test_where_nobody_can_be_asked_the_life_of_its_key_decides(
    till: Till, scout: Pool, hours: float, state: str
) -> None:
    refund = await till.owes()
    lives = RE_SEND_WITHIN / timedelta(hours=1)
    await till.is_restored(scout, hours=lives + hours)
    await till.is_let_go()
    async with till.at_adyen() as calls:
        await till.sends(refund)
        assert calls() == (state == "sent")
        if state == "sent":
            return
        for _ in range(2):
            till.shop.clock.advance(minutes=1)
            await till.looks_up(refund)
        assert await till.state(refund) == state  # a person looks at Adyen's pages
        assert calls() == 0


async def test_a_look_up_sends_nothing_of_what_was_taken_back_meanwhile(till: Till) -> None:
    """The first call ends late, in a refused key: it is ready, and whoever sends it asks anew."""
    refund = await till.owes()
    till.books.refuses = True
    await till.sends(refund)
    till.books.refuses = False
    await till.shop.owner.execute("DELETE FROM provider_health")
    await till.shop.change("refunds", refund, state="sent")

    async def ends_late() -> None:
        await till.shop.change("refunds", refund, state="ready")

    till.books.during = ends_late
    await till.looks_up(refund)
    assert await till.state(refund) == "ready"
    assert till.books.refunds == []
    assert till.books.during is None

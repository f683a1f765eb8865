"""The one door for money: every state × every news × every source, and news in any order.

What is expected is a table written by hand. All cases are settled together, in few batches, in one
database: as many attempts as the product has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import combinations, permutations, product

import msgspec
import pytest
import pytest_asyncio

from recoup import clock
from recoup.flows.begin_sending import begin_sending
from recoup.flows.reports import Report, Settled, Source
from recoup.flows.retry_payment import Ask, retry_payments
from recoup.flows.settle_attempt import settle_attempts
from recoup.providers.protocol import (
    CustomerNeeded,
    Declined,
    Lost,
    NotKnown,
    Outcome,
    Paid,
    Processing,
)
from recoup.rules.attempt_state import Contradicted, Moved, Repeated, State
from recoup.rules.records.collection import AskedBy
from recoup.rules.records.keys import RowKey
from tests.own_shop import own_shop
from tests.shop import START, MovableClock, Shop

# The state in which an attempt ends up; `.`: where it was; `!`: there, and it is a contradiction.
# `paid_twice` is a success under another id than the one before.
#
#    news ->         paid      paid_twice declined processing customer_needed lost    not_known
EXPECTED = {
    "ready":           "!         !          !      .          .               .       .",
    "sent":            "succeeded succeeded  failed processing customer_needed unknown unknown",
    "unknown":         "succeeded succeeded  failed processing customer_needed .       .",
    "processing":      "succeeded succeeded  failed .          customer_needed .       .",
    "customer_needed": "succeeded succeeded  failed processing .               .       .",
    "needs_review":    "succeeded succeeded  failed .          .               .       .",
    "succeeded":       ".         !          !      .          .               .       .",
    "failed":          "!         !          .      .          .               .       .",
    "withdrawn":       "!         !          !      .          .               .       .",
}  # fmt: skip
NEWS = ("paid", "paid_twice", "declined", "processing", "customer_needed", "lost", "not_known")
WAITING = {"sent", "unknown", "processing", "customer_needed"}
ENDED = {"succeeded", "failed", "withdrawn"}

SENT_AGO = timedelta(seconds=10)
NEXT_STEP = START - SENT_AGO + timedelta(seconds=30)  # the first step after `sent`
SOON = START + timedelta(seconds=15)  # the first time without an answer
OUR_QUESTIONS = {Source.LOOK_UP, Source.EXPIRY}
AS_PLANNED = START + timedelta(seconds=7)  # what was planned before the news came


class Case(msgspec.Struct, frozen=True):
    """An attempt in a state, and what is told of it by whom."""

    state: str
    news: str
    source: Source

    def __str__(self) -> str:
        return f"{self.state}-{self.news}-{self.source}"


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What can be seen of an attempt, and of its invoice."""

    state: str
    look_up_at: datetime | None
    invoice_shows: str
    paid_cents: int
    next_try: bool
    events: dict[str, int]
    endings: int  # events that end the ask
    ledger: dict[str, int]
    contradictions: int


CASES = [Case(*case) for case in product(EXPECTED, NEWS, Source)]


def outcome(news: str, attempt: RowKey) -> Outcome | NotKnown:
    charge = f"ch_{attempt.id.hex}"
    match news:
        case "paid":
            return Paid(charge, "succeeded", 1_000, "EUR")
        case "paid_twice":
            return Paid(f"{charge}_2", "succeeded", 1_000, "EUR")
        case "declined":
            return Declined("card_declined", "No.", decline_code="insufficient_funds")
        case "processing":
            return Processing(charge, "processing")
        case "customer_needed":
            return CustomerNeeded(charge, "requires_action", {"type": "redirect"})
        case "lost":
            return Lost("TimeoutError")
        case "not_known":
            return NotKnown()
    raise AssertionError(news)


async def begin(shop: Shop, how_many: int) -> list[RowKey]:
    """So many attempts that are ready, each for an invoice of its own."""
    customer = await shop.customer("pm_sandbox_ok")
    invoices = [await shop.invoice(customer) for _ in range(how_many)]
    asks = [Ask(invoice, clock.new_id(), AskedBy.API) for invoice in invoices]
    await retry_payments(shop.pool, asks, now=START - SENT_AGO)
    return [RowKey(ask.invoice.organization_id, ask.attempt_id) for ask in asks]


async def tell(
    shop: Shop, told: Sequence[tuple[RowKey, str]], source: Source, *, now: datetime
) -> list[Settled]:
    reports = [Report(attempt, outcome(news, attempt), source) for attempt, news in told]
    return await settle_attempts(shop.pool, reports, now=now)


async def bring_into(shop: Shop, attempts: dict[Case, RowKey]) -> None:
    """Bring each attempt into its case's state, by the flows where they lead there."""
    before = START - SENT_AGO
    voided = [key.id for case, key in attempts.items() if case.state == "withdrawn"]
    await shop.owner.execute(
        "UPDATE invoices i SET status = 'voided' FROM payment_invoices pi"
        " WHERE pi.invoice_id = i.id AND pi.payment_id = ANY ($1)",
        voided,
    )
    to_send = [key for case, key in attempts.items() if case.state != "ready"]
    await begin_sending(shop.pool, shop.providers, to_send, now=before)
    by_news = {
        "unknown": "lost", "needs_review": "lost", "processing": "processing",
        "customer_needed": "customer_needed", "succeeded": "paid", "failed": "declined",
    }  # fmt: skip
    told = [(key, by_news[case.state]) for case, key in attempts.items() if case.state in by_news]
    await tell(shop, told, Source.ANSWER, now=before)
    await shop.owner.execute(
        "UPDATE payments SET state = 'needs_review', look_up_at = NULL WHERE id = ANY ($1)",
        [key.id for case, key in attempts.items() if case.state == "needs_review"],
    )
    await shop.owner.execute(
        "UPDATE payments SET look_up_at = $1 WHERE look_up_at IS NOT NULL", AS_PLANNED
    )


async def look(shop: Shop, attempts: Sequence[RowKey]) -> dict[RowKey, Seen]:
    """What is there now, of all of them."""
    seen = {}
    for row in await shop.owner.fetch(
        """SELECT p.organization_id, p.id, p.state, p.look_up_at, i.payment_status, i.paid_cents,
                  i.next_try_at, i.id AS invoice_id,
                  (SELECT array_agg(e.webhook_type) FROM events e
                    WHERE e.object_id IN (p.id, i.id)) AS events,
                  (SELECT count(*) FROM events e WHERE e.ask_id = p.id) AS endings,
                  (SELECT array_agg((l.account, l.amount_cents)) FROM ledger_entries l
                    WHERE l.payment_id = p.id) AS entries,
                  (SELECT count(*) FROM contradictions c WHERE c.payment_id = p.id)
                    AS contradictions
             FROM payments p
             JOIN payment_invoices pi ON pi.payment_id = p.id
             JOIN invoices i ON i.id = pi.invoice_id
            WHERE p.id = ANY ($1)""",
        [attempt.id for attempt in attempts],
    ):
        ledger: Counter[str] = Counter()
        for account, cents in row["entries"] or ():
            ledger[account] += cents
        seen[RowKey(row["organization_id"], row["id"])] = Seen(
            state=row["state"],
            look_up_at=row["look_up_at"],
            invoice_shows=row["payment_status"],
            paid_cents=row["paid_cents"],
            next_try=row["next_try_at"] is not None,
            events=dict(Counter(row["events"] or ())),
            endings=row["endings"],
            ledger=dict(ledger),
            contradictions=row["contradictions"],
        )
    return seen


class Settlements(msgspec.Struct, frozen=True):
    """What was there before the news, after it, and after hearing it again; and what it meant."""

    before: dict[Case, Seen]
    meant: dict[Case, Settled]
    after: dict[Case, Seen]
    again: dict[Case, Seen]


@pytest_asyncio.fixture(scope="module")
async def settlements(server_dsn: str, template: str) -> AsyncIterator[Settlements]:
    async with own_shop(server_dsn, template, at=MovableClock()) as shop:
        attempts = dict(zip(CASES, await begin(shop, len(CASES)), strict=True))
        await bring_into(shop, attempts)
        before = await look(shop, [*attempts.values()])
        reports = [
            Report(key, outcome(case.news, key), case.source) for case, key in attempts.items()
        ]
        meant = await settle_attempts(shop.pool, reports, now=START)
        after = await look(shop, [*attempts.values()])
        heard_again = [report for report in reports if report.source not in OUR_QUESTIONS]
        await settle_attempts(shop.pool, heard_again, now=START)
        again = await look(shop, [*attempts.values()])
        yield Settlements(
            before={case: before[key] for case, key in attempts.items()},
            meant=dict(zip(attempts, meant, strict=True)),
            after={case: after[key] for case, key in attempts.items()},
            again={case: again[key] for case, key in attempts.items()},
        )


def expected_of(case: Case) -> str:
    return EXPECTED[case.state].split()[NEWS.index(case.news)]


each_case = pytest.mark.parametrize("case", CASES, ids=str)


@each_case
def test_where_news_leaves_an_attempt(settlements: Settlements, case: Case) -> None:
    expected, meant = expected_of(case), settlements.meant[case]
    assert settlements.before[case].state == case.state
    after = settlements.after[case]
    if expected in ".!":
        assert after.state == case.state
        assert isinstance(meant, Contradicted if expected == "!" else Repeated)
    else:
        assert after.state == expected
        assert meant == Moved(State(expected))
    assert after.contradictions == (expected == "!")


@each_case
def test_when_the_provider_is_asked_next(settlements: Settlements, case: Case) -> None:
    after = settlements.after[case]
    if after.state not in WAITING:
        expected = None
    elif case.source in OUR_QUESTIONS and case.news in {"lost", "not_known"}:
        # Only a look-up makes an unanswered one; `sent` is `unknown` first, whoever says so.
        expected = SOON if case.news == "lost" or case.state == "sent" else NEXT_STEP
    elif after.state != case.state or case.source in OUR_QUESTIONS:
        expected = NEXT_STEP
    else:
        expected = AS_PLANNED
    assert after.look_up_at == expected


@each_case
def test_what_the_outside_is_told(settlements: Settlements, case: Case) -> None:
    before, after = settlements.before[case], settlements.after[case]
    told = Counter(after.events) - Counter(before.events)
    expected: Counter[str] = Counter()
    if after.state != case.state:
        was_taken_first = case.state in {"processing", "customer_needed"}
        match after.state:
            case "succeeded":
                expected = Counter(["payment.succeeded", "invoice.payment_status_updated"])
            case "failed":
                expected = Counter(["invoice.payment_failure"])
                if was_taken_first:
                    expected.update(["invoice.payment_status_updated"])
            case "customer_needed":
                expected = Counter(["payment.requires_action"])
    assert told == expected
    assert after.endings == (after.state in ENDED)


@each_case
def test_what_the_books_say(settlements: Settlements, case: Case) -> None:
    before, after = settlements.before[case], settlements.after[case]
    expected = Counter(before.ledger)
    if after.state == "succeeded" != case.state:
        expected.update({"at_provider": 1_000, "receivable": -1_000})
    elif expected_of(case) == "!" and case.news != "declined":  # money that belongs to nothing
        expected.update({"at_provider": 1_000, "unapplied": -1_000})
    assert after.ledger == expected
    assert after.paid_cents == (1_000 if after.state == "succeeded" else 0)


@each_case
def test_what_the_invoice_shows(settlements: Settlements, case: Case) -> None:
    before, after = settlements.before[case], settlements.after[case]
    if after.state == case.state:
        assert after.invoice_shows == before.invoice_shows
        # What contradicts itself is not charged again before somebody has looked at it.
        assert after.next_try == (case.state == "failed" and expected_of(case) != "!")
    else:
        ends = {"succeeded": "succeeded", "failed": "failed"}
        assert after.invoice_shows == ends.get(after.state, "pending")
        # Whoever did not act is not charged without acting: they are told, and may pay.
        by_itself = after.state == "failed" and case.source is not Source.EXPIRY
        assert after.next_try == by_itself


@each_case
def test_the_same_news_again_changes_nothing(settlements: Settlements, case: Case) -> None:
    assert settlements.again[case] == settlements.after[case]


# News of one attempt that can all be true, in any order; the end may come first.
OF_THE_WAY = ("processing", "customer_needed", "lost", "not_known")


def stories(ending: str) -> Iterator[tuple[str, ...]]:
    for length in range(len(OF_THE_WAY) + 1):
        for some in combinations(OF_THE_WAY, length):
            yield from permutations([ending, *some])


async def hear(shop: Shop, told: Sequence[tuple[str, ...]]) -> list[Seen]:
    """Tell a sent attempt each of these stories, every word of it one to three times."""
    attempts = await begin(shop, len(told))
    await begin_sending(shop.pool, shop.providers, attempts, now=START - SENT_AGO)
    reports = [
        Report(attempt, outcome(news, attempt), source_of(news))
        for position, (attempt, story) in enumerate(zip(attempts, told, strict=True))
        for news in story
        for _ in range(1 + position % 3)
    ]
    await settle_attempts(shop.pool, reports, now=START)
    seen = await look(shop, attempts)
    return [seen[attempt] for attempt in attempts]


def source_of(news: str) -> Source:
    sources = {"lost": Source.ANSWER, "not_known": Source.LOOK_UP}
    return sources.get(news, Source.EVENT)


def without(seen: Seen, *events: str) -> Seen:
    """Leave out what depends on the order, rightly: the way there is told while it is the way."""
    kept = {name: count for name, count in seen.events.items() if name not in events}
    return msgspec.structs.replace(seen, events=kept)


@pytest.mark.parametrize("ending", ["paid", "declined"])
async def test_news_in_any_order_and_any_number_leads_to_the_same_end(
    server_dsn: str, template: str, ending: str
) -> None:
    async with own_shop(server_dsn, template, at=MovableClock()) as shop:
        told = [*stories(ending)]
        seen = await hear(shop, told)
    assert len(told) == 261
    on_the_way = ["payment.requires_action"]
    if ending == "declined":  # told of where the provider had taken it first
        on_the_way.append("invoice.payment_status_updated")
    ends = {msgspec.json.encode(without(one, *on_the_way)) for one in seen}
    assert len(ends) == 1
    assert (seen[0].state, seen[0].endings, seen[0].contradictions) == (
        "succeeded" if ending == "paid" else "failed", 1, 0,
    )  # fmt: skip
    assert all(count == 1 for one in seen for count in one.events.values())


async def test_of_news_that_contradicts_the_first_stands_and_no_money_is_lost(
    server_dsn: str, template: str
) -> None:
    told: list[tuple[str, ...]] = [
        story
        for length in (2, 3)
        for story in permutations(["paid", "paid_twice", "declined"], length)
    ]
    async with own_shop(server_dsn, template, at=MovableClock()) as shop:
        all_seen = await hear(shop, told)
    for story, seen in zip(told, all_seen, strict=True):
        charges = len({"paid", "paid_twice"} & set(story))
        assert seen.state == ("failed" if story[0] == "declined" else "succeeded"), story
        assert seen.endings == 1, story
        assert seen.contradictions == len(story) - 1, story
        assert seen.ledger["at_provider"] == 1_000 * charges, story
        assert sum(seen.ledger.values()) == 0, story
        assert not seen.next_try, story


async def test_the_books_are_kept_in_capital_letters(server_dsn: str, template: str) -> None:
    async with own_shop(server_dsn, template, at=MovableClock()) as shop:
        [attempt] = await begin(shop, 1)
        await begin_sending(shop.pool, shop.providers, [attempt], now=START)
        for charge in ("ch_1", "ch_2"):
            paid = Paid(charge, "succeeded", 1_000, "eur")
            await settle_attempts(shop.pool, [Report(attempt, paid, Source.EVENT)], now=START)
        for table in ("ledger_entries", "contradictions"):
            found = await shop.owner.fetch(f"SELECT DISTINCT currency FROM {table}")
            assert [row["currency"] for row in found] == ["EUR"]

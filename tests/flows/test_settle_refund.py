"""What is told of a refund, in every state and order; and that the same money goes back once."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from itertools import permutations, product

import asyncpg
import pytest

from recoup import clock
from recoup.flows.refund_payment import NOTHING_TO_REFUND, begin_refund
from recoup.flows.reports import Report, Source
from recoup.flows.settle_attempt import settle_attempts
from recoup.flows.settle_refund import RefundReport, settle_refund
from recoup.flows.settle_refund_by_hand import (
    RefundDecided,
    list_open_refunds,
    settle_refund_by_hand,
)
from recoup.providers.protocol import (
    Declined,
    Lost,
    NotKnown,
    Paid,
    Refunded,
    RefundOutcome,
    RefundProcessing,
)
from recoup.rules.lago.pages import Page
from recoup.rules.look_up_schedule import STEPS, silent_since
from recoup.rules.records.keys import RowKey
from recoup.rules.records.refunds import RefundRow
from recoup.rules.refund_state import ENDINGS, NEXT, RefundState, RefundVerdict
from recoup.rules.refusal import Refusal, Refused
from recoup.store import contradictions, db, refund_lists
from recoup.store.invariants import INVARIANTS, offenders
from tests.conftest import eventually, waiting_for_locks
from tests.shop import START, Shop

PAGE = Page()
PROCESSING = RefundProcessing("re_1", "pending")
DONE = Refunded("re_1", "succeeded", 1_000, "EUR")
FAILED = Declined("expired_or_canceled_card", provider_refund_id="re_1")
BACK = RefundDecided(
    verdict=RefundVerdict.REFUNDED, by="ann", reason="in their books", provider_refund_id="re_1"
)
BY_HAND = RefundDecided(verdict=RefundVerdict.FAILED, by="ann", reason="not in their books")


def words_of(order: tuple[RefundOutcome, ...]) -> str:
    return "-".join(
        f"{type(one).__name__}_{getattr(one, 'provider_refund_id', '')}" for one in order
    )


async def second_charge(shop: Shop, *, pays_back: bool = False, suffix: str = "") -> RowKey:
    """An attempt that was paid, and then paid once more under another id."""
    await shop.owner.execute("UPDATE provider_accounts SET refund_surprises = $1", pays_back)
    attempt = await shop.begun(await shop.sell("pm_sandbox_ok"))
    await shop.sending.ask(attempt)
    for charge in ("ch_1", "ch_2"):
        paid = Paid(f"{charge}{suffix}", "succeeded", 1_000, "EUR")
        await settle_attempts(
            shop.pool, [Report(attempt, paid, Source.EVENT)], now=shop.clock.now()
        )
    return attempt


async def refund_sent(shop: Shop, at: datetime = START) -> RowKey:
    """A refund of the second charge that was sent then, and not answered yet."""
    await second_charge(shop, pays_back=True)
    found = await shop.owner.fetchrow("SELECT organization_id, id FROM refunds")
    key = RowKey(*found)
    await shop.change("refunds", key, state="sent", sent_at=at, request="{}", look_up_at=at)
    return key


async def tell(
    shop: Shop, key: RowKey, outcome: RefundOutcome | NotKnown, source: Source = Source.EVENT
) -> str:
    report = RefundReport(key, outcome, source)
    return (await settle_refund(shop.pool, report, now=shop.clock.now())).word


async def books(shop: Shop) -> dict[str, int]:
    rows = await shop.owner.fetch(
        "SELECT account, sum(amount_cents)::int FROM ledger_entries GROUP BY account"
    )
    return {account: cents for account, cents in map(tuple, rows) if cents}


async def unbooked(shop: Shop) -> int:
    """How many contradictions brought or took money that is in no books."""
    [booked] = [one for one in INVARIANTS if one.name == "surprising_money_is_booked"]
    async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
        found = await offenders(conn, booked, [shop.organization_id], now=shop.clock.now())
    return found.count


async def test_a_second_charge_is_paid_back_where_the_account_says_so(shop: Shop) -> None:
    attempt = await second_charge(shop, pays_back=True)
    refund = await shop.owner.fetchrow("SELECT * FROM refunds")
    assert refund["payment_id"] == attempt.id
    assert (refund["amount_cents"], refund["currency"]) == (1_000, "EUR")
    assert (refund["provider_payment_id"], refund["state"]) == ("ch_2", "ready")
    jobs = await shop.owner.fetchval(
        "SELECT count(*) FROM pgqueuer WHERE entrypoint = 'submit_refund'"
    )
    assert jobs == 1


async def test_where_it_does_not_say_so_a_person_may_and_once(shop: Shop) -> None:
    await second_charge(shop)
    assert await shop.owner.fetchval("SELECT count(*) FROM refunds") == 0
    async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
        [surprise], total = await contradictions.page(conn, shop.organization_id, PAGE)
        begun = [
            await begin_refund(
                conn, surprise.contradiction, shop.account_id, refund_id=clock.new_id(),
                asked_by="api", now=START,
            )
            for _ in range(2)
        ]  # fmt: skip
    assert total == 1
    assert isinstance(begun[0], RefundRow)
    assert begun[1] == NOTHING_TO_REFUND


@pytest.mark.parametrize(
    ("kind", "currency", "cents"),
    [("stripe", "KWD", 1_234), ("adyen", "IDR", 1_234)],  # in tens, and in whole rupiah
)
async def test_what_the_provider_cannot_express_is_left_to_a_person(
    shop: Shop, kind: str, currency: str, cents: int
) -> None:
    attempt = await second_charge(shop, pays_back=True)
    await shop.owner.execute("UPDATE provider_accounts SET kind = $1", kind)
    for charge, amount in (("ch_3", cents), ("ch_4", cents - cents % 100)):
        paid = Paid(charge, "succeeded", amount, currency)
        await settle_attempts(
            shop.pool, [Report(attempt, paid, Source.EVENT)], now=shop.clock.now()
        )
    begun = await shop.owner.fetch("SELECT provider_payment_id FROM refunds ORDER BY 1")
    assert [one["provider_payment_id"] for one in begun] == ["ch_2", "ch_4"]
    left = await shop.owner.fetchval(
        "SELECT unapplied_cents FROM contradictions WHERE provider_payment_id = 'ch_3'"
    )
    assert left == cents  # it is shown, with the money that belongs to nothing


@pytest.mark.parametrize("order", list(permutations(["processing", "done", "failed"])), ids=str)
async def test_a_refund_that_comes_back_has_failed_in_whatever_order(
    shop: Shop, order: tuple[str, ...]
) -> None:
    refund = await refund_sent(shop)
    before = await books(shop)
    for word in order:
        outcome = {"processing": PROCESSING, "done": DONE, "failed": FAILED}[word]
        for _ in range(2):
            await tell(shop, refund, outcome)
    assert (await shop.row("refunds", refund))["state"] == "failed"
    assert await books(shop) == before  # the money belongs to no invoice, as before
    assert before["unapplied"] == -1_000
    told = [word for word, _ in await shop.told(refund)]
    was_paid_first = order.index("done") < order.index("failed")
    assert sorted(told) == ["payment.refund_failed"] + ["payment.refunded"] * was_paid_first


async def test_a_refund_takes_the_money_out_of_the_books_once(shop: Shop) -> None:
    refund = await refund_sent(shop)
    words = [await tell(shop, refund, DONE) for _ in range(3)]
    assert words == ["refund_moved_to_succeeded", "nothing_new", "nothing_new"]
    assert "unapplied" not in await books(shop)
    assert (await shop.row("refunds", refund))["look_up_at"] is None


async def test_each_end_of_a_refund_is_told_once_with_its_reason(shop: Shop) -> None:
    refund = await refund_sent(shop)
    for outcome, word, status, reason in [
        (DONE, "payment.refunded", "succeeded", None),
        (FAILED, "payment.refund_failed", "failed", "expired_or_canceled_card"),
    ]:
        for _ in range(3):
            await tell(shop, refund, outcome)
        payload = dict(await shop.told(refund))[word]
        assert payload["lago_id"] == str(refund.id)
        assert (payload["status"], payload["error_code"]) == (status, reason)
        assert (payload["amount_cents"], payload["provider_refund_id"]) == (1_000, "re_1")
        assert payload["ended_at"]
    assert len(await shop.told(refund)) == 2


async def test_a_refund_that_has_not_ended_is_told_of_to_nobody(shop: Shop) -> None:
    refund = await refund_sent(shop)
    for outcome in (PROCESSING, Lost("TimeoutError"), NotKnown()):
        await tell(shop, refund, outcome, Source.LOOK_UP)
    assert await shop.told(refund) == []


async def test_what_a_person_says_of_a_refund_is_told_with_that_reason(shop: Shop) -> None:
    refund = await called_failed(shop)
    [(word, payload)] = await shop.told(refund)
    assert (word, payload["error_code"]) == ("payment.refund_failed", "settled_by_hand")


async def test_no_answer_is_a_state_and_is_asked_about(shop: Shop) -> None:
    refund = await refund_sent(shop)
    for source in (Source.ANSWER, Source.LOOK_UP, Source.LOOK_UP):
        await tell(shop, refund, Lost("TimeoutError"), source)
        row = await shop.row("refunds", refund)
        assert row["state"] == "unknown"
        assert row["look_up_at"] > shop.clock.now()
    await tell(shop, refund, DONE, Source.LOOK_UP)
    assert (await shop.row("refunds", refund))["state"] == "succeeded"


async def test_one_that_the_provider_never_knows_goes_to_a_person(shop: Shop) -> None:
    refund = await refund_sent(shop)
    await tell(shop, refund, Lost("TimeoutError"), Source.ANSWER)
    states = []
    for _ in range(12):
        row = await shop.row("refunds", refund)
        states.append(row["state"])
        if row["look_up_at"] is None:
            break
        shop.clock.at = row["look_up_at"]
        await tell(shop, refund, NotKnown(), Source.LOOK_UP)
    assert set(states[:-1]) == {"unknown"}
    assert states[-1] == "needs_review"


async def called_failed(shop: Shop) -> RowKey:
    """A refund of which nothing was told, until a person said that it had failed."""
    refund = await refund_sent(shop)
    for state in ("unknown", "needs_review"):
        await shop.change("refunds", refund, state=state, look_up_at=None)
    await by_hand(shop, refund)
    await release(shop)
    return refund


async def by_hand(shop: Shop, refund: RowKey, decided: RefundDecided = BY_HAND) -> str:
    """A person's word about a refund; answers what it has become."""
    async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
        await conn.execute("SET LOCAL lock_timeout = '60s'")  # a busy machine is slow to let go
        settled = await settle_refund_by_hand(
            conn, refund, decided, audit_id=clock.new_id(), now=shop.clock.now()
        )
    return settled.state.value


async def release(shop: Shop) -> None:
    """A person has looked at the second charge, and lets its invoice go."""
    await shop.owner.execute("UPDATE invoices SET held_because = NULL")


async def asked_again(shop: Shop) -> RefundRow | Refusal:
    """Ask once more for the money of the second charge to be paid back."""
    async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
        found, _ = await contradictions.page(conn, shop.organization_id, PAGE)
        [charged] = [one.contradiction for one in found if one.contradiction.refund_id is None]
        return await begin_refund(
            conn, charged, shop.account_id, refund_id=clock.new_id(), asked_by="api", now=START
        )


async def surprises(shop: Shop, refund: RowKey) -> list[tuple[str, str, str]]:
    """What contradicted a refund, oldest first: what it was, what was told, and in which way."""
    found = await shop.owner.fetch(
        "SELECT was, told, reason FROM contradictions WHERE refund_id = $1 ORDER BY told DESC",
        refund.id,
    )
    return [tuple(one) for one in found]


async def is_held(shop: Shop) -> bool:
    return await shop.owner.fetchval("SELECT held_because FROM invoices") == "contradicted"


async def test_money_that_went_back_although_a_person_said_no_is_booked_and_raised(
    shop: Shop,
) -> None:
    refund = await called_failed(shop)
    again = await asked_again(shop)  # under another key: the payer will have it twice
    assert isinstance(again, RefundRow)
    await shop.change("refunds", again.key, state="sent", sent_at=START, request="{}")
    await tell(shop, again.key, Refunded("re_9", "succeeded", 1_000, "EUR"))
    words = [await tell(shop, refund, DONE) for _ in range(2)]
    assert words == ["contradicts_failed"] * 2
    assert await surprises(shop, refund) == [("failed", "refunded", "the_refund_had_failed")]
    assert (await books(shop))["unapplied"] == 1_000  # more went back than had come in
    assert await is_held(shop)
    assert (await shop.row("refunds", refund))["state"] == "failed"
    assert await unbooked(shop) == 0


async def test_what_a_person_has_let_go_is_not_held_again_by_old_news(shop: Shop) -> None:
    refund = await called_failed(shop)
    await tell(shop, refund, DONE)
    await release(shop)
    await tell(shop, refund, DONE)
    assert not await is_held(shop)


async def test_money_that_went_back_after_all_does_not_go_back_again(shop: Shop) -> None:
    refund = await called_failed(shop)
    await tell(shop, refund, DONE)
    assert await asked_again(shop) == NOTHING_TO_REFUND
    await tell(shop, refund, FAILED)  # the payer's bank has sent it back
    assert isinstance(await asked_again(shop), RefundRow)


async def waiting_for_a_person(shop: Shop) -> int:
    """How many refunds both lists show that a person may settle."""
    found = await list_open_refunds(
        shop.pool, shop.organization_id, needs_review=True, now=shop.clock.now()
    )
    since = silent_since(now=shop.clock.now())
    async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
        listed, total = await refund_lists.page(
            conn, shop.organization_id, PAGE, silent_since=since
        )
    assert len(listed) == len(found) == total
    return total


@pytest.mark.parametrize(
    ("told", "state"),
    [
        (PROCESSING, "processing"),  # accepted, and whoever would tell the end has no look-up
        (Lost("http_401"), "unknown"),  # a revoked key: no look-up is answered, no step used up
        (None, "sent"),
    ],
    ids=["processing", "unknown", "sent"],
)
async def test_a_refund_that_never_ends_is_a_persons_to_settle_after_a_day(
    shop: Shop, told: RefundOutcome | None, state: str
) -> None:
    refund = await refund_sent(shop)
    if told is not None:
        await tell(shop, refund, told, Source.ANSWER)
    assert (await shop.row("refunds", refund))["state"] == state
    shop.clock.at = START + STEPS[-1] - timedelta(seconds=1)
    assert await waiting_for_a_person(shop) == 0
    with pytest.raises(Refused) as refused:
        await by_hand(shop, refund)
    assert refused.value.refusal.code == "refund_not_in_review"
    shop.clock.advance(seconds=1)
    assert await waiting_for_a_person(shop) == 1
    assert await by_hand(shop, refund) == "failed"
    assert await waiting_for_a_person(shop) == 0
    assert isinstance(await asked_again(shop), RefundRow)


async def test_a_webhook_that_was_not_lost_after_all_outranks_the_person(shop: Shop) -> None:
    refund = await refund_sent(shop)
    await tell(shop, refund, PROCESSING, Source.ANSWER)
    shop.clock.at = START + STEPS[-1]
    await by_hand(shop, refund)
    assert await tell(shop, refund, DONE) == "contradicts_failed"
    assert "unapplied" not in await books(shop)


async def two_refunds(shop: Shop) -> list[RowKey]:
    """Refunds of two charges, both of which a person may settle."""
    for suffix in ("", "_of_another"):
        await second_charge(shop, pays_back=True, suffix=suffix)
    found = await shop.owner.fetch("SELECT organization_id, id FROM refunds ORDER BY id")
    keys = [RowKey(*one) for one in found]
    for key in keys:
        await shop.change("refunds", key, state="sent", sent_at=START, request="{}")
    shop.clock.at = START + STEPS[-1]
    return keys


async def test_two_who_settle_at_once_do_not_give_two_refunds_one_id(shop: Shop) -> None:
    first, second = await two_refunds(shop)
    async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
        await settle_refund_by_hand(
            conn, first, BACK, audit_id=clock.new_id(), now=shop.clock.now()
        )
        late = asyncio.create_task(by_hand(shop, second, BACK))
        await eventually(lambda: someone_waits(shop), what="the other one waits for this one")
    with pytest.raises(Refused) as refused:
        await late
    assert refused.value.refusal.details == {"provider_refund_id": ["value_already_exist"]}
    assert (await shop.row("refunds", second))["state"] == "sent"


async def someone_waits(shop: Shop) -> bool:
    return await waiting_for_locks(shop.owner) > 0


@pytest.mark.parametrize("told", [DONE, PROCESSING, FAILED], ids=lambda one: type(one).__name__)
async def test_an_id_that_a_person_gave_to_the_wrong_refund_is_raised(
    shop: Shop, told: RefundOutcome
) -> None:
    first, second = await two_refunds(shop)
    await by_hand(shop, first, BACK)
    await release(shop)
    for _ in range(2):
        await tell(shop, second, told)
    row = await shop.row("refunds", second)
    states = {Refunded: "succeeded", RefundProcessing: "processing", Declined: "failed"}
    assert (row["state"], row["provider_refund_id"]) == (states[type(told)], None)
    [(_, _, reason)] = await surprises(shop, second)
    assert reason == "another_refund_has_this_id"
    held = await shop.owner.fetchval(
        "SELECT count(*) FROM invoices WHERE held_because = 'contradicted'"
    )
    assert held == 1
    assert await unbooked(shop) == 0


async def test_one_that_waits_to_be_sent_is_nobodys_to_settle(shop: Shop) -> None:
    await second_charge(shop, pays_back=True)
    refund = RowKey(*await shop.owner.fetchrow("SELECT organization_id, id FROM refunds"))
    shop.clock.advance(hours=48)
    assert await waiting_for_a_person(shop) == 0
    with pytest.raises(Refused):
        await by_hand(shop, refund)


@pytest.mark.parametrize("order", list(permutations([DONE, FAILED, PROCESSING])), ids=words_of)
async def test_a_persons_no_is_outranked_and_the_books_agree_in_whatever_order(
    shop: Shop, order: tuple[RefundOutcome, ...]
) -> None:
    refund = await called_failed(shop)
    before = await books(shop)
    for outcome in order:
        for _ in range(2):
            await tell(shop, refund, outcome)
    assert await books(shop) == before  # paid, and sent back by the payer's bank
    assert (await shop.row("refunds", refund))["state"] == "failed"
    assert await unbooked(shop) == 0


async def test_a_refund_that_was_turned_away_and_made_all_the_same_is_raised(shop: Shop) -> None:
    refund = await refund_sent(shop)
    await tell(shop, refund, Declined("charge_already_refunded"), Source.ANSWER)
    assert await tell(shop, refund, DONE) == "contradicts_failed"
    assert "unapplied" not in await books(shop)


async def test_the_trigger_allows_exactly_the_moves_of_the_table(
    shop: Shop, owner: asyncpg.Connection
) -> None:
    refund = await refund_sent(shop)
    allowed = set()
    for before, after in product(RefundState, RefundState):
        undone = owner.transaction()
        await undone.start()
        try:
            await owner.execute("ALTER TABLE refunds DISABLE TRIGGER USER")
            await put(owner, refund, before)
            await owner.execute("ALTER TABLE refunds ENABLE TRIGGER USER")
            await put(owner, refund, after)
            allowed.add((before, after))
        except asyncpg.CheckViolationError as error:
            assert f"a refund does not move from {before} to {after}" in str(error)  # noqa: PT017
        finally:
            await undone.rollback()
    stays = {(state, state) for state in RefundState}
    assert allowed == stays | {(one, other) for one in RefundState for other in NEXT[one]}


async def put(owner: asyncpg.Connection, refund: RowKey, state: RefundState) -> None:
    await owner.execute(
        "UPDATE refunds SET state = $2, ended_at = $3 WHERE id = $1",
        refund.id, state.value, START if state in ENDINGS else None,
    )  # fmt: skip

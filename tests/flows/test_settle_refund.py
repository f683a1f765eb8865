"""What is told of a refund, in every state and order; and that the same money goes back once."""

from __future__ import annotations

from itertools import permutations, product

import asyncpg
import pytest

from recoup import clock
from recoup.flows.refund_payment import begin_refund
from recoup.flows.reports import Report, Source
from recoup.flows.settle_attempt import settle_attempts
from recoup.flows.settle_refund import RefundReport, settle_refund
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
from recoup.rules.records.keys import RowKey
from recoup.rules.refund_state import ENDINGS, NEXT, RefundState
from recoup.store import contradictions, db
from tests.shop import START, Shop

PAGE = Page()
PROCESSING = RefundProcessing("re_1", "pending")
DONE = Refunded("re_1", "succeeded", 1_000, "EUR")
FAILED = Declined("expired_or_canceled_card", provider_payment_id=None)


async def second_charge(shop: Shop, *, refunds: bool = False) -> RowKey:
    """An attempt that was paid, and then paid once more under another id."""
    await shop.owner.execute("UPDATE provider_accounts SET refund_surprises = $1", refunds)
    attempt = await shop.begun(await shop.sell("pm_sandbox_ok"))
    await shop.sending.ask(attempt)
    for charge in ("ch_1", "ch_2"):
        paid = Paid(charge, "succeeded", 1_000, "EUR")
        await settle_attempts(
            shop.pool, [Report(attempt, paid, Source.EVENT)], now=shop.clock.now()
        )
    return attempt


async def refund_sent(shop: Shop) -> RowKey:
    """A refund of the second charge that was sent, and not answered yet."""
    await second_charge(shop, refunds=True)
    found = await shop.owner.fetchrow("SELECT organization_id, id FROM refunds")
    key = RowKey(*found)
    await shop.change("refunds", key, state="sent", sent_at=START, request="{}", look_up_at=START)
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


async def test_a_second_charge_is_paid_back_where_the_account_says_so(shop: Shop) -> None:
    attempt = await second_charge(shop, refunds=True)
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
    assert [one is not None for one in begun] == [True, False]


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


async def test_a_refund_takes_the_money_out_of_the_books_once(shop: Shop) -> None:
    refund = await refund_sent(shop)
    words = [await tell(shop, refund, DONE) for _ in range(3)]
    assert words == ["refund_moved_to_succeeded", "nothing_new", "nothing_new"]
    assert "unapplied" not in await books(shop)
    assert (await shop.row("refunds", refund))["look_up_at"] is None


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

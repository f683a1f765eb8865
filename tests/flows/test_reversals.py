"""Money that was taken back, in any order of telling: one end, one event, and a held invoice."""

from __future__ import annotations

from itertools import permutations

import pytest

from recoup import clock
from recoup.flows.refund_payment import NOTHING_TO_REFUND, begin_refund
from recoup.flows.reports import News, Report, Source
from recoup.flows.settle_attempt import settle_attempts
from recoup.providers.protocol import Canceled, Declined, GivenBack, Paid, Processing, Reversed
from recoup.rules.lago.pages import Page
from recoup.rules.records.keys import RowKey
from recoup.store import contradictions, db
from tests.shop import Shop, sent


def news(attempt: RowKey) -> dict[str, News]:
    charge = f"ch_{attempt.id.hex}"
    return {
        "processing": Processing(charge, "processing"),
        "paid": Paid(charge, "succeeded", 1_000, "EUR"),
        "reversed": Reversed(charge, "charged_back", 1_000, "eur", "fraudulent", is_lost=True),
        "given back": GivenBack(charge, "chargeback_reversed", 1_000, "EUR"),
        "again": Reversed(charge, "second", 1_000, "EUR", "fraudulent", is_second=True),
    }


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("order", list(permutations(["processing", "paid", "reversed"])), ids=str)
async def test_the_order_in_which_it_is_told_changes_nothing(
    shop: Shop, order: tuple[str, ...], times: int
) -> None:
    invoice, attempt = await sent(shop)
    for word in order:
        for _ in range(times):
            report = Report(attempt, news(attempt)[word], Source.EVENT)
            await settle_attempts(shop.pool, [report], now=shop.clock.now())
    assert await shop.state(attempt) == "succeeded"
    assert await shop.shown(invoice) == ("succeeded", 0)
    row = await shop.row("invoices", invoice)
    assert row["held_because"] == "contradicted"
    assert row["payment_dispute_lost_at"] is not None
    assert sorted(await shop.words()) == [
        "invoice.payment_dispute_lost",
        "invoice.payment_status_updated",
        "payment.succeeded",
        "payment_receipt.created",
    ]
    [lost] = [told for kind, told in await shop.told() if kind == "invoice.payment_dispute_lost"]
    assert (lost["invoice"]["lago_id"], lost["provider_error"]) == (str(invoice.id), "fraudulent")
    reasons = await shop.owner.fetch("SELECT reason, amount_cents, currency FROM contradictions")
    assert [tuple(one) for one in reasons] == [("the_money_was_taken_back", 1_000, "EUR")]
    assert await books(shop) == {"at_provider": 0, "receivable": -1_000, "reversed": 1_000}


async def books(shop: Shop) -> dict[str, int]:
    sums = await shop.owner.fetch(
        "SELECT account, sum(amount_cents)::int AS cents FROM ledger_entries GROUP BY account"
    )
    return dict(map(tuple, sums))


@pytest.mark.parametrize("told", ["given back", "again"])
@pytest.mark.parametrize(
    "others", [(), *permutations(["paid", "reversed"]), ("given back",)], ids=str
)
async def test_money_that_comes_back_is_in_the_books_whatever_else_is_told(
    shop: Shop, told: str, others: tuple[str, ...]
) -> None:
    """What it implies may have been told before, after, or never."""
    for order in ([told, *others], [*others, told], [told, *others, told]):
        _, attempt = await sent(shop)
        for word in order:
            report = Report(attempt, news(attempt)[word], Source.EVENT)
            await settle_attempts(shop.pool, [report], now=shop.clock.now())
        kept = await shop.owner.fetch(
            "SELECT told FROM contradictions WHERE payment_id = $1", attempt.id
        )
        again = ["reversed"] if told == "again" else []
        assert sorted(row["told"] for row in kept) == ["given_back", "reversed", *again]
    back = 3_000 if told == "given back" else 0
    assert await books(shop) == {
        "at_provider": back, "receivable": -3_000, "reversed": 3_000 - back
    }  # fmt: skip


async def test_nobody_is_charged_again_for_what_was_taken_back(shop: Shop) -> None:
    invoice, attempt = await sent(shop)
    back = Report(attempt, news(attempt)["reversed"], Source.EVENT)
    await settle_attempts(shop.pool, [back], now=shop.clock.now())
    shop.clock.advance(minutes=1)
    await shop.change("invoices", invoice, payment_status="failed", paid_cents=0)
    answer = await shop.ask(invoice)
    assert getattr(answer, "because", None) == "invoice_no_longer_collectable"


async def test_a_cancelled_authorisation_ends_what_was_not_paid_and_takes_back_what_was(
    shop: Shop,
) -> None:
    for state, held in (("succeeded", "contradicted"), ("failed", None)):
        invoice, attempt = await sent(shop)
        charge = f"ch_{attempt.id.hex}"
        told: list[News] = [Canceled(charge, "CANCELLATION", 1_000, "EUR", is_ours=True)]
        if state == "succeeded":
            told.insert(0, Paid(charge, "AUTHORISATION", 1_000, "EUR"))
        # An authorisation that is told after its cancellation is old news.
        told.append(Paid(charge, "AUTHORISATION", 1_000, "EUR"))
        for one in told:
            report = Report(attempt, one, Source.EVENT)
            await settle_attempts(shop.pool, [report], now=shop.clock.now())
        assert await shop.state(attempt) == state
        assert (await shop.row("invoices", invoice))["held_because"] == held


FIRST = Paid("ch_1", "succeeded", 1_000, "EUR")
OTHER = Paid("ch_2", "succeeded", 1_000, "EUR")
OTHER_TAKEN = Reversed("ch_2", "charged_back", 1_000, "eur", "fraudulent", is_lost=True)
OTHER_GIVEN = GivenBack("ch_2", "chargeback_reversed", 1_000, "EUR")
NEVER_PAID = Declined("do_not_honor", provider_payment_id="ch_2")


async def settle_each(shop: Shop, attempt: RowKey, *told: News) -> None:
    for one in told:
        report = Report(attempt, one, Source.EVENT)
        await settle_attempts(shop.pool, [report], now=shop.clock.now())


@pytest.mark.parametrize(
    "told",
    [
        (NEVER_PAID, OTHER_TAKEN),
        (NEVER_PAID, OTHER_TAKEN, OTHER),
        (FIRST, OTHER_TAKEN, OTHER),
    ],
    ids=["after the end", "after the end, and told later", "a second charge, told later"],
)
async def test_what_the_bank_has_taken_back_is_not_paid_back_besides(
    shop: Shop, told: tuple[News, ...]
) -> None:
    await shop.owner.execute("UPDATE provider_accounts SET refund_surprises = true")
    _, attempt = await sent(shop)
    await settle_each(shop, attempt, *told)
    assert await shop.owner.fetchval("SELECT count(*) FROM refunds") == 0
    assert (await books(shop))["unapplied"] == -1_000  # a person sees it, beside `reversed`


async def test_nor_where_the_attempt_was_open_and_its_invoice_void(shop: Shop) -> None:
    await shop.owner.execute("UPDATE provider_accounts SET refund_surprises = true")
    invoice, attempt = await sent(shop)
    await shop.change("invoices", invoice, status="voided")
    await settle_each(shop, attempt, OTHER_TAKEN)
    assert await shop.state(attempt) == "succeeded"
    assert await shop.owner.fetchval("SELECT count(*) FROM refunds") == 0


@pytest.mark.parametrize("given", [False, True], ids=["taken", "given back since"])
async def test_a_person_pays_back_what_is_ours_again_and_nothing_else(
    shop: Shop, given: bool
) -> None:
    _, attempt = await sent(shop)
    await settle_each(shop, attempt, FIRST, OTHER, OTHER_TAKEN, *[OTHER_GIVEN] * given)
    async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
        found, _ = await contradictions.page(conn, shop.organization_id, Page())
        [second] = [one.contradiction for one in found if one.contradiction.unapplied_cents]
        begun = await begin_refund(
            conn, second, shop.account_id, refund_id=clock.new_id(), asked_by="api",
            now=shop.clock.now(),
        )  # fmt: skip
    assert (begun != NOTHING_TO_REFUND) == given

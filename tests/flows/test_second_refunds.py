"""More refunds than one under one key: each is known by its own end, in whatever order it comes."""

from __future__ import annotations

from itertools import permutations

import pytest
from msgspec.structs import replace

from recoup.flows.refund_payment import NOTHING_TO_REFUND
from recoup.flows.settle_refund_by_hand import TAKEN
from recoup.providers.protocol import Declined, Refunded, RefundOutcome
from recoup.rules.records.keys import RowKey
from recoup.rules.refusal import Refused
from tests.flows.test_settle_refund import (
    BACK,
    DONE,
    FAILED,
    PROCESSING,
    asked_again,
    books,
    by_hand,
    is_held,
    refund_sent,
    release,
    second_charge,
    surprises,
    tell,
    unbooked,
    words_of,
)
from tests.shop import START, Shop

OTHER = Refunded("re_2", "succeeded", 1_000, "eur")
OTHER_FAILED = Declined("refund_failed", provider_refund_id="re_2")


@pytest.mark.parametrize("order", list(permutations([DONE, OTHER])), ids=words_of)
async def test_a_second_refund_under_one_key_is_booked_and_raised(
    shop: Shop, order: tuple[RefundOutcome, ...]
) -> None:
    refund = await refund_sent(shop)
    await release(shop)
    for outcome in order * 2:
        await tell(shop, refund, outcome)
    assert await surprises(shop, refund) == [("succeeded", "refunded", "a_second_refund")]
    assert (await books(shop))["unapplied"] == 1_000
    assert await is_held(shop)
    assert await unbooked(shop) == 0


@pytest.mark.parametrize("order", list(permutations([DONE, OTHER, OTHER_FAILED])), ids=words_of)
async def test_of_two_refunds_one_that_came_back_leaves_one_in_the_books(
    shop: Shop, order: tuple[RefundOutcome, ...]
) -> None:
    refund = await refund_sent(shop)
    for outcome in order:
        for _ in range(2):
            await tell(shop, refund, outcome)
    assert "unapplied" not in await books(shop)
    assert await asked_again(shop) == NOTHING_TO_REFUND
    assert await unbooked(shop) == 0


@pytest.mark.parametrize("known", [PROCESSING, DONE, FAILED], ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("order", list(permutations([OTHER, OTHER_FAILED])), ids=words_of)
async def test_another_refund_that_fails_before_it_was_paid_moves_nothing_of_ours(
    shop: Shop, known: RefundOutcome, order: tuple[RefundOutcome, ...]
) -> None:
    refund = await refund_sent(shop)
    await tell(shop, refund, known)
    await release(shop)
    before, row = await books(shop), await shop.row("refunds", refund)
    for outcome in order:
        for _ in range(2):
            await tell(shop, refund, outcome)
    if order[0] is OTHER_FAILED:
        assert (await shop.row("refunds", refund))["state"] == row["state"]
        told = [told for _, told, _ in await surprises(shop, refund)]
        assert told == ["refunded", "came_back"]
        assert await is_held(shop)
    assert await books(shop) == before
    assert await unbooked(shop) == 0


@pytest.mark.parametrize("known", [PROCESSING, DONE], ids=lambda one: type(one).__name__)
async def test_a_refund_goes_on_whatever_becomes_of_another_of_the_same_money(
    shop: Shop, known: RefundOutcome
) -> None:
    refund = await refund_sent(shop)
    for outcome in (known, OTHER_FAILED, DONE):
        await tell(shop, refund, outcome)
    assert (await shop.row("refunds", refund))["state"] == "succeeded"
    assert "unapplied" not in await books(shop)
    assert await asked_again(shop) == NOTHING_TO_REFUND
    assert await unbooked(shop) == 0


@pytest.mark.parametrize("is_its_own", [True, False], ids=["its own", "another refund's"])
async def test_a_person_cannot_name_what_went_back_besides(shop: Shop, is_its_own: bool) -> None:
    """It is in the books by that id: the word would do nothing, or book the same money twice."""
    first = refund = await refund_sent(shop)
    await tell(shop, first, PROCESSING)
    await tell(shop, first, OTHER_FAILED)
    if not is_its_own:
        await second_charge(shop, pays_back=True, suffix="_other")
        row = await shop.owner.fetchrow(
            "SELECT organization_id, id FROM refunds WHERE id <> $1", first.id
        )
        refund = RowKey(*row)
        await shop.change("refunds", refund, state="sent", sent_at=START, request="{}")
    shop.clock.advance(days=2)
    before = await books(shop)
    with pytest.raises(Refused) as refused:
        await by_hand(shop, refund, replace(BACK, provider_refund_id="re_2"))
    assert refused.value.refusal == TAKEN
    assert await books(shop) == before
    assert await by_hand(shop, refund, replace(BACK, provider_refund_id="re_3")) == "succeeded"

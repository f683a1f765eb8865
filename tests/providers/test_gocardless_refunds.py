"""Refunds at GoCardless: the sum of them is confirmed, and each status has its word."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec
import pytest

from recoup.providers.protocol import (
    Declined,
    Lost,
    NotKnown,
    Provider,
    Refund,
    Refunded,
    RefundOrder,
    RefundProcessing,
)
from tests.providers.gocardless_stand_in import GoCardlessStandIn, a_charge
from tests.providers.stand_in import ATTEMPT

REFUND = UUID("01890000-0000-7000-8000-0000000000aa")


def a_refund_order(payment_id: str, **changes: Any) -> RefundOrder:
    fields: dict[str, Any] = {
        "refund_id": REFUND,
        "provider_payment_id": payment_id,
        "amount_cents": 400,
        "currency": "EUR",
        "charged_cents": 1_000,
        "reference": f"refund-{REFUND}",
        "metadata": {"lago_refund_id": str(REFUND), "lago_payment_id": str(ATTEMPT), "more": "-"},
    }
    return RefundOrder(**{**fields, **changes})


def a_refund(provider: Provider, **changes: Any) -> Refund:
    order = a_refund_order("PM1", **changes)
    return Refund(f"refund-{order.refund_id}", provider.render_refund(order))


async def a_paid_payment(gocardless: GoCardlessStandIn) -> None:
    await gocardless.provider.charge(a_charge(gocardless.provider))
    gocardless.stub.become("PM1", "paid_out")


async def test_the_sum_of_all_refunds_is_confirmed(gocardless: GoCardlessStandIn) -> None:
    await a_paid_payment(gocardless)
    provider = gocardless.provider
    assert isinstance(await provider.refund(a_refund(provider)), RefundProcessing)
    knowing = a_refund(provider, refund_id=UUID(int=7), refunded_before_cents=400)
    assert isinstance(await provider.refund(knowing), RefundProcessing)
    unknowing = await provider.refund(a_refund(provider, refund_id=UUID(int=8)))
    assert unknowing == Declined(code="total_amount_confirmation_invalid")
    assert gocardless.stub.find("payments", "PM1")["amount_refunded"] == 800


@pytest.mark.parametrize(
    ("status", "word"),
    [
        ("created", RefundProcessing), ("pending_submission", RefundProcessing),
        ("submitted", RefundProcessing), ("paid", Refunded), ("cancelled", Declined),
        ("bounced", Declined), ("funds_returned", Declined), ("failed", Declined),
        ("of_tomorrow", Lost),
    ],
)  # fmt: skip
async def test_each_status_of_a_refund_has_its_word(
    gocardless: GoCardlessStandIn, status: str, word: type
) -> None:
    await a_paid_payment(gocardless)
    refund = a_refund(gocardless.provider)
    assert isinstance(await gocardless.provider.look_up_refund(refund), NotKnown)
    await gocardless.provider.refund(refund)
    gocardless.stub.become("RF1", status, cause="refund_failed")
    known = msgspec.structs.replace(refund, provider_refund_id="RF1")
    told = [
        await gocardless.provider.look_up_refund(refund),
        await gocardless.provider.look_up_refund(known),
        await gocardless.provider.refund(msgspec.structs.replace(refund, sent_before=True)),
    ]
    assert told == [told[0]] * 3
    assert isinstance(told[0], word)
    if isinstance(told[0], Refunded):
        assert told[0] == Refunded("RF1", "paid", 400, "EUR")
    if status == "bounced":
        assert isinstance(told[0], Declined)
        assert (told[0].decline_code, told[0].provider_refund_id) == ("refund_failed", "RF1")


async def test_a_refusal_of_a_refund_counts_only_where_nothing_was_sent_before(
    gocardless: GoCardlessStandIn,
) -> None:
    refund = Refund("refund-1", gocardless.provider.render_refund(a_refund_order("PM_OF_NOBODY")))
    assert await gocardless.provider.refund(refund) == Declined(code="resource_not_found")
    again = msgspec.structs.replace(refund, sent_before=True)
    assert isinstance(await gocardless.provider.refund(again), Lost)


async def test_a_key_that_made_another_refund_is_no_success(gocardless: GoCardlessStandIn) -> None:
    await a_paid_payment(gocardless)
    for amount_cents, word in ((300, RefundProcessing), (400, Lost)):
        rendered = gocardless.provider.render_refund(
            a_refund_order("PM1", amount_cents=amount_cents)
        )
        assert isinstance(await gocardless.provider.refund(Refund("refund-1", rendered)), word)

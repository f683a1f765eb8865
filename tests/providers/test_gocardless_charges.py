"""A direct debit at GoCardless: what is sent, what its statuses mean, what its refusals say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from recoup.providers.gocardless import GoCardlessProvider
from recoup.providers.protocol import (
    Charge,
    Declined,
    Lost,
    Manner,
    NotChargeable,
    NotKnown,
    Outcome,
    Paid,
    Processing,
    Refund,
    Reversed,
)
from tests.providers.gocardless_stand_in import (
    METADATA,
    NOTED,
    SECRETS,
    GoCardlessStandIn,
    a_charge,
    order,
)
from tests.providers.gocardless_stub import TOKEN
from tests.providers.nonsense import liar
from tests.providers.stand_in import KEY
from tests.providers.test_gocardless_refunds import REFUND, a_refund_order


async def test_the_very_bytes_that_were_kept_are_sent_each_time(
    gocardless: GoCardlessStandIn,
) -> None:
    rendered = gocardless.provider.render(order(metadata={"lago_invoice_id": 'é "№" \\ \u2028 €'}))
    assert isinstance(rendered, str)
    for sent_before in (False, True):
        await gocardless.provider.charge(Charge(KEY, rendered, sent_before=sent_before))
    posts = [one for one in gocardless.stub.requests if one[0] == "POST"]
    assert [body for _, _, _, body in posts] == [rendered.encode()] * 2
    assert [headers["Idempotency-Key"] for _, _, headers, _ in posts] == [KEY] * 2
    refund = gocardless.provider.render_refund(a_refund_order("PM1"))
    await gocardless.provider.refund(Refund(f"refund-{REFUND}", refund))
    assert gocardless.stub.requests[-1][3] == refund.encode()


def test_what_is_noted_beside_a_payment_fits_and_finds_it_again() -> None:
    provider = GoCardlessProvider(SECRETS, base=None)
    rendered = provider.render(order(manner=Manner.ON_SESSION))
    assert rendered == provider.render(order())
    assert isinstance(rendered, str)
    assert json.loads(rendered) == {
        "payments": {
            "amount": 1_000,
            "currency": "EUR",
            "retry_if_possible": False,
            "metadata": {**NOTED, "lago_invoice_id": METADATA["lago_invoice_id"]},
            "links": {"mandate": "MD1"},
        }
    }
    rendered = provider.render(order(metadata={"k" * 51: "too long a key", "n": "v" * 501}))
    assert isinstance(rendered, str)
    assert json.loads(rendered)["payments"]["metadata"] == {**NOTED, "n": "v" * 500}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"manner": Manner.PAGE}, "invalid_payment_provider"),
        ({"manner": Manner.PAGE, "provider_method_id": None}, "invalid_payment_provider"),
        ({"provider_method_id": None}, "no_mandate_error"),
        ({"currency": "JPY"}, "currency_not_supported"),
        ({"amount_cents": 0}, "amount_too_small"),
    ],
)
def test_what_it_does_not_take_is_not_sent(changes: Mapping[str, Any], code: str) -> None:
    assert GoCardlessProvider(SECRETS, base=None).render(order(**changes)) == NotChargeable(code)


@pytest.mark.parametrize(
    ("status", "word"),
    [
        ("pending_customer_approval", Processing),
        ("pending_submission", Processing),
        ("submitted", Processing),
        ("confirmed", Processing),
        ("paid_out", Paid),
        ("charged_back", Reversed),
        ("cancelled", Declined),
        ("customer_approval_denied", Declined),
        ("failed", Declined),
        ("of_tomorrow", Lost),
    ],
)
async def test_each_status_has_its_word_however_it_is_asked_for(
    gocardless: GoCardlessStandIn, status: str, word: type
) -> None:
    gocardless.stub.schemas = None  # which know no status of tomorrow
    charge = a_charge(gocardless.provider)
    await gocardless.provider.charge(charge)
    gocardless.stub.find("payments", "PM1")["status"] = status
    known = msgspec.structs.replace(charge, provider_payment_id="PM1")
    again = msgspec.structs.replace(charge, sent_before=True)
    told = [
        await gocardless.provider.look_up(charge),
        await gocardless.provider.look_up(known),
        await gocardless.provider.charge(again),
    ]
    assert told == [told[0]] * 3
    assert isinstance(told[0], word)
    if not isinstance(told[0], Lost):
        assert (told[0].status, told[0].provider_payment_id) == (status, "PM1")
    if isinstance(told[0], Paid | Reversed):
        assert (told[0].amount_cents, told[0].currency) == (1_000, "EUR")


async def test_a_look_up_alone_tells_why_a_payment_failed(gocardless: GoCardlessStandIn) -> None:
    await gocardless.provider.charge(a_charge(gocardless.provider))
    gocardless.stub.become("PM1", "failed", cause="insufficient_funds", reason_code="AM04")
    told = await gocardless.provider.look_up(a_charge(gocardless.provider))
    assert isinstance(told, Declined)
    codes = (told.code, told.decline_code, told.network_decline_code, told.method_is_gone)
    assert codes == ("failed", "insufficient_funds", "AM04", False)
    gocardless.stub.become("PM1", "failed", cause="mandate_cancelled", reason_code="MD01")
    told = await gocardless.provider.look_up(a_charge(gocardless.provider))
    assert isinstance(told, Declined)
    assert (told.decline_code, told.method_is_gone) == ("mandate_cancelled", True)


async def test_what_failed_after_it_was_paid_out_was_taken_back(
    gocardless: GoCardlessStandIn,
) -> None:
    await gocardless.provider.charge(a_charge(gocardless.provider))
    gocardless.stub.become("PM1", "paid_out")
    gocardless.stub.become("PM1", "failed", cause="refer_to_payer")
    told = await gocardless.provider.look_up(a_charge(gocardless.provider))
    assert told == Reversed("PM1", "failed", 1_000, "EUR", "failed")


@pytest.mark.parametrize(
    "other",
    [{"amount_cents": 999}, {"currency": "GBP"}, {"provider_method_id": "MD2"},
     {"attempt_id": REFUND}],
)  # fmt: skip
async def test_a_key_that_made_something_else_is_no_success(
    gocardless: GoCardlessStandIn, other: Mapping[str, Any]
) -> None:
    gocardless.stub.mandate("MD2")
    rendered = gocardless.provider.render(order(**other))
    assert isinstance(rendered, str)
    assert isinstance(await gocardless.provider.charge(Charge(KEY, rendered)), Processing)
    assert await gocardless.provider.charge(a_charge(gocardless.provider)) == Lost(
        "another_payment"
    )
    assert isinstance(await gocardless.provider.look_up(a_charge(gocardless.provider)), NotKnown)


@pytest.mark.parametrize(
    ("status", "error", "code", "is_gone"),
    [
        (400, {"type": "invalid_api_usage", "errors": [{"reason": "bad_request"}]},
         "bad_request", False),
        (403, {"type": "invalid_api_usage", "errors": [{"reason": "insufficient_permissions"}]},
         "insufficient_permissions", False),
        (404, {"type": "invalid_api_usage", "errors": [{"reason": "resource_not_found"}]},
         "resource_not_found", True),
        (422, {"type": "validation_failed", "errors": [{"field": "amount", "message": "-"}]},
         "validation_failed", False),
        (422, {"type": "validation_failed", "errors": None}, "validation_failed", False),
        (422, {"type": "invalid_state", "errors": [{"reason": "mandate_is_inactive"}]},
         "mandate_is_inactive", True),
        (422, {"type": "invalid_state", "errors": [{"reason": "Bearer sandbox_canary"}]},
         "invalid_state", False),
    ],
)  # fmt: skip
async def test_a_refusal_keeps_its_code_and_nothing_else(
    gocardless: GoCardlessStandIn, status: int, error: Mapping[str, Any], code: str, is_gone: bool
) -> None:
    async with liar() as server:
        server.status, provider = status, gocardless.asking(server.base)
        server.body = msgspec.json.encode({"error": {"message": TOKEN, **error}})
        told = await provider.charge(a_charge(provider))
        assert told == Declined(code=code, method_is_gone=is_gone)
        again = await provider.charge(a_charge(provider, sent_before=True))
        assert again == Lost(f"http_{status}")
        assert await provider.look_up(a_charge(provider)) == Lost(f"http_{status}")
        known = a_charge(provider, provider_payment_id="PM1")
        assert await provider.look_up(known) == Lost(f"http_{status}")


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ("pending_submission", Declined),
        ("cancelled", Declined),
        ("failed", Declined),
        ("submitted", Processing),
        ("confirmed", Processing),
        ("paid_out", Paid),
    ],
)
async def test_an_end_is_asked_for_and_what_became_of_it_is_told(
    gocardless: GoCardlessStandIn, status: str, told: type[Outcome]
) -> None:
    await gocardless.provider.charge(a_charge(gocardless.provider))
    gocardless.stub.find("payments", "PM1")["status"] = status
    outcome = await gocardless.provider.cancel(
        a_charge(gocardless.provider, provider_payment_id="PM1")
    )
    assert isinstance(outcome, told)
    if isinstance(outcome, Declined):
        assert outcome.code == "canceled"
    assert gocardless.stub.find("payments", "PM1")["status"] == (
        "cancelled" if status == "pending_submission" else status
    )


async def test_what_it_does_not_have_cannot_be_called_dead(gocardless: GoCardlessStandIn) -> None:
    assert isinstance(await gocardless.provider.cancel(a_charge(gocardless.provider)), Lost)

"""What Stripe's events mean, which of them are believed, and that their order does not matter."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import httpx
import msgspec
import pytest
import stripe

from recoup.providers.protocol import (
    CustomerNeeded,
    Declined,
    Forged,
    GivenBack,
    Ignored,
    LookUpNeeded,
    MethodAdded,
    MethodGone,
    Notice,
    Paid,
    Processing,
    Refunded,
    RefundNotice,
    RefundProcessing,
    Reversed,
    Told,
)
from recoup.providers.stripe import StripeProvider, StripeSecrets
from recoup.providers.stripe_events import EVENTS, read_event
from tests.provider_signatures import dated
from tests.providers.nonsense import mutated
from tests.providers.stand_in import ATTEMPT, KEY
from tests.providers.test_stripe import INTENT, NO
from tests.providers.test_stripe_calls import FAILED, SESSION

NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)
FIRST, NEXT = "whsec_first", "whsec_next"
REFUND_ID = "01890000-0000-7000-8000-00000000f001"
LINK = {"type": "redirect_to_url", "redirect_to_url": {"url": "https://issuer.example/"}}
OF_PAGE = {"lago_payment_id": str(ATTEMPT), "payment_type": "one-time"}
REFUND = {
    "id": "re_1",
    "object": "refund",
    "amount": 400,
    "currency": "eur",
    "status": "succeeded",
    "metadata": {"lago_refund_id": REFUND_ID},
}
DISPUTE = {
    "id": "dp_1",
    "amount": 1_000,
    "currency": "eur",
    "status": "lost",
    "reason": "fraudulent",
    "payment_intent": "pi_1",
}


def body(kind: str, what: Mapping[str, Any], **data: Any) -> bytes:
    event = {"id": "evt_1", "object": "event", "type": kind, "data": {"object": what, **data}}
    return msgspec.json.encode(event)


def told(kind: str, what: Mapping[str, Any], **data: Any) -> Told:
    return read_event(body(kind, what, **data).decode())


def of_intent(kind: str, **fields: Any) -> Told:
    return told(f"payment_intent.{kind}", {**INTENT, **fields})


def test_a_payments_events_say_what_it_has_come_to() -> None:
    assert of_intent("succeeded") == Notice(KEY, Paid("pi_1", "succeeded", 1_000, "EUR"))
    assert of_intent("processing", status="processing") == Notice(
        KEY, Processing("pi_1", "processing")
    )
    needed = of_intent("requires_action", status="requires_action", next_action=LINK)
    assert isinstance(needed, Notice)
    assert isinstance(needed.outcome, CustomerNeeded)
    assert needed.outcome.url == "https://issuer.example/"
    failed = of_intent("payment_failed", **FAILED | {"last_payment_error": NO})
    assert isinstance(failed, Notice)
    assert isinstance(failed.outcome, Declined)
    assert (failed.outcome.code, failed.outcome.decline_code) == (NO["code"], NO["decline_code"])
    canceled = of_intent("canceled", status="canceled")
    assert isinstance(canceled, Notice)
    assert isinstance(canceled.outcome, Declined)
    assert canceled.outcome.code == "canceled"


def test_a_part_of_a_transfer_is_asked_about() -> None:
    part = of_intent("partially_funded", status="requires_action", amount_received=400)
    assert part == LookUpNeeded(KEY, "pi_1")


def test_old_and_new_api_versions_are_read_alike() -> None:
    """The endpoint's version is the merchant's to choose, and not ours."""
    outcome = {"type": "issuer_declined", "network_decline_code": "51"}
    old = {name: one for name, one in FAILED.items() if name not in {"latest_charge"}}
    old["charges"] = {"object": "list", "data": [{"id": "ch_1", "outcome": outcome}]}
    for intent in (old, {**FAILED, "latest_charge": {"id": "ch_1", "outcome": outcome}}):
        said = told("payment_intent.payment_failed", {**intent, "last_payment_error": NO})
        assert isinstance(said, Notice)
        assert isinstance(said.outcome, Declined)
        assert said.outcome.network_decline_code == "51"
    # An old version does not say how much was received, nor is the error kept for ever.
    without = {name: one for name, one in INTENT.items() if name != "amount_received"}
    assert told("payment_intent.succeeded", without) == of_intent("succeeded")
    unexplained = told("payment_intent.payment_failed", {**FAILED, "last_payment_error": None})
    assert isinstance(unexplained, Notice)
    assert isinstance(unexplained.outcome, Declined)


def test_what_fails_on_a_page_does_not_end_it() -> None:
    failed = {**FAILED, "last_payment_error": NO, "metadata": OF_PAGE}
    assert told("payment_intent.payment_failed", failed) == Ignored("the_page_goes_on")
    # Where the issuer asks for the payer, the page asks them; the money that they send takes days.
    acting = {**INTENT, "status": "requires_action", "next_action": LINK, "metadata": OF_PAGE}
    assert told("payment_intent.requires_action", acting) == Ignored("the_page_goes_on")
    canceled = {**INTENT, "status": "canceled", "metadata": OF_PAGE}
    assert told("payment_intent.canceled", canceled) == LookUpNeeded(KEY, "pi_1")
    assert of_intent("succeeded", metadata=OF_PAGE) == of_intent("succeeded")


def test_a_pages_events() -> None:
    paid = {"status": "complete", "payment_status": "paid", "payment_intent": "pi_1"}
    told_paid = Notice(KEY, Paid("pi_1", "succeeded", 1_000, "EUR"))
    for kind in ("completed", "async_payment_succeeded"):
        assert told(f"checkout.session.{kind}", {**SESSION, **paid}) == told_paid
    days = {**SESSION, **paid, "payment_status": "unpaid"}
    assert told("checkout.session.completed", days) == Notice(KEY, Processing("pi_1", "unpaid"))
    assert told("checkout.session.async_payment_failed", days) == LookUpNeeded(KEY, "cs_1")
    expired = told("checkout.session.expired", {**SESSION, "status": "expired", "url": None})
    assert isinstance(expired, Notice)
    assert isinstance(expired.outcome, Declined)
    assert expired.outcome.code == "canceled"
    odd = {**SESSION, **paid, "payment_intent": None}
    assert told("checkout.session.completed", odd) == LookUpNeeded(KEY, "cs_1")
    set_up = {**SESSION, "mode": "setup", "status": "complete"}
    assert told("checkout.session.completed", set_up) == Ignored("not_ours")


@pytest.mark.parametrize(
    ("status", "word"),
    [
        ("succeeded", Refunded),
        ("pending", RefundProcessing),
        ("requires_action", RefundProcessing),
        ("failed", Declined),
        ("canceled", Declined),
    ],
)
@pytest.mark.parametrize("kind", ["refund.updated", "charge.refund.updated", "refund.failed"])
def test_a_refunds_events(kind: str, status: str, word: type) -> None:
    said = told(kind, {**REFUND, "status": status})
    assert isinstance(said, RefundNotice)
    assert (said.idempotency_key, said.provider_refund_id) == (f"refund-{REFUND_ID}", "re_1")
    assert isinstance(said.outcome, word)


def test_why_a_refund_failed_is_kept() -> None:
    said = told("refund.failed", {**REFUND, "status": "failed", "failure_reason": "lost_or_stolen"})
    assert isinstance(said, RefundNotice)
    assert isinstance(said.outcome, Declined)
    assert (said.outcome.code, said.outcome.provider_refund_id) == ("lost_or_stolen", "re_1")


def test_money_that_was_taken_back_is_told_by_the_intent() -> None:
    taken = Notice(None, Reversed("pi_1", "lost", 1_000, "EUR", "fraudulent", "dp_1", is_lost=True))
    assert told("charge.dispute.closed", DISPUTE) == taken
    assert told("charge.dispute.closed", {**DISPUTE, "status": "won"}) == Ignored(
        "dispute_not_lost"
    )
    withdrawn = told("charge.dispute.funds_withdrawn", {**DISPUTE, "status": "needs_response"})
    assert isinstance(withdrawn, Notice)
    assert isinstance(withdrawn.outcome, Reversed)
    assert not withdrawn.outcome.is_lost, "it may be won yet"
    back = told("charge.dispute.funds_reinstated", {**DISPUTE, "status": "won"})
    assert back == Notice(None, GivenBack("pi_1", "won", 1_000, "EUR", "dp_1"))
    assert told("charge.dispute.closed", {**DISPUTE, "payment_intent": None}) == Ignored("not_ours")


def test_methods_come_and_go() -> None:
    set_up = {"id": "seti_1", "payment_method": "pm_1", "customer": "cus_1"}
    assert told("setup_intent.succeeded", set_up) == MethodAdded("pm_1", "cus_1")
    begun = {**set_up, "created": 1_800_000_000}
    assert told("setup_intent.succeeded", begun) == MethodAdded(
        "pm_1", "cus_1", set_up_at=datetime.fromtimestamp(1_800_000_000, UTC)
    )
    assert isinstance(told("setup_intent.succeeded", {**set_up, "payment_method": None}), Ignored)
    method = {"id": "pm_1", "customer": "cus_1"}
    assert told("payment_method.attached", method) == MethodAdded("pm_1", "cus_1")
    detached = {"id": "pm_1", "customer": None}
    assert told("payment_method.detached", detached) == MethodGone("pm_1")


def test_a_customers_new_default_is_a_method() -> None:
    now = {"id": "cus_1", "invoice_settings": {"default_payment_method": "pm_2"}}
    before = {"invoice_settings": {"default_payment_method": None}}
    assert told("customer.updated", now, previous_attributes=before) == MethodAdded(
        "pm_2", "cus_1", is_default=True
    )
    source = {"id": "cus_1", "default_source": "card_1"}
    assert told("customer.updated", source, previous_attributes={"default_source": None}) == (
        MethodAdded("card_1", "cus_1", is_default=True)
    )
    for other in ({"email": "old@customer.example"}, {"invoice_settings": {"footer": "Thanks"}}):
        said = told("customer.updated", now, previous_attributes=other)
        assert said == Ignored("same_default")
    assert told("customer.updated", now) == Ignored("same_default")


@pytest.mark.parametrize(
    "metadata", [None, {}, {"lago_payment_id": "42"}, {"order": "7"}], ids=repr
)
def test_what_was_not_made_by_us_is_not_ours(metadata: Any) -> None:
    assert of_intent("succeeded", metadata=metadata) == Ignored("not_ours")
    assert told("checkout.session.completed", {**SESSION, "metadata": metadata}) == (
        Ignored("not_ours")
    )
    assert told("refund.updated", {**REFUND, "metadata": metadata}) == Ignored("not_ours")


def test_what_we_do_not_know_is_kept_and_nothing_done() -> None:
    assert told("payment_intent.created", FAILED) == Ignored("of_no_interest")
    assert told("invoice.paid", {"id": "in_1"}) == Ignored("of_no_interest")
    assert of_intent("succeeded", status="of_the_future") == Ignored("unknown_status")


def test_each_event_is_read_in_stripes_own_shape(shared: Path) -> None:
    """The official examples, in which next to everything is null that may be."""
    examples = msgspec.json.decode((shared / "psp" / "stripe-fixtures3.json").read_bytes())
    shapes = examples["resources"]
    of = {
        "payment_intent": ("payment_intent", {"metadata": INTENT["metadata"]}),
        "checkout.session": ("checkout.session", {"metadata": INTENT["metadata"]}),
        "charge.dispute": ("dispute", {"payment_intent": "pi_1", "status": "lost"}),
        "refund": ("refund", {"metadata": REFUND["metadata"]}),
        "charge.refund": ("refund", {"metadata": REFUND["metadata"]}),
        "setup_intent": ("setup_intent", {"payment_method": "pm_1"}),
        "payment_method": ("payment_method", {}),
        "customer": ("customer", {}),
    }
    said = {}
    for kind in EVENTS:
        resource, ours = of[kind.rpartition(".")[0]]
        said[kind] = told(kind, {**shapes[resource], **ours})
    unread = [kind for kind, one in said.items() if one == Ignored("unreadable")]
    assert not unread
    assert {type(one) for one in said.values()} >= {
        Notice, RefundNotice, MethodAdded, MethodGone, LookUpNeeded,
    }  # fmt: skip


def test_the_page_for_those_who_connect_stripe_names_each_event() -> None:
    page = (Path(__file__).parents[2] / "docs" / "providers.md").read_text()
    named = set(re.findall(r"`([a-z_.]+\.[a-z_*]+)`", page))
    unnamed = {one for one in EVENTS if {one, one.rpartition(".")[0] + ".*"}.isdisjoint(named)}
    assert not unnamed


# Signatures


def a_provider(*secrets: str) -> StripeProvider:
    first, second = [*secrets, "", ""][:2]
    http = httpx.AsyncClient()  # nothing is sent, so nothing is opened
    return StripeProvider(StripeSecrets("sk_test_1", first, second), base=None, http=http)


def signed(content: bytes, secret: str = FIRST, at: datetime = NOW) -> dict[str, str]:
    return {"stripe-signature": dated(content, secret, at=int(at.timestamp()))}


def is_believed(provider: StripeProvider, content: bytes, headers: dict[str, str]) -> bool:
    return not isinstance(provider.verify(content, headers, now=NOW), Forged)


EVENT = body("payment_intent.succeeded", INTENT)


def test_what_stripes_own_sdk_signs_is_believed() -> None:
    header = stripe.WebhookSignature.generate_signature_header(
        EVENT.decode(), FIRST, int(NOW.timestamp())
    )
    assert is_believed(a_provider(FIRST), EVENT, {"stripe-signature": header})


def test_either_of_two_secrets_is_believed_and_none_without_any() -> None:
    for believed in ((FIRST,), (NEXT,), (FIRST, NEXT), ()):
        for signer in (FIRST, NEXT, ""):
            is_good = is_believed(a_provider(*believed), EVENT, signed(EVENT, signer))
            assert is_good is (signer in believed), (believed, signer)


@pytest.mark.parametrize("seconds", [301, -301, 86_400, -86_400])
def test_old_and_future_signatures_are_not_believed(seconds: int) -> None:
    headers = signed(EVENT, at=NOW + timedelta(seconds=seconds))
    assert not is_believed(a_provider(FIRST), EVENT, headers)


def test_only_the_scheme_v1_is_a_signature() -> None:
    good = signed(EVENT)["stripe-signature"]
    moment, _, mac = good.partition(",v1=")
    for header, is_good in {
        good: True,
        f"{moment},v1=00,v1={mac}": True,  # while Stripe itself changes the secret
        f"{moment},v0={mac}": False,
        f"{moment},v1={mac},t=1": False,
        f"v1={mac}": False,
        f"{moment}": False,
        f"{moment},v1=": False,
        f"{moment},v1={mac[:-2]}": False,
        f"t=²,v1={mac}": False,
        "": False,
    }.items():
        assert is_believed(a_provider(FIRST), EVENT, {"stripe-signature": header}) is is_good


def test_hundreds_of_forgeries_and_none_is_believed() -> None:
    chance, provider, tried = Random(7), a_provider(FIRST, NEXT), 0
    header = signed(EVENT)["stripe-signature"]
    assert is_believed(provider, EVENT, {"stripe-signature": header})
    for _ in range(400):
        content = mutated(EVENT, chance)
        if content != EVENT:
            assert not is_believed(provider, content, {"stripe-signature": header})
            tried += 1
        said = mutated(header.encode(), chance).decode("latin-1")
        kept = {part for part in said.split(",") if part.startswith(("t=", "v1="))}
        if not {*header.split(",")} <= kept:  # the true parts, and garbage beside them, are true
            assert not is_believed(provider, EVENT, {"stripe-signature": said}), said
            tried += 1
        other = signed(EVENT, f"whsec_{chance.random()}")
        assert not is_believed(provider, EVENT, other)
        tried += 1
    assert tried > 1_000

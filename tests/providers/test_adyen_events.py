"""Adyen's events: its own examples and signature, several hundred tampered, what each means."""

from __future__ import annotations

import copy
import json
import os
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from recoup.providers import adyen_events
from recoup.providers.adyen import AdyenProvider, AdyenSecrets
from recoup.providers.protocol import (
    Canceled,
    Declined,
    Delivery,
    Forged,
    Ignored,
    MethodAdded,
    Notice,
    Reversed,
    Told,
)
from tests.providers.adyen_webhooks import (
    HMAC_KEY,
    ITEM,
    NEXT_HMAC_KEY,
    REFERENCE,
    a_batch,
    an_item,
    signed_item,
)
from tests.providers.stand_in import KEY, NOW
from tests.providers.test_adyen import SECRETS

SHAPES = Path(os.environ.get("RECOUP_SHARED", "../shared")) / "psp" / "adyen-webhooks-v1.json"
SIGNED = ("pspReference", "merchantAccountCode", "merchantReference", "eventCode", "success")
TAMPERED = 400


def told_of(**changes: Any) -> Any:
    provider = AdyenProvider(SECRETS, base="http://127.0.0.1:9")
    verified = provider.verify(a_batch(an_item(**changes)), {}, now=NOW)
    assert not isinstance(verified, Forged)
    return provider.read_event(verified[0].body)


def test_the_signature_is_adyens_own() -> None:
    # Source: the test of the official SDK for its own HMAC.
    item = msgspec.convert(
        {
            "pspReference": "7914073381342284",
            "merchantAccountCode": "TestMerchant",
            "merchantReference": "TestPayment-1407325143704",
            "amount": {"value": 1130, "currency": "EUR"},
            "eventCode": "AUTHORISATION",
            "success": "true",
        },
        adyen_events.Item,
    )
    made = adyen_events.sign(item, bytes.fromhex(HMAC_KEY))
    assert made == "coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0="


@pytest.mark.skipif(not SHAPES.exists(), reason="Adyen's own description is not there")
def test_every_official_example_is_read() -> None:
    examples = json.loads(SHAPES.read_bytes())["components"]["examples"]
    provider = AdyenProvider(SECRETS, base="http://127.0.0.1:9")
    read = 0
    for name, example in examples.items():
        for wrapped in example["value"].get("notificationItems", []):
            given = wrapped["NotificationRequestItem"]
            item = {**given, "merchantAccountCode": "Acme"}
            data = item.get("additionalData") or {}
            signed = an_item(**item)
            signed["additionalData"] = {**data, **signed["additionalData"]}
            verified = provider.verify(a_batch(signed), {}, now=NOW)
            assert not isinstance(verified, Forged), name
            assert provider.read_event(verified[0].body), name
            read += 1
    assert read > 30


def test_nothing_tampered_is_believed() -> None:
    chance = Random(3)
    provider = AdyenProvider(SECRETS, base="http://127.0.0.1:9")
    for _ in range(TAMPERED):
        item: dict[str, Any] = copy.deepcopy(an_item(originalReference="PSPX"))
        name = chance.choice(SIGNED)
        at = chance.randrange(len(item[name]))
        letter = chance.choice("ABCxyz019:")
        changed = item[name][:at] + letter + item[name][at + chance.randrange(2) :]
        if changed == item[name]:
            continue
        item[name] = changed
        batch = a_batch(an_item(), item)
        assert isinstance(provider.verify(batch, {}, now=NOW), Forged), item


# What an item can be of, for everybody who changes what its signature does not cover.
KINDS = tuple(
    {"eventCode": code, "success": success, **more}
    for code, more in (
        ("AUTHORISATION", {}),
        ("AUTHORISATION", {"amount": {"value": 0, "currency": "EUR"}}),
        ("OFFER_CLOSED", {}),
        ("CANCELLATION", {"originalReference": "PSPX"}),
        ("CANCEL_OR_REFUND", {"originalReference": "PSPX"}),
        ("EXPIRE", {"originalReference": "PSPX"}),
        ("CAPTURE_FAILED", {"originalReference": "PSPX"}),
        ("CHARGEBACK", {"originalReference": "PSPX"}),
        ("DISPUTE_DEFENSE_PERIOD_ENDED", {"originalReference": "PSPX"}),
        ("CHARGEBACK_REVERSED", {"originalReference": "PSPX"}),
        ("SECOND_CHARGEBACK", {"originalReference": "PSPX"}),
        ("REFUND", {"originalReference": "PSPX", "merchantReference": "refund-1"}),
        ("REFUND_FAILED", {"originalReference": "PSPX", "merchantReference": "refund-1"}),
        ("RECURRING_CONTRACT", {}),
        ("NOTIFICATION_OF_FRAUD", {}),
    )
    for success in ("true", "false")
)
WORDS = (
    *("refund", "cancel", "Lost", "Won", "true", "2", "24", "03 : Do not try again", "", "1" * 300),
    *("SUCCEEDED", "shopper-2", "PSP7", "\0", "2027-03-01T13:00:00+01:00", None, 7, ["refund"], {}),
)
UNSIGNED = (
    *("modification.action", "disputeStatus", "defendable", "refusalReasonCode", "eventCode"),
    *("refusalReasonRaw", "merchantAdviceCode", "tokenization.storedPaymentMethodId", "success"),
    *("recurring.recurringDetailReference", "shopperReference", "metadata.payment_type", "amount"),
)


def what_money_did(told: Told) -> Any:
    """What it means without what only names a decline, hints at a method, or calls a loss final."""
    match told:
        case Notice(outcome=Declined() as declined):
            kept = ("provider_payment_id", "status", "code", "method_is_gone")
            return (told.idempotency_key, *(getattr(declined, name) for name in kept))
        case Notice(outcome=Reversed() as taken):
            return (told.idempotency_key, msgspec.structs.replace(taken, is_lost=False))
        case MethodAdded() | Ignored():
            return "says nothing of money"
        case _:
            return told


def test_what_is_not_signed_never_says_whether_money_moved() -> None:
    chance = Random(4)
    provider = AdyenProvider(SECRETS, base="http://127.0.0.1:9")
    for kind in KINDS:
        signed = an_item(**kind)
        [kept] = provider.verify(a_batch(signed), {}, now=NOW)
        told = provider.read_event(kept.body)
        for _ in range(100):
            changed = {name: chance.choice(WORDS) for name in chance.sample(UNSIGNED, k=4)}
            item = {
                **signed,
                "additionalData": {**changed, **signed["additionalData"]},
                "reason": chance.choice(["Refused", "51 : Refund", "\0", None]),
                "eventDate": chance.choice(WORDS),
                "paymentMethod": chance.choice(WORDS),
                "operations": ["CANCEL", "CAPTURE", "REFUND"],
            }
            verified = provider.verify(a_batch(item), {}, now=NOW)
            assert not isinstance(verified, Forged), "its signature is right"
            assert [one.event_id for one in verified] == [kept.event_id]
            assert what_money_did(provider.read_event(verified[0].body)) == what_money_did(told)


@pytest.mark.parametrize("action", ["refund", "cancel", None])
def test_what_was_cancelled_or_refunded_elsewhere_is_money_that_we_have_not(
    action: str | None,
) -> None:
    item = {"eventCode": "CANCEL_OR_REFUND", "originalReference": "PSP0", "pspReference": "OTHER"}
    told = told_of(**item, additionalData={"modification.action": action})
    assert told == Notice(KEY, Canceled("PSP0", "CANCEL_OR_REFUND", 1_000, "EUR", is_ours=False))


@pytest.mark.parametrize(
    ("code", "status", "is_lost"),
    [
        ("CHARGEBACK", "Undefended", False),
        ("CHARGEBACK", "Lost", True),
        ("DISPUTE_DEFENSE_PERIOD_ENDED", None, True),
        ("DISPUTE_DEFENSE_PERIOD_ENDED", "Won", True),
        ("SECOND_CHARGEBACK", "Undefended", True),
    ],
)
def test_a_dispute_is_lost_by_the_name_of_its_event_whatever_else_is_said(
    code: str, status: str | None, *, is_lost: bool
) -> None:
    told = told_of(
        eventCode=code, originalReference="PSP0", additionalData={"disputeStatus": status}
    )
    assert isinstance(told.outcome, Reversed)
    assert told.outcome.is_lost is is_lost
    assert told.outcome.is_second is (code == "SECOND_CHARGEBACK")


def test_during_a_rotation_two_keys_are_believed() -> None:
    secrets = msgspec.structs.replace(SECRETS, hmac_key="00" * 32, previous_hmac_key=HMAC_KEY)
    provider = AdyenProvider(secrets, base="http://127.0.0.1:9")
    verified = provider.verify(a_batch(an_item(), an_item(pspReference="B")), {}, now=NOW)
    assert not isinstance(verified, Forged)
    assert [one.event_id for one in verified] == [
        "PSP0/AUTHORISATION/true",
        "B/AUTHORISATION/true",
    ]
    assert all(isinstance(one, Delivery) for one in verified)


def test_no_item_of_a_batch_is_believed_by_anothers_signature() -> None:
    provider = AdyenProvider(SECRETS, base="http://127.0.0.1:9")
    forged = [
        a_batch(an_item(), {**an_item(), "success": "false"}),
        a_batch(an_item(merchantAccountCode="Other")),
        a_batch({**an_item(), "success": True}),
        a_batch({**an_item(), "additionalData": {}}),
        a_batch(signed_item(ITEM, NEXT_HMAC_KEY)),
        # Text moved from one field to the next: the joined text is the same.
        a_batch({**an_item(originalReference="A"), "pspReference": "PSP0:A",
                 "originalReference": ""}),
    ]  # fmt: skip
    for batch in forged:
        assert isinstance(provider.verify(batch, {}, now=NOW), Forged), batch


def test_a_failed_try_on_a_page_ends_nothing() -> None:
    on_a_page = {"merchantReference": f"{REFERENCE} page", "success": "false"}
    assert isinstance(told_of(**on_a_page), Ignored)
    off_session = told_of(success="false")
    assert isinstance(off_session, Notice)
    assert isinstance(off_session.outcome, Declined)


def test_a_charge_back_takes_back_the_payment_that_it_is_of() -> None:
    notice = told_of(eventCode="CHARGEBACK", pspReference="DISPUTE", originalReference="PSP0")
    assert notice == Notice(KEY, Reversed("PSP0", "CHARGEBACK", 1_000, "EUR", "chargeback"))


def test_without_a_key_nothing_is_believed() -> None:
    provider = AdyenProvider(AdyenSecrets("key", "Acme"), base=None)
    assert isinstance(provider.verify(a_batch(an_item()), {}, now=NOW), Forged)


def test_an_end_that_somebody_else_asked_for_is_not_ours() -> None:
    notice = told_of(eventCode="CANCELLATION", pspReference="CANCEL", originalReference="PSP0")
    assert notice == Notice(KEY, Canceled("PSP0", "CANCELLATION", 1_000, "EUR", is_ours=False))


def test_a_cancel_that_was_too_late_says_nothing_of_the_charge() -> None:
    mark = {"merchantReference": f"{KEY} cancel", "originalReference": "PSP0"}
    assert isinstance(told_of(eventCode="CANCELLATION", success="false", **mark), Ignored)


@pytest.mark.parametrize(
    ("said", "set_up_at"),
    [
        ("2027-03-01T13:00:00+01:00", NOW),
        ("2027-03-01T13:00:00", None),  # of which zone?
        ("yesterday", None),
        (None, None),
    ],
)
def test_a_card_left_on_a_page_over_nothing_is_set_up_when_adyen_says(
    said: str | None, set_up_at: datetime | None
) -> None:
    item = an_item(amount={"value": 0, "currency": "EUR"}, eventDate=said)
    item["additionalData"] |= {
        "tokenization.storedPaymentMethodId": "8415698462516992",
        "tokenization.shopperReference": "shopper-1",
    }
    assert adyen_events.read(msgspec.json.encode(item).decode()) == MethodAdded(
        "8415698462516992", "shopper-1", set_up_at=set_up_at
    )

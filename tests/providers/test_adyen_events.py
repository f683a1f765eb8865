"""Adyen's events: its own examples, its own signature, and several hundred that were tampered."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from recoup.providers import adyen_events
from recoup.providers.adyen import AdyenProvider
from recoup.providers.protocol import Delivery, Forged
from tests.providers.adyen_webhooks import HMAC_KEY, a_batch, an_item
from tests.providers.stand_in import NOW
from tests.providers.test_adyen import SECRETS

SHAPES = Path(os.environ.get("RECOUP_SHARED", "../shared")) / "psp" / "adyen-webhooks-v1.json"
SIGNED = ("pspReference", "merchantAccountCode", "merchantReference", "eventCode", "success")
TAMPERED = 400


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

"""Adyen's webhooks as Adyen makes and signs them: each item has its own signature, in its body."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from tests.provider_signatures import signed_item
from tests.providers.stand_in import KEY

ACCOUNT = "Acme"
HMAC_KEY = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"
NEXT_HMAC_KEY = "9B1D6AC3F10E4E8CA8B7D1F5C3F9E27741D3A6B0C5E8F2947A6D80B1C3E5F709"
REFERENCE = f"Acme - Invoice ACM-001 {KEY}"
ITEM: Mapping[str, Any] = {
    "pspReference": "PSP0",
    "merchantAccountCode": ACCOUNT,
    "merchantReference": REFERENCE,
    "amount": {"value": 1_000, "currency": "EUR"},
    "eventCode": "AUTHORISATION",
    "success": "true",
}


def an_item(**changes: Any) -> dict[str, Any]:
    """One item, rightly signed."""
    return signed_item({**ITEM, **changes}, HMAC_KEY)


def a_batch(*items: Mapping[str, Any]) -> bytes:
    """What is delivered at once."""
    wrapped = [{"NotificationRequestItem": item} for item in items]
    return msgspec.json.encode({"live": "false", "notificationItems": wrapped})


def signed_batch(body: bytes, key: str) -> bytes:
    """The same batch with each item signed, as far as there is a place for a signature."""
    try:
        batch = json.loads(body)
        items = [one["NotificationRequestItem"] for one in batch["notificationItems"]]
        return a_batch(*(signed_item(item, key) for item in items))
    except (TypeError, ValueError, KeyError, AttributeError, RecursionError):
        return body

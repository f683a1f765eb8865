"""Adyen's webhooks as Adyen makes and signs them: each item has its own signature, in its body."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

import msgspec

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


def signed_item(item: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The same item with its signature.

    :raises TypeError, ValueError, KeyError: what should be signed is not of its kind.
    """
    amount = item["amount"]
    fields = (
        *(item["pspReference"], item.get("originalReference", ""), item["merchantAccountCode"]),
        *(item["merchantReference"], format(amount["value"], "d"), amount["currency"]),
        *(item["eventCode"], item["success"]),
    )
    mac = hmac.new(bytes.fromhex(key), ":".join(fields).encode(), hashlib.sha256)
    data = {**(item.get("additionalData") or {})}
    data["hmacSignature"] = base64.b64encode(mac.digest()).decode()
    return {**item, "additionalData": data}


def signed_batch(body: bytes, key: str) -> bytes:
    """The same batch with each item signed, as far as there is a place for a signature."""
    try:
        batch = json.loads(body)
        items = [one["NotificationRequestItem"] for one in batch["notificationItems"]]
        return a_batch(*(signed_item(item, key) for item in items))
    except (TypeError, ValueError, KeyError, AttributeError, RecursionError):
        return body

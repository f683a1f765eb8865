"""How providers sign their webhooks, written out by hand from their documents.

Nothing of Recoup's is used here: what a test signs must not be wrong in the way in which the code
that checks it is wrong.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any


def hex_mac(body: bytes, secret: str) -> str:
    """GoCardless: the whole header."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def dated(body: bytes, secret: str, *, at: int) -> str:
    """Stripe, and the sandbox: `t=<unix>,v1=<hex>`, signed over `<unix>.<body>`."""
    return f"t={at},v1={hex_mac(f'{at}.'.encode() + body, secret)}"


def signed_item(item: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Adyen: one item of a batch, with its signature in it; the key is hexadecimal.

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

"""Sign the webhooks that leave us, and recognise the sandbox's that come in.

Signed by `senders/webhook_headers`; recognised by `providers/sandbox` and `gocardless`.

What surprises: one webhook carries two signatures, Lago's and that of Standard Webhooks, made with
one secret. Lago uses the text of the organization's `hmac_key` as its key; Standard Webhooks uses
the bytes that a `whsec_…` text stands for, and ours stands for the bytes of that same text.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

STANDARD_PREFIX: Final = "whsec_"
TOLERANCE: Final = timedelta(minutes=5)
LONGEST_TIMESTAMP: Final = 12  # digits: enough until the year 33658


def lago_signature(body: bytes, *, hmac_key: str) -> str:
    """Sign these exact bytes as Lago does for an endpoint of the kind `hmac` (contract, 7.2)."""
    return _base64_hmac(hmac_key.encode(), body)


def standard_secret(hmac_key: str) -> str:
    """Write an organization's `hmac_key` as the secret that Standard Webhooks' libraries take."""
    return STANDARD_PREFIX + base64.b64encode(hmac_key.encode()).decode()


def standard_signature(body: bytes, *, secret: str, message_id: str, sent_at: datetime) -> str:
    """Make the value of `webhook-signature`: `v1,` and the HMAC of `id.timestamp.body`.

    Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md

    :param secret: `whsec_` and base64, as `standard_secret` writes it.
    :param message_id: without a full stop, which separates the signed parts.
    :param sent_at: goes out as `webhook-timestamp`, in whole seconds.
    """
    assert "." not in message_id, "the parts of what is signed would run into one another"
    key = base64.b64decode(secret.removeprefix(STANDARD_PREFIX), validate=True)
    signed = b"%s.%d.%s" % (message_id.encode(), unix_seconds(sent_at), body)
    return f"v1,{_base64_hmac(key, signed)}"


def sandbox_has_signed(header: str, body: bytes, *, secrets: Sequence[str], now: datetime) -> bool:
    """Tell whether one of `secrets` made the header `t=<unix>,v1=<hex>` for this body, just now.

    It is made as Stripe makes its own: see `stripe_has_signed`.
    """
    return stripe_has_signed(header, body, secrets=secrets, now=now)


def stripe_has_signed(header: str, body: bytes, *, secrets: Sequence[str], now: datetime) -> bool:
    """Tell whether one of `secrets` made the header `t=<unix>,v1=<hex>` for this body, just now.

    The key is the text of the secret, `whsec_` included. Stripe's SDK can check it too, but by the
    clock on the wall, and takes what was signed in the future. Schemes other than `v1` are no
    signatures: `v0` is what Stripe's test events carry beside it.

    Source: https://docs.stripe.com/webhooks#verify-manually

    Several secrets are good while one replaces another, and several `v1` for the same reason. With
    no secret nothing is signed. What is older or newer than five minutes may be a replay.
    """
    parts = [part.partition("=") for part in header.split(",")]
    timestamps = [value for name, _, value in parts if name.strip() == "t"]
    given = [_hex(value) for name, _, value in parts if name.strip() == "v1"]
    if len(timestamps) != 1 or not _is_timestamp(timestamps[0]):
        return False
    if abs(unix_seconds(now) - int(timestamps[0])) > TOLERANCE.total_seconds():
        return False
    signed = timestamps[0].encode() + b"." + body
    wanted = [hmac.digest(secret.encode(), signed, hashlib.sha256) for secret in secrets if secret]
    # All are compared, so that the time taken does not tell which secret came close.
    fits = [hmac.compare_digest(mine, theirs) for mine in wanted for theirs in given]
    return any(fits)


def gocardless_has_signed(header: str, body: bytes, *, secrets: Sequence[str]) -> bool:
    """Tell whether one of `secrets` made this hex HMAC-SHA256 of the body.

    Several secrets are good while one replaces another; with none nothing is signed. GoCardless
    signs no time, so what was signed once is good for ever: whoever keeps the events must know
    each by its id.

    Source: https://developer.gocardless.com/api-reference/#webhooks-signing-webhooks
    """
    given = _hex(header)
    wanted = [hmac.digest(secret.encode(), body, hashlib.sha256) for secret in secrets if secret]
    # All are compared, so that the time taken does not tell which secret came close.
    fits = [hmac.compare_digest(mine, given) for mine in wanted]
    return any(fits)


def unix_seconds(at: datetime) -> int:
    """Write an instant as whole seconds since 1970, as signatures carry it."""
    assert at.tzinfo is not None, "an instant without a zone is nobody's instant"
    return int(at.timestamp())


def _base64_hmac(key: bytes, message: bytes) -> str:
    return base64.b64encode(hmac.digest(key, message, hashlib.sha256)).decode()


def _is_timestamp(text: str) -> bool:
    return text.isdecimal() and len(text) <= LONGEST_TIMESTAMP


def _hex(text: str) -> bytes:
    try:
        return binascii.unhexlify(text)
    except ValueError:  # no hex at all: like a signature that does not fit
        return b""

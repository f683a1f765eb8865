"""Adyen's webhooks: what is believed of them, and what it means.

Source: docs.adyen.com/development-resources/webhooks (HMAC signatures; structure and types).

What would surprise you:
- The signature covers eight fields of one item, and neither the rest nor the batch. What is not
  signed never says whether money moved: it is the reason of a decline, a hint that is asked about,
  or the word that a charge-back, which is signed, is lost for good (contract section 6.2).
- The fields are joined by a colon, so a colon within one could move text from one to the next. None
  but our reference may hold any.
- There is no time in it. A replay is the same event, by its id.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec

from recoup.providers.adyen_answers import Amount, raw_code
from recoup.providers.adyen_requests import read_reference
from recoup.providers.protocol import (
    Canceled,
    Declined,
    Delivery,
    Forged,
    GivenBack,
    Ignored,
    MethodAdded,
    Notice,
    Paid,
    Refunded,
    RefundNotice,
    Reversed,
    Told,
)
from recoup.providers.reading import UNREADABLE

MOST_ITEMS: Final = 100
_Instant = Annotated[datetime, msgspec.Meta(tz=True)]
_Word = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9_.-]{1,80}\Z")]
_CANCELED: Final = frozenset({"CANCELLATION", "TECHNICAL_CANCEL", "CANCEL_OR_REFUND", "EXPIRE"})
# After the first was defended, and given back. A dispute ends in one of them at most once.
_TAKEN_AGAIN: Final = frozenset(
    {"SECOND_CHARGEBACK", "PREARBITRATION_LOST", "SCHEME_ARBITRATION_LOST"}
)
# Nobody defended it in time, or the merchant has accepted it: by the name of the event, which is
# signed, where `disputeStatus` is not.
_LOST: Final = _TAKEN_AGAIN | {"DISPUTE_DEFENSE_PERIOD_ENDED"}
_TAKEN_BACK: Final = _LOST | {"CHARGEBACK", "CAPTURE_FAILED"}
_PAID_BACK: Final = frozenset({"REFUND", "REFUND_WITH_DATA"})
_NOT_PAID_BACK: Final = frozenset({"REFUND_FAILED", "REFUNDED_REVERSED"})
_TOKEN_NAMES: Final = ("tokenization.storedPaymentMethodId", "recurring.recurringDetailReference")
_SHOPPER_NAMES: Final = (
    *("tokenization.shopperReference", "recurring.shopperReference", "shopperReference"),
)


class Item(msgspec.Struct, rename="camel"):
    """One `NotificationRequestItem`."""

    psp_reference: _Word
    merchant_account_code: str
    merchant_reference: str
    amount: Amount
    event_code: _Word
    success: str
    original_reference: str = ""
    reason: str | None = None
    event_date: Any = None
    additional_data: dict[str, Any] = {}

    @property
    def happened_at(self) -> datetime | None:
        """When Adyen says that it happened, where that can be read."""
        try:
            return msgspec.convert(self.event_date, _Instant)
        except UNREADABLE:
            return None


class _Wrapped(msgspec.Struct):
    NotificationRequestItem: msgspec.Raw  # Adyen's name


class _Batch(msgspec.Struct, rename="camel"):
    notification_items: Annotated[list[_Wrapped], msgspec.Meta(min_length=1, max_length=MOST_ITEMS)]


def verify(body: bytes, keys: Sequence[str], account: str) -> list[Delivery] | Forged:
    """Check the signature of every item; one that is wrong refuses them all."""
    secrets = [secret for key in keys if (secret := _secret(key))]
    if not secrets:
        return Forged("no_secret")
    deliveries = []
    try:
        for wrapped in msgspec.json.decode(body, type=_Batch).notification_items:
            raw = bytes(wrapped.NotificationRequestItem)
            item = msgspec.json.decode(raw, type=Item)
            if not _is_signed(item, secrets) or item.merchant_account_code != account:
                return Forged("bad_signature")
            deliveries.append(Delivery(_event_id(item), raw.decode()))
    except UNREADABLE:
        return Forged("unreadable")
    return deliveries


def read(body: str) -> Told:
    """Say what a kept item means."""
    item = msgspec.json.decode(body, type=Item)
    code, succeeded = item.event_code, item.success == "true"
    if code == "RECURRING_CONTRACT":
        # Of this event the signed reference is the token itself.
        return _method(item, item.psp_reference) if succeeded else Ignored("no_method_was_kept")
    if code == "AUTHORISATION" and item.amount.value == 0:
        token = _first(item, _TOKEN_NAMES)
        if not succeeded or token is None:
            return Ignored("no_method_was_kept")
        # A page over nothing: a card that is left there once more has the token that it had.
        return msgspec.structs.replace(_method(item, token), set_up_at=item.happened_at)
    cents = item.amount.in_minor_units()
    if cents is None:
        return Ignored("unreadable_amount")
    signed = read_reference(item.merchant_reference)
    key = signed.key if signed else None
    if code in _PAID_BACK | _NOT_PAID_BACK:
        return _refund(item, key, cents)
    if key is not None and not key.startswith("payment-"):
        return Ignored("of_a_refund")
    if code in _TAKEN_BACK:
        if not succeeded:
            return Ignored("nothing_was_taken_back")
        return Notice(key, _taken(item, cents))
    payment = item.original_reference or item.psp_reference
    if code == "CHARGEBACK_REVERSED" and succeeded:
        return Notice(key, GivenBack(payment, code, cents, item.amount.currency))
    if code in _CANCELED:
        if not succeeded:
            return Ignored("not_canceled")
        # Of CANCEL_OR_REFUND, which is another's doing, only `modification.action` tells which it
        # was, unsigned: either way the payer has all of their money, and we have none of it.
        is_ours = signed is not None and signed.is_cancel
        return Notice(key, Canceled(payment, code, cents, item.amount.currency, is_ours))
    if code not in {"AUTHORISATION", "OFFER_CLOSED"}:
        return Ignored("says_nothing_of_money")
    if signed is None:
        return Ignored("not_ours")
    if code == "AUTHORISATION" and succeeded:
        return Notice(key, Paid(item.psp_reference, code, cents, item.amount.currency))
    if signed.is_page:
        return Ignored("a_try_on_a_page_failed")
    if code == "OFFER_CLOSED" and not succeeded:
        return Ignored("the_offer_is_open")
    return Notice(key, _declined(item))


def _taken(item: Item, cents: int) -> Reversed:
    """Money that was taken back; a first chargeback may be lost at once, where none defends it."""
    code = item.event_code
    # Not signed, and no more than a word beside money that is gone: lost, less is asked of a payer.
    is_lost = code in _LOST or item.additional_data.get("disputeStatus") == "Lost"
    return Reversed(
        item.original_reference or item.psp_reference,
        code,
        cents,
        item.amount.currency,
        code.lower(),
        is_lost=is_lost,
        is_second=code in _TAKEN_AGAIN,
    )


def sign(item: Item, secret: bytes) -> str:
    """The signature of an item, as Adyen makes it."""
    fields = (
        item.psp_reference, item.original_reference, item.merchant_account_code,
        item.merchant_reference, str(item.amount.value), item.amount.currency, item.event_code,
        item.success,
    )  # fmt: skip
    made = hmac.new(secret, ":".join(fields).encode(), hashlib.sha256)
    return base64.b64encode(made.digest()).decode()


def _is_signed(item: Item, secrets: Sequence[bytes]) -> bool:
    said = item.additional_data.get("hmacSignature")
    if not isinstance(said, str) or item.success not in {"true", "false"}:
        return False
    if ":" in item.original_reference or "\0" in item.merchant_reference + item.original_reference:
        return False
    signature = said.encode()
    matches = [hmac.compare_digest(sign(item, secret).encode(), signature) for secret in secrets]
    return any(matches)


def _secret(key: str) -> bytes:
    try:
        return binascii.a2b_hex(key)
    except ValueError:
        return b""


def _event_id(item: Item) -> str:
    told = [item.psp_reference, item.event_code, item.success, item.original_reference]
    # The reference a payment is known by is shorter than 100 signs; a longer one is cut.
    return "/".join(part[:80] for part in told if part)


def _refund(item: Item, key: str | None, cents: int) -> Told:
    if key is not None and not key.startswith("refund-"):
        key = None
    known_as = item.psp_reference
    if item.event_code in _PAID_BACK and item.success == "true":
        back = Refunded(known_as, item.event_code, cents, item.amount.currency)
        return RefundNotice(key, back, known_as)
    if item.event_code in _NOT_PAID_BACK and item.success != "true":
        return Ignored("the_refund_stands")
    failed = Declined("refund_failed", status=item.event_code, provider_refund_id=known_as)
    return RefundNotice(key, failed, known_as)


def _method(item: Item, token: str) -> MethodAdded:
    return MethodAdded(token, _first(item, _SHOPPER_NAMES))


def _declined(item: Item) -> Declined:
    data = item.additional_data
    code = data.get("refusalReasonCode")
    return Declined(
        code=item.event_code,
        message=(item.reason or "")[:255].replace("\0", ""),
        decline_code=code if isinstance(code, str) and code.isdigit() else None,
        network_decline_code=raw_code(data.get("refusalReasonRaw")),
        network_advice_code=raw_code(data.get("merchantAdviceCode")),
        provider_payment_id=item.psp_reference,
        status=item.event_code,
    )


def _first(item: Item, names: Sequence[str]) -> str | None:
    found = (item.additional_data.get(name) for name in names)
    return next((one for one in found if isinstance(one, str) and 0 < len(one) < 256), None)

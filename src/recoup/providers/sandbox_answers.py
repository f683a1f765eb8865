"""What the sandbox says, read with suspicion, and told in our words.

An answer is believed where it can be kept: by an id, an amount and a currency as ours are. Anything
else is no answer.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec

from recoup.providers.protocol import (
    CustomerNeeded,
    Declined,
    Lost,
    Paid,
    Processing,
    Refunded,
    Reversed,
)
from recoup.providers.reading import decode

_Id = Annotated[str, msgspec.Meta(pattern=r"\A[^\x00-\x1f]{1,255}\Z")]
_Cents = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_Instant = Annotated[datetime, msgspec.Meta(tz=True)]
_Currency = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z]{3}\Z")]


class Decline(msgspec.Struct):
    """Why a charge failed."""

    code: str
    message: str = ""
    decline_code: str | None = None
    network_decline_code: str | None = None
    advice_code: str | None = None


class ChargeObject(msgspec.Struct):
    """A charge as the sandbox has it."""

    id: _Id
    amount: _Cents
    currency: _Currency
    status: str
    idempotency_key: str
    decline: Decline | None = None
    next_action: dict[str, Any] | None = None
    metadata: dict[str, str] = {}


class ChargeAnswer(msgspec.Struct):
    """One charge."""

    charge: ChargeObject


class ChargesAnswer(msgspec.Struct):
    """Some charges."""

    charges: list[ChargeObject]
    has_more: bool = False


class RefundObject(msgspec.Struct):
    """A refund as the sandbox has it."""

    id: _Id
    charge: _Id
    amount: _Cents
    currency: _Currency
    status: str
    idempotency_key: str


class RefundAnswer(msgspec.Struct):
    """One refund."""

    refund: RefundObject


class RefundsAnswer(msgspec.Struct):
    """The refund under a key, or none."""

    refunds: list[RefundObject]


class MethodObject(msgspec.Struct):
    """A payment method as the sandbox has it."""

    id: _Id
    customer: Annotated[str, msgspec.Meta(pattern=r"\A[^\x00-\x1f]{0,255}\Z")] = ""
    is_default: bool = False
    attached_at: _Instant | None = None  # when the customer left it, of one that they have left


class MethodAnswer(msgspec.Struct):
    """One payment method."""

    payment_method: MethodObject


class MethodsAnswer(msgspec.Struct):
    """A customer's payment methods."""

    payment_methods: list[MethodObject]


class SetUpPageObject(msgspec.Struct):
    """A page on which a customer leaves a method."""

    id: _Id
    url: Annotated[str, msgspec.Meta(pattern=r"\Ahttps?://[^\s\x00-\x1f]{1,2048}\Z")]
    expires_at: _Instant
    idempotency_key: str


class SetUpPageAnswer(msgspec.Struct):
    """One such page."""

    set_up_page: SetUpPageObject


class Error(msgspec.Struct):
    """Why a call was turned away."""

    code: str = "error"
    type: str = ""
    message: str = ""


class ErrorAnswer(msgspec.Struct):
    """A call that was turned away."""

    error: Error


class EventData(msgspec.Struct):
    """What an event is about."""

    charge: ChargeObject | None = None
    refund: RefundObject | None = None
    payment_method: MethodObject | None = None


class Event(msgspec.Struct):
    """An event."""

    id: _Id
    type: str
    data: EventData


def read_charge(body: bytes, key: str) -> Paid | Processing | CustomerNeeded | Declined | Lost:
    """The outcome of the charge under this key, out of an answer that has one."""
    answer = decode(body, ChargeAnswer)
    if answer is None:
        return Lost("unreadable_answer")
    if answer.charge.idempotency_key != key:
        return Lost("answer_about_another_charge")
    return outcome(answer.charge)


def outcome(charge: ChargeObject) -> Paid | Processing | CustomerNeeded | Declined | Lost:
    """A charge in our words."""
    match charge.status:
        case "succeeded":
            return Paid(charge.id, charge.status, charge.amount, charge.currency)
        case "processing":
            return Processing(charge.id, charge.status)
        case "requires_action":
            action = charge.next_action or {}
            return CustomerNeeded(charge.id, charge.status, action, url=_url(action))
        case "failed":
            no = charge.decline or Decline("declined")
            return Declined(
                code=no.code,
                message=no.message,
                decline_code=no.decline_code,
                network_decline_code=no.network_decline_code,
                advice_code=no.advice_code,
                provider_payment_id=charge.id,
                status=charge.status,
            )
        case _:
            return Lost("unknown_status")


def taken_back(charge: ChargeObject) -> Reversed:
    """A charge whose money the payer's bank has taken back."""
    return Reversed(charge.id, "disputed", charge.amount, charge.currency, "disputed", is_lost=True)


def refund_outcome(refund: RefundObject) -> Refunded | Declined | Lost:
    """A refund in our words."""
    match refund.status:
        case "succeeded":
            return Refunded(refund.id, refund.status, refund.amount, refund.currency)
        case "failed":
            return Declined("refund_failed", status=refund.status, provider_refund_id=refund.id)
        case _:
            return Lost("unknown_status")


def read_turned_away(body: bytes) -> Declined | Lost:
    """A call that was turned away: the first one under its key, so nothing was done."""
    said = decode(body, ErrorAnswer)
    if said is None:
        return Lost("unreadable_answer")
    error = said.error
    if error.type == "idempotency_error":  # our bug: what became of the key is not known
        return Lost(error.code)
    is_gone = error.code == "payment_method_unknown"
    return Declined(code=error.code, message=error.message, method_is_gone=is_gone)


def _url(action: dict[str, Any]) -> str | None:
    page = action.get("redirect_to_url")
    url = page.get("url") if isinstance(page, dict) else None
    return url if isinstance(url, str) else None

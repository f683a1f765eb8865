"""What Stripe's objects look like to us, and which of our ids they carry.

Read from answers, lists and events alike. Events come in the API version of the merchant's webhook
endpoint, which may be older or newer than the one that we ask for: what has moved between versions
is looked for in both places, and what we do not need is not looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from re import compile as pattern
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec

from recoup.rules.records.collection import idempotency_key

# An answer is believed where it can be kept: by an id, an amount and a currency as ours are.
Id = Annotated[str, msgspec.Meta(pattern=r"\A[\x21-\x7e]{1,255}\Z")]

Word = Annotated[str, msgspec.Meta(pattern=r"\A[^\x00-\x1f]{0,255}\Z")]

Text = Annotated[str, msgspec.Meta(pattern=r"\A[^\x00]{0,5000}\Z")]

Url = Annotated[str, msgspec.Meta(pattern=r"\Ahttps?://[\x21-\x7e]{1,5000}\Z")]

Amount = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]

Currency = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z]{3}\Z")]

Instant = Annotated[int, msgspec.Meta(ge=0, le=2**33)]

# An id to ask for. Anything else is nobody's, and would make a path that leads elsewhere.
AN_ID: Final = pattern(r"\A[A-Za-z0-9_]{1,255}\Z")

# Lago's mark of what is paid on a page, in the metadata of the intent as `payment_type`.
ONE_TIME: Final = "one-time"


class Expandable(msgspec.Struct):
    """An object of which the id is enough."""

    id: Id


class ChargeOutcome(msgspec.Struct):
    type: Word | None = None
    reason: Word | None = None
    advice_code: Word | None = None
    network_advice_code: Word | None = None
    network_decline_code: Word | None = None


class StripeCharge(msgspec.Struct):
    outcome: ChargeOutcome | None = None


class Charges(msgspec.Struct):
    data: list[StripeCharge] = []


class Error(msgspec.Struct):
    """Stripe's error, and an intent's last one."""

    type: Word | None = None
    code: Word | None = None
    message: Text | None = None
    param: Word | None = None
    decline_code: Word | None = None
    network_decline_code: Word | None = None
    advice_code: Word | None = None
    network_advice_code: Word | None = None
    payment_intent: Intent | None = None


class ErrorAnswer(msgspec.Struct):
    error: Error


class Intent(msgspec.Struct):
    id: Id
    object: Literal["payment_intent"]
    status: Word
    amount: Amount
    currency: Currency
    amount_received: Amount | None = None  # old API versions do not tell
    metadata: dict[Word, Text] | None = None
    last_payment_error: Error | None = None
    next_action: dict[str, Any] | None = None
    latest_charge: Id | StripeCharge | None = None
    charges: Charges | None = None  # where there was no `latest_charge` yet, before 2022-11-15


class Session(msgspec.Struct):
    """A hosted page: to pay on, or to leave a payment method."""

    id: Id
    object: Literal["checkout.session"]
    mode: Word | None = None
    status: Word | None = None
    payment_status: Word | None = None
    url: Url | None = None
    payment_intent: Id | Intent | None = None
    amount_total: Amount | None = None
    currency: Currency | None = None
    expires_at: Instant | None = None
    metadata: dict[Word, Text] | None = None


class StripeRefund(msgspec.Struct):
    id: Id
    object: Literal["refund"]
    amount: Amount
    currency: Currency
    status: Word | None = None
    failure_reason: Word | None = None
    metadata: dict[Word, Text] | None = None


class List(msgspec.Struct):
    """One page of a list. What is in it is read one by one."""

    object: Literal["list"]
    data: list[msgspec.Raw]
    has_more: bool = False


def attempt_in(metadata: Mapping[str, str] | None) -> str | None:
    """The id of the attempt that something at Stripe was made for, if it is ours."""
    return (metadata or {}).get("lago_payment_id")


def key_in(metadata: Mapping[str, Any] | None) -> str | None:
    """The idempotency key of that attempt; None: whatever it was made for is not ours."""
    attempt_id = uuid_in(metadata, "lago_payment_id")
    return idempotency_key(attempt_id) if attempt_id else None


def uuid_in(metadata: Mapping[str, Any] | None, name: str) -> UUID | None:
    """An id of ours that was sent along under this name."""
    try:
        return UUID(str((metadata or {}).get(name)))
    except ValueError:
        return None


def is_of_a_page(intent: Intent) -> bool:
    """Whether an intent was made by a payment page, where the payer may try again."""
    return (intent.metadata or {}).get("payment_type") == ONE_TIME


def id_of(told: str | Expandable | None) -> str | None:
    """The id of what Stripe tells in full, or by its id alone."""
    return told.id if isinstance(told, Expandable) else told


def instant(seconds: int | None) -> datetime | None:
    """Read Stripe's seconds since 1970."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)

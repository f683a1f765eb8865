"""What Stripe's objects look like to us, and which of our words each is.

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

from recoup.providers.protocol import (
    CustomerNeeded,
    Declined,
    Lost,
    Outcome,
    Paid,
    Processing,
    Refunded,
    RefundOutcome,
    RefundProcessing,
)
from recoup.rules.provider_money import from_provider
from recoup.rules.records.collection import idempotency_key
from recoup.rules.records.provider_accounts import ProviderKind

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
# What asks a payer to send the money by bank. It stays that until all of it has come.
BY_BANK: Final = "display_bank_transfer_instructions"
# Where Stripe keeps the address at which a payer acts, by kind of action.
_ADDRESSES: Final = (
    *("url", "hosted_voucher_url", "hosted_instructions_url", "hosted_verification_url"),
)
_LARGEST: Final = 2**63 - 1


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


def read_intent(intent: Intent) -> Paid | Processing | CustomerNeeded | Declined | Lost:
    """Say what an intent has come to. That of a page may be tried again: see `read_page`."""
    match intent.status:
        case "succeeded":
            return _paid(intent.id, intent.amount_received or intent.amount, intent.currency)
        case "processing" | "requires_capture" | "requires_confirmation":
            return Processing(intent.id, intent.status)
        case "requires_action":
            return _customer_needed(intent)
        case "canceled":
            return canceled(intent.id, intent.status)
        case "requires_payment_method" if intent.last_payment_error is None:
            return Processing(intent.id, intent.status)  # made, and not tried yet
        case "requires_payment_method":
            return declined_intent(intent)
        case _:
            return Lost("unknown_status")


def read_page(page: Session) -> Paid | Processing | CustomerNeeded | Declined | Lost:
    """Say what a payment page has come to: while it is open, a try that failed ends nothing."""
    intent = page.payment_intent if isinstance(page.payment_intent, Intent) else None
    if intent and intent.status in {"succeeded", "processing", "requires_capture"}:
        return read_intent(intent)
    match page.status:
        case "open" if page.url:
            link = {"type": "redirect_to_url", "redirect_to_url": {"url": page.url}}
            return CustomerNeeded(page.id, page.status, link, page.url)
        case "expired":
            return canceled(page.id, page.status)
        case "complete" if intent:
            return read_intent(intent)
        case "complete":
            return _read_complete_page(page)
        case _:
            return Lost("unknown_status")


def _read_complete_page(page: Session) -> Paid | Processing | Lost:
    """A page that does not bring its intent along, as in events."""
    if not isinstance(page.payment_intent, str):
        return Lost("page_without_intent")
    if page.payment_status == "unpaid":  # by a method that takes days
        return Processing(page.payment_intent, page.payment_status)
    if page.payment_status == "paid" and page.amount_total and page.currency:
        return _paid(page.payment_intent, page.amount_total, page.currency)
    return Lost("unknown_status")


def canceled(provider_payment_id: str, status: str) -> Declined:
    """The end without money that was asked for, by us, the payer or time."""
    return Declined(code="canceled", provider_payment_id=provider_payment_id, status=status)


def declined_intent(intent: Intent) -> Declined:
    """The no that an intent came to."""
    return read_decline(intent.last_payment_error or Error(), intent)


def read_decline(error: Error, intent: Intent | None) -> Declined:
    """Put a no in our words; where the charge tells more than the error does, it is asked too."""
    outcome = _outcome_of_charge(intent) or ChargeOutcome()
    is_blocked = outcome.type == "blocked" and outcome.reason is not None
    return Declined(
        code=error.code or error.decline_code or "payment_failed",
        message=error.message or "",
        decline_code=outcome.reason if is_blocked else error.decline_code,
        network_decline_code=error.network_decline_code or outcome.network_decline_code,
        advice_code=error.advice_code or outcome.advice_code,
        network_advice_code=error.network_advice_code or outcome.network_advice_code,
        provider_payment_id=intent.id if intent else None,
        status=intent.status if intent else "failed",
    )


def read_refund(refund: StripeRefund) -> RefundOutcome:
    """Say what a refund has come to."""
    match refund.status:
        case "succeeded":
            cents = from_provider(ProviderKind.STRIPE, refund.currency, refund.amount)
            if cents is None:
                return Lost("unreadable_amount")
            return Refunded(refund.id, refund.status, cents, refund.currency.upper())
        case "pending" | "requires_action":
            return RefundProcessing(refund.id, refund.status)
        case "failed" | "canceled":
            return Declined(
                code=refund.failure_reason or refund.status,
                status=refund.status,
                provider_refund_id=refund.id,
            )
        case _:
            return Lost("unknown_status")


def instant(seconds: int | None) -> datetime | None:
    """Read Stripe's seconds since 1970."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _paid(provider_payment_id: str, amount: int, currency: str) -> Paid | Lost:
    cents = from_provider(ProviderKind.STRIPE, currency, amount)
    if cents is None or cents > _LARGEST:
        return Lost("unreadable_amount")
    return Paid(provider_payment_id, "succeeded", cents, currency.upper())


def _customer_needed(intent: Intent) -> Outcome:
    action = intent.next_action or {}
    if not _can_be_kept(action):
        return Lost("unreadable_answer")
    takes_days = action.get("type") == BY_BANK
    return CustomerNeeded(intent.id, intent.status, action, _address(action), takes_days=takes_days)


def _address(action: Mapping[str, Any]) -> str | None:
    """Where the payer goes; None: the action is one that only Stripe's own scripts can show."""
    details = action.get(action["type"]) if isinstance(action.get("type"), str) else None
    if not isinstance(details, dict):
        return None
    for name in _ADDRESSES:
        try:
            return msgspec.convert(details.get(name), Url)
        except msgspec.ValidationError:
            continue
    return None


def _can_be_kept(value: Any) -> bool:
    """Whether the database has a place for it: no NUL in texts, no number beyond its columns."""
    match value:
        case str():
            return "\0" not in value
        case int():
            return abs(value) <= _LARGEST
        case dict():
            return all(_can_be_kept(one) for pair in value.items() for one in pair)
        case list():
            return all(_can_be_kept(one) for one in value)
        case _:
            return True


def _outcome_of_charge(intent: Intent | None) -> ChargeOutcome | None:
    if intent is None:
        return None
    if isinstance(intent.latest_charge, StripeCharge):
        return intent.latest_charge.outcome
    charges = intent.charges.data if intent.charges else []
    return charges[0].outcome if charges else None

"""What Stripe's objects have come to, in our words: intents, pages, declines and refunds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

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
from recoup.providers.stripe_objects import (
    ChargeOutcome,
    Error,
    Intent,
    Session,
    StripeCharge,
    StripeRefund,
    Url,
)
from recoup.rules.provider_money import from_provider
from recoup.rules.records.provider_accounts import ProviderKind

# What asks a payer to send the money by bank. It stays that until all of it has come.
BY_BANK: Final = "display_bank_transfer_instructions"

# The intent of a page that is complete: the payer has chosen to send the money, by bank or voucher.
WAITS_FOR_A_BANK: Final = "requires_action"

# Where Stripe keeps the address at which a payer acts, by kind of action.
_ADDRESSES: Final = (
    *("url", "hosted_voucher_url", "hosted_instructions_url", "hosted_verification_url"),
)

_LARGEST: Final = 2**63 - 1


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
        case "complete" if intent and intent.status == WAITS_FOR_A_BANK:
            return Processing(intent.id, intent.status)  # as its event says, which has no intent
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

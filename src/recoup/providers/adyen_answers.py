"""What Adyen answers, read with suspicion, and told in our words."""

from __future__ import annotations

from datetime import datetime
from re import compile as pattern
from typing import Annotated, Any, Final

import msgspec

from recoup.providers.adyen_calls import Answer
from recoup.providers.adyen_requests import Sent
from recoup.providers.protocol import (
    CustomerNeeded,
    Declined,
    Lost,
    Outcome,
    Paid,
    Processing,
    StoredMethod,
)
from recoup.providers.reading import decode
from recoup.rules.provider_money import from_provider
from recoup.rules.records.provider_accounts import ProviderKind

Id = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9_.-]{1,255}\Z")]
_Value = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_Shown = Annotated[str, msgspec.Meta(pattern=r"\A[^\x00-\x1f]{0,255}\Z")]
_Currency = Annotated[str, msgspec.Meta(pattern=r"\A[A-Z]{3}\Z")]

_PAID: Final = frozenset({"Authorised", "SentForSettle", "SettleScheduled", "Settled", "Refunded"})
_PROCESSING: Final = frozenset({"AuthorisedPending", "Pending", "Received"})
_DECLINED: Final = frozenset({"Cancelled", "CaptureFailed", "Error", "Expired", "Refused"})
# Only `POST /payments/details` with what the payer brings back would finish these, which is never
# sent: no money moves. `AUTHENTICATION_REQUIRED` leads to a payment link, which finishes itself.
_UNFINISHED: Final = frozenset({"ChallengeShopper", "IdentifyShopper", "RedirectShopper"})
AUTHENTICATION_REQUIRED: Final = "38"  # docs.adyen.com/development-resources/refusal-reasons
# Codes that say nothing of what became of the request: the server could not process it, a resource
# was away for a while, the key's first call is still under way or was just done, an internal error,
# unable to process. Source: docs.adyen.com/development-resources/error-codes, as all codes here.
NOT_DECIDED: Final = frozenset({"701", "703", "704", "903", "904"})
_NOT_DECIDED: Final = frozenset({401, 404, 409, 429})
_THEIR_TROUBLE: Final = "internal"  # of the four error types, the one that is not about the request
# No contract with this shopper, no such payment detail, none for this kind of charge.
METHOD_IS_GONE: Final = frozenset({"800", "803", "805"})
_RAW_CODE: Final = pattern(r"\s*([0-9A-Z]{2})\b.*")


class Amount(msgspec.Struct, frozen=True):
    """In Adyen's units."""

    value: _Value
    currency: _Currency

    def in_minor_units(self) -> int | None:
        """In ISO minor units; None where that leaves a fraction or the currency is unknown."""
        return from_provider(ProviderKind.ADYEN, self.currency, self.value)


class Payment(msgspec.Struct, rename="camel"):
    """The answer to `POST /payments`."""

    result_code: str
    psp_reference: Id | None = None
    merchant_reference: str | None = None
    amount: Amount | None = None
    refusal_reason: str = ""
    refusal_reason_code: str | None = None
    additional_data: dict[str, Any] = {}
    action: dict[str, Any] | None = None


class Link(msgspec.Struct, rename="camel"):
    """A payment link."""

    id: Id
    url: str
    status: str
    reference: str
    expires_at: datetime | None = None


class Accepted(msgspec.Struct, rename="camel"):
    """The answer to a refund or a cancel: it was received."""

    psp_reference: Id
    payment_psp_reference: str
    status: str
    reference: str | None = None


class Token(msgspec.Struct, rename="camel"):
    """A stored payment method."""

    id: Id
    type: _Shown | None = None
    brand: _Shown | None = None
    last_four: _Shown | None = None
    expiry_month: str | None = None
    expiry_year: str | None = None
    supported_recurring_processing_models: list[str] | None = None


class Tokens(msgspec.Struct, rename="camel"):
    """A shopper's stored payment methods."""

    shopper_reference: str
    stored_payment_methods: list[Token] = []  # Adyen's description does not promise it


class Error(msgspec.Struct, rename="camel"):
    """Why a call was turned away."""

    error_code: Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9_]{1,32}\Z")]
    error_type: str | None = None


def read_payment(answer: Answer, sent: Sent) -> Outcome:
    """The outcome of `POST /payments`, from an answer that is none of a refusal."""
    said = decode(answer.body, Payment)
    if said is None or answer.status not in {200, 201, 202}:
        return lost(answer)
    if said.merchant_reference not in {None, sent.reference}:
        return Lost("answer_about_another_charge")
    word, known_as = said.result_code, said.psp_reference
    if word in _DECLINED:
        return _declined(said)
    if word in _UNFINISHED:
        return Declined(
            word, decline_code=AUTHENTICATION_REQUIRED, provider_payment_id=known_as, status=word
        )
    if known_as is None:
        return Lost("unreadable_answer")
    if word in _PROCESSING:
        return Processing(known_as, word)
    if word == "PresentToShopper":
        return CustomerNeeded(known_as, word, said.action or {}, _url(said.action or {}))
    if word in _PAID or (word == "PartiallyAuthorised" and said.amount is not None):
        amount = said.amount or Amount(sent.amount.value, sent.amount.currency)
        cents = amount.in_minor_units()
        if cents is None:
            return Lost("unreadable_answer")
        return Paid(known_as, word, cents, amount.currency)
    return Lost("unknown_status")


def read_link(answer: Answer, sent: Sent) -> Outcome:
    """The outcome of a page. Never `Paid`: its event tells the payment's own id, the link not.

    So a charge has one id at its end, and a refund knows which payment to pay back.
    """
    link = decode(answer.body, Link)
    if link is None or answer.status not in {200, 201}:
        return lost(answer)
    if link.reference != sent.reference:
        return Lost("answer_about_another_charge")
    match link.status:
        case "active":
            return CustomerNeeded(link.id, link.status, {"type": "page", "url": link.url}, link.url)
        case "completed" | "paid" | "paymentPending":
            return Processing(link.id, link.status)
        case "expired":
            return Declined("canceled", provider_payment_id=link.id, status=link.status)
        case _:
            return Lost("unknown_status")


def read_turned_away(answer: Answer, *, sent_before: bool) -> Declined | Lost:
    """Why a call was refused. After an earlier call that says nothing of the earlier one."""
    error = decode(answer.body, Error)
    is_passing = answer.headers.get("transient-error", "").lower() == "true"
    if (
        error is None
        or sent_before
        or is_passing
        or error.error_code in NOT_DECIDED
        or error.error_type == _THEIR_TROUBLE
        or answer.status in _NOT_DECIDED
        or not 400 <= answer.status < 500
    ):
        return lost(answer)
    return Declined(error.error_code, method_is_gone=error.error_code in METHOD_IS_GONE)


def stored_method(token: Token, customer: str) -> StoredMethod:
    """A stored payment method in our words."""
    models = token.supported_recurring_processing_models
    named = {
        "type": "card" if token.type == "scheme" else token.type,
        "brand": token.brand,
        "last4": token.last_four,
        "expiration_month": _number(token.expiry_month),
        "expiration_year": _year(token.expiry_year),
    }
    return StoredMethod(
        provider_method_id=token.id,
        provider_customer_id=customer,
        is_usable=models is None or "UnscheduledCardOnFile" in models,
        details={name: value for name, value in named.items() if value is not None},
    )


def lost(answer: Answer) -> Lost:
    """An answer that says nothing of what was asked."""
    if answer.status < 300:
        return Lost("unreadable_answer")
    seconds = answer.headers.get("retry-after", "")
    is_readable = seconds.isascii() and seconds.isdigit() and len(seconds) < 10
    return Lost(
        f"http_{answer.status}",
        float(seconds) if is_readable else None,
        is_outage=answer.status >= 500,
        key_refused=answer.status == 401 and decode(answer.body, Error) is not None,
    )


def raw_code(text: object) -> str | None:
    """The network's own code at the start of a `refusalReasonRaw` such as `05 : Do not honor`."""
    found = _RAW_CODE.fullmatch(text) if isinstance(text, str) else None
    return found[1] if found else None


def _declined(said: Payment) -> Declined:
    advice = said.additional_data.get("merchantAdviceCode")
    return Declined(
        code=said.result_code,
        message=said.refusal_reason[:255].replace("\0", ""),
        decline_code=said.refusal_reason_code,
        network_decline_code=raw_code(said.additional_data.get("refusalReasonRaw")),
        network_advice_code=raw_code(advice),
        provider_payment_id=said.psp_reference,
        status=said.result_code,
        method_is_gone=said.refusal_reason_code == "50",
    )


def _url(action: dict[str, Any]) -> str | None:
    found = action.get("url") or action.get("downloadUrl")
    return found if isinstance(found, str) else None


def _number(text: str | None) -> int | None:
    is_number = text is not None and text.isascii() and text.isdigit() and len(text) <= 4
    return int(text) if text is not None and is_number else None


def _year(text: str | None) -> int | None:
    year = _number(text)  # its last two digits, by Adyen's description
    return year + 2000 if year is not None and year < 100 else year

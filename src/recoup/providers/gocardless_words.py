"""Read what GoCardless says of payments, refunds and mandates, in the words of the protocol.

Called by `providers/gocardless` for answers and by `providers/gocardless_events` for events, so
that both come to the same end. Nothing here calls out.

What would surprise you: a payment that `failed` may have been paid before. A bank may send its no
late, after the money was paid out; the payment then names the payout that had contained it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from re import fullmatch
from typing import Annotated, Final

import msgspec

from recoup.providers.protocol import (
    Declined,
    Fate,
    Lost,
    Paid,
    Processing,
    Refunded,
    RefundOutcome,
    RefundProcessing,
    Reversed,
    StoredMethod,
)
from recoup.rules.provider_money import from_provider
from recoup.rules.records.provider_accounts import ProviderKind

# An answer is believed where it can be kept: by an id, an amount and a currency as ours are. An id
# becomes a part of a path, so it is no more than one, and none that leads elsewhere.
Id = Annotated[str, msgspec.Meta(pattern=r"\A(?!\.\.?\Z)[^\x00-\x1f\x7f/?#]{1,255}\Z")]
_Word = Annotated[str, msgspec.Meta(pattern=r"\A[a-z0-9_]{1,64}\Z")]
_Units = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_Currency = Annotated[str, msgspec.Meta(pattern=r"\A[A-Z]{3}\Z")]
# GoCardless keeps three keys of at most 50 characters, with values of at most 500, beside whatever
# it makes, and repeats them in each event of it. Source: the section of each resource in
# https://developer.gocardless.com/api-reference/
# So of Lago's nine only these are sent: by the first a payment is found again when its id was never
# told, and an event finds its attempt; the second is for people who search GoCardless's dashboard.
# The third is ours: events tell no amount, and with it an event says all without a question.
# A payment's amount never changes, nor is a part of it taken back.
PAYMENT: Final = "lago_payment_id"
REFUND: Final = "lago_refund_id"
INVOICE: Final = "lago_invoice_id"
AMOUNT: Final = "recoup_amount"  # as in `1000 EUR`: minor units
_MOST_KEYS: Final = 3
_LONGEST_KEY: Final = 50
_LONGEST_VALUE: Final = 500

# Contract section 5.5. `confirmed` is the bank's word that it collected, and may be taken back for
# some days; only what was paid out counts as paid.
UNDER_WAY: Final = frozenset(
    {"pending_customer_approval", "pending_submission", "submitted", "confirmed"}
)
DEAD: Final = frozenset({"cancelled", "customer_approval_denied", "failed"})
REFUND_UNDER_WAY: Final = frozenset({"created", "pending_submission", "submitted"})
REFUND_DEAD: Final = frozenset({"cancelled", "bounced", "funds_returned", "failed"})
# Mandates that take payments. Source: the SDK's `PaymentsService.create`, and contract section 5.5.
USABLE: Final = frozenset(
    {"pending_customer_approval", "pending_submission", "submitted", "active"}
)
ENDED: Final = frozenset({"cancelled", "failed", "expired", "consumed", "blocked"})
# Reasons for which a charge is refused whose mandate is no more.
MANDATE_GONE: Final = frozenset(
    {
        *("mandate_is_inactive", "mandate_replaced", "resource_not_found", "link_not_found"),
        "customer_data_removed",
    }
)
_CAUSES_OF_A_LOST_MANDATE: Final = frozenset({"mandate_cancelled", "mandate_expired"})


class _PaymentLinks(msgspec.Struct):
    mandate: Id
    payout: Id | None = None


class Payment(msgspec.Struct):
    """A payment, as far as it is believed."""

    id: Id
    amount: _Units
    currency: _Currency
    status: str
    links: _PaymentLinks
    metadata: dict[str, str] = {}


class _RefundLinks(msgspec.Struct):
    payment: Id


class RefundMade(msgspec.Struct):
    """A refund, as far as it is believed."""

    id: Id
    amount: _Units
    currency: _Currency
    status: str
    links: _RefundLinks
    metadata: dict[str, str] = {}


class _MandateLinks(msgspec.Struct):
    customer: Id


class Mandate(msgspec.Struct):
    """A mandate, as far as it is believed."""

    id: Id
    status: str
    links: _MandateLinks
    scheme: _Word | None = None


class _Cursors(msgspec.Struct):
    after: Id | None = None


class _Meta(msgspec.Struct):
    cursors: _Cursors


class Listed(msgspec.Struct):
    """What every list has beside its things. A list without it is no list, and proves nothing."""

    meta: _Meta


class Payments(Listed):
    """A page of payments, newest first."""

    payments: list[Payment]


class Refunds(Listed):
    """A page of refunds, newest first."""

    refunds: list[RefundMade]


class Mandates(Listed):
    """A page of mandates, newest first."""

    mandates: list[Mandate]


class Made(msgspec.Struct):
    """Something of which the id alone matters."""

    id: Id


class Flow(msgspec.Struct):
    """A page of GoCardless's."""

    authorisation_url: Annotated[str, msgspec.Meta(pattern=r"\Ahttps?://[^\x00-\x20]{1,2000}\Z")]
    expires_at: str | None = None


class Details(msgspec.Struct):
    """Why something happened: GoCardless's word for it, and the bank scheme's own."""

    cause: str | None = None
    description: str | None = None
    reason_code: str | None = None


UNKNOWN_WHY: Final = Details()


def kept_metadata(wanted: Mapping[str, str], first: Sequence[str]) -> dict[str, str]:
    """Choose what GoCardless is to keep: the keys of `first` that there are, then the others."""
    names = [name for name in first if name in wanted]
    names += [name for name in wanted if name not in names]
    fitting = [name for name in names if len(name) <= _LONGEST_KEY]
    return {name: wanted[name][:_LONGEST_VALUE] for name in fitting[:_MOST_KEYS]}


def write_amount(amount_cents: int, currency: str) -> str:
    """Write an amount as our third key of metadata."""
    return f"{amount_cents} {currency}"


def read_amount(text: object) -> tuple[int, str] | None:
    """Read what `write_amount` wrote; None where somebody else has written."""
    if not isinstance(text, str) or fullmatch(r"[1-9][0-9]{0,17} [A-Z]{3}", text) is None:
        return None
    cents, _, currency = text.partition(" ")
    return int(cents), currency


def payment_outcome(payment: Payment, why: Details | None = None) -> Fate:
    """Say what a payment's status means. `why` it failed is told by its events alone."""
    if payment.status in UNDER_WAY:
        return Processing(payment.id, payment.status)
    failed_late = payment.status == "failed" and payment.links.payout is not None
    taken_back = payment.status == "charged_back" or failed_late
    if payment.status == "paid_out" or taken_back:
        cents = from_provider(ProviderKind.GOCARDLESS, payment.currency, payment.amount)
        if cents is None:
            return Lost("unreadable_amount")
        if taken_back:
            return Reversed(
                *(payment.id, payment.status, cents, payment.currency, payment.status),
                is_lost=not failed_late,
            )
        return Paid(payment.id, payment.status, cents, payment.currency)
    if payment.status in DEAD:
        return payment_declined(payment.id, payment.status, why or UNKNOWN_WHY)
    return Lost("unknown_status")


def payment_declined(payment_id: str, status: str, why: Details) -> Declined:
    """A payment that came to nothing. One that was cancelled says so in the protocol's word."""
    return Declined(
        code="canceled" if status == "cancelled" else status,
        message=why.description or "",
        decline_code=why.cause,
        network_decline_code=why.reason_code,
        provider_payment_id=payment_id,
        status=status,
        method_is_gone=why.cause in _CAUSES_OF_A_LOST_MANDATE,
    )


def refund_outcome(refund: RefundMade, why: Details | None = None) -> RefundOutcome:
    """Say what a refund's status means."""
    if refund.status in REFUND_UNDER_WAY:
        return RefundProcessing(refund.id, refund.status)
    if refund.status == "paid":
        cents = from_provider(ProviderKind.GOCARDLESS, refund.currency, refund.amount)
        if cents is None:
            return Lost("unreadable_amount")
        return Refunded(refund.id, refund.status, cents, refund.currency)
    if refund.status in REFUND_DEAD:
        return refund_declined(refund.id, refund.status, why or UNKNOWN_WHY)
    return Lost("unknown_status")


def refund_declined(refund_id: str, status: str, why: Details) -> Declined:
    """A refund that did not reach the payer, or was sent back by the payer's bank."""
    return Declined(
        code=status,
        message=why.description or "",
        decline_code=why.cause,
        network_decline_code=why.reason_code,
        status=status,
        provider_refund_id=refund_id,
    )


def stored_method(mandate: Mandate) -> StoredMethod:
    """A mandate as a payment method. GoCardless has no default one."""
    return StoredMethod(
        provider_method_id=mandate.id,
        provider_customer_id=mandate.links.customer,
        is_usable=mandate.status in USABLE,
        details={"type": mandate.scheme or "mandate"},
    )

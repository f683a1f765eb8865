"""What a provider answers: the words for what became of what it was asked for.

*No answer* is one of them. Codes and ids are the provider's own; amounts are minor units.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias

import msgspec


class Paid(msgspec.Struct, frozen=True):
    """The money moved."""

    provider_payment_id: str
    status: str  # the provider's own word
    amount_cents: int
    currency: str


class Processing(msgspec.Struct, frozen=True):
    """The provider is at it, and will tell."""

    provider_payment_id: str
    status: str


class CustomerNeeded(msgspec.Struct, frozen=True):
    """The payer must act: `next_action` says how, in the provider's form."""

    provider_payment_id: str
    status: str
    next_action: Mapping[str, Any]
    url: str | None = None  # where the payer does it; None: the provider tells no address
    takes_days: bool = False  # they send the money by bank, so nobody hurries them


class Declined(msgspec.Struct, frozen=True):
    """A definite no: no money moved, and none will. Codes are the provider's own."""

    code: str
    message: str = ""
    decline_code: str | None = None
    network_decline_code: str | None = None
    advice_code: str | None = None
    provider_payment_id: str | None = None
    status: str = "failed"
    network_advice_code: str | None = None
    method_is_gone: bool = False  # the provider has no such method of this customer's any more
    provider_refund_id: str | None = None  # of a refund that was made, and came to nothing
    was_asked: bool = True  # else no call was made, and this says nothing of whether it answers


_WITH_STATUS: Final = re.compile(r"http_([1-5]\d\d)", re.ASCII)
TOO_OFTEN: Final = "http_429"


class Lost(msgspec.Struct, frozen=True):
    """No answer that can be relied on: the money may have moved, or not."""

    # In a word, for us: `http_` and the status, where the answer had one; `TOO_OFTEN` is one.
    why: str
    retry_after_seconds: float | None = None
    is_outage: bool = False  # no connection, a time-out, a 5xx: the provider itself may be down
    # 401, in the provider's words: our key is revoked, or wrong. The call so answered did nothing.
    key_refused: bool = False

    @property
    def http_status(self) -> int | None:
        """The status that was all there was to an answer; None: there was more, or no answer."""
        found = _WITH_STATUS.fullmatch(self.why)
        return int(found[1]) if found else None


class NotKnown(msgspec.Struct, frozen=True):
    """The provider has no such thing, or has no way to say: it answers, and knows nothing of it."""

    was_asked: bool = True  # else it was not called, and this says nothing of whether it answers


Outcome: TypeAlias = Paid | Processing | CustomerNeeded | Declined | Lost


class Reversed(msgspec.Struct, frozen=True):
    """The money had moved, and was taken back: a charge-back, a lost dispute, a failed capture.

    It implies that the charge had been paid, whether or not that was told before.
    """

    provider_payment_id: str
    status: str
    amount_cents: int
    currency: str
    reason: str
    dispute_id: str = ""  # where the provider has one: another dispute takes other money back
    is_lost: bool = False  # a dispute that has ended so; else it may be decided for us yet
    is_second: bool = False  # of the same dispute: implies that the first was given back


Fate: TypeAlias = Outcome | Reversed  # what became of a charge, asked for long after


class Refunded(msgspec.Struct, frozen=True):
    """The money went back."""

    provider_refund_id: str
    status: str
    amount_cents: int
    currency: str


class RefundProcessing(msgspec.Struct, frozen=True):
    """The provider is paying back, and will tell."""

    provider_refund_id: str
    status: str


RefundOutcome: TypeAlias = Refunded | RefundProcessing | Declined | Lost


class StoredMethod(msgspec.Struct, frozen=True, kw_only=True):
    """A payment method (a mandate, at some) that the provider keeps for a customer."""

    provider_method_id: str
    provider_customer_id: str
    is_usable: bool = True  # can be charged off-session now
    is_default: bool = False
    details: Mapping[str, Any] = {}  # type, brand, last4, expiration_month, expiration_year


class CustomerMade(msgspec.Struct, frozen=True):
    """The customer is known to the provider."""

    provider_customer_id: str


class Page(msgspec.Struct, frozen=True):
    """A page of the provider's, for the payer."""

    provider_page_id: str
    url: str
    expires_at: datetime | None


class ListedCharge(msgspec.Struct, frozen=True):
    """A charge in the provider's own list. `idempotency_key` is None where it is not ours."""

    idempotency_key: str | None
    provider_payment_id: str
    outcome: Fate
    amount_cents: int
    currency: str
    metadata: Mapping[str, str] = {}  # as it was sent, where the provider lists it


class ChargeList(msgspec.Struct, frozen=True):
    """One page of the provider's list; `after` leads to the next, None: this is the last."""

    charges: Sequence[ListedCharge]
    after: str | None


class CannotList(msgspec.Struct, frozen=True):
    """This provider has no list of charges to ask for."""

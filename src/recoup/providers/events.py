"""What a provider tells unasked, by its webhooks: of charges, refunds and methods.

What it can answer as well is in `outcomes`.
"""

from __future__ import annotations

from datetime import datetime
from typing import TypeAlias

import msgspec

from recoup.providers.outcomes import (
    CustomerNeeded,
    Declined,
    Paid,
    Processing,
    Refunded,
    RefundProcessing,
    Reversed,
)


class Canceled(msgspec.Struct, frozen=True):
    """An authorisation was cancelled, or has run out: no money, or no more of it.

    What had been told as paid was taken back; what had not has come to nothing.
    """

    provider_payment_id: str
    status: str
    amount_cents: int
    currency: str
    is_ours: bool = False  # we asked for that end; else the authorisation is yet to be told


class GivenBack(msgspec.Struct, frozen=True):
    """What was taken back is ours again: the charge-back was cancelled, or defended.

    It implies that the charge had been paid and taken back, whether or not that was told before.
    """

    provider_payment_id: str
    status: str
    amount_cents: int
    currency: str
    dispute_id: str = ""


class Notice(msgspec.Struct, frozen=True):
    """What one event of the provider says of one charge.

    Where the event does not tell our key, the charge is found by the provider's own id.
    """

    idempotency_key: str | None
    outcome: Paid | Processing | CustomerNeeded | Declined | Reversed | GivenBack | Canceled


class RefundNotice(msgspec.Struct, frozen=True):
    """What one event of the provider says of one refund."""

    idempotency_key: str | None
    outcome: Refunded | RefundProcessing | Declined
    provider_refund_id: str


class MethodAdded(msgspec.Struct, frozen=True):
    """A customer has left a new method. A hint: who uses it asks `find_method` first."""

    provider_method_id: str
    provider_customer_id: str | None  # None: the event does not tell
    is_default: bool = False  # the provider charges it from now on: who acts asks `list_methods`
    set_up_at: datetime | None = None  # when the customer left it, now; None: they did not just do


class MethodGone(msgspec.Struct, frozen=True):
    """A method was taken away, or has ended. A hint: who acts on it asks `find_method` first."""

    provider_method_id: str


class LookUpNeeded(msgspec.Struct, frozen=True):
    """Something happened to a charge, and the event does not tell all of it: ask the provider."""

    idempotency_key: str | None
    provider_payment_id: str


class Ignored(msgspec.Struct, frozen=True):
    """An event that says nothing of what we keep; it is kept, and nothing done."""

    why: str


Told: TypeAlias = Notice | RefundNotice | MethodAdded | MethodGone | LookUpNeeded | Ignored


class Delivery(msgspec.Struct, frozen=True):
    """An event whose signature was checked: its id at the provider, and the text to keep."""

    event_id: str
    body: str


class Forged(msgspec.Struct, frozen=True):
    """Not from the provider, too old, or not to be read."""

    why: str

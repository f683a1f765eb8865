"""What every payment provider can do, and the five words in which each answers.

A provider never raises for what the world does. *No answer* is `Lost`: the money may have moved,
and nobody calls it failed. All adapters pass `tests/providers/conformance.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Protocol, TypeAlias
from uuid import UUID

import msgspec

# Within which every adapter's own time-outs end a call: `rules/look_up_schedule` counts on it.
LONGEST_CALL: Final = timedelta(seconds=12)


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be charged, from whom. Amounts are minor units."""

    attempt_id: UUID
    amount_cents: int
    currency: str
    provider_customer_id: str
    provider_method_id: str
    reference: str
    metadata: Mapping[str, str]


class Charge(msgspec.Struct, frozen=True):
    """A charge as it is sent, and re-sent to the letter."""

    idempotency_key: str
    request: str  # as `Provider.render` made it
    sent_before: bool = (
        False  # then a refusal says nothing of the earlier call, which may have got in
    )


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


class Declined(msgspec.Struct, frozen=True):
    """A definite no: no money moved, and none will. Codes are the provider's own."""

    code: str
    message: str = ""
    decline_code: str | None = None
    network_decline_code: str | None = None
    advice_code: str | None = None
    provider_payment_id: str | None = None
    status: str = "failed"


class Lost(msgspec.Struct, frozen=True):
    """No answer that can be relied on: the money may have moved, or not."""

    why: str
    retry_after_seconds: float | None = None


class NotKnown(msgspec.Struct, frozen=True):
    """The provider answers a look-up: it has no charge under this key."""


Outcome: TypeAlias = Paid | Processing | CustomerNeeded | Declined | Lost


class Notice(msgspec.Struct, frozen=True):
    """What one event of the provider says of one charge."""

    idempotency_key: str
    outcome: Paid | Processing | CustomerNeeded | Declined


class Ignored(msgspec.Struct, frozen=True):
    """An event that says nothing of a charge; kept, and nothing done."""

    why: str


class Delivery(msgspec.Struct, frozen=True):
    """An event whose signature was checked: its id at the provider, and the text to keep."""

    event_id: str
    body: str


class Forged(msgspec.Struct, frozen=True):
    """Not from the provider, too old, or not to be read."""

    why: str


class Provider(Protocol):
    """One account at one payment provider."""

    def render(self, order: Order) -> str:
        """Render the request that `charge` sends, to be kept before anything is sent."""

    async def charge(self, charge: Charge) -> Outcome:
        """Ask for the money: at most one charge per key, however often this is called."""

    async def look_up(self, charge: Charge) -> Outcome | NotKnown:
        """Ask what became of a charge. Charges nothing."""

    def verify(
        self, body: bytes, headers: Mapping[str, str], *, now: datetime
    ) -> Sequence[Delivery] | Forged:
        """Check that a webhook comes from the provider, and take its events out."""

    def read_event(self, body: str) -> Notice | Ignored:
        """Say what a kept event means."""

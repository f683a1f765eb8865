"""What every payment provider can do, and the words in which each answers.

A provider never raises for what the world does. *No answer* is `Lost`: the money may have moved,
and nobody calls it failed. All adapters pass `tests/providers/conformance.py`.

Amounts are ISO 4217 minor units on this side of an adapter, whatever the provider counts in:
`rules/provider_money.py` turns one into the other. Ids and codes are the provider's own. The words
have modules of their own, by who says them, and are all had from here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol

import msgspec

from recoup.providers.events import (
    Canceled,
    Delivery,
    Forged,
    GivenBack,
    Ignored,
    LookUpNeeded,
    MethodAdded,
    MethodGone,
    Notice,
    RefundNotice,
    Told,
)
from recoup.providers.orders import (
    Charge,
    NewCustomer,
    NotChargeable,
    Order,
    Refund,
    RefundOrder,
    SetUpOrder,
)
from recoup.providers.outcomes import (
    TOO_OFTEN,
    CannotList,
    ChargeList,
    CustomerMade,
    CustomerNeeded,
    Declined,
    Fate,
    ListedCharge,
    Lost,
    NotKnown,
    Outcome,
    Page,
    Paid,
    Processing,
    Refunded,
    RefundOutcome,
    RefundProcessing,
    Reversed,
    StoredMethod,
)
from recoup.rules.manner import Manner

__all__ = [
    "LONGEST_CALL",
    "TOO_OFTEN",
    "Canceled",
    "CannotList",
    "Charge",
    "ChargeList",
    "CustomerMade",
    "CustomerNeeded",
    "Declined",
    "Delivery",
    "Fate",
    "Forged",
    "GivenBack",
    "Ignored",
    "ListedCharge",
    "LookUpNeeded",
    "Lost",
    "Manner",
    "MethodAdded",
    "MethodGone",
    "NewCustomer",
    "NotChargeable",
    "NotKnown",
    "Notice",
    "Order",
    "Outcome",
    "Page",
    "Paid",
    "Processing",
    "Provider",
    "RateLimit",
    "Refund",
    "RefundNotice",
    "RefundOrder",
    "RefundOutcome",
    "RefundProcessing",
    "Refunded",
    "Reversed",
    "SetUpOrder",
    "StoredMethod",
    "Told",
]

# Within which every adapter's own time-outs end a call: `rules/look_up_schedule` counts on it.
LONGEST_CALL: Final = timedelta(seconds=12)


class RateLimit(msgspec.Struct, frozen=True):
    """How often one account may call, by the provider's own documents."""

    calls_per_second: float
    burst: int


class Provider(Protocol):
    """One account at one payment provider.

    Nothing here raises for what the world does; everything that calls out ends within
    `LONGEST_CALL`.
    """

    limit: RateLimit | None  # None: none is published

    def render(self, order: Order) -> str | NotChargeable:
        """Render the request that `charge` sends, to be kept before anything is sent.

        Of a page (`Manner.PAGE`) it is the request that opens the page. A provider that takes no
        transfers (`Manner.TRANSFER`) is `NotChargeable` by one.
        """

    async def charge(self, charge: Charge) -> Fate:
        """Ask for the money: at most one charge per key, however often this is called.

        Of a page: open it. It is `CustomerNeeded` with its `url` until it was paid or has ended;
        a try that failed on it does not end it. A transfer is `CustomerNeeded` as well, until all
        of the money has come: what has come in part is the payer's.
        """

    async def look_up(self, charge: Charge) -> Fate | NotKnown:
        """Ask what became of a charge. Charges nothing."""

    async def cancel(self, charge: Charge) -> Fate:
        """Ask for an end without money, and answer what became of the charge.

        `Declined` with code `canceled`: it is dead. `Paid`: too late. `Processing`,
        `CustomerNeeded`: it goes on, or the provider has not decided. Also closes pages.
        """

    def render_refund(self, order: RefundOrder) -> str:
        """Render the request that `refund` sends, to be kept before anything is sent."""

    async def refund(self, refund: Refund) -> RefundOutcome:
        """Pay back: at most once per key, however often this is called."""

    async def look_up_refund(self, refund: Refund) -> RefundOutcome | NotKnown:
        """Ask what became of a refund. Pays nothing."""

    async def create_customer(self, new: NewCustomer) -> CustomerMade | Declined | Lost:
        """Make the customer known to the provider: once per key."""

    async def find_method(
        self, provider_method_id: str, provider_customer_id: str | None
    ) -> StoredMethod | NotKnown | Lost:
        """Ask for one method; `NotKnown` where it is gone, or another customer's."""

    async def list_methods(
        self, provider_customer_id: str
    ) -> Sequence[StoredMethod] | NotKnown | Lost:
        """Ask for a customer's methods; `NotKnown` where there is no such customer."""

    async def set_up_page(self, order: SetUpOrder) -> Page | Declined | Lost:
        """Open a page where the customer leaves a method."""

    async def list_charges(
        self, *, since: datetime, before: datetime, after: str | None
    ) -> ChargeList | CannotList | Lost:
        """Ask for the charges made from `since` on and before `before`, page by page."""

    def verify(
        self, body: bytes, headers: Mapping[str, str], *, now: datetime
    ) -> Sequence[Delivery] | Forged:
        """Check that a webhook comes from the provider, and take its events out.

        Without a secret nothing is believed. During a rotation two secrets are.
        """

    def read_event(self, body: str) -> Told:
        """Say what a kept event means."""

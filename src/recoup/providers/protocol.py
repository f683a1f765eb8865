"""What every payment provider can do, and the words in which each answers.

A provider never raises for what the world does. *No answer* is `Lost`: the money may have moved,
and nobody calls it failed. All adapters pass `tests/providers/conformance.py`.

Amounts are ISO 4217 minor units on this side of an adapter, whatever the provider counts in:
`rules/provider_money.py` turns one into the other. Ids and codes are the provider's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Protocol, TypeAlias
from uuid import UUID

import msgspec

from recoup.rules.manner import Manner as Manner

# Within which every adapter's own time-outs end a call: `rules/look_up_schedule` counts on it.
LONGEST_CALL: Final = timedelta(seconds=12)


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be charged, from whom. Amounts are minor units."""

    attempt_id: UUID
    amount_cents: int
    currency: str
    provider_customer_id: str
    provider_method_id: str | None  # None: the payer chooses on the page, or sends the money
    reference: str
    metadata: Mapping[str, str]
    manner: Manner = Manner.OFF_SESSION
    return_url: str = ""  # where the payer goes after an action or the page
    customer_email: str | None = None
    customer_country: str | None = None  # ISO 3166, two letters
    seller_country: str | None = None  # of whoever is paid
    expires_at: datetime | None = None  # of a page


class NotChargeable(msgspec.Struct, frozen=True):
    """This provider takes no such charge, so nothing is sent: `code` says why."""

    code: str  # amount_too_small, amount_not_representable, currency_not_supported, …


class Charge(msgspec.Struct, frozen=True):
    """A charge as it is sent, and re-sent to the letter."""

    idempotency_key: str
    # As `Provider.render` made it. Empty where the attempt was made anew from the provider's list:
    # then the provider's id is known, and it is asked about and never sent.
    request: str
    # Then a refusal says nothing of the earlier call, which may have got in.
    sent_before: bool = False
    provider_payment_id: str | None = None  # once the provider has told it
    sent_at: datetime | None = None  # of the first call


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


TOO_OFTEN: Final = "http_429"


class Lost(msgspec.Struct, frozen=True):
    """No answer that can be relied on: the money may have moved, or not."""

    why: str  # `TOO_OFTEN` where the provider says that the account calls too often
    retry_after_seconds: float | None = None
    is_outage: bool = False  # no connection, a time-out, a 5xx: the provider itself may be down
    # 401, in the provider's words: our key is revoked, or wrong. The call so answered did nothing.
    key_refused: bool = False


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


Fate: TypeAlias = Outcome | Reversed  # what became of a charge, asked for long after


class RefundOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be paid back, of which charge. Amounts are minor units."""

    refund_id: UUID
    provider_payment_id: str
    amount_cents: int
    currency: str
    charged_cents: int  # of the charge as a whole
    refunded_before_cents: int = 0  # of the same charge: some providers want the sum confirmed
    reference: str
    metadata: Mapping[str, str]


class Refund(msgspec.Struct, frozen=True):
    """A refund as it is sent, and re-sent to the letter."""

    idempotency_key: str  # `refund-<id>`
    request: str  # as `Provider.render_refund` made it
    sent_before: bool = False
    provider_refund_id: str | None = None  # once the provider has told it
    sent_at: datetime | None = None


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


class NewCustomer(msgspec.Struct, frozen=True, kw_only=True):
    """A customer to be made at the provider. Sent again under its key, it is the same one."""

    idempotency_key: str
    name: str | None
    firstname: str | None
    lastname: str | None
    email: str | None
    country: str | None
    metadata: Mapping[str, str]


class CustomerMade(msgspec.Struct, frozen=True):
    """The customer is known to the provider."""

    provider_customer_id: str


class SetUpOrder(msgspec.Struct, frozen=True, kw_only=True):
    """A hosted page where a customer leaves a new payment method, without paying."""

    idempotency_key: str
    provider_customer_id: str
    currency: str
    return_url: str
    method_types: Sequence[str]  # `provider_payment_methods`; empty: as the account has it
    metadata: Mapping[str, str]


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

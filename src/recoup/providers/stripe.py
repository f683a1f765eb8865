"""Stripe as a provider, through its own SDK.

The API version is pinned, so that Stripe's changes come when we take them. What is asked for is
rendered in `stripe_requests`; how a call can end is in `stripe_http`, what answers mean in
`stripe_answers` and `stripe_refusals`, and events in `stripe_events`; `stripe_charges` charges, and
`stripe_search` looks up and lists.

What would surprise you: an attempt that goes to a page is known by the id of its checkout session
(`cs_…`) until money moves, and by that of the payment intent (`pi_…`) from then on: only that can
be paid back. A page that is known by its intent is found again by it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar

import httpx
import msgspec
import stripe

from recoup.providers.addresses import NO_SUCH_ID
from recoup.providers.protocol import (
    LONGEST_CALL,
    Charge,
    ChargeList,
    CustomerMade,
    Declined,
    Delivery,
    Forged,
    Lost,
    NewCustomer,
    NotChargeable,
    NotKnown,
    Order,
    Outcome,
    Page,
    RateLimit,
    Refund,
    RefundOrder,
    RefundOutcome,
    SetUpOrder,
    StoredMethod,
    Told,
)
from recoup.providers.reading import decode
from recoup.providers.stripe_answers import read_refund
from recoup.providers.stripe_charges import cancel_charge, look_up_charge, send_charge
from recoup.providers.stripe_events import Event, read_event
from recoup.providers.stripe_http import StripeHttp, TurnedAway, call
from recoup.providers.stripe_methods import find_method, list_methods
from recoup.providers.stripe_objects import AN_ID, Expandable, Session, StripeRefund, instant
from recoup.providers.stripe_refusals import read_no
from recoup.providers.stripe_requests import (
    customer_params,
    read_request,
    render_order,
    render_refund,
    set_up_params,
)
from recoup.providers.stripe_search import find_refund, list_charges
from recoup.rules.webhook_signature import stripe_has_signed

Answer = TypeVar("Answer")

API_VERSION: Final = "2025-04-30.basil"


class StripeSecrets(msgspec.Struct, frozen=True):
    """The keys of one Stripe account. The previous webhook secret is believed while one changes."""

    secret_key: str
    webhook_secret: str = ""
    previous_webhook_secret: str = ""

    def __repr__(self) -> str:
        """Show nothing: values are printed where nobody thinks of keys."""
        return "StripeSecrets(…)"


class StripeProvider:
    """One account at Stripe."""

    # A live account may make 100 calls a second, but only 25 of any one kind, and a sandbox 25 in
    # all; what we do most is of one kind. Source: https://docs.stripe.com/rate-limits
    limit: RateLimit | None = RateLimit(calls_per_second=25, burst=25)

    def __init__(
        self, secrets: StripeSecrets, *, base: str | None, http: httpx.AsyncClient
    ) -> None:
        """`base` is where Stripe is, None: where it always is. `http` may be shared by accounts."""
        self._webhook_secrets = [secrets.webhook_secret, secrets.previous_webhook_secret]
        self._stripe = stripe.StripeClient(
            secrets.secret_key,
            stripe_version=API_VERSION,
            base_addresses={"api": base.rstrip("/")} if base else None,
            max_network_retries=0,  # who sends again is decided by us, and after a look-up
            http_client=StripeHttp(http),
        )

    def render(self, order: Order) -> str | NotChargeable:
        """Render the parameters of a payment intent, or of a page's checkout session."""
        return render_order(order)

    async def charge(self, charge: Charge) -> Outcome:
        """Ask for the money: at most one charge per key, however often this is called."""
        return await _in_time(send_charge(self._stripe, charge))

    async def look_up(self, charge: Charge) -> Outcome | NotKnown:
        """Ask what became of a charge. Charges nothing."""
        return await _in_time(look_up_charge(self._stripe, charge))

    async def cancel(self, charge: Charge) -> Outcome:
        """Cancel the payment intent or expire the page, and say what became of it."""
        return await _in_time(cancel_charge(self._stripe, charge))

    def render_refund(self, order: RefundOrder) -> str:
        """Render the parameters of a refund."""
        return render_refund(order)

    async def refund(self, refund: Refund) -> RefundOutcome:
        """Pay back: at most once per key, however often this is called."""
        return await _in_time(self._refund(refund))

    async def look_up_refund(self, refund: Refund) -> RefundOutcome | NotKnown:
        """Ask what became of a refund. Pays nothing."""
        return await _in_time(find_refund(self._stripe, refund))

    async def create_customer(self, new: NewCustomer) -> CustomerMade | Declined | Lost:
        """Make a customer: once per key."""
        return await _in_time(self._create_customer(new))

    async def find_method(
        self, provider_method_id: str, provider_customer_id: str | None
    ) -> StoredMethod | NotKnown | Lost:
        """Ask for one method; `NotKnown` where it is detached, or another customer's."""
        return await _in_time(find_method(self._stripe, provider_method_id, provider_customer_id))

    async def list_methods(
        self, provider_customer_id: str
    ) -> Sequence[StoredMethod] | NotKnown | Lost:
        """Ask for a customer's methods; `NotKnown` where the customer was deleted."""
        return await _in_time(list_methods(self._stripe, provider_customer_id))

    async def set_up_page(self, order: SetUpOrder) -> Page | Declined | Lost:
        """Open a checkout session that keeps a method."""
        return await _in_time(self._set_up_page(order))

    async def list_charges(
        self, *, since: datetime, before: datetime, after: str | None
    ) -> ChargeList | Lost:
        """Ask for the payment intents made from `since` on and before `before`.

        Of a page that nobody has paid on there is none.
        """
        return await _in_time(list_charges(self._stripe, since=since, before=before, after=after))

    def verify(
        self, body: bytes, headers: Mapping[str, str], *, now: datetime
    ) -> Sequence[Delivery] | Forged:
        """Check `Stripe-Signature`, and take the one event out."""
        signature = headers.get("stripe-signature", "")
        if not stripe_has_signed(signature, body, secrets=self._webhook_secrets, now=now):
            return Forged("bad_signature")
        try:
            text = body.decode()  # the decoder looks only at what it needs, and we keep all of it
        except UnicodeError:
            return Forged("unreadable")
        event = decode(text, Event)
        return [Delivery(event.id, text)] if event else Forged("unreadable")

    def read_event(self, body: str) -> Told:
        """Say what a kept event means."""
        return read_event(body)

    async def _refund(self, refund: Refund) -> RefundOutcome:
        asked = read_request(refund.request)
        params: Any = asked.params
        if not AN_ID.match(params["payment_intent"]):
            return Declined(
                code=NO_SUCH_ID, was_asked=False
            )  # it is nobody's, so nothing is ever sent
        options: Any = {"idempotency_key": refund.idempotency_key}
        told = await call(self._stripe.v1.refunds.create_async(params, options), StripeRefund)
        if isinstance(told, Lost):
            return told
        if isinstance(told, TurnedAway):
            return read_no(told, None, sent_before=refund.sent_before)
        if (told.metadata or {}).get("lago_refund_id") != asked.params["metadata"][
            "lago_refund_id"
        ]:
            return Lost("answer_about_another_refund")
        return read_refund(told)

    async def _create_customer(self, new: NewCustomer) -> CustomerMade | Declined | Lost:
        params: Any = customer_params(new)
        options: Any = {"idempotency_key": new.idempotency_key}
        told = await call(self._stripe.v1.customers.create_async(params, options), Expandable)
        if isinstance(told, Lost):
            return told
        if isinstance(told, TurnedAway):
            return read_no(told, None, sent_before=False)
        return CustomerMade(told.id)

    async def _set_up_page(self, order: SetUpOrder) -> Page | Declined | Lost:
        params: Any = set_up_params(order)
        if params is None:
            return Declined(code="no_method_can_be_kept", was_asked=False)
        options: Any = {"idempotency_key": order.idempotency_key}
        told = await call(self._stripe.v1.checkout.sessions.create_async(params, options), Session)
        if isinstance(told, Lost):
            return told
        if isinstance(told, TurnedAway):
            return read_no(told, None, sent_before=False)
        if told.url is None or told.mode != "setup":
            return Lost("page_without_address")
        return Page(told.id, told.url, instant(told.expires_at))


async def _in_time(asked: Awaitable[Answer]) -> Answer | Lost:
    """Await an answer for as long as a call may last, however many requests it takes."""
    try:
        async with asyncio.timeout(LONGEST_CALL.total_seconds()):
            return await asked
    except TimeoutError:
        return Lost("TimeoutError", is_outage=True)

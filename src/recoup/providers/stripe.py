"""Stripe as a provider, through its own SDK.

The API version is pinned, so that Stripe's changes come when we take them. What is asked for is
rendered in `stripe_requests`; how a call can end is in `stripe_http`, what answers mean in
`stripe_answers`, and events in `stripe_events`; `stripe_search` looks up and lists.

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
from recoup.providers.stripe_answers import (
    AN_ID,
    Expandable,
    Intent,
    Session,
    StripeRefund,
    attempt_in,
    instant,
    read_decline,
    read_intent,
    read_page,
    read_refund,
)
from recoup.providers.stripe_events import Event, read_event
from recoup.providers.stripe_http import StripeHttp, TurnedAway, call
from recoup.providers.stripe_methods import find_method, list_methods
from recoup.providers.stripe_requests import (
    PAGE,
    Operation,
    customer_params,
    read_charge,
    read_request,
    render_order,
    render_refund,
    set_up_params,
)
from recoup.providers.stripe_search import find_intent, find_page, find_refund, list_charges
from recoup.rules.webhook_signature import stripe_has_signed

Answer = TypeVar("Answer")

API_VERSION: Final = "2025-04-30.basil"
# Of what Stripe can refuse, what says nothing of an earlier call under the same key. A 402 does: it
# is the issuer's answer, and under the same key it is always the first one.
REFUSED_AT_THE_DOOR: Final = frozenset({400, 403, 404})
# What a failed charge's intent may be. In another state money may have moved, or may yet.
WITHOUT_MONEY: Final = frozenset({"requires_payment_method", "canceled"})


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
        return await _in_time(self._charge(charge))

    async def look_up(self, charge: Charge) -> Outcome | NotKnown:
        """Ask what became of a charge. Charges nothing."""
        return await _in_time(self._look_up(charge))

    async def cancel(self, charge: Charge) -> Outcome:
        """Cancel the payment intent or expire the page, and say what became of it."""
        return await _in_time(self._cancel(charge))

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

    async def _charge(self, charge: Charge) -> Outcome:
        asked = read_charge(charge)
        options: Any = {"idempotency_key": charge.idempotency_key}
        params: Any = asked.params
        told: Intent | Session | TurnedAway | Lost
        if asked.operation == PAGE:
            opening = self._stripe.v1.checkout.sessions.create_async(params, options)
            told = await call(opening, Session)
        else:
            creating = self._stripe.v1.payment_intents.create_async(params, options)
            told = await call(creating, Intent)
        if isinstance(told, Lost):
            return told
        if isinstance(told, TurnedAway):
            return _read_no(told, asked, sent_before=charge.sent_before)
        if attempt_in(told.metadata) != asked.attempt_id:
            return Lost("answer_about_another_charge")
        return read_page(told) if isinstance(told, Session) else read_intent(told)

    async def _look_up(self, charge: Charge) -> Outcome | NotKnown:
        asked = read_charge(charge)
        if asked.operation == PAGE:
            page = await find_page(self._stripe, charge, asked)
            return read_page(page) if isinstance(page, Session) else page
        intent = await find_intent(self._stripe, charge, asked)
        return read_intent(intent) if isinstance(intent, Intent) else intent

    async def _cancel(self, charge: Charge) -> Outcome:
        asked = read_charge(charge)
        found: Intent | Session | TurnedAway | NotKnown | Lost
        if asked.operation == PAGE:
            found = await self._expire(charge, asked)
        else:
            found = await self._cancel_intent(charge, asked)
        if isinstance(found, TurnedAway):  # it is too late for that: then what is it now?
            outcome = await self._look_up(charge)
        elif isinstance(found, Lost | NotKnown):
            outcome = found
        elif attempt_in(found.metadata) != asked.attempt_id:
            return Lost("answer_about_another_charge")
        else:
            outcome = read_page(found) if isinstance(found, Session) else read_intent(found)
        # What Stripe does not know may still be on its way there: that is no end.
        return Lost("not_known") if isinstance(outcome, NotKnown) else outcome

    async def _cancel_intent(
        self, charge: Charge, asked: Operation
    ) -> Intent | TurnedAway | NotKnown | Lost:
        intent_id = charge.provider_payment_id
        if intent_id is None or not AN_ID.match(intent_id):
            found = await find_intent(self._stripe, charge, asked)
            if not isinstance(found, Intent):
                return found
            intent_id = found.id
        return await call(self._stripe.v1.payment_intents.cancel_async(intent_id), Intent)

    async def _expire(
        self, charge: Charge, asked: Operation
    ) -> Session | TurnedAway | NotKnown | Lost:
        page_id = charge.provider_payment_id
        if page_id is None or not (page_id.startswith("cs_") and AN_ID.match(page_id)):
            found = await find_page(self._stripe, charge, asked)
            if not isinstance(found, Session) or found.status != "open":
                return found
            page_id = found.id
        return await call(self._stripe.v1.checkout.sessions.expire_async(page_id), Session)

    async def _refund(self, refund: Refund) -> RefundOutcome:
        asked = read_request(refund.request)
        params: Any = asked.params
        if not AN_ID.match(params["payment_intent"]):
            return Declined(code=NO_SUCH_ID)  # it is nobody's, so nothing is ever sent
        options: Any = {"idempotency_key": refund.idempotency_key}
        told = await call(self._stripe.v1.refunds.create_async(params, options), StripeRefund)
        if isinstance(told, Lost):
            return told
        if isinstance(told, TurnedAway):
            return _read_no(told, None, sent_before=refund.sent_before)
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
            return _read_no(told, None, sent_before=False)
        return CustomerMade(told.id)

    async def _set_up_page(self, order: SetUpOrder) -> Page | Declined | Lost:
        params: Any = set_up_params(order)
        if params is None:
            return Declined(code="no_method_can_be_kept")
        options: Any = {"idempotency_key": order.idempotency_key}
        told = await call(self._stripe.v1.checkout.sessions.create_async(params, options), Session)
        if isinstance(told, Lost):
            return told
        if isinstance(told, TurnedAway):
            return _read_no(told, None, sent_before=False)
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


def _read_no(no: TurnedAway, asked: Operation | None, *, sent_before: bool) -> Declined | Lost:
    """A definite no, where it is one for certain."""
    error, intent = no.error, no.error.payment_intent
    if no.status in REFUSED_AT_THE_DOOR:
        if sent_before:
            return Lost(no.code)
        is_about_method = error.param == "payment_method"
        return Declined(
            code=no.code,
            # Stripe's own words quote what was sent; the name of the parameter does not.
            message=f"Stripe refuses the parameter {error.param}." if error.param else "",
            method_is_gone=is_about_method and asked is not None,
        )
    if not (error.code or error.decline_code):
        return Lost("unreadable_answer")
    if intent is not None:
        if asked is not None and attempt_in(intent.metadata) != asked.attempt_id:
            return Lost("answer_about_another_charge")
        if intent.status not in WITHOUT_MONEY:
            return Lost("answer_contradicts_itself")
    return read_decline(error, intent)

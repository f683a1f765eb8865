"""Adyen as a provider: Checkout v72, by its SDK.

What would surprise you:
- There is no way to ask what became of a payment: `look_up` knows of links alone, and a payment is
  sent again under its key, which Adyen keeps for at least seven days.
- A payer who is there pays on a payment link. A completed link is `Processing`: its payment's own
  id comes with the event that ends it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from re import fullmatch
from typing import Final
from urllib.parse import quote

import msgspec

from recoup.providers import adyen_events, adyen_requests
from recoup.providers.addresses import NO_SUCH_ID, in_a_path
from recoup.providers.adyen_answers import (
    Accepted,
    Link,
    Tokens,
    lost,
    read_link,
    read_payment,
    read_turned_away,
    stored_method,
)
from recoup.providers.adyen_calls import Answer, Calls
from recoup.providers.adyen_requests import RefundRequest, Sent
from recoup.providers.protocol import (
    CannotList,
    Charge,
    CustomerMade,
    CustomerNeeded,
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
    Processing,
    RateLimit,
    Refund,
    RefundOrder,
    RefundOutcome,
    RefundProcessing,
    SetUpOrder,
    StoredMethod,
    Told,
)
from recoup.providers.reading import decode

TEST: Final = "https://checkout-test.adyen.com/v72"
LIVE: Final = "https://{prefix}-checkout-live.adyenpayments.com/checkout/v72"
_DNS_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,46}[A-Za-z0-9])?"


class AdyenSecrets(msgspec.Struct, frozen=True):
    """What Adyen's Customer Area tells of an account. Shown, it tells nothing."""

    api_key: str
    merchant_account: str
    hmac_key: str = ""
    previous_hmac_key: str = ""  # while the two are being exchanged
    live_prefix: str = ""  # empty: the test platform

    def __repr__(self) -> str:
        return "AdyenSecrets()"


class AdyenProvider:
    """One merchant account at Adyen."""

    limit: RateLimit | None = None

    def __init__(self, secrets: AdyenSecrets, *, base: str | None) -> None:
        """`base` is what stands before `/payments`; None: Adyen's own address."""
        self._secrets = secrets
        self._account = secrets.merchant_account
        self._calls = Calls(base or _address(secrets.live_prefix), secrets.api_key)

    def render(self, order: Order) -> str | NotChargeable:
        """Render the body of `POST /payments` or `POST /paymentLinks`."""
        return adyen_requests.render(order, self._account)

    async def charge(self, charge: Charge) -> Outcome:
        """Ask for the money, or open the page: once per key, however often this is called."""
        sent = msgspec.json.decode(charge.request, type=Sent)
        key = charge.idempotency_key
        answer = await self._calls.ask(
            lambda adyen: (
                adyen.links.payment_links(charge.request, key)
                if sent.is_page
                else adyen.payments.payments(charge.request, key)
            )
        )
        if isinstance(answer, Lost):
            return answer
        if answer.status >= 300:
            return read_turned_away(answer, sent_before=charge.sent_before)
        return _outcome(answer, sent)

    async def look_up(self, charge: Charge) -> Outcome | NotKnown:
        """Ask what became of a link. Of a payment Adyen has no way to say."""
        sent = msgspec.json.decode(charge.request, type=Sent)
        link = charge.provider_payment_id
        if not sent.is_page or link is None or (named := in_a_path(link)) is None:
            return NotKnown(was_asked=False)
        answer = await self._calls.ask(lambda adyen: adyen.links.get_payment_link(named))
        return answer if isinstance(answer, Lost) else read_link(answer, sent)

    async def cancel(self, charge: Charge) -> Outcome:
        """Close a page, or ask for an end of a payment: whether it ended so, an event tells."""
        sent = msgspec.json.decode(charge.request, type=Sent)
        known_as = charge.provider_payment_id
        if known_as is None:
            return Lost("not_known_here")  # its first call may still arrive
        if (named := in_a_path(known_as)) is None:
            return Lost(NO_SUCH_ID)
        if sent.is_page:
            return await self._close(charge, sent, named)
        key = charge.idempotency_key
        body = adyen_requests.render_cancel(key, self._account)
        answer = await self._calls.ask(
            lambda adyen: adyen.modifications.cancel_authorised_payment_by_psp_reference(
                body, named, f"cancel-{key}"
            )
        )
        if isinstance(answer, Lost):
            return answer
        said = decode(answer.body, Accepted) if answer.status in {200, 201} else None
        if said is None or said.payment_psp_reference != known_as:
            return lost(answer)
        return Processing(known_as, said.status)

    def render_refund(self, order: RefundOrder) -> str:
        """Render the body of `POST /payments/{payment}/refunds`, with the payment beside it."""
        return adyen_requests.render_refund(order, self._account)

    async def refund(self, refund: Refund) -> RefundOutcome:
        """Pay back: at most once per key. That the money went back, an event tells."""
        kept = msgspec.json.decode(refund.request, type=RefundRequest)
        if (named := in_a_path(kept.payment)) is None:
            return Declined(NO_SUCH_ID, was_asked=False)  # it is nobody's, so nothing is ever sent
        body = bytes(kept.body).decode()
        answer = await self._calls.ask(
            lambda adyen: adyen.modifications.refund_captured_payment(
                body, named, refund.idempotency_key
            )
        )
        if isinstance(answer, Lost):
            return answer
        if answer.status >= 300:
            return read_turned_away(answer, sent_before=refund.sent_before)
        said = decode(answer.body, Accepted)
        if said is None or said.payment_psp_reference != kept.payment:
            return lost(answer)
        return RefundProcessing(said.psp_reference, said.status)

    async def look_up_refund(self, refund: Refund) -> RefundOutcome | NotKnown:  # noqa: ARG002
        """Adyen has no way to say what became of a refund."""
        return NotKnown(was_asked=False)

    async def create_customer(self, new: NewCustomer) -> CustomerMade | Declined | Lost:
        """Name the shopper: Adyen knows any by the reference that we give."""
        return CustomerMade(new.idempotency_key)

    async def find_method(
        self, provider_method_id: str, provider_customer_id: str | None
    ) -> StoredMethod | NotKnown | Lost:
        """Ask for one method, which Adyen knows only as a shopper's."""
        if provider_customer_id is None:
            return NotKnown(was_asked=False)
        methods = await self.list_methods(provider_customer_id)
        if isinstance(methods, NotKnown | Lost):
            return methods
        ours = [one for one in methods if one.provider_method_id == provider_method_id]
        return ours[0] if ours else NotKnown()

    async def list_methods(
        self, provider_customer_id: str
    ) -> Sequence[StoredMethod] | NotKnown | Lost:
        """Ask for a shopper's methods; none for one who left none, or is not known."""
        if (named := in_a_path(provider_customer_id)) is None:
            return NotKnown(was_asked=False)
        # Quoted here, since the SDK joins it as it is.
        query = {"merchantAccount": quote(self._account, safe=""), "shopperReference": named}
        answer = await self._calls.ask(
            lambda adyen: adyen.methods.get_tokens_for_stored_payment_details(
                query_parameters=query
            )
        )
        if isinstance(answer, Lost):
            return answer
        said = decode(answer.body, Tokens) if answer.status == 200 else None
        if said is None or said.shopper_reference != provider_customer_id:
            return lost(answer)
        return [stored_method(one, provider_customer_id) for one in said.stored_payment_methods]

    async def set_up_page(self, order: SetUpOrder) -> Page | Declined | Lost:
        """Open a link over nothing, on which the customer leaves a method."""
        body = adyen_requests.render_set_up(order, self._account)
        answer = await self._calls.ask(
            lambda adyen: adyen.links.payment_links(body, order.idempotency_key)
        )
        if isinstance(answer, Lost):
            return answer
        if answer.status >= 300:
            return read_turned_away(answer, sent_before=False)
        link = decode(answer.body, Link)
        return Page(link.id, link.url, link.expires_at) if link else lost(answer)

    async def list_charges(
        self, *, since: datetime, before: datetime, after: str | None  # noqa: ARG002
    ) -> CannotList:  # fmt: skip
        """Adyen lists payments in reports alone."""
        return CannotList()

    def verify(
        self, body: bytes, headers: Mapping[str, str], *, now: datetime  # noqa: ARG002
    ) -> Sequence[Delivery] | Forged:  # fmt: skip
        """Check the signature of every item. There is no time in it, and none in the headers."""
        keys = (self._secrets.hmac_key, self._secrets.previous_hmac_key)
        return adyen_events.verify(body, keys, self._account)

    def read_event(self, body: str) -> Told:
        """Say what a kept event means."""
        return adyen_events.read(body)

    async def _close(self, charge: Charge, sent: Sent, named: str) -> Outcome:
        answer = await self._calls.ask(
            lambda adyen: adyen.links.update_payment_link('{"status":"expired"}', named)
        )
        if not isinstance(answer, Lost) and answer.status == 200:
            return read_link(answer, sent)
        # It may have ended already, which is no change that Adyen takes: ask how.
        told = await self.look_up(charge)
        if isinstance(told, NotKnown | CustomerNeeded):
            return answer if isinstance(answer, Lost) else lost(answer)
        return told


def _outcome(answer: Answer, sent: Sent) -> Outcome:
    return read_link(answer, sent) if sent.is_page else read_payment(answer, sent)


def _address(live_prefix: str) -> str:
    if not live_prefix:
        return TEST
    if not fullmatch(_DNS_LABEL, live_prefix):
        raise ValueError("a live prefix is one label of a host's name")
    return LIVE.format(prefix=live_prefix)

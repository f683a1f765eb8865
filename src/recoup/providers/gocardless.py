"""GoCardless as a provider: direct debits against mandates, with its official SDK.

Here is what is sent; what is asked, one operation a function, is in `gocardless_charges`,
`gocardless_refunds` and `gocardless_customers`, and the webhooks are in `gocardless_events`.

What would surprise you:
- Nothing is paid at once. A charge is `Processing` for days, and then its event or a look-up tells.
- A repeated key is a 409 that names what the key has made. That is fetched and compared: a key that
  was used for something else would otherwise pass for our success.
- Why a payment failed is told by its events alone, so a look-up of a failed one asks for them too.
- There is no payment page: Lago has none for GoCardless, and refuses it by this same word.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Final, TypeVar

import msgspec

from recoup.providers import (
    gocardless_charges,
    gocardless_customers,
    gocardless_events,
    gocardless_refunds,
)
from recoup.providers.gocardless_answers import LONGEST_PAGE, instant
from recoup.providers.gocardless_calls import Calls
from recoup.providers.gocardless_words import (
    AMOUNT,
    INVOICE,
    PAYMENT,
    REFUND,
    kept_metadata,
    write_amount,
)
from recoup.providers.protocol import (
    CannotList,
    Charge,
    ChargeList,
    CustomerMade,
    Declined,
    Delivery,
    Fate,
    Forged,
    Lost,
    Manner,
    NewCustomer,
    NotChargeable,
    NotKnown,
    Order,
    Page,
    RateLimit,
    Refund,
    RefundOrder,
    RefundOutcome,
    SetUpOrder,
    StoredMethod,
    Told,
)
from recoup.providers.sdk_threads import SdkThreads
from recoup.rules.provider_money import NotTaken, to_provider
from recoup.rules.records.provider_accounts import ProviderKind

Done = TypeVar("Done")

LIVE: Final = "https://api.gocardless.com"
SANDBOX: Final = "https://api-sandbox.gocardless.com"


class GoCardlessSecrets(msgspec.Struct, frozen=True):
    """What the merchant copies from GoCardless's dashboard."""

    access_token: str
    webhook_secret: str = ""
    previous_webhook_secret: str = ""  # good as well, while one replaces the other

    def __repr__(self) -> str:
        """No secret gets into a log by way of a value that holds it."""
        return "GoCardlessSecrets(…)"


class GoCardlessProvider:
    """One account at GoCardless."""

    # Source: https://developer.gocardless.com/api-reference/#making-requests-rate-limiting, which
    # allows a thousand requests a minute. It names no burst: a tenth leaves room for a neighbour
    # who uses the same token.
    limit: RateLimit | None = RateLimit(calls_per_second=1_000 / 60, burst=100)

    def __init__(self, secrets: GoCardlessSecrets, *, base: str | None) -> None:
        """`base` is another server to ask, without a path; None: the one the token is for."""
        self._secrets = secrets
        is_sandbox = secrets.access_token.startswith("sandbox_")
        self._base = base or (SANDBOX if is_sandbox else LIVE)
        self._threads = SdkThreads("gocardless")

    def render(self, order: Order) -> str | NotChargeable:
        """Render the body of `POST /payments`, as the SDK writes it (contract section 5.5).

        No `reference`: what it may be depends on the scheme of the mandate, which is not known
        here, and some schemes and price plans allow none.
        """
        if order.manner is Manner.PAGE:
            return NotChargeable("invalid_payment_provider")
        if order.manner is Manner.TRANSFER or order.provider_method_id is None:
            return NotChargeable("no_mandate_error")
        amount = to_provider(ProviderKind.GOCARDLESS, order.currency, order.amount_cents)
        if isinstance(amount, NotTaken):
            return NotChargeable(amount.value)
        metadata = {
            **order.metadata,
            PAYMENT: str(order.attempt_id),
            AMOUNT: write_amount(order.amount_cents, order.currency),
        }
        payment = {
            "amount": amount,
            "currency": order.currency,
            "retry_if_possible": False,  # whether and when to try again is decided by Recoup
            "metadata": kept_metadata(metadata, (PAYMENT, AMOUNT, INVOICE)),
            "links": {"mandate": order.provider_method_id},
        }
        return json.dumps({"payments": payment})

    async def charge(self, charge: Charge) -> Fate:
        """Ask for the money: at most one charge per key, however often this is called."""
        return await self._in_a_thread(partial(gocardless_charges.charge_once, charge=charge))

    async def look_up(self, charge: Charge) -> Fate | NotKnown:
        """Ask what became of a charge. Charges nothing."""
        return await self._in_a_thread(partial(gocardless_charges.look_up, charge=charge))

    async def cancel(self, charge: Charge) -> Fate:
        """Ask for an end without money, and answer what became of the charge."""
        return await self._in_a_thread(partial(gocardless_charges.cancel, charge=charge))

    def render_refund(self, order: RefundOrder) -> str:
        """Render the body of `POST /refunds`, as the SDK writes it.

        `total_amount_confirmation` is the sum of all refunds of the payment, this one included.
        """
        metadata = {
            **order.metadata,
            REFUND: str(order.refund_id),
            AMOUNT: write_amount(order.amount_cents, order.currency),
        }
        refund = {
            "amount": order.amount_cents,
            "total_amount_confirmation": order.refunded_before_cents + order.amount_cents,
            "metadata": kept_metadata(metadata, (REFUND, AMOUNT, PAYMENT)),
            "links": {"payment": order.provider_payment_id},
        }
        return json.dumps({"refunds": refund})

    async def refund(self, refund: Refund) -> RefundOutcome:
        """Pay back: at most once per key, however often this is called."""
        return await self._in_a_thread(partial(gocardless_refunds.refund_once, refund=refund))

    async def look_up_refund(self, refund: Refund) -> RefundOutcome | NotKnown:
        """Ask what became of a refund. Pays nothing."""
        return await self._in_a_thread(partial(gocardless_refunds.look_up_refund, refund=refund))

    async def create_customer(self, new: NewCustomer) -> CustomerMade | Declined | Lost:
        """Make the customer known to GoCardless: once per key."""
        return await self._in_a_thread(partial(gocardless_customers.create, new=new))

    async def find_method(
        self, provider_method_id: str, provider_customer_id: str | None
    ) -> StoredMethod | NotKnown | Lost:
        """Ask for a mandate; `NotKnown` where it has ended, or is another customer's."""
        found = await self._in_a_thread(
            partial(gocardless_customers.find_mandate, mandate_id=provider_method_id)
        )
        if not isinstance(found, StoredMethod):
            return found
        is_theirs = provider_customer_id in {None, found.provider_customer_id}
        return found if is_theirs else NotKnown()

    async def list_methods(
        self, provider_customer_id: str
    ) -> Sequence[StoredMethod] | NotKnown | Lost:
        """Ask for a customer's mandates that have not ended, newest first."""
        return await self._in_a_thread(
            partial(gocardless_customers.list_mandates, customer_id=provider_customer_id)
        )

    async def set_up_page(self, order: SetUpOrder) -> Page | Declined | Lost:
        """Open a page where the customer signs a mandate. `method_types` are not chosen here:
        the page offers the schemes of the currency.
        """
        return await self._in_a_thread(partial(gocardless_customers.set_up_page, order=order))

    async def list_charges(
        self, *, since: datetime, before: datetime, after: str | None
    ) -> ChargeList | CannotList | Lost:
        """Ask for the payments made from `since` on and before `before`, newest first."""
        params = {
            "created_at[gte]": instant(since),
            "created_at[lt]": instant(before),
            "limit": LONGEST_PAGE,
        } | ({} if after is None else {"after": after})
        return await self._in_a_thread(partial(gocardless_charges.list_page, params=params))

    def verify(
        self, body: bytes, headers: Mapping[str, str], *, now: datetime
    ) -> Sequence[Delivery] | Forged:
        """Check `Webhook-Signature`, which tells no time: events are known by their ids."""
        del now
        secrets = (self._secrets.webhook_secret, self._secrets.previous_webhook_secret)
        return gocardless_events.verify(body, headers, secrets=secrets)

    def read_event(self, body: str) -> Told:
        """Say what a kept event means."""
        return gocardless_events.read_event(body)

    async def _in_a_thread(self, work: Callable[[Calls], Done]) -> Done | Lost:
        token, base = self._secrets.access_token, self._base
        return await self._threads.run(lambda deadline: work(Calls(base, token, deadline=deadline)))

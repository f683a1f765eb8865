"""The sandbox as a provider: `recoup sandbox`, over HTTP like any other.

Read by whoever writes the next adapter: it is the smallest complete one. A hosted payment page is
a charge there that waits for its payer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Final

import aiohttp
import msgspec

from recoup.providers.addresses import NO_SUCH_ID, in_a_path
from recoup.providers.protocol import (
    CannotList,
    Charge,
    ChargeList,
    CustomerMade,
    CustomerNeeded,
    Declined,
    Delivery,
    Forged,
    ListedCharge,
    Lost,
    Manner,
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
    SetUpOrder,
    StoredMethod,
    Told,
)
from recoup.providers.reading import decode
from recoup.providers.sandbox_answers import (
    ChargesAnswer,
    MethodAnswer,
    MethodsAnswer,
    RefundAnswer,
    RefundsAnswer,
    SetUpPageAnswer,
    outcome,
    read_charge,
    read_turned_away,
    refund_outcome,
)
from recoup.providers.sandbox_calls import SandboxCalls, lost
from recoup.providers.sandbox_events import read_delivery, told_by
from recoup.rules.provider_money import NotTaken, to_provider
from recoup.rules.records.provider_accounts import ProviderKind
from recoup.rules.webhook_signature import sandbox_has_signed

TURNED_AWAY: Final = frozenset({400, 403, 404})
ON_A_PAGE: Final = "pm_sandbox_page"  # the payer says yes there, or nothing


class SandboxSecrets(msgspec.Struct, frozen=True):
    """What `recoup provider add sandbox` makes up for an account."""

    api_key: str
    webhook_secret: str
    previous_webhook_secret: str = ""  # while the two are being exchanged

    def __repr__(self) -> str:
        """Show nothing: values are printed where nobody thinks of keys."""
        return "SandboxSecrets(…)"


class SandboxProvider:
    """One account at the sandbox."""

    limit: RateLimit | None = None

    def __init__(self, http: aiohttp.ClientSession, base: str, secrets: SandboxSecrets) -> None:
        self._secrets = secrets
        self._calls = SandboxCalls(http, base, secrets.api_key)

    def render(self, order: Order) -> str | NotChargeable:
        """Render the body of `POST /v1/charges`."""
        amount = to_provider(ProviderKind.SANDBOX, order.currency, order.amount_cents)
        if isinstance(amount, NotTaken):
            return NotChargeable(amount.value)
        if order.manner is Manner.TRANSFER:
            return NotChargeable("no_payment_method")
        method = ON_A_PAGE if order.manner is Manner.PAGE else order.provider_method_id
        return msgspec.json.encode(
            {
                "amount": amount,
                "currency": order.currency,
                "customer": order.provider_customer_id,
                "payment_method": method,
                "off_session": order.manner is Manner.OFF_SESSION,
                "reference": order.reference,
                "metadata": order.metadata,
            }
        ).decode()

    async def charge(self, charge: Charge) -> Outcome:
        """Ask for the money: at most one charge per key, however often this is called."""
        answer = await self._calls.post("charges", charge.request, charge.idempotency_key)
        if isinstance(answer, Lost):
            return answer
        if answer.status in {200, 402}:
            return read_charge(answer.body, charge.idempotency_key)
        if answer.status in TURNED_AWAY and not charge.sent_before:
            return read_turned_away(answer.body)
        # After an earlier call a refusal says nothing of that one, which may have got in.
        return lost(answer)

    async def look_up(self, charge: Charge) -> Outcome | NotKnown:
        """Ask what became of a charge. Charges nothing."""
        found = await self._calls.get(
            "charges", ChargesAnswer, idempotency_key=charge.idempotency_key
        )
        if isinstance(found, Lost):
            return found
        ours = [one for one in found.charges if one.idempotency_key == charge.idempotency_key]
        return outcome(ours[0]) if ours else NotKnown()

    async def cancel(self, charge: Charge) -> Outcome:
        """Ask for an end without money, and answer what became of the charge."""
        known_as = charge.provider_payment_id
        if known_as is None:
            told = await self.look_up(charge)
            if isinstance(told, NotKnown):
                return Lost("not_known_here")  # its first call may still arrive
            if not isinstance(told, Processing | CustomerNeeded):
                return told
            known_as = told.provider_payment_id
        if (named := in_a_path(known_as)) is None:
            return Lost(NO_SUCH_ID)
        url = self._calls.v1.joinpath("charges", named, "cancel", encoded=True)
        answer = await self._calls.call("POST", url)
        if isinstance(answer, Lost):
            return answer
        if answer.status in {200, 409}:  # 409: it has ended otherwise, and how is said
            return read_charge(answer.body, charge.idempotency_key)
        return lost(answer)

    def render_refund(self, order: RefundOrder) -> str:
        """Render the body of `POST /v1/refunds`."""
        amount = to_provider(ProviderKind.SANDBOX, order.currency, order.amount_cents)
        assert not isinstance(amount, NotTaken), "it was charged in this currency"
        return msgspec.json.encode(
            {
                "charge": order.provider_payment_id,
                "amount": amount,
                "reference": order.reference,
                "metadata": order.metadata,
            }
        ).decode()

    async def refund(self, refund: Refund) -> RefundOutcome:
        """Pay back: at most once per key, however often this is called."""
        answer = await self._calls.post("refunds", refund.request, refund.idempotency_key)
        if isinstance(answer, Lost):
            return answer
        if answer.status in TURNED_AWAY and not refund.sent_before:
            return read_turned_away(answer.body)
        if answer.status != 200:
            return lost(answer)
        said = decode(answer.body, RefundAnswer)
        if said is None or said.refund.idempotency_key != refund.idempotency_key:
            return Lost("unreadable_answer")
        return refund_outcome(said.refund)

    async def look_up_refund(self, refund: Refund) -> RefundOutcome | NotKnown:
        """Ask what became of a refund. Pays nothing."""
        found = await self._calls.get(
            "refunds", RefundsAnswer, idempotency_key=refund.idempotency_key
        )
        if isinstance(found, Lost):
            return found
        ours = [one for one in found.refunds if one.idempotency_key == refund.idempotency_key]
        return refund_outcome(ours[0]) if ours else NotKnown()

    async def create_customer(self, new: NewCustomer) -> CustomerMade:
        """Name the customer: the sandbox knows any, so nobody is asked."""
        return CustomerMade(f"cus_sandbox_{sha256(new.idempotency_key.encode()).hexdigest()[:24]}")

    async def find_method(
        self, provider_method_id: str, provider_customer_id: str | None
    ) -> StoredMethod | NotKnown | Lost:
        """Ask for one method: every test method is every customer's."""
        named = in_a_path(provider_method_id)
        if named is None or (provider_customer_id and in_a_path(provider_customer_id) is None):
            return NotKnown(was_asked=False)
        url = self._calls.v1.joinpath("payment_methods", named, encoded=True)
        answer = await self._calls.call("GET", url.with_query(customer=provider_customer_id or ""))
        if isinstance(answer, Lost):
            return answer
        if answer.status == 404 and isinstance(read_turned_away(answer.body), Declined):
            return NotKnown()
        said = decode(answer.body, MethodAnswer) if answer.status == 200 else None
        if said is None or said.payment_method.id != provider_method_id:
            return lost(answer)
        return StoredMethod(
            provider_method_id=provider_method_id,
            provider_customer_id=said.payment_method.customer,
        )

    async def list_methods(
        self, provider_customer_id: str
    ) -> Sequence[StoredMethod] | NotKnown | Lost:
        """Ask for what a customer has left. They can be charged by any other test method too."""
        if (named := in_a_path(provider_customer_id)) is None:
            return NotKnown(was_asked=False)
        found = await self._calls.get(f"customers/{named}/payment_methods", MethodsAnswer)
        if isinstance(found, Lost):
            return found
        return [
            StoredMethod(
                provider_method_id=one.id,
                provider_customer_id=provider_customer_id,
                is_default=one.is_default,
            )
            for one in found.payment_methods
            if one.customer == provider_customer_id
        ]

    async def set_up_page(self, order: SetUpOrder) -> Page | Declined | Lost:
        """Open a page where the customer chooses a test method as their own."""
        asked = {
            "customer": order.provider_customer_id,
            "success_redirect_url": order.return_url,
            "metadata": order.metadata,
        }
        request = msgspec.json.encode(asked).decode()
        answer = await self._calls.post("set_up_pages", request, order.idempotency_key)
        if isinstance(answer, Lost):
            return answer
        if answer.status in TURNED_AWAY:
            return read_turned_away(answer.body)
        if answer.status != 200:
            return lost(answer)
        said = decode(answer.body, SetUpPageAnswer)
        if said is None or said.set_up_page.idempotency_key != order.idempotency_key:
            return Lost("unreadable_answer")
        page = said.set_up_page
        return Page(page.id, page.url, page.expires_at)

    async def list_charges(
        self, *, since: datetime, before: datetime, after: str | None
    ) -> ChargeList | CannotList | Lost:
        """Ask for the charges made from `since` on and before `before`, page by page."""
        window = {"since": since.isoformat(), "before": before.isoformat()}
        found = await self._calls.get("charges", ChargesAnswer, **window, **_after(after))
        if isinstance(found, Lost):
            return found
        if found.has_more and not found.charges:
            return Lost("unreadable_answer")
        charges = [
            ListedCharge(
                one.idempotency_key if one.idempotency_key.startswith("payment-") else None,
                one.id,
                outcome(one),
                one.amount,
                one.currency,
                one.metadata,
            )
            for one in found.charges
        ]
        return ChargeList(charges, found.charges[-1].id if found.has_more else None)

    async def register_webhook(self, url: str) -> bool:
        """Tell the sandbox where this account's events go; False where it did not take it."""
        body = msgspec.json.encode({"url": url, "secret": self._secrets.webhook_secret})
        answer = await self._calls.call("POST", self._calls.v1 / "webhook_endpoints", body)
        return not isinstance(answer, Lost) and answer.status == 200

    def verify(
        self, body: bytes, headers: Mapping[str, str], *, now: datetime
    ) -> Sequence[Delivery] | Forged:
        """Check `Sandbox-Signature`, and take the one event out."""
        signature = headers.get("sandbox-signature", "")
        secrets = [
            secret
            for secret in (self._secrets.webhook_secret, self._secrets.previous_webhook_secret)
            if secret
        ]
        if not sandbox_has_signed(signature, body, secrets=secrets, now=now):
            return Forged("bad_signature")
        return read_delivery(body)

    def read_event(self, body: str) -> Told:
        """Say what a kept event means."""
        return told_by(body)


def _after(after: str | None) -> dict[str, str]:
    return {"after": after} if after else {}

"""Stripe's adapter, against localstripe in its own process behind a gate of ours."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import aiohttp
import httpx
import msgspec
import pytest_asyncio

from recoup import clock
from recoup.providers.protocol import LONGEST_CALL, CustomerNeeded, Declined, Paid, Processing
from recoup.providers.stripe import StripeProvider, StripeSecrets
from tests.provider_signatures import dated
from tests.providers.conformance import ATTEMPT, NOW, ProviderConformance, StandIn
from tests.providers.stripe_shapes import card_error, refused
from tests.providers.stripe_world import DECLINED, WANTS_PAYER, StripeWorld, stripe_world

SECRETS = ("whsec_first", "whsec_next")
INTENT: Mapping[str, Any] = {
    "id": "pi_1",
    "object": "payment_intent",
    "amount": 1_000,
    "amount_received": 1_000,
    "currency": "eur",
    "status": "succeeded",
    "latest_charge": "ch_1",
    "last_payment_error": None,
    "next_action": None,
    "metadata": {"lago_payment_id": str(ATTEMPT)},
}
NO: Mapping[str, str] = {"code": "card_declined", "decline_code": "insufficient_funds"}


def an_intent(**changes: Any) -> bytes:
    return msgspec.json.encode({**INTENT, **changes})


def description() -> Path | None:
    """Stripe's own description of its API, where it lies beside the project."""
    found = Path(os.environ.get("RECOUP_SHARED", "../shared")) / "psp" / "stripe-trim2.json"
    return found if found.is_file() else None


class StripeStandIn(StandIn):
    """localstripe behind the gate, with a customer who has one method of each kind."""

    longest_call: timedelta = LONGEST_CALL
    webhook_secrets = SECRETS

    def __init__(self, world: StripeWorld, http: httpx.AsyncClient) -> None:
        self.world = world
        self.base = world.base
        self._http = http
        self._methods: dict[str, str] = {}
        self.provider = self.asking(world.base)

    async def furnish(self) -> None:
        """Make the customers, and the methods that the tests name."""
        self.customer_id = await self.world.customer()
        self.other_customer_id = await self.world.customer()
        customer = self.customer_id
        self._methods = {
            "visa": await self.world.card(customer),
            "declined": await self.world.card(customer, DECLINED, decline=NO),
            "wants_payer": await self.world.card(customer, WANTS_PAYER),
            "slow": await self.world.card(customer),
            "captured_by_hand": await self.world.card(customer),
        }
        self.world.gate.slow.add(self._methods["slow"])
        self.world.gate.by_hand.add(self._methods["captured_by_hand"])

    def method_id(self, name: str) -> str:
        return self._methods.get(name, name)

    def now(self) -> datetime:
        return clock.now()

    async def charged_keys(self) -> list[str]:
        charges = await self.world.charges()
        return [f"payment-{one['metadata'].get('lago_payment_id')}" for one in charges]

    async def refunded_keys(self) -> list[str]:
        refunds = await self.world.refunds()
        return [f"refund-{one['metadata'].get('lago_refund_id')}" for one in refunds]

    async def charge_as_somebody_else(self) -> None:
        params = {
            "amount": "700", "currency": "eur", "customer": self.customer_id, "confirm": "true",
            "payment_method": self.method_id("visa"), "return_url": "https://else.example/",
        }  # fmt: skip
        async with (
            aiohttp.ClientSession() as http,
            http.post(
                f"{self.base}/v1/payment_intents",
                data=params,
                headers={"Authorization": f"Bearer {self.world.secret_key}"},
            ) as answer,
        ):
            assert answer.status == 200, await answer.text()

    async def pay_page(self, page: CustomerNeeded) -> None:
        sessions = self.world.gate.sessions
        await sessions.pay(page.provider_payment_id, self.method_id("visa"))

    async def fail_on_page(self, page: CustomerNeeded) -> None:
        sessions = self.world.gate.sessions
        await sessions.pay(page.provider_payment_id, self.method_id("declined"))

    def asking(self, base: str) -> StripeProvider:
        secrets = StripeSecrets(self.world.secret_key, SECRETS[0])
        return StripeProvider(secrets, base=base, http=self._http)

    def verifying(self, secrets: Sequence[str]) -> StripeProvider:
        first, second = [*secrets, "", ""][:2]
        one = StripeSecrets(self.world.secret_key, first, second)
        return StripeProvider(one, base=self.base, http=self._http)

    def true_answers(self) -> Mapping[str, tuple[int, bytes]]:
        link = {"type": "redirect_to_url", "redirect_to_url": {"url": "https://issuer.example/"}}
        failed = {**INTENT, "status": "requires_payment_method", "last_payment_error": NO}
        return {
            "paid": (200, an_intent()),
            "processing": (200, an_intent(status="processing")),
            "customer_needed": (200, an_intent(status="requires_action", next_action=link)),
            "declined": (402, msgspec.json.encode(card_error(NO, failed))),
            "turned away": (400, msgspec.json.encode(refused("nope", message="No.")[1])),
        }

    def lies(self) -> Mapping[str, bytes]:
        another = {"lago_payment_id": "01890000-0000-7000-8000-0000000000ff"}
        return {
            "another attempt's": an_intent(metadata=another),
            "nobody's": an_intent(metadata={}),
            "another object": an_intent(object="setup_intent"),
            "no id": an_intent(id=""),
            "an id with a NUL": an_intent(id="pi\0"),
            "an endless id": an_intent(id="p" * 256),
            "an amount below zero": an_intent(amount_received=-1),
            "an amount beyond all columns": an_intent(amount_received=2**63),
            "an amount in text": an_intent(amount_received="1000"),
            "an amount with a point": an_intent(amount_received=1000.5),
            "no currency": an_intent(currency=""),
            "no known currency": an_intent(currency="xxx"),
            "four letters of currency": an_intent(currency="euro"),
            "an unknown status": an_intent(status="settled"),
            "no UTF-8 in its id": an_intent().replace(b"pi_1", b"pi_\xff"),
            "a next action that cannot be kept": an_intent(
                status="requires_action", next_action={"type": "\0"}
            ),
            "a next action without end": an_intent(status="requires_action").replace(
                b'"next_action":null', b'"next_action":' + b'{"a":' * 100_000
            ),
        }

    def signed(self, body: bytes, secret: str | None = None) -> tuple[bytes, Mapping[str, str]]:
        key = self.webhook_secrets[0] if secret is None else secret
        return body, {"stripe-signature": dated(body, key, at=int(NOW.timestamp()))}

    def event(self) -> bytes:
        event = {"id": "evt_1", "object": "event", "type": "payment_intent.succeeded"}
        return msgspec.json.encode({**event, "data": {"object": INTENT}})


class TestStripe(ProviderConformance):
    """Stripe does all that the suite asks."""

    paid_by = "visa"
    open_by = "captured_by_hand"
    unknown_method = "pm_of_nobody"
    words: ClassVar = {
        "visa": Paid,
        "declined": Declined,
        "wants_payer": Declined,
        "slow": Processing,
        "captured_by_hand": Processing,
    }

    @pytest_asyncio.fixture
    async def psp(self, localstripe_base: str) -> AsyncIterator[StripeStandIn]:
        """Stripe, and somebody with an account there; all that is sent to it, it knows."""
        async with (
            stripe_world(localstripe_base, description()) as world,
            httpx.AsyncClient() as http,
        ):
            stand_in = StripeStandIn(world, http)
            await stand_in.furnish()
            yield stand_in
            assert world.gate.complaints == []

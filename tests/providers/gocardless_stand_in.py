"""GoCardless as the conformance suite asks for it, and what its own tests send and are told."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import msgspec

from recoup.providers.gocardless import GoCardlessProvider, GoCardlessSecrets
from recoup.providers.gocardless_calls import CONNECT_SECONDS, READ_SECONDS
from recoup.providers.protocol import Charge, Order, Processing, Provider, RefundProcessing
from tests.provider_signatures import hex_mac
from tests.providers.gocardless_books import event
from tests.providers.gocardless_stub import TOKEN, Schemas, Stub
from tests.providers.stand_in import ATTEMPT, KEY, StandIn

SECRETS = GoCardlessSecrets(TOKEN, "whsec_canary_new")
METADATA = {
    "lago_invoice_id": "01890000-0000-7000-8000-000000000002",
    "lago_customer_id": "01890000-0000-7000-8000-000000000003",
    "lago_organization_id": "01890000-0000-7000-8000-000000000004",
    "lago_payable_type": "Invoice",
    "invoice_type": "one_off",
}
NOTED = {"lago_payment_id": str(ATTEMPT), "recoup_amount": "1000 EUR"}
PAYMENT: Mapping[str, Any] = {
    "id": "PM1",
    "amount": 1_000,
    "currency": "EUR",
    "status": "pending_submission",
    "links": {"mandate": "MD1"},
    "metadata": NOTED,
}


def order(**changes: Any) -> Order:
    """What the charge of a test is for."""
    fields: dict[str, Any] = {
        "attempt_id": ATTEMPT,
        "amount_cents": 1_000,
        "currency": "EUR",
        "provider_customer_id": "CU1",
        "provider_method_id": "MD1",
        "reference": "Acme - Invoice ACM-001",
        "metadata": METADATA,
    }
    return Order(**{**fields, **changes})


def a_charge(provider: Provider, **changes: Any) -> Charge:
    """The charge of a test, as it is sent."""
    rendered = provider.render(order())
    assert isinstance(rendered, str)
    return msgspec.structs.replace(Charge(KEY, rendered), **changes)


def of_attempt(provider: Provider, attempt_id: UUID) -> Charge:
    """The charge of another attempt."""
    rendered = provider.render(order(attempt_id=attempt_id))
    assert isinstance(rendered, str)
    return Charge(f"payment-{attempt_id}", rendered)


def a_payment(**changes: Any) -> bytes:
    """GoCardless's answer to that charge."""
    return msgspec.json.encode({"payments": {**PAYMENT, **changes}})


def schemas() -> Schemas | None:
    """The official types, where they lie beside the project."""
    folder = Path(os.environ.get("RECOUP_SHARED", "../shared")).resolve()
    return Schemas(folder) if folder.is_dir() else None


class GoCardlessStandIn(StandIn):
    """The stub, and a merchant with an account there. `MD1` is a mandate of his customer's."""

    truth = Processing  # for days: a bank tells late, and only what was paid out counts as paid
    refund_truth = RefundProcessing
    has_pages = False  # contract section 5.5: Lago has none for GoCardless
    dates_signatures = False
    charges_on_a_page = 40  # the adapter asks for 500; a server may give fewer
    longest_call = timedelta(seconds=CONNECT_SECONDS + READ_SECONDS)
    customer_id = "CU1"
    other_customer_id = "CU2"
    unknown_customer_id = "CU_OF_NOBODY"
    webhook_secrets = (SECRETS.webhook_secret, "whsec_canary_next")

    def __init__(self, stub: Stub) -> None:
        self.stub = stub
        self.base = stub.base
        self.provider = self.asking(stub.base)
        stub.longest_page = self.charges_on_a_page
        stub.customer(self.other_customer_id)
        stub.mandate("MD1")
        for mandate_id, status in (
            ("MD_FAILING", "failed"),  # as instant schemes do at once
            ("MD_APPROVING", "pending_customer_approval"),
        ):
            stub.mandate(mandate_id)
            stub.statuses[mandate_id] = status

    async def charged_keys(self) -> list[str]:
        return self.stub.keys("payments")

    async def refunded_keys(self) -> list[str]:
        return self.stub.keys("refunds")

    async def charge_as_somebody_else(self) -> None:
        payment = {"amount": 700, "currency": "EUR", "links": {"mandate": "MD1"}}
        headers = {
            "Authorization": f"Bearer {TOKEN}",
            "GoCardless-Version": "2015-07-06",
            "Idempotency-Key": "till-7",
        }
        async with (
            aiohttp.ClientSession(headers=headers) as http,
            http.post(f"{self.base}/payments", json={"payments": payment}) as answer,
        ):
            assert answer.status == 201, await answer.text()

    async def pay(self, provider_payment_id: str) -> None:
        """The bank collects, and GoCardless pays out."""
        for status in ("submitted", "confirmed", "paid_out"):
            self.stub.become(provider_payment_id, status)

    def asking(self, base: str) -> GoCardlessProvider:
        return GoCardlessProvider(SECRETS, base=base)

    def verifying(self, secrets: Sequence[str]) -> GoCardlessProvider:
        first, second = [*secrets, "", ""][:2]
        return GoCardlessProvider(GoCardlessSecrets(TOKEN, first, second), base=self.base)

    def true_answers(self) -> Mapping[str, tuple[int, bytes]]:
        gone = {"type": "invalid_state", "errors": [{"reason": "mandate_is_inactive"}]}
        return {
            "made": (201, a_payment()),
            "paid": (200, a_payment(status="paid_out")),
            "turned away": (422, msgspec.json.encode({"error": gone})),
        }

    def lies(self) -> Mapping[str, bytes]:
        return {
            "another attempt": a_payment(metadata={"lago_payment_id": "somebody else's"}),
            "no attempt": a_payment(metadata={}),
            "another amount": a_payment(amount=1_001),
            "another currency": a_payment(currency="GBP"),
            "another mandate": a_payment(links={"mandate": "MD2"}),
            "no mandate": a_payment(links={}),
            "no id": a_payment(id=""),
            "an id with a NUL": a_payment(id="PM\0"),
            "an id that is a path": a_payment(id="PM1/actions/retry"),
            "an id that leads elsewhere": a_payment(id=".."),
            "an endless id": a_payment(id="P" * 256),
            "an amount below zero": a_payment(amount=-1),
            "an amount beyond all columns": a_payment(amount=2**63),
            "an amount in text": a_payment(amount="1000"),
            "an amount with a point": a_payment(amount=1000.5),
            "an amount that is true": a_payment(amount=True),
            "no currency": a_payment(currency=""),
            "an unknown status": a_payment(status="settled"),
            "a failure that nobody explains": a_payment(status="failed"),
            "two payments": msgspec.json.encode({"payments": [PAYMENT, PAYMENT]}),
            "no envelope": msgspec.json.encode(PAYMENT),
            "no UTF-8 in its id": a_payment().replace(b"PM1", b"PM\xff"),
        }

    def signed(self, body: bytes, secret: str | None = None) -> tuple[bytes, Mapping[str, str]]:
        key = self.webhook_secrets[0] if secret is None else secret
        return body, {"webhook-signature": hex_mac(body, key)}

    def event(self) -> bytes:
        paid = event("EV1", "payments", "paid_out", {"payment": "PM1"}, metadata=NOTED)
        return msgspec.json.encode({"events": [paid], "meta": {"webhook_id": "WB1"}})

"""What the adapter renders, against Adyen's own description of Checkout v72, by Prism."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from recoup.providers.adyen import AdyenProvider
from recoup.providers.adyen_requests import render_set_up
from recoup.providers.protocol import (
    Charge,
    Manner,
    Order,
    Page,
    Refund,
    RefundOrder,
    RefundProcessing,
    SetUpOrder,
)
from tests.providers.stand_in import ATTEMPT, KEY
from tests.providers.test_adyen import SECRETS

SPEC = Path(os.environ.get("RECOUP_SHARED", "../shared")) / "psp" / "adyen-checkout-v72.json"
PRISM = Path(__file__).parents[1] / "psp" / "node_modules" / ".bin" / "prism"

pytestmark = pytest.mark.skipif(
    not (SPEC.exists() and PRISM.exists() and shutil.which("node")),
    reason="needs node, `npm ci --prefix tests/psp` and Adyen's own description",
)


@pytest.fixture(scope="module")
def prism() -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(PRISM), "mock", str(SPEC), "-h", "127.0.0.1", "-p", str(port), "--errors"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as program:
        assert program.stdout is not None
        assert any(b"is listening" in line for line in program.stdout), "it ended"
        yield f"http://127.0.0.1:{port}"
        program.terminate()


async def violations(prism: str, path: str, body: str) -> tuple[int, str]:
    headers = {"x-api-key": "k", "Content-Type": "application/json"}
    async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
        said = await client.post(f"{prism}{path}", content=body, headers=headers)
    return said.status_code, said.headers.get("sl-violations", "")


def an_order(manner: Manner) -> Order:
    return Order(
        attempt_id=ATTEMPT, amount_cents=1_000, currency="EUR", provider_customer_id="cus_1",
        provider_method_id="M5N7TQ4TG5PFWR50", reference="Acme - Invoice ACM-001",
        metadata={"lago_invoice_id": "1" * 36, "lago_billing_entity_id": "x"}, manner=manner,
        return_url="https://shop.example/", customer_email="a@shop.example", customer_country="NL",
    )  # fmt: skip


async def test_every_request_is_as_adyen_describes_it(prism: str) -> None:
    provider = AdyenProvider(SECRETS, base=prism)
    for manner in (Manner.OFF_SESSION, Manner.ON_SESSION, Manner.PAGE):  # it has no transfers
        request = provider.render(an_order(manner))
        assert isinstance(request, str)
        path = "/payments" if manner is Manner.OFF_SESSION else "/paymentLinks"
        status, said = await violations(prism, path, request)
        assert status < 300, said
    set_up = SetUpOrder(
        idempotency_key=KEY, provider_customer_id="cus_1", currency="EUR",
        return_url="https://shop.example/", method_types=["card"], metadata={},
    )  # fmt: skip
    status, said = await violations(prism, "/paymentLinks", render_set_up(set_up, "Acme"))
    assert status < 300, said
    assert isinstance(await provider.set_up_page(set_up), Page)
    refused, _ = await violations(prism, "/payments", '{"amount":{"value":"1"}}')
    assert refused == 422, "it does look at what it is sent"


async def test_a_charge_and_a_refund_go_through(prism: str) -> None:
    provider = AdyenProvider(SECRETS, base=prism)
    refund = RefundOrder(
        refund_id=UUID(int=1), provider_payment_id="PSP0", amount_cents=5, currency="EUR",
        charged_cents=10, reference="Acme", metadata={},
    )  # fmt: skip
    rendered = provider.render_refund(refund)
    body = rendered.partition('"body":')[2][:-1]
    status, said = await violations(prism, "/payments/PSP0/refunds", body)
    assert status < 300, said
    told = await provider.refund(Refund(f"refund-{UUID(int=1)}", rendered))
    # Its canned answer is of another payment, and is not believed.
    assert not isinstance(told, RefundProcessing)
    request = provider.render(an_order(Manner.OFF_SESSION))
    assert isinstance(request, str)
    assert await provider.charge(Charge(KEY, request))

"""The sandbox's adapter, against the sandbox itself over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import aiohttp
import msgspec
import pytest
import pytest_asyncio

from recoup.providers.protocol import (
    CustomerNeeded,
    Declined,
    Ignored,
    Lost,
    MethodAdded,
    Page,
    Paid,
    Processing,
    StoredMethod,
    Told,
)
from recoup.providers.sandbox import SandboxProvider, SandboxSecrets
from recoup.providers.sandbox_calls import TIMEOUT
from tests.provider_signatures import dated
from tests.providers.conformance import KEY, NOW, ProviderConformance, StandIn
from tests.providers.nonsense import liar
from tests.providers.on_methods import a_set_up
from tests.shop import MovableClock, SandboxServer, sandbox_server

SECRETS = SandboxSecrets("sk_sandbox_conformance", "whsec_sandbox_conformance")
CHARGE: Mapping[str, Any] = {
    "id": "ch_1",
    "amount": 1_000,
    "currency": "EUR",
    "status": "succeeded",
    "idempotency_key": KEY,
}


PAGE_LIES: Mapping[str, Mapping[str, Any]] = {
    "another_key": {"idempotency_key": "set-up-of-somebody-else"},
    "no_id": {"id": ""},
    "a_script": {"url": "javascript:alert(1)"},
    "no_zone": {"expires_at": "2027-03-02T12:00:00"},
}


def a_page(**changes: Any) -> bytes:
    page = {
        "id": "sup_1", "url": "http://bank.example/set_up/sup_1", "idempotency_key": "set-up-0",
        "expires_at": "2027-03-02T12:00:00Z",
    }  # fmt: skip
    return msgspec.json.encode({"set_up_page": {**page, **changes}})


def a_charge(**changes: Any) -> bytes:
    return msgspec.json.encode({"charge": {**CHARGE, **changes}})


class SandboxStandIn(StandIn):
    """`recoup sandbox` on a free port."""

    makes_customers = False
    owns_methods = False  # every test method is every customer's
    longest_call = timedelta(seconds=TIMEOUT.total or 0)
    webhook_secrets = (SECRETS.webhook_secret, "whsec_sandbox_next")

    def __init__(self, server: SandboxServer, http: aiohttp.ClientSession) -> None:
        self._server = server
        self._http = http
        self.base = server.base
        self.provider = self.asking(server.base)

    async def charged_keys(self) -> list[str]:
        return [charge["idempotency_key"] for charge in await self._server.charges()]

    async def refunded_keys(self) -> list[str]:
        async with self._http.get(f"{self.base}/refunds") as answer:
            return [refund["idempotency_key"] for refund in (await answer.json())["refunds"]]

    async def charge_as_somebody_else(self) -> None:
        ask = {
            "amount": 1_000, "currency": "EUR", "customer": "cus_9",
            "payment_method": "pm_sandbox_ok",
        }  # fmt: skip
        headers = {
            "Authorization": f"Bearer {SECRETS.api_key}", "Idempotency-Key": "till-7",
        }  # fmt: skip
        url = f"{self.base}/v1/charges"
        async with self._http.post(url, json=ask, headers=headers) as answer:
            assert answer.status == 200

    async def pay_page(self, page: CustomerNeeded) -> None:
        await self._click(page, "approve")

    async def fail_on_page(self, page: CustomerNeeded) -> None:
        await self._click(page, "decline")

    async def _click(self, page: CustomerNeeded, button: str) -> None:
        async with self._http.post(f"{page.url}/{button}", allow_redirects=False) as answer:
            assert answer.status == 303

    async def leave(self, page: Page, method: str) -> str:
        """Be the customer, who chooses a method on a page; answer where they are sent on to."""
        choice = {"payment_method": method}
        async with self._http.post(page.url, data=choice, allow_redirects=False) as answer:
            assert answer.status == 303
            return answer.headers["Location"]

    def last_event(self) -> str:
        """The body of the newest event in its books."""
        newest = "SELECT body FROM events ORDER BY seq DESC"
        return self._server.books.file.db.execute(newest).fetchone()[0].decode()

    def asking(self, base: str) -> SandboxProvider:
        return SandboxProvider(self._http, base, SECRETS)

    def verifying(self, secrets: Sequence[str]) -> SandboxProvider:
        first, second = [*secrets, "", ""][:2]
        given = SandboxSecrets(SECRETS.api_key, first, previous_webhook_secret=second)
        return SandboxProvider(self._http, self.base, given)

    def true_answers(self) -> Mapping[str, tuple[int, bytes]]:
        decline = {"code": "card_declined", "message": "No.", "decline_code": "do_not_honor"}
        return {
            "paid": (200, a_charge()),
            "processing": (200, a_charge(status="processing")),
            "customer_needed": (200, a_charge(status="requires_action", next_action={"url": "/"})),
            "declined": (402, a_charge(status="failed", decline=decline)),
            "turned away": (400, b'{"error":{"type":"invalid_request_error","code":"nope"}}'),
        }

    def lies(self) -> Mapping[str, bytes]:
        return {
            "another key": a_charge(idempotency_key="payment-of-somebody-else"),
            "no id": a_charge(id=""),
            "an id with a NUL": a_charge(id="ch\0"),
            "an endless id": a_charge(id="c" * 256),
            "an amount below zero": a_charge(amount=-1),
            "an amount beyond all columns": a_charge(amount=2**63),
            "an amount in text": a_charge(amount="1000"),
            "an amount with a point": a_charge(amount=1000.5),
            "no currency": a_charge(currency=""),
            "four letters of currency": a_charge(currency="EURO"),
            "an unknown status": a_charge(status="settled"),
            "no UTF-8 in its id": a_charge().replace(b"ch_1", b"ch_\xff"),
            "a next action without end": a_charge(status="requires_action").replace(
                b'"requires_action"', b'"requires_action","next_action":' + b'{"a":' * 100_000
            ),
        }

    def signed(self, body: bytes, secret: str | None = None) -> tuple[bytes, Mapping[str, str]]:
        key = self.webhook_secrets[0] if secret is None else secret
        return body, {"sandbox-signature": dated(body, key, at=int(NOW.timestamp()))}

    def event(self) -> bytes:
        return msgspec.json.encode(
            {"id": "evt_1", "type": "charge.succeeded", "data": {"charge": CHARGE}}
        )


class TestSandbox(ProviderConformance):
    """The smallest complete adapter."""

    paid_by = "pm_sandbox_ok"
    open_by = "pm_sandbox_authentication_required"
    unknown_method = "pm_of_nobody"
    words: ClassVar = {
        "pm_sandbox_ok": Paid,
        "pm_sandbox_insufficient_funds": Declined,
        "pm_sandbox_stolen_card": Declined,
        "pm_sandbox_expired_card": Declined,
        "pm_sandbox_processing_ok": Processing,
        "pm_sandbox_authentication_required": CustomerNeeded,
    }

    @pytest_asyncio.fixture
    async def psp(self, tmp_path: Path) -> AsyncIterator[SandboxStandIn]:
        """The sandbox, and somebody with an account there."""
        async with (
            sandbox_server(tmp_path, MovableClock()) as server,
            aiohttp.ClientSession() as http,
        ):
            yield SandboxStandIn(server, http)

    async def test_what_is_left_on_a_page_is_told_and_listed(self, psp: SandboxStandIn) -> None:
        for number, method in enumerate(["pm_sandbox_ok", "pm_sandbox_fail_once"]):
            page = await psp.provider.set_up_page(a_set_up(psp, number))
            assert isinstance(page, Page)
            assert page.expires_at == NOW + timedelta(hours=24)
            assert await psp.leave(page, method) == "https://shop.example/thanks"
            told = psp.provider.read_event(psp.last_event())
            assert told == MethodAdded(method, psp.customer_id, is_default=True, set_up_at=NOW)
        assert await psp.provider.list_methods(psp.customer_id) == [
            StoredMethod(
                provider_method_id=method,
                provider_customer_id=psp.customer_id,
                is_default=is_default,
            )
            for method, is_default in (("pm_sandbox_fail_once", True), ("pm_sandbox_ok", False))
        ]
        assert await psp.provider.list_methods(psp.other_customer_id) == []

    @pytest.mark.parametrize("lie", [*PAGE_LIES])
    async def test_no_page_is_believed_that_is_none_of_ours(
        self, psp: SandboxStandIn, lie: str
    ) -> None:
        async with liar() as server:
            provider = psp.asking(server.base)
            server.status, server.body = 200, a_page()
            assert isinstance(await provider.set_up_page(a_set_up(psp)), Page)
            server.body = a_page(**PAGE_LIES[lie])
            assert await provider.set_up_page(a_set_up(psp)) == Lost("unreadable_answer")

    async def test_another_customers_method_in_the_list_is_not_theirs(
        self, psp: SandboxStandIn
    ) -> None:
        methods = [{"id": "pm_1", "customer": whose} for whose in ("cus_2", "cus_1")]
        async with liar() as server:
            server.status = 200
            server.body = msgspec.json.encode({"payment_methods": methods})
            listed = await psp.asking(server.base).list_methods("cus_1")
        assert listed == [StoredMethod(provider_method_id="pm_1", provider_customer_id="cus_1")]

    @pytest.mark.parametrize(
        ("kind", "changes", "told"),
        [
            (
                "payment_method.attached",
                {"customer": ""},
                MethodAdded("pm_1", None, is_default=True),
            ),
            ("payment_method.detached", {}, Ignored("not_an_attachment")),
        ],
        ids=["of_nobody", "detached"],
    )
    async def test_what_other_news_of_a_method_says(
        self, psp: SandboxStandIn, kind: str, changes: dict[str, Any], told: Told
    ) -> None:
        method = {"id": "pm_1", "customer": "cus_1"} | changes
        event = {"id": "evt_1", "type": kind, "data": {"payment_method": method}}
        assert psp.provider.read_event(msgspec.json.encode(event).decode()) == told

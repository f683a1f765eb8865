"""What stands before the handlers, where a well-behaved client does not reach it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.api.billing import refusal
from tests.api.conftest import Tenant
from tests.api.test_invoices import UNKNOWN


async def test_half_a_body_is_no_ask(app: Any, tenant: Tenant) -> None:
    """A caller who hangs up in the middle gets nothing done."""
    said = [{"type": "http.request", "body": b'{"tax": {"name": "VAT"', "more_body": True},
            {"type": "http.disconnect"}]  # fmt: skip
    sent: list[Any] = []

    async def receive() -> Any:
        return said.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    await app(
        {
            "type": "http", "method": "POST", "path": "/api/v1/taxes",
            "raw_path": b"/api/v1/taxes", "query_string": b"", "http_version": "1.1",
            "headers": [(b"authorization", f"Bearer {tenant.api_key}".encode())],
        },
        receive,
        send,
    )  # fmt: skip
    assert sent == []


async def test_a_body_nested_too_deep_is_unreadable(tenant: Tenant) -> None:
    for depth in [3_000, 900]:
        nested = b'{"tax": ' + b"[" * depth + b"]" * depth + b"}"
        answer = await tenant.client.post("/api/v1/taxes", content=nested)
        assert answer.status_code in {400, 422}, depth


@pytest.mark.parametrize(
    ("method", "path", "root", "expected"),
    [
        ("POST", "/invoices", "invoice", (404, "customer_not_found")),
        ("PUT", f"/invoices/{UNKNOWN}", "invoice", (404, "invoice_not_found")),
        ("POST", "/payments", "payment", (422, {"invoice_id": ["value_is_mandatory"]})),
        ("POST", "/customers", "customer", (422, {"external_id": ["value_is_mandatory"]})),
        ("POST", "/customers/no/payment_methods", "payment_method", (404, "customer_not_found")),
        ("PUT", "/webhook_endpoints/zz", "webhook_endpoint", (404, "webhook_endpoint_not_found")),
        ("PUT", "/add_ons/no", "add_on", (404, "add_on_not_found")),
        ("PUT", "/taxes/no", "tax", (404, "tax_not_found")),
        ("PUT", "/fees/no", "fee", (404, "fee_not_found")),
        ("PUT", "/organizations", "organization", (200, None)),
    ],
)
async def test_unknown_keys_are_ignored_and_an_empty_root_is_not(
    tenant: Tenant, method: str, path: str, root: str, expected: Any
) -> None:
    async def answer(body: Any) -> httpx.Response:
        return await tenant.client.request(method, f"/api/v1{path}", json=body)

    for nothing in ({root: {}}, {root: None}, {root: "x"}, {root: []}, {"zz": {"name": "New"}}):
        refused = await answer(nothing)
        assert refused.status_code == 400, nothing
        assert refused.json()["error"].endswith(f"empty or invalid: {root}"), nothing
    for unknown in ({"zz": 1}, {"zz": None}):
        assert refusal(await answer({root: unknown})) == expected, unknown


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/invoices", {"invoice": {"fees": [{}, {"add_on_code": ["a"]}]}}, "add_on_code"),
        ("/invoices", {"invoice": {"fees": [{"tax_codes": "vat"}]}}, "tax_codes"),
        ("/invoices", {"invoice": {"fees": [{"tax_codes": ["vat", {}]}]}}, "tax_codes"),
        ("/invoices", {"invoice": {"fees": ["setup"]}}, "fees"),
        ("/invoices", {"invoice": {"fees": {"add_on_code": "a"}}}, "fees"),
        ("/customers", {"customer": {"metadata": [{"key": "k", "value": []}]}}, "value"),
        ("/customers", {"customer": {"billing_configuration": {"sync": 5}}}, "sync"),
        ("/customers", {"customer": {"shipping_address": {"city": {}}}}, "shipping_address"),
        ("/customers", {"customer": {"city": {}}}, "city"),
    ],
)
async def test_a_wrong_type_is_named_by_the_innermost_field(
    tenant: Tenant, path: str, body: Any, field: str
) -> None:
    assert refusal(await tenant.post(path, body)) == (422, {field: ["value_is_invalid"]})


async def test_ids_may_come_in_braces(tenant: Tenant) -> None:
    made = await tenant.post(
        "/webhook_endpoints", {"webhook_endpoint": {"webhook_url": "https://a.b"}}
    )
    lago_id = made.json()["webhook_endpoint"]["lago_id"]
    assert (await tenant.get(f"/webhook_endpoints/{{{lago_id}}}")).status_code == 200

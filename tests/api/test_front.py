"""What stands before the handlers, where a well-behaved client does not reach it."""

from __future__ import annotations

from typing import Any

from tests.api.conftest import Tenant


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


async def test_ids_may_come_in_braces(tenant: Tenant) -> None:
    made = await tenant.post(
        "/webhook_endpoints", {"webhook_endpoint": {"webhook_url": "https://a.b"}}
    )
    lago_id = made.json()["webhook_endpoint"]["lago_id"]
    assert (await tenant.get(f"/webhook_endpoints/{{{lago_id}}}")).status_code == 200

"""What a key may do, at every route: asked of the routes that are really there."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import asyncpg
import httpx
import pytest
from litestar import Litestar

from recoup import clock
from recoup.api.needs import resource_of
from recoup.api.openapi_document import Operation, operations
from recoup.flows.manage_keys import change_key
from recoup.rules.key_permissions import RESOURCES, read_permissions
from recoup.rules.records.keys import RowKey
from recoup.store import api_keys, db
from recoup.store.api_keys import KeyChange
from recoup.store.db import Pool
from tests.api.conftest import Tenant

NOBODY: Final = "00000000-0000-7000-8000-00000000abcd"
# Contract section 1.3, and what is ours: by the start of a path, the longest that fits.
RESOURCE_OF_PATH: Final = {
    "/add_ons": "add_on",
    "/billing_entities": "billing_entity",
    "/contradictions": "contradiction",
    "/contradictions/{lago_id}/refund": "refund",
    "/credit_notes": "credit_note",
    "/customers": "customer",
    "/customers/{external_id}/credit_notes": "credit_note",
    "/customers/{external_id}/invoices": "invoice",
    "/customers/{external_id}/payment_methods": "payment_method",
    "/customers/{external_id}/payment_requests": "payment_request",
    "/customers/{external_id}/payments": "payment",
    "/fees": "fee",
    "/invoices": "invoice",
    "/organizations": "organization",
    "/payment_methods": "payment_method",
    "/payment_providers": "payment_provider",
    "/payment_receipts": "invoice",
    "/payment_requests": "payment_request",
    "/payments": "payment",
    "/reconciliation_findings": "reconciliation_finding",
    "/refunds": "refund",
    "/dunning_campaigns": "dunning_campaign",
    "/taxes": "tax",
    "/webhook_deliveries": "webhook_delivery",
    "/webhook_endpoints": "webhook_endpoint",
    "/webhooks": "webhook_jwt_public_key",
}
Allow = Callable[..., Any]


def routes(app: Any) -> list[Operation]:
    while not isinstance(app, Litestar):  # it is within what counts the calls and reads them
        app = app._app
    return operations(app)


def test_every_route_needs_the_resource_of_its_path(app: Any) -> None:
    found = routes(app)
    assert len(found) > 50, "what has no routes proves nothing"
    for one in found:
        path = one.path.removeprefix("/api/v1")
        starts = [start for start in RESOURCE_OF_PATH if f"{path}/".startswith(f"{start}/")]
        assert starts, f"{path}: whose is it? See rules/key_permissions.py"
        assert resource_of(one.handler) == RESOURCE_OF_PATH[max(starts, key=len)], path
    assert {*RESOURCE_OF_PATH.values()} == RESOURCES


@pytest.fixture
def allow(tenant: Tenant, pool: Pool, owner: asyncpg.Connection) -> Allow:
    """Lets the tenant's key do this from now on, and nothing else."""

    async def allow(*words: str) -> None:
        key_id = await owner.fetchval(
            "SELECT id FROM api_keys WHERE organization_id = $1", tenant.organization_id
        )
        said = KeyChange(permissions=read_permissions(words))
        async with db.transaction(pool, tenants=[tenant.organization_id]) as conn:
            key = RowKey(tenant.organization_id, key_id)
            assert await api_keys.change(conn, key, said) is not None

    return allow


async def call(tenant: Tenant, one: Operation) -> httpx.Response:
    path = re.sub(r"\{\w+\}", NOBODY, one.path)
    return await tenant.client.request(one.method, path, json={} if one.body else None)


async def test_every_route_is_closed_to_a_key_without_its_permission_and_open_to_one_with_it(
    app: Any, tenant: Tenant, allow: Allow
) -> None:
    by_need: dict[str, list[Operation]] = {}
    for one in routes(app):
        mode = "read" if one.method == "GET" else "write"
        by_need.setdefault(f"{resource_of(one.handler)}:{mode}", []).append(one)
    everything = {*read_permissions(RESOURCES)}
    for need, those in by_need.items():
        resource, mode = need.split(":")
        await allow(*everything - {need})
        for one in those:
            refused = await call(tenant, one)
            assert (refused.status_code, refused.json()) == (403, {
                "status": 403,
                "error": "Forbidden",
                "code": f"{mode}_action_not_allowed_for_{resource}",
            }), (one.method, one.path)  # fmt: skip
        await allow(need)
        for one in those:
            answer = await call(tenant, one)
            assert answer.status_code not in {401, 403}, (one.method, one.path, answer.text)


async def test_who_may_only_read_changes_nothing(
    tenant: Tenant, allow: Allow, owner: asyncpg.Connection
) -> None:
    await allow("tax:read")
    tax = {"tax": {"name": "VAT", "code": "vat", "rate": 20}}
    refused = await tenant.post("/taxes", tax)
    assert refused.json()["code"] == "write_action_not_allowed_for_tax"
    assert await owner.fetchval("SELECT count(*) FROM taxes") == 0
    assert (await tenant.get("/taxes")).status_code == 200
    await allow("tax:write")
    assert (await tenant.post("/taxes", tax)).status_code == 200
    head = await tenant.client.head("/api/v1/taxes")
    assert head.status_code == 403, "a HEAD reads"


async def test_the_key_is_asked_for_before_what_it_may_do(
    tenant: Tenant, visitor: httpx.AsyncClient, allow: Allow
) -> None:
    await allow("tax:read")
    assert (await visitor.get("/api/v1/invoices")).status_code == 401
    unreadable = await tenant.client.post("/api/v1/invoices", content=b"{")
    assert unreadable.status_code == 400, "JSON is read before anybody is asked for"
    assert (await tenant.get("/nowhere")).status_code == 404


async def test_a_key_of_one_tenant_has_no_say_over_anothers(
    tenant: Tenant, other_tenant: Tenant, allow: Allow
) -> None:
    await allow("tax:read")
    assert (await other_tenant.get("/invoices")).status_code == 200
    assert (await tenant.get("/invoices")).status_code == 403


async def test_a_change_holds_at_the_next_call_of_every_process(
    tenant: Tenant, pool: Pool, owner: asyncpg.Connection
) -> None:
    key_id = await owner.fetchval(
        "SELECT id FROM api_keys WHERE organization_id = $1", tenant.organization_id
    )
    for words, status in ((("tax:read",), 403), (None, 200), ((), 403)):
        await change_key(
            pool, RowKey(tenant.organization_id, key_id), KeyChange(permissions=words),
            by="ann", audit_id=clock.new_id(), now=clock.now(),
        )  # fmt: skip
        assert (await tenant.get("/invoices")).status_code == status

"""A customer's payment methods as a caller sees them."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from recoup.store.db import Pool
from tests.api.conftest import Tenant
from tests.api.test_customers import SANDBOX, add_account, upsert

METHODS = "/customers/c1/payment_methods"


async def link(tenant: Tenant, pool: Pool) -> None:
    await add_account(pool, tenant)
    await upsert(tenant, billing_configuration=SANDBOX | {"provider_customer_id": "cus_1"})


async def attach(tenant: Tenant, provider_method_id: str) -> Any:
    answer = await tenant.post(
        METHODS, {"payment_method": {"provider_method_id": provider_method_id}}
    )
    assert answer.status_code == 200, answer.text
    return answer.json()["payment_method"]


async def defaults(tenant: Tenant) -> dict[str, bool]:
    """The customer's methods, and whether each is the default."""
    listed = (await tenant.get(METHODS)).json()["payment_methods"]
    return {method["provider_method_id"]: method["is_default"] for method in listed}


async def test_the_first_method_is_the_default_and_the_next_is_not(
    tenant: Tenant, pool: Pool
) -> None:
    await link(tenant, pool)
    first = await attach(tenant, "pm_1")
    created_at, lago_id = first.pop("created_at"), first.pop("lago_id")
    assert first == {
        "is_default": True, "payment_provider_code": "play", "payment_provider_name": "Play",
        "payment_provider_type": "sandbox", "provider_method_id": "pm_1",
    }  # fmt: skip
    await attach(tenant, "pm_2")
    again = await attach(tenant, "pm_1")
    assert (again["lago_id"], again["created_at"]) == (lago_id, created_at)
    assert await defaults(tenant) == {"pm_2": False, "pm_1": True}
    page = (await tenant.get(METHODS, per_page=1, page=2)).json()
    assert [method["provider_method_id"] for method in page["payment_methods"]] == ["pm_1"]
    assert page["meta"]["total_count"] == 2


async def test_another_method_is_made_the_default(tenant: Tenant, pool: Pool) -> None:
    await link(tenant, pool)
    await attach(tenant, "pm_1")
    second = await attach(tenant, "pm_2")
    undashed = second["lago_id"].replace("-", "").upper()
    for lago_id in (second["lago_id"], f"%7B{second['lago_id']}%7D", undashed):
        answer = await tenant.put(f"{METHODS}/{lago_id}/set_as_default")
        assert answer.json() == {"payment_method": second | {"is_default": True}}
        assert await defaults(tenant) == {"pm_2": True, "pm_1": False}


async def test_the_oldest_that_remains_follows_a_deleted_default(
    tenant: Tenant, pool: Pool
) -> None:
    await link(tenant, pool)
    made = {name: await attach(tenant, name) for name in ("pm_1", "pm_2", "pm_3")}
    gone = await tenant.delete(f"{METHODS}/{made['pm_1']['lago_id']}")
    assert gone.json() == {"payment_method": made["pm_1"] | {"is_default": False}}
    assert await defaults(tenant) == {"pm_3": False, "pm_2": True}
    await tenant.delete(f"{METHODS}/{made['pm_3']['lago_id']}")
    assert await defaults(tenant) == {"pm_2": True}
    await tenant.delete(f"{METHODS}/{made['pm_2']['lago_id']}")
    assert await defaults(tenant) == {}
    again = await attach(tenant, "pm_1")
    assert again["is_default"]
    assert again["lago_id"] != made["pm_1"]["lago_id"]


async def test_methods_attached_at_once_have_one_default(tenant: Tenant, pool: Pool) -> None:
    await link(tenant, pool)
    await asyncio.gather(*(attach(tenant, f"pm_{n % 4}") for n in range(8)))
    assert sorted((await defaults(tenant)).values()) == [False, False, False, True]


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (None, "value_is_mandatory"),
        ("  ", "value_is_mandatory"),
        ("4242 4242 4242 4242", "value_is_invalid"),
        (4242424242424242, "value_is_invalid"),
        ("a\0", "value_is_invalid"),
        ("x" * 256, "value_is_too_long"),
    ],
)
async def test_what_is_no_token_is_refused_and_not_repeated(
    tenant: Tenant, pool: Pool, owner: asyncpg.Connection, said: Any, code: str
) -> None:
    await link(tenant, pool)
    answer = await tenant.post(METHODS, {"payment_method": {"provider_method_id": said}})
    assert answer.json()["error_details"] == {"provider_method_id": [code]}
    assert "4242" not in answer.text
    assert await owner.fetchval("SELECT count(*) FROM payment_methods") == 0


async def test_a_customer_that_no_provider_knows_has_no_methods(tenant: Tenant, pool: Pool) -> None:
    body = {"payment_method": {"provider_method_id": "pm_1"}}
    missing = await tenant.post(METHODS, body)
    assert (missing.status_code, missing.json()["code"]) == (404, "customer_not_found")
    assert (await tenant.get(METHODS)).json()["code"] == "customer_not_found"
    await upsert(tenant)
    no_link = {"base": ["no_linked_payment_provider"]}
    assert (await tenant.post(METHODS, body)).json()["error_details"] == no_link
    await add_account(pool, tenant, "stripe", "eu")
    waiting = {"payment_provider": "stripe", "sync_with_provider": True}
    await upsert(tenant, billing_configuration=waiting)
    assert (await tenant.post(METHODS, body)).json()["error_details"] == no_link
    assert (await tenant.post(METHODS)).status_code == 400


async def test_a_method_that_is_not_this_customers_is_not_found(
    tenant: Tenant, other_tenant: Tenant, pool: Pool
) -> None:
    await link(tenant, pool)
    theirs = await attach(tenant, "pm_1")
    await upsert(tenant, external_id="c2")
    await upsert(other_tenant)
    for caller, path in [
        (tenant, f"{METHODS}/{UUID(int=1)}"),
        (tenant, f"{METHODS}/nothing"),
        (tenant, f"/customers/c2/payment_methods/{theirs['lago_id']}"),
        (other_tenant, f"{METHODS}/{theirs['lago_id']}"),
    ]:
        for answer in (await caller.put(f"{path}/set_as_default"), await caller.delete(path)):
            assert (answer.status_code, answer.json()["code"]) == (404, "payment_method_not_found")
    unknown = await tenant.delete(f"/customers/no/payment_methods/{theirs['lago_id']}")
    assert unknown.json()["code"] == "customer_not_found"
    assert await defaults(tenant) == {"pm_1": True}


async def test_the_same_idempotency_key_attaches_once(tenant: Tenant, pool: Pool) -> None:
    await link(tenant, pool)
    body = {"payment_method": {"provider_method_id": "pm_1"}}
    first = await tenant.post(METHODS, body, **{"Idempotency-Key": "k"})
    again = await tenant.post(METHODS, body, **{"Idempotency-Key": "k"})
    assert again.content == first.content
    assert again.headers["idempotent-replayed"] == "true"


async def test_a_method_whose_customer_is_locked_is_refused_for_now(
    tenant: Tenant, pool: Pool, owner: asyncpg.Connection
) -> None:
    await link(tenant, pool)
    method = await attach(tenant, "pm_1")
    async with owner.transaction():
        await owner.execute("SELECT FROM customers FOR UPDATE")
        answer = await tenant.put(f"{METHODS}/{method['lago_id']}/set_as_default")
    assert (answer.status_code, answer.json()["code"]) == (422, "lock_acquisition_failed")

"""`/taxes` as a caller sees it."""

from __future__ import annotations

from tests.api.billing import refusal
from tests.api.conftest import Tenant

VAT = {"name": "VAT", "code": "vat", "rate": 19.6, "applied_to_organization": True}


async def test_a_tax_is_created_read_changed_and_deleted(tenant: Tenant) -> None:
    made = await tenant.post("/taxes", {"tax": VAT})
    assert made.status_code == 200, made.text
    assert made.json()["tax"]["rate"] == 19.6
    assert made.json()["tax"]["applied_to_organization"] is True
    assert (await tenant.get("/taxes/vat")).json() == made.json()
    changed = await tenant.put("/taxes/vat", {"tax": {"rate": "20"}})
    assert changed.json()["tax"]["rate"] == 20
    assert changed.json()["tax"]["name"] == "VAT"
    assert (await tenant.get("/taxes")).json()["meta"]["total_count"] == 1
    assert (await tenant.delete("/taxes/vat")).json()["tax"]["code"] == "vat"
    assert (await tenant.get("/taxes/vat")).json() == {
        "status": 404, "error": "Not Found", "code": "tax_not_found",
    }  # fmt: skip


async def test_broken_rules_are_named_by_field(tenant: Tenant) -> None:
    await tenant.post("/taxes", {"tax": VAT})
    refused = await tenant.post("/taxes", {"tax": {"code": "vat", "rate": "much"}})
    assert refused.status_code == 422
    assert refused.json()["error_details"] == {
        "name": ["value_is_mandatory"], "rate": ["value_is_invalid"],
    }  # fmt: skip
    taken = await tenant.post("/taxes", {"tax": VAT})
    assert taken.json()["error_details"] == {"code": ["value_already_exist"]}
    wrong_type = await tenant.post("/taxes", {"tax": {"code": ["a"]}})
    assert (wrong_type.status_code, wrong_type.json()["error_details"]) == (
        422, {"code": ["value_is_invalid"]},
    )  # fmt: skip
    scalar = await tenant.post("/taxes", {"tax": "x"})
    assert scalar.status_code == 400
    missing = await tenant.post("/taxes", {})
    assert missing.status_code == 400
    assert missing.json()["error"].endswith("invalid: tax")


async def test_another_tenants_tax_is_not_found(tenant: Tenant, other_tenant: Tenant) -> None:
    await tenant.post("/taxes", {"tax": VAT})
    assert (await other_tenant.get("/taxes/vat")).status_code == 404
    assert (await other_tenant.get("/taxes")).json()["taxes"] == []


async def test_the_same_idempotency_key_gets_the_same_answer(tenant: Tenant) -> None:
    first = await tenant.post("/taxes", {"tax": VAT}, **{"Idempotency-Key": "k"})
    again = await tenant.post("/taxes", {"tax": VAT}, **{"Idempotency-Key": "k"})
    assert again.content == first.content
    assert again.headers["idempotent-replayed"] == "true"
    other = await tenant.post("/taxes", {"tax": VAT | {"rate": 5}}, **{"Idempotency-Key": "k"})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


async def test_the_gates_stand_in_the_contracts_order(tenant: Tenant) -> None:
    client = tenant.client
    no_key = {"Authorization": ""}
    unknown = await client.get("/api/v1/nothing", headers=no_key)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "resource_not_found")
    wrong_method = await client.post("/api/v1/taxes/vat", headers=no_key)
    assert (wrong_method.status_code, wrong_method.json()["code"]) == (404, "resource_not_found")
    unreadable = await client.post("/api/v1/taxes", content=b"{", headers=no_key)
    assert unreadable.json() == {"status": 400, "error": "Bad Request"}
    array = await client.post("/api/v1/taxes", content=b"[]")
    assert array.status_code == 400
    for header in ["", "K", "Bearer", "Bearer wrong"]:
        refused = await client.get("/api/v1/taxes", headers={"Authorization": header})
        assert refused.json() == {"status": 401, "error": "Unauthorized"}
    odd = await client.get(
        "http://recoup.test//api/v1/taxes/", headers={"Authorization": f"X {tenant.api_key} y"}
    )
    assert odd.status_code == 200
    assert (await client.get("/api/v1/taxes.json")).status_code == 200


async def test_texts_that_cannot_be_kept_are_refused(tenant: Tenant) -> None:
    assert (await tenant.get("/taxes/a%00b")).status_code == 404
    for field in ("name", "code", "description"):
        with_nul = await tenant.post("/taxes", {"tax": VAT | {field: "a\0b"}})
        assert refusal(with_nul) == (422, {field: ["value_is_invalid"]})
    endless = await tenant.post("/taxes", {"tax": VAT | {"code": "x" * 256}})
    assert refusal(endless) == (422, {"code": ["value_is_too_long"]})
    assert (await tenant.get("/taxes")).json()["taxes"] == []
    assert (await tenant.post("/taxes", {"tax": VAT | {"code": "x" * 255}})).status_code == 200


async def test_other_methods_are_no_routes_and_head_is_a_get(tenant: Tenant) -> None:
    options = await tenant.client.options("/api/v1/taxes")
    assert (options.status_code, options.json()["code"]) == (404, "resource_not_found")
    assert (await tenant.client.head("/health")).status_code == 200

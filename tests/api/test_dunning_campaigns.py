"""`/dunning_campaigns` as a caller sees it, and who applies one."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.billing import has_customer, refusal
from tests.api.conftest import Tenant

EUR = {"currency": "EUR", "amount_cents": 1_000}
LATE: dict[str, Any] = {"name": "Late", "code": "late", "thresholds": [EUR]}


async def made(tenant: Tenant, **fields: Any) -> Any:
    answer = await tenant.post("/dunning_campaigns", {"dunning_campaign": LATE | fields})
    assert answer.status_code == 200, answer.text
    return answer.json()["dunning_campaign"]


async def test_a_campaign_is_created_read_changed_and_deleted(tenant: Tenant) -> None:
    shown = await made(tenant, description="Be kind", bcc_emails=["a@shop.example"])
    own = {key: shown[key] for key in shown.keys() - {"lago_id", "created_at", "updated_at"}}
    assert own == LATE | {
        "description": "Be kind",
        "bcc_emails": ["a@shop.example"],
        "days_between_attempts": 1,
        "max_attempts": 1,
        "applied_to_organization": False,
        "applied_to_billing_entities_codes": [],
    }
    assert (await tenant.get("/dunning_campaigns/late")).json() == {"dunning_campaign": shown}
    usd = {"currency": "USD", "amount_cents": 0}
    fields = {"code": "later", "thresholds": [usd, EUR], "max_attempts": 5, "bcc_emails": None}
    changed = await tenant.put("/dunning_campaigns/late", {"dunning_campaign": fields})
    now = changed.json()["dunning_campaign"]
    assert (now["name"], now["code"], now["max_attempts"]) == ("Late", "later", 5)
    assert (now["bcc_emails"], now["thresholds"]) == ([], [EUR, usd])
    listed = (await tenant.get("/dunning_campaigns")).json()
    assert (listed["dunning_campaigns"], listed["meta"]["total_count"]) == ([now], 1)
    gone = await tenant.delete("/dunning_campaigns/later")
    assert gone.json() == {"dunning_campaign": now}
    assert (await tenant.get("/dunning_campaigns/later")).json() == {
        "status": 404, "error": "Not Found", "code": "dunning_campaign_not_found",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "details"),
    [
        (
            {"name": " ", "code": None, "thresholds": []},
            {key: ["value_is_mandatory"] for key in ("name", "code", "thresholds")},
        ),
        (
            {"days_between_attempts": 0, "max_attempts": 1_001},
            {key: ["value_is_out_of_range"] for key in ("days_between_attempts", "max_attempts")},
        ),
        ({"thresholds": [EUR, EUR]}, {"thresholds": ["value_already_exist"]}),
        ({"thresholds": [EUR | {"amount_cents": -1}]}, {"thresholds": ["value_is_out_of_range"]}),
        ({"thresholds": [EUR | {"currency": "XXX"}]}, {"thresholds": ["value_is_invalid"]}),
        ({"thresholds": [{"currency": "EUR"}]}, {"thresholds": ["value_is_mandatory"]}),
        ({"bcc_emails": ["a@b.example", "no"]}, {"bcc_emails": ["invalid_email_format"]}),
        ({"bcc_emails": ["a@b.example,c@d.example"]}, {"bcc_emails": ["invalid_email_format"]}),
        (
            {"bcc_emails": [f"{number}@b.example" for number in range(51)]},
            {"bcc_emails": ["invalid_count"]},
        ),
        ({"name": "a\0b"}, {"name": ["value_is_invalid"]}),
        ({"code": "x" * 256}, {"code": ["value_is_too_long"]}),
    ],
)
async def test_broken_rules_are_named_by_field_and_leave_nothing_behind(
    tenant: Tenant, fields: dict[str, Any], details: dict[str, list[str]]
) -> None:
    refused = await tenant.post("/dunning_campaigns", {"dunning_campaign": LATE | fields})
    assert refusal(refused) == (422, details)
    assert (await tenant.get("/dunning_campaigns")).json()["dunning_campaigns"] == []
    before = await made(tenant)
    refused = await tenant.put("/dunning_campaigns/late", {"dunning_campaign": fields})
    assert refusal(refused) == (422, details)
    shown = await tenant.get("/dunning_campaigns/late")
    assert shown.json() == {"dunning_campaign": before}


async def test_a_code_is_taken_once(tenant: Tenant, other_tenant: Tenant) -> None:
    await made(tenant)
    await made(tenant, code="other")
    await made(other_tenant)
    taken = {"code": ["value_already_exist"]}
    again = await tenant.post("/dunning_campaigns", {"dunning_campaign": LATE})
    assert refusal(again) == (422, taken)
    renamed = await tenant.put("/dunning_campaigns/other", {"dunning_campaign": {"code": "late"}})
    assert refusal(renamed) == (422, taken)


async def entity(tenant: Tenant) -> Any:
    [one] = (await tenant.get("/billing_entities")).json()["billing_entities"]
    return one


async def test_a_billing_entity_applies_one_by_its_code(tenant: Tenant) -> None:
    await made(tenant)
    code = (await entity(tenant))["code"]
    path = f"/billing_entities/{code}"
    applied = {"applied_dunning_campaign_code": "late"}
    answer = await tenant.put(path, {"billing_entity": applied})
    assert answer.json()["billing_entity"]["applied_dunning_campaign_code"] == "late"
    shown = (await tenant.get("/dunning_campaigns/late")).json()["dunning_campaign"]
    assert shown["applied_to_organization"] is True
    assert shown["applied_to_billing_entities_codes"] == [code]
    await tenant.put(path, {"billing_entity": {"city": "Berlin"}})  # what is absent stays
    await tenant.put("/dunning_campaigns/late", {"dunning_campaign": {"code": "later"}})
    assert (await entity(tenant))["applied_dunning_campaign_code"] == "later"
    unknown = await tenant.put(path, {"billing_entity": applied})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "dunning_campaign_not_found")
    none = await tenant.put(path, {"billing_entity": {"applied_dunning_campaign_code": None}})
    assert none.json()["billing_entity"]["applied_dunning_campaign_code"] is None
    new = {"code": "new", "name": "New", "applied_dunning_campaign_code": "later"}
    answer = await tenant.post("/billing_entities", {"billing_entity": new})
    assert answer.json()["billing_entity"]["applied_dunning_campaign_code"] == "later"


async def test_a_campaign_says_itself_that_the_organization_applies_it(tenant: Tenant) -> None:
    await made(tenant, applied_to_organization=True)
    await made(tenant, code="other", applied_to_organization=True)  # in its place
    assert (await entity(tenant))["applied_dunning_campaign_code"] == "other"
    none = {"dunning_campaign": {"applied_to_organization": False}}
    await tenant.put("/dunning_campaigns/late", none)  # which does not have it
    assert (await entity(tenant))["applied_dunning_campaign_code"] == "other"
    await tenant.put("/dunning_campaigns/other", none)
    assert (await entity(tenant))["applied_dunning_campaign_code"] is None


async def test_a_customer_applies_its_own_or_is_excluded(tenant: Tenant) -> None:
    await made(tenant)
    fields = {"applied_dunning_campaign_code": "late", "exclude_from_dunning_campaign": True}
    shown = await has_customer(tenant, "ada", **fields)
    assert {key: shown[key] for key in fields} == fields
    shown = await has_customer(tenant, "ada", city="Berlin")
    assert {key: shown[key] for key in fields} == fields
    unknown = {"external_id": "ada", "applied_dunning_campaign_code": "nobodys"}
    refused = await tenant.post("/customers", {"customer": unknown})
    assert (refused.status_code, refused.json()["code"]) == (404, "dunning_campaign_not_found")
    await tenant.delete("/dunning_campaigns/late")
    shown = (await tenant.get("/customers/ada")).json()["customer"]
    assert shown["applied_dunning_campaign_code"] is None
    shown = await has_customer(tenant, "ada", exclude_from_dunning_campaign=False)
    assert shown["exclude_from_dunning_campaign"] is False


async def test_another_tenants_campaign_is_nobodys(tenant: Tenant, other_tenant: Tenant) -> None:
    await made(tenant)
    for answer in (
        await other_tenant.get("/dunning_campaigns/late"),
        await other_tenant.put("/dunning_campaigns/late", {"dunning_campaign": {"name": "Mine"}}),
        await other_tenant.delete("/dunning_campaigns/late"),
        await other_tenant.get("/dunning_campaigns/a%00b"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "dunning_campaign_not_found")
    assert (await other_tenant.get("/dunning_campaigns")).json()["dunning_campaigns"] == []

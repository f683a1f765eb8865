"""`/add_ons` as a caller sees it."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

import asyncpg
import pytest

from recoup.store import add_ons, db
from recoup.store.db import Pool
from tests.api.conftest import Tenant

SETUP = {
    "name": "Setup fee", "code": "setup", "invoice_display_name": "Setting up",
    "description": "Once", "amount_cents": 5000, "amount_currency": "EUR",
}  # fmt: skip


async def taxed(tenant: Tenant, *codes: str) -> None:
    for code in codes:
        made = await tenant.post("/taxes", {"tax": {"name": code, "code": code, "rate": 20}})
        assert made.status_code == 200


async def test_an_add_on_is_created_read_changed_and_deleted(tenant: Tenant) -> None:
    await taxed(tenant, "vat", "city")
    made = await tenant.post("/add_ons", {"add_on": SETUP | {"tax_codes": ["vat"]}})
    assert made.status_code == 200, made.text
    told = made.json()["add_on"]
    assert list(told) == [
        "lago_id", "name", "invoice_display_name", "code", "amount_cents", "amount_currency",
        "created_at", "description", "taxes",
    ]  # fmt: skip
    assert {field: told[field] for field in SETUP} == SETUP
    assert [tax["code"] for tax in told["taxes"]] == ["vat"]
    assert (await tenant.get("/add_ons/setup")).json() == made.json()

    change = {"code": "start", "description": None, "tax_codes": ["city"]}
    changed = (await tenant.put("/add_ons/setup", {"add_on": change})).json()["add_on"]
    assert [tax["code"] for tax in changed.pop("taxes")] == ["city"]
    told.pop("taxes")
    assert changed == told | {"code": "start", "description": None}
    again = (await tenant.put("/add_ons/start", {"add_on": {"name": "Start"}})).json()["add_on"]
    assert [tax["code"] for tax in again["taxes"]] == ["city"]
    none_left = await tenant.put("/add_ons/start", {"add_on": {"tax_codes": []}})
    assert none_left.json()["add_on"]["taxes"] == []

    assert (await tenant.delete("/add_ons/start")).json()["add_on"]["code"] == "start"
    assert (await tenant.get("/add_ons/start")).json() == {
        "status": 404, "error": "Not Found", "code": "add_on_not_found",
    }  # fmt: skip
    for gone in [
        tenant.put("/add_ons/start", {"add_on": {"name": "x"}}),
        tenant.delete("/add_ons/start"),
        tenant.get("/add_ons/%00"),
    ]:
        assert (await gone).status_code == 404
    assert (await tenant.get("/add_ons")).json()["add_ons"] == []
    free_again = await tenant.post("/add_ons", {"add_on": SETUP | {"code": "start"}})
    assert free_again.status_code == 200


@pytest.mark.parametrize("code", ["a/b", "a.b.json", "50% off?", "ü #1", "a%2Fb"])
async def test_a_code_may_hold_any_character(tenant: Tenant, code: str) -> None:
    await tenant.post("/add_ons", {"add_on": SETUP | {"code": code}})
    read = await tenant.get(f"/add_ons/{quote(code, safe='')}")
    assert read.json()["add_on"]["code"] == code


async def test_a_number_or_a_truth_is_text_too(tenant: Tenant) -> None:
    await tenant.post("/taxes", {"tax": {"name": 1.5, "code": 20, "rate": 20, "description": True}})
    tax = (await tenant.get("/taxes/20")).json()["tax"]
    assert (tax["name"], tax["description"]) == ("1.5", "true")
    asked = SETUP | {"name": 1.5, "code": 5, "description": True, "tax_codes": [20]}
    await tenant.post("/add_ons", {"add_on": asked})
    made = (await tenant.get("/add_ons/5")).json()["add_on"]
    assert (made["name"], made["code"], made["description"]) == ("1.5", "5", "true")
    assert [tax["code"] for tax in made["taxes"]] == ["20"]


@pytest.mark.parametrize(
    ("change", "details"),
    [
        ({"name": " "}, {"name": ["value_is_mandatory"]}),
        ({"name": "a\0b"}, {"name": ["value_is_invalid"]}),
        ({"description": "\0"}, {"description": ["value_is_invalid"]}),
        ({"code": "x" * 256}, {"code": ["value_is_too_long"]}),
        ({"code": None}, {"code": ["value_is_mandatory"]}),
        ({"amount_cents": 0}, {"amount_cents": ["value_is_out_of_range"]}),
        ({"amount_cents": -1}, {"amount_cents": ["value_is_out_of_range"]}),
        ({"amount_cents": None}, {"amount_cents": ["value_is_out_of_range"]}),
        ({"amount_cents": 2**63}, {"amount_cents": ["value_is_out_of_range"]}),
        ({"amount_cents": "many"}, {"amount_cents": ["value_is_invalid"]}),
        ({"amount_currency": "XXX"}, {"amount_currency": ["value_is_invalid"]}),
        ({"amount_currency": None}, {"amount_currency": ["value_is_invalid"]}),
        ({"code": "taken"}, {"code": ["value_already_exist"]}),
    ],
)
async def test_broken_rules_are_named_by_field(
    tenant: Tenant, change: dict[str, Any], details: dict[str, list[str]]
) -> None:
    await tenant.post("/add_ons", {"add_on": SETUP | {"code": "taken"}})
    refused = await tenant.post("/add_ons", {"add_on": SETUP | change})
    assert (refused.status_code, refused.json()["error_details"]) == (422, details)
    mine = await tenant.post("/add_ons", {"add_on": SETUP})
    refused = await tenant.put("/add_ons/setup", {"add_on": change})
    assert (refused.status_code, refused.json()["error_details"]) == (422, details)
    assert (await tenant.get("/add_ons/setup")).json() == mine.json()
    assert (await tenant.get("/add_ons")).json()["meta"]["total_count"] == 2


async def test_an_unknown_tax_is_not_found_and_nothing_is_stored(
    tenant: Tenant, other_tenant: Tenant, owner: asyncpg.Connection
) -> None:
    await taxed(other_tenant, "theirs")
    await taxed(tenant, "vat")
    for codes in [["vat", "nothing"], ["theirs"], ["\0"]]:
        refused = await tenant.post("/add_ons", {"add_on": SETUP | {"tax_codes": codes}})
        assert (refused.status_code, refused.json()["code"]) == (404, "tax_not_found")
    assert await owner.fetchval("SELECT count(*) FROM add_ons") == 0
    await tenant.post("/add_ons", {"add_on": SETUP | {"tax_codes": ["vat"]}})
    change = {"name": "X", "tax_codes": ["theirs"]}
    refused = await tenant.put("/add_ons/setup", {"add_on": change})
    assert (refused.status_code, refused.json()["code"]) == (404, "tax_not_found")
    kept = (await tenant.get("/add_ons/setup")).json()["add_on"]
    assert (kept["name"], [tax["code"] for tax in kept["taxes"]]) == ("Setup fee", ["vat"])


async def test_a_deleted_tax_no_longer_applies(tenant: Tenant, owner: asyncpg.Connection) -> None:
    await taxed(tenant, "vat")
    await tenant.post("/add_ons", {"add_on": SETUP | {"tax_codes": ["vat"]}})
    await tenant.delete("/taxes/vat")
    assert (await tenant.get("/add_ons/setup")).json()["add_on"]["taxes"] == []
    # What a call leaves that found the tax just before it was deleted.
    await owner.execute(
        """INSERT INTO add_on_taxes SELECT t.organization_id, a.id, t.id
             FROM taxes t JOIN add_ons a USING (organization_id)"""
    )
    assert (await tenant.get("/add_ons/setup")).json()["add_on"]["taxes"] == []


async def test_pages_are_newest_first(tenant: Tenant) -> None:
    for code in ["first", "second", "third"]:
        await tenant.post("/add_ons", {"add_on": SETUP | {"code": code}})
    page = (await tenant.get("/add_ons", per_page=2)).json()
    assert [one["code"] for one in page["add_ons"]] == ["third", "second"]
    assert page["meta"] == {
        "current_page": 1, "next_page": 2, "prev_page": None, "total_pages": 2, "total_count": 3,
    }  # fmt: skip
    rest = (await tenant.get("/add_ons", per_page=2, page=2)).json()
    assert [one["code"] for one in rest["add_ons"]] == ["first"]


async def test_another_tenants_add_on_is_not_found(tenant: Tenant, other_tenant: Tenant) -> None:
    await tenant.post("/add_ons", {"add_on": SETUP})
    assert (await other_tenant.get("/add_ons/setup")).status_code == 404
    assert (await other_tenant.put("/add_ons/setup", {"add_on": {"name": "x"}})).status_code == 404
    assert (await other_tenant.delete("/add_ons/setup")).status_code == 404
    assert (await other_tenant.get("/add_ons")).json()["add_ons"] == []
    same_code = await other_tenant.post("/add_ons", {"add_on": SETUP | {"name": "Theirs"}})
    assert same_code.status_code == 200
    assert (await tenant.get("/add_ons/setup")).json()["add_on"]["name"] == "Setup fee"


async def test_many_are_read_with_their_taxes_at_once(tenant: Tenant, pool: Pool) -> None:
    await taxed(tenant, "vat", "city")
    for code, tax_codes in [("a", ["vat", "city"]), ("b", []), ("c", ["city"])]:
        await tenant.post("/add_ons", {"add_on": SETUP | {"code": code, "tax_codes": tax_codes}})
    async with db.transaction(pool, tenants=[tenant.organization_id]) as conn:
        found = await add_ons.by_codes(conn, tenant.organization_id, ["a", "b", "c", "nothing"])
    assert {code: [tax.code for tax in one.taxes] for code, one in found.items()} == {
        "a": ["vat", "city"], "b": [], "c": ["city"],
    }  # fmt: skip


async def test_two_changes_at_once_leave_the_taxes_of_one_of_them(tenant: Tenant) -> None:
    await taxed(tenant, "vat", "city")
    await tenant.post("/add_ons", {"add_on": SETUP})
    both = await asyncio.gather(
        tenant.put("/add_ons/setup", {"add_on": {"tax_codes": ["vat"]}}),
        tenant.put("/add_ons/setup", {"add_on": {"tax_codes": ["city"]}}),
    )
    assert [answer.status_code for answer in both] == [200, 200]
    left = (await tenant.get("/add_ons/setup")).json()["add_on"]["taxes"]
    assert [tax["code"] for tax in left] in (["vat"], ["city"])

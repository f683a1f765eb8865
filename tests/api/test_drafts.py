"""Drafts as a caller sees them: kept, worked out anew, finalized, deleted."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from recoup.flows.finalize_draft import finalize_due_drafts
from recoup.store.db import Pool
from tests.api.billing import (
    booked,
    count,
    has_customer,
    has_method,
    has_tax,
    issue,
    pay,
    refusal,
    sells,
    told,
    words,
)
from tests.api.conftest import Tenant
from tests.api.test_invoices import EXTRAS, KEYS, UNKNOWN, put, shown

DRAFT: dict[str, Any] = {"draft": True}


async def draft(tenant: Tenant, **fields: Any) -> Any:
    made = await issue(tenant, **DRAFT | fields)
    assert made["status"] == "draft"
    return made


async def act(tenant: Tenant, invoice: Any, action: str) -> Any:
    answer = await tenant.put(f"/invoices/{invoice['lago_id']}/{action}")
    assert answer.status_code == 200, answer.text
    return answer.json()["invoice"]


async def test_a_draft_has_no_number_and_is_owed_by_nobody(
    tenant: Tenant, owner: asyncpg.Connection, pool: Pool
) -> None:
    await sells(tenant, net_payment_term=7, invoice_grace_period=3)
    await has_method(tenant, pool)
    made = await draft(tenant, skip_psp=False)
    assert list(made) == KEYS + EXTRAS
    prefix = await owner.fetchval("SELECT document_number_prefix FROM billing_entities")
    assert (made["number"], made["sequential_id"]) == (f"{prefix}-DRAFT", None)
    assert made["payment_status"] == "pending"
    created = date.fromisoformat(made["created_at"][:10])
    assert made["issuing_date"] == str(created + timedelta(days=3))
    assert made["payment_due_date"] == str(created + timedelta(days=10))
    assert await booked(owner, made) == {}
    assert await count(owner, "payments") == 0
    assert await words(owner) == ["invoice.drafted"]
    [event] = await told(owner)
    assert event["object_type"] == "invoice"
    assert event["invoice"]["lago_id"] == made["lago_id"]
    assert {"customer", "fees", "applied_taxes"} <= set(event["invoice"])
    assert await shown(tenant, made) == made
    listed = (await tenant.get("/invoices", status="draft")).json()["invoices"]
    assert [one["lago_id"] for one in listed] == [made["lago_id"]]


async def test_what_a_draft_refuses(tenant: Tenant, pool: Pool) -> None:
    await sells(tenant)
    await has_method(tenant, pool)
    made = await draft(tenant)
    path = f"/invoices/{made['lago_id']}"
    assert refusal(await tenant.post(f"{path}/retry_payment")) == (405, "invalid_status")
    assert refusal(await tenant.post(f"{path}/void")) == (405, "not_voidable")
    assert refusal(await tenant.post(f"{path}/lose_dispute")) == (405, "not_disputable")
    assert refusal(await tenant.post(f"{path}/retry")) == (405, "invalid_status")
    assert refusal(await tenant.post(f"{path}/payment_url")) == (
        422, {"base": ["invalid_invoice_status_or_payment_status"]},
    )  # fmt: skip
    assert refusal(await pay(tenant, made, 1)) == (403, "feature_unavailable")
    assert refusal(await put(tenant, made, metadata=[])) == (405, "metadata_on_draft_invoice")
    assert refusal(await put(tenant, made, payment_status="succeeded")) == (
        405, "payment_status_update_on_draft_invoice",
    )  # fmt: skip
    assert (await put(tenant, made, payment_status="pending")).status_code == 200
    assert await shown(tenant, made) == made


async def test_finalizing_numbers_books_tells_and_charges(
    tenant: Tenant, owner: asyncpg.Connection, pool: Pool
) -> None:
    await sells(tenant, net_payment_term=7, invoice_grace_period=30)
    await has_method(tenant, pool)
    made = await draft(tenant, skip_psp=False, purchase_order_number="PO 1")
    assert (await issue(tenant))["sequential_id"] == 1  # the draft took none
    await owner.execute("DELETE FROM events")
    final = await act(tenant, made, "finalize")
    assert (final["status"], final["sequential_id"]) == ("finalized", 2)
    assert final["number"].endswith("-001-002")
    today = date.fromisoformat(final["updated_at"][:10])
    assert final["issuing_date"] == str(today)
    assert final["payment_due_date"] == str(today + timedelta(days=7))
    assert final["purchase_order_number"] == "PO 1"
    assert [fee["lago_id"] for fee in final["fees"]] == [fee["lago_id"] for fee in made["fees"]]
    assert await booked(owner, final) == {"receivable": 1000, "revenue": -1000}
    assert await words(owner) == ["invoice.created"]
    assert await owner.fetchval("SELECT invoice_id FROM payment_invoices") == UUID(made["lago_id"])
    assert await count(owner, "payments") == 1
    again = await tenant.put(f"/invoices/{made['lago_id']}/finalize")
    assert refusal(again) == (404, "invoice_not_found")
    assert await count(owner, "payments") == 1


async def test_a_draft_that_skips_the_provider_is_charged_by_nobody(
    tenant: Tenant, owner: asyncpg.Connection, pool: Pool
) -> None:
    await sells(tenant)
    await has_method(tenant, pool)
    await act(tenant, await draft(tenant, skip_psp=True), "finalize")
    assert await count(owner, "payments") == 0


async def test_a_draft_is_worked_out_anew(tenant: Tenant, owner: asyncpg.Connection) -> None:
    await sells(tenant)
    await has_tax(tenant, "vat", 10)
    lines = [
        {"add_on_code": "setup", "units": "2.5", "tax_codes": ["vat", "later"]},
        {"add_on_code": "setup", "unit_amount_cents": 33, "tax_codes": ["vat"]},
    ]
    made = await draft(tenant, fees=lines)
    assert made["total_amount_cents"] == 2500 + 33 + 253
    await tenant.put("/taxes/vat", {"tax": {"rate": 20}})
    await has_tax(tenant, "later", 5)
    await tenant.put("/add_ons/setup", {"add_on": {"amount_cents": 2000}})
    assert await shown(tenant, made) == made
    anew = await act(tenant, made, "refresh")
    assert [fee["amount_cents"] for fee in anew["fees"]] == [5000, 33]
    assert {tax["tax_code"]: tax["amount_cents"] for tax in anew["applied_taxes"]} == {
        "later": 250, "vat": 1007,
    }  # fmt: skip
    assert anew["total_amount_cents"] == 5033 + 1257
    assert anew["status"] == "draft"
    assert [fee["lago_id"] for fee in anew["fees"]] == [fee["lago_id"] for fee in made["fees"]]
    assert await act(tenant, made, "refresh") | {"updated_at": ""} == anew | {"updated_at": ""}
    assert await count(owner, "fees") == 2


async def test_finalizing_takes_the_prices_and_taxes_of_that_day(tenant: Tenant) -> None:
    await sells(tenant)
    made = await draft(tenant)
    await has_tax(tenant, "vat", 10, applied_to_organization=True)
    assert (await act(tenant, made, "finalize"))["total_amount_cents"] == 1100


async def test_deleted_add_ons_and_customers_count_as_they_were(tenant: Tenant) -> None:
    await sells(tenant)
    made = await draft(tenant)
    await tenant.delete("/add_ons/setup")
    await tenant.delete("/customers/c1")
    final = await act(tenant, made, "finalize")
    assert (final["status"], final["total_amount_cents"]) == ("finalized", 1000)
    assert final["customer"]["external_id"] == "c1"


async def test_refreshing_what_is_no_draft_changes_nothing(tenant: Tenant) -> None:
    await sells(tenant)
    made = await issue(tenant)
    await tenant.put("/add_ons/setup", {"add_on": {"amount_cents": 2000}})
    assert await act(tenant, made, "refresh") == made


async def test_a_draft_whose_sums_grew_out_of_range_stays_one(tenant: Tenant) -> None:
    await sells(tenant)
    fees = [{"add_on_code": "setup", "units": 1e12}]
    made = await draft(tenant, fees=fees)
    await tenant.put("/add_ons/setup", {"add_on": {"amount_cents": 2**53}})
    for action in ("refresh", "finalize"):
        answer = await tenant.put(f"/invoices/{made['lago_id']}/{action}")
        assert refusal(answer) == (422, {"amount_cents": ["value_is_out_of_range"]})
    assert await shown(tenant, made) == made


async def test_a_draft_of_nothing_is_closed_where_nothing_is_not_issued(
    tenant: Tenant, owner: asyncpg.Connection
) -> None:
    await sells(tenant, finalize_zero_amount_invoice="skip")
    free = [{"add_on_code": "setup", "unit_amount_cents": 0}]
    made = await draft(tenant, fees=free)
    closed = await act(tenant, made, "finalize")
    assert (closed["status"], closed["sequential_id"]) == ("closed", None)
    assert (await tenant.get(f"/invoices/{made['lago_id']}")).status_code == 404
    assert (await issue(tenant))["sequential_id"] == 1
    assert "invoice.created" not in await words(owner)
    await has_customer(tenant, "c1", finalize_zero_amount_invoice="finalize")
    shown_one = await act(tenant, await draft(tenant, fees=free), "finalize")
    assert (shown_one["status"], shown_one["payment_status"]) == ("finalized", "succeeded")


async def test_a_deleted_draft_is_gone(tenant: Tenant, owner: asyncpg.Connection) -> None:
    await sells(tenant)
    made = await draft(tenant)
    path = f"/invoices/{made['lago_id']}"
    answer = await tenant.delete(path)
    assert answer.json()["invoice"] == made | {
        "status": "deleted", "updated_at": answer.json()["invoice"]["updated_at"],
    }  # fmt: skip
    assert await words(owner) == ["invoice.drafted", "invoice.deleted"]
    assert (await told(owner))[1]["invoice"]["status"] == "deleted"
    for gone in (
        await tenant.get(path),
        await tenant.delete(path),
        await tenant.put(f"{path}/finalize"),
        await tenant.put(f"{path}/refresh"),
        await tenant.post(f"{path}/retry"),
        await put(tenant, made, payment_status="failed"),
        await tenant.get(f"/fees/{made['fees'][0]['lago_id']}"),
    ):
        assert gone.status_code == 404, gone.text
    assert (await tenant.get("/invoices")).json()["invoices"] == []


@pytest.mark.parametrize("void", [False, True])
async def test_only_drafts_are_deleted(
    tenant: Tenant, owner: asyncpg.Connection, void: bool
) -> None:
    await sells(tenant)
    made = await issue(tenant)
    if void:
        await tenant.post(f"/invoices/{made['lago_id']}/void")
    answer = await tenant.delete(f"/invoices/{made['lago_id']}")
    assert refusal(answer) == (405, "not_deletable")
    assert refusal(await tenant.put(f"/invoices/{made['lago_id']}/finalize")) == (
        404, "invoice_not_found",
    )  # fmt: skip
    assert "invoice.deleted" not in await words(owner)


async def test_unknown_ids_are_not_found(tenant: Tenant) -> None:
    for lago_id in (UNKNOWN, "nonsense", "%00"):
        for answer in (
            await tenant.put(f"/invoices/{lago_id}/finalize"),
            await tenant.put(f"/invoices/{lago_id}/refresh"),
            await tenant.delete(f"/invoices/{lago_id}"),
            await tenant.post(f"/invoices/{lago_id}/retry"),
        ):
            assert refusal(answer) == (404, "invoice_not_found")


async def test_a_preview_says_why_there_is_none(tenant: Tenant, owner: asyncpg.Connection) -> None:
    asked: dict[str, Any] = {"customer": {"external_id": "c1"}}
    cases: list[tuple[Any, tuple[int, str]]] = [
        ({}, (400, "BadRequest: param is missing or the value is empty or invalid: customer")),
        (
            {"customer": "c1"},
            (400, "BadRequest: param is missing or the value is empty or invalid: customer"),
        ),
        (asked | {"coupons": {}}, (400, "coupons_must_be_an_array")),
        (asked | {"subscriptions": []}, (400, "subscriptions_must_be_an_object")),
        (asked | {"plan_code": "p"}, (403, "feature_unavailable")),
        (asked | {"coupons": None, "subscriptions": None}, (403, "feature_unavailable")),
    ]
    for body, expected in cases:
        assert refusal(await tenant.post("/invoices/preview", body)) == expected, body
    assert await count(owner, "invoices") == 0


async def test_the_wish_for_a_draft_is_a_boolean(tenant: Tenant, owner: asyncpg.Connection) -> None:
    await sells(tenant)
    for nonsense in ("yes", 2, [], {}):
        asked = {"external_customer_id": "c1", "fees": [{"add_on_code": "setup"}]}
        answer = await tenant.post("/invoices", {"invoice": asked | {"draft": nonsense}})
        assert refusal(answer) == (422, {"draft": ["value_is_invalid"]})
    assert (await issue(tenant, draft=None))["status"] == "finalized"
    assert (await issue(tenant, draft=False))["status"] == "finalized"
    assert await count(owner, "invoices") == 2


async def test_the_grace_of_the_customer_outranks_the_entitys(
    tenant: Tenant, owner: asyncpg.Connection, pool: Pool, scout: Pool
) -> None:
    await tenant.put(
        "/organizations", {"organization": {"billing_configuration": {"invoice_grace_period": 5}}}
    )
    await sells(tenant, timezone="Pacific/Auckland")
    assert (await issue(tenant))["status"] == "finalized"  # Lago's own asks have no grace
    by_entity = await draft(tenant)
    await has_customer(tenant, "c1", invoice_grace_period=0)
    by_hand = await draft(tenant)
    rows = {
        str(row["id"]): row["finalize_at"]
        for row in await owner.fetch("SELECT id, finalize_at FROM invoices")
    }
    ends = rows[by_entity["lago_id"]]
    assert rows[by_hand["lago_id"]] is None  # nothing ends: it waits for a person
    midnight = await owner.fetchval("SELECT ($1::date)::timestamp AT TIME ZONE 'Pacific/Auckland'",
                                    date.fromisoformat(by_entity["issuing_date"]))  # fmt: skip
    assert ends == midnight
    early = ends - timedelta(microseconds=1)
    assert await finalize_due_drafts(pool, scout, collect=None, now=early) == 0
    assert await finalize_due_drafts(pool, scout, collect=None, now=ends) == 1
    assert (await shown(tenant, by_entity))["status"] == "finalized"
    assert (await shown(tenant, by_entity))["issuing_date"] == by_entity["issuing_date"]
    assert (await shown(tenant, by_hand))["status"] == "draft"

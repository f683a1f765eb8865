"""`/credit_notes` as a caller sees it: made, estimated, read, changed, voided, refused."""

from __future__ import annotations

import json
from typing import Any

import asyncpg
import pytest

from recoup.store.db import Pool
from tests.api.billing import (
    booked,
    count,
    has_customer,
    has_method,
    has_tax,
    issue,
    issue_of,
    pay,
    refusal,
    sells,
    words,
)
from tests.api.conftest import Tenant
from tests.api.noting import ask_note, charged, items_of, note

KEYS = """
    lago_id billing_entity_code sequential_id number lago_invoice_id invoice_number
    purchase_order_number issuing_date credit_status refund_status reason description currency
    total_amount_cents precise_total_amount_cents taxes_amount_cents precise_taxes_amount_cents
    sub_total_excluding_taxes_amount_cents balance_amount_cents credit_amount_cents
    refund_amount_cents offset_amount_cents coupons_adjustment_amount_cents taxes_rate created_at
    updated_at file_url xml_url self_billed customer items applied_taxes error_details metadata
""".split()  # noqa: SIM905
UNKNOWN = "01900000-0000-7000-8000-000000000000"
STORED = (
    "credit_notes", "credit_note_items", "credit_note_applied_taxes", "refunds", "ledger_entries",
    "events",
)  # fmt: skip
HIGHER = ["higher_than_remaining_invoice_amount"]


async def shown(tenant: Tenant, invoice: Any) -> Any:
    return (await tenant.get(f"/invoices/{invoice['lago_id']}")).json()["invoice"]


async def amounts(tenant: Tenant, made: Any) -> Any:
    """What a note shows of its parts, and what became of them."""
    found = (await tenant.get(f"/credit_notes/{made['lago_id']}")).json()["credit_note"]
    names = ("credit", "refund", "offset", "balance")
    cents = tuple(found[f"{name}_amount_cents"] for name in names)
    return (*cents, found["credit_status"], found["refund_status"])


async def test_a_note_is_made_shown_told_and_booked(
    tenant: Tenant, owner: asyncpg.Connection
) -> None:
    await sells(tenant, name="Ada")
    await has_tax(tenant, "vat", 19.6)
    taxed = {"add_on_code": "setup", "tax_codes": ["vat"]}
    invoice = await issue(tenant, fees=[taxed, taxed], purchase_order_number="PO 7")
    assert invoice["total_amount_cents"] == 2_392
    assert (await pay(tenant, invoice, 1_000)).status_code == 200
    made = await note(
        tenant, invoice, 1_000, 500, credit_amount_cents=700, refund_amount_cents="294",
        offset_amount_cents=800, reason="order_change", description="Too much", metadata={"a": 1},
    )  # fmt: skip
    assert list(made) == KEYS
    expected = {
        "sequential_id": 1, "number": f"{invoice['number']}-CN001",
        "lago_invoice_id": invoice["lago_id"], "invoice_number": invoice["number"],
        "purchase_order_number": "PO 7", "issuing_date": invoice["issuing_date"],
        "credit_status": "available", "refund_status": "pending", "reason": "order_change",
        "description": "Too much", "currency": "EUR", "total_amount_cents": 1_794,
        "precise_total_amount_cents": "1794.0", "taxes_amount_cents": 294,
        "precise_taxes_amount_cents": "294.0", "sub_total_excluding_taxes_amount_cents": 1_500,
        "balance_amount_cents": 700, "credit_amount_cents": 700, "refund_amount_cents": 294,
        "offset_amount_cents": 800, "coupons_adjustment_amount_cents": 0, "taxes_rate": 19.6,
        "file_url": None, "xml_url": None, "self_billed": False, "metadata": {"a": "1"},
        "error_details": [], "billing_entity_code": "acme-ltd",
    }  # fmt: skip
    assert {name: made[name] for name in expected} == expected
    assert made["customer"]["name"] == "Ada"
    assert [item["amount_cents"] for item in made["items"]] == [1_000, 500]
    assert made["items"][1]["fee"] == invoice["fees"][1]
    [tax] = made["applied_taxes"]
    assert (tax["tax_code"], tax["base_amount_cents"], tax["amount_cents"]) == ("vat", 1_500, 294)
    assert tax["lago_credit_note_id"] == made["lago_id"]
    found = await tenant.get(f"/credit_notes/{made['lago_id'].upper()}")
    assert found.json()["credit_note"] == made
    body = json.loads(
        await owner.fetchval("SELECT body FROM events WHERE webhook_type = 'credit_note.created'")
    )
    assert (body["object_type"], body["credit_note"]) == ("credit_note", made)
    assert await booked(owner, invoice) == {
        "receivable": 592, "revenue": -598, "customer_credit": -700, "to_refund": -294,
        "paid_by_hand": 1_000,
    }  # fmt: skip
    after = await shown(tenant, invoice)
    assert (after["total_due_amount_cents"], after["total_paid_amount_cents"]) == (592, 1_000)
    assert after["total_offsetted_credit_note_amount_cents"] == 800
    assert (after["payment_status"], after["credit_notes_amount_cents"]) == ("pending", 0)
    assert (await note(tenant, invoice, 0, 1, credit_amount_cents=1))["number"].endswith("-CN002")


async def test_an_offset_of_all_that_is_due_settles_the_invoice(
    tenant: Tenant, owner: asyncpg.Connection
) -> None:
    await sells(tenant)
    invoice = await issue_of(tenant, 1_000)
    await pay(tenant, invoice, 400)
    made = await note(tenant, invoice, 600, offset_amount_cents=600)
    assert await amounts(tenant, made) == (0, 0, 600, 0, None, None)
    after = await shown(tenant, invoice)
    assert (after["payment_status"], after["total_due_amount_cents"]) == ("succeeded", 0)
    assert await words(owner) == ["invoice.one_off_created", "invoice.payment_status_updated"]
    settled = (await tenant.get("/invoices", **{"settlements[]": "credit_note"})).json()
    assert [one["lago_id"] for one in settled["invoices"]] == [invoice["lago_id"]]
    retried = await tenant.post(f"/invoices/{invoice['lago_id']}/retry_payment")
    assert refusal(retried) == (405, "invalid_status")


async def test_money_goes_back_by_the_charges_that_paid_and_what_is_left_is_a_persons(
    tenant: Tenant, owner: asyncpg.Connection, pool: Pool
) -> None:
    await sells(tenant)
    await has_method(tenant, pool)
    invoice = await issue_of(tenant, 1_000)
    await pay(tenant, invoice, 300)
    await tenant.post(f"/invoices/{invoice['lago_id']}/retry_payment")
    payment = await charged(pool, owner, invoice)
    made = await note(tenant, invoice, 900, refund_amount_cents=900)
    assert await amounts(tenant, made) == (0, 900, 0, 0, None, "pending")
    [refund] = (await tenant.get("/refunds")).json()["refunds"]
    assert (refund["amount_cents"], refund["status"]) == (700, "ready")
    assert refund["lago_payment_id"] == str(payment.id)
    assert refund["lago_credit_note_id"] == made["lago_id"]
    assert refund["lago_contradiction_id"] is None
    assert await count(owner, "pgqueuer WHERE entrypoint = 'submit_refund'") == 1
    more = await ask_note(tenant, invoice, 100, refund_amount_cents=101)
    assert refusal(more) == (422, {"base": HIGHER, "refund_amount_cents": HIGHER})


async def test_nothing_is_sent_back_of_an_invoice_whose_dispute_is_lost(
    tenant: Tenant, owner: asyncpg.Connection, pool: Pool
) -> None:
    await sells(tenant)
    await has_method(tenant, pool)
    invoice = await issue_of(tenant, 1_000, skip_psp=False)
    await charged(pool, owner, invoice)
    await tenant.post(f"/invoices/{invoice['lago_id']}/lose_dispute")
    made = await note(tenant, invoice, refund_amount_cents=1_000)
    assert made["refund_status"] == "pending"
    assert await count(owner, "refunds") == 0


async def test_every_rule_has_its_code_and_leaves_nothing_behind(
    tenant: Tenant, owner: asyncpg.Connection
) -> None:
    await sells(tenant)
    invoice, other = await issue_of(tenant, 1_000), await issue_of(tenant, 500)
    before = [await count(owner, table) for table in STORED]
    fee, foreign = invoice["fees"][0]["lago_id"], other["fees"][0]["lago_id"]
    line = {"fee_id": fee, "amount_cents": 1_000}
    credit = {"credit_amount_cents": 1_000}
    cases: list[tuple[dict[str, Any], Any]] = [
        ({"invoice_id": None}, (404, "invoice_not_found")),
        ({"invoice_id": UNKNOWN}, (404, "invoice_not_found")),
        ({"invoice_id": "x\0"}, (404, "invoice_not_found")),
        ({"items": None}, (422, {"items": ["must_be_an_array"]})),
        ({"items": {"fee_id": fee}}, (422, {"items": ["must_be_an_array"]})),
        ({"items": [fee]}, (422, {"items": ["value_is_invalid"]})),
        ({"items": [line | {"fee_id": foreign}]}, (404, "fee_not_found")),
        ({"items": [line | {"fee_id": [fee]}]}, (404, "fee_not_found")),
        ({"items": [{"amount_cents": 1}]}, (404, "fee_not_found")),
        ({"items": [line | {"amount_cents": -1}]}, (422, {"amount_cents": ["invalid_value"]})),
        ({"items": [line | {"amount_cents": None}]}, (422, {"amount_cents": ["invalid_value"]})),
        ({"items": [line | {"amount_cents": "1.5"}]}, (422, {"amount_cents": ["invalid_value"]})),
        ({"items": [line | {"amount_cents": True}]}, (422, {"amount_cents": ["invalid_value"]})),
        (
            {"items": [line | {"amount_cents": 1_001}]},
            (422, {"amount_cents": ["higher_than_remaining_fee_amount"]}),
        ),
        (
            {"items": [line | {"amount_cents": 600}] * 2},
            (422, {"amount_cents": ["higher_than_remaining_fee_amount"]}),
        ),
        (
            {"items": [line | {"amount_cents": 10**40}]},
            (422, {"amount_cents": ["higher_than_remaining_fee_amount"]}),
        ),
        ({"credit_amount_cents": -1}, (422, {"credit_amount_cents": ["invalid_value"]})),
        ({"credit_amount_cents": {}}, (422, {"credit_amount_cents": ["invalid_value"]})),
        ({"refund_amount_cents": "much"}, (422, {"refund_amount_cents": ["invalid_value"]})),
        ({"credit_amount_cents": 998}, (422, {"base": ["does_not_match_item_amounts"]})),
        (
            {"credit_amount_cents": None, "items": []},
            (422, {"base": ["total_amount_must_be_positive"]}),
        ),
        (
            {"credit_amount_cents": 0, "refund_amount_cents": 1_000},
            (422, {"refund_amount_cents": ["cannot_refund_unpaid_invoice"]}),
        ),
        ({"credit_amount_cents": 1_001}, (422, {"base": HIGHER, "credit_amount_cents": HIGHER})),
        (
            {"credit_amount_cents": 0, "offset_amount_cents": 1_001},
            (422, {"base": HIGHER, "offset_amount_cents": HIGHER}),
        ),
        ({"reason": "because"}, (422, {"reason": ["value_is_invalid"]})),
        ({"description": "a\0b"}, (422, {"description": ["value_is_invalid"]})),
        ({"description": "x" * 601}, (422, {"description": ["value_is_too_long"]})),
        ({"metadata": ["a"]}, (422, {"metadata": ["value_is_invalid"]})),
        ({"metadata": {"a": {}}}, (422, {"metadata": ["value_is_invalid"]})),
        ({"metadata": {"a": "\0"}}, (422, {"metadata": ["value_is_invalid"]})),
        ({"metadata": {"k" * 101: "v"}}, (422, {"key": ["value_is_too_long"]})),
        ({"metadata": {"k": "v" * 256}}, (422, {"value": ["value_is_too_long"]})),
        (
            {"metadata": {str(at): "v" for at in range(51)}},
            (422, {"metadata": ["invalid_count"]}),
        ),
    ]
    for change, expected in cases:
        asked = {"invoice_id": invoice["lago_id"], "items": [line], **credit, **change}
        refused = await tenant.post("/credit_notes", {"credit_note": asked})
        assert refusal(refused) == expected, change
    assert [await count(owner, table) for table in STORED] == before
    missing = await tenant.post("/credit_notes", {})
    assert refusal(missing)[0] == 400
    assert (await ask_note(tenant, invoice, **credit)).status_code == 200


@pytest.mark.parametrize("path", ["/credit_notes", "/credit_notes/estimate"])
async def test_nothing_is_taken_off_what_is_not_final(
    tenant: Tenant, owner: asyncpg.Connection, path: str
) -> None:
    await sells(tenant)
    invoice = await issue_of(tenant, 1_000)
    asked = {"invoice_id": invoice["lago_id"], "items": items_of(invoice)}
    for change in ("status = 'draft'", "status = 'pending'", "invoice_type = 'credit'"):
        await owner.execute("UPDATE invoices SET status = 'finalized', invoice_type = 'one_off'")
        await owner.execute(f"UPDATE invoices SET {change}")
        refused = await tenant.post(path, {"credit_note": asked | {"credit_amount_cents": 1_000}})
        assert refusal(refused) == (405, "invalid_type_or_status"), change
    await owner.execute("UPDATE invoices SET payment_status = 'succeeded'")
    accepted = await tenant.post(path, {"credit_note": asked | {"credit_amount_cents": 1_000}})
    assert accepted.status_code == 200


async def test_an_estimate_says_what_could_be_done_and_keeps_nothing(
    tenant: Tenant, owner: asyncpg.Connection
) -> None:
    await sells(tenant)
    await has_tax(tenant, "vat", 19.6)
    taxed = {"add_on_code": "setup", "tax_codes": ["vat"]}
    invoice = await issue(tenant, fees=[taxed, {"add_on_code": "setup"}])
    await pay(tenant, invoice, 300)
    asked = {"invoice_id": invoice["lago_id"], "items": items_of(invoice, 335, 1_000)}
    estimated = await tenant.post("/credit_notes/estimate", {"credit_note": asked})
    found = estimated.json()["estimated_credit_note"]
    [tax] = found.pop("applied_taxes")
    assert (tax["base_amount_cents"], tax["amount_cents"], tax["tax_rate"]) == (335, 66, 19.6)
    assert found == {
        "lago_invoice_id": invoice["lago_id"], "invoice_number": invoice["number"],
        "currency": "EUR", "taxes_amount_cents": 66, "precise_taxes_amount_cents": 65.66,
        "taxes_rate": 4.91835, "sub_total_excluding_taxes_amount_cents": 1_335,
        "max_creditable_amount_cents": 1_401, "max_refundable_amount_cents": 300,
        "max_offsettable_amount_cents": 1_401, "coupons_adjustment_amount_cents": 0,
        "precise_coupons_adjustment_amount_cents": 0.0,
        "items": [
            {"amount_cents": fee["amount_cents"], "lago_fee_id": fee["fee_id"]}
            for fee in asked["items"]
        ],
    }  # fmt: skip
    for change, expected in [
        ({"invoice_id": UNKNOWN}, (404, "invoice_not_found")),
        ({"items": "all"}, (422, {"items": ["must_be_an_array"]})),
        ({"items": [{"fee_id": UNKNOWN, "amount_cents": 1}]}, (404, "fee_not_found")),
    ]:
        refused = await tenant.post("/credit_notes/estimate", {"credit_note": asked | change})
        assert refusal(refused) == expected
    assert refusal(await tenant.post("/credit_notes/estimate"))[0] == 400
    assert await count(owner, "credit_notes") == 0
    made = await note(tenant, invoice, 335, 1_000, offset_amount_cents=1_401)
    assert made["taxes_amount_cents"] == 66
    again = await tenant.post(
        "/credit_notes/estimate",
        {"credit_note": asked | {"items": items_of(invoice, 665)}},
    )
    left = again.json()["estimated_credit_note"]
    assert (left["max_creditable_amount_cents"], left["max_offsettable_amount_cents"]) == (795, 495)


async def test_a_void_lets_the_credit_lapse_once(tenant: Tenant, owner: asyncpg.Connection) -> None:
    await sells(tenant)
    invoice = await issue_of(tenant, 1_000)
    made = await note(tenant, invoice, 600, credit_amount_cents=400, offset_amount_cents=200)
    voided = await tenant.put(f"/credit_notes/{made['lago_id']}/void")
    assert voided.json()["credit_note"]["credit_status"] == "voided"
    assert await amounts(tenant, made) == (400, 0, 200, 0, "voided", None)
    assert await booked(owner, invoice) == {"receivable": 800, "revenue": -800}
    again = await tenant.put(f"/credit_notes/{made['lago_id']}/void")
    assert refusal(again) == (405, "no_voidable_amount")
    offset = await note(tenant, invoice, 100, offset_amount_cents=100)
    none = await tenant.put(f"/credit_notes/{offset['lago_id']}/void")
    assert refusal(none) == (405, "no_voidable_amount")
    # What a voided note took off its fee, it took off: 300 are left of the thousand.
    more = await ask_note(tenant, invoice, 301, credit_amount_cents=301)
    assert refusal(more) == (422, {"amount_cents": ["higher_than_remaining_fee_amount"]})


async def test_a_refund_status_is_a_callers_word_and_moves_no_money(
    tenant: Tenant, owner: asyncpg.Connection
) -> None:
    await sells(tenant)
    invoice = await issue_of(tenant, 1_000)
    await pay(tenant, invoice, 1_000)
    made = await note(tenant, invoice, refund_amount_cents=1_000)
    path = f"/credit_notes/{made['lago_id']}"
    before = await booked(owner, invoice)
    done = await tenant.put(path, {"credit_note": {"refund_status": "succeeded"}})
    assert done.json()["credit_note"]["refund_status"] == "succeeded"
    assert await owner.fetchval("SELECT refunded_at IS NOT NULL FROM credit_notes")
    assert await booked(owner, invoice) == before
    for wrong in ("done", None, "", 5, ["failed"]):
        refused = await tenant.put(path, {"credit_note": {"refund_status": wrong, "metadata": {}}})
        assert refusal(refused) == (422, {"refund_status": ["value_is_invalid"]}), wrong
    assert (await tenant.put(path, {"credit_note": {"x": 1}})).status_code == 200
    assert refusal(await tenant.put(path, {}))[0] == 400
    back = await tenant.client.patch(
        f"/api/v1{path}", json={"credit_note": {"refund_status": "failed"}}
    )
    assert back.json()["credit_note"]["refund_status"] == "failed"
    assert await owner.fetchval("SELECT refunded_at FROM credit_notes") is None


async def test_metadata_are_merged_replaced_and_taken_away(tenant: Tenant) -> None:
    await sells(tenant)
    invoice = await issue_of(tenant, 1_000)
    made = await note(tenant, invoice, 100, credit_amount_cents=100)
    assert made["metadata"] is None
    path = f"/credit_notes/{made['lago_id']}"

    async def patched(metadata: Any) -> Any:
        answer = await tenant.client.patch(f"/api/v1{path}/metadata", json={"metadata": metadata})
        return answer.json()

    changed = await tenant.put(path, {"credit_note": {"metadata": {"a": "1", "b": 2.5}}})
    assert changed.json()["credit_note"]["metadata"] == {"a": "1", "b": "2.5"}
    assert await patched({"b": None, "c": True}) == {
        "metadata": {"a": "1", "b": None, "c": "true"},
    }  # fmt: skip
    assert await patched(None) == {"metadata": {"a": "1", "b": None, "c": "true"}}
    gone = await tenant.delete(f"{path}/metadata/b")
    assert gone.json() == {"metadata": {"a": "1", "c": "true"}}
    assert refusal(await tenant.delete(f"{path}/metadata/b")) == (404, "metadata_not_found")
    replaced = await tenant.post(f"{path}/metadata", {"metadata": {"d/e": "4"}})
    assert replaced.json() == {"metadata": {"d/e": "4"}}
    assert (await tenant.delete(f"{path}/metadata/d%2Fe")).json() == {"metadata": {}}
    assert (await tenant.delete(f"{path}/metadata")).json() == {"metadata": None}
    assert refusal(await tenant.delete(f"{path}/metadata/a")) == (404, "metadata_not_found")
    assert await patched({}) == {"metadata": {}}
    assert (await tenant.post(f"{path}/metadata", {"metadata": None})).json()["metadata"] is None
    many = {f"k{at}": "v" for at in range(50)}
    assert len((await patched(many))["metadata"]) == 50
    assert (await patched({"one": "more"}))["error_details"] == {"metadata": ["invalid_count"]}
    assert (await patched("x"))["error_details"] == {"metadata": ["value_is_invalid"]}
    assert refusal(await tenant.post(f"{path}/metadata", {}))[0] == 400
    assert refusal(await tenant.post(f"{path}/metadata", {"metadata": {"a\0": "b"}}))[0] == 422


@pytest.mark.parametrize("note_id", [UNKNOWN, "nothing", "%00"])
async def test_what_is_no_note_is_not_found(tenant: Tenant, note_id: str) -> None:
    path = f"/credit_notes/{note_id}"
    body = {"credit_note": {"refund_status": "failed"}}
    metadata = {"metadata": {"a": "b"}}
    patched = await tenant.client.patch(f"/api/v1{path}/metadata", json=metadata)
    for answer in (
        await tenant.get(path),
        await tenant.put(path, body),
        await tenant.put(f"{path}/void"),
        await tenant.post(f"{path}/metadata", metadata),
        patched,
        await tenant.delete(f"{path}/metadata"),
        await tenant.delete(f"{path}/metadata/a"),
    ):
        assert refusal(answer) == (404, "credit_note_not_found")


async def test_the_same_key_makes_one_note(tenant: Tenant, owner: asyncpg.Connection) -> None:
    await sells(tenant)
    invoice = await issue_of(tenant, 1_000)
    asked = {
        "invoice_id": invoice["lago_id"], "items": items_of(invoice, 400),
        "credit_amount_cents": 400,
    }  # fmt: skip
    first, again = [
        await tenant.post("/credit_notes", {"credit_note": asked}, **{"Idempotency-Key": "k"})
        for _ in range(2)
    ]
    assert again.content == first.content
    assert await count(owner, "credit_notes") == 1


async def test_currencies_of_no_and_of_four_places_are_counted_in_their_units(
    tenant: Tenant,
) -> None:
    await sells(tenant)
    await has_tax(tenant, "vat", 10)
    fee = {"add_on_code": "setup", "unit_amount_cents": 105, "tax_codes": ["vat"]}
    for currency in ("JPY", "CLF"):
        invoice = await issue(tenant, currency=currency, fees=[fee])
        made = await note(tenant, invoice, 55, offset_amount_cents=61)
        assert (made["taxes_amount_cents"], made["currency"]) == (6, currency)
        assert made["precise_total_amount_cents"] == "60.5"
        assert made["items"][0]["amount_currency"] == currency


async def list_of(tenant: Tenant, path: str = "/credit_notes", **query: Any) -> list[str]:
    answer = await tenant.get(path, **query)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["meta"]["total_count"] == len(found["credit_notes"])
    return sorted(one["description"] for one in found["credit_notes"])


async def test_lists_find_by_every_filter(
    tenant: Tenant, other_tenant: Tenant, owner: asyncpg.Connection
) -> None:
    await sells(tenant, name="Ada")
    await sells(other_tenant)
    await has_customer(tenant, "c2", name="Bob", account_type="partner")
    first = await issue_of(tenant, 1_000, purchase_order_number="Po 7")
    second = await issue_of(tenant, 2_000, external_customer_id="c2")
    await pay(tenant, first, 1_000)
    a = await note(tenant, first, 100, credit_amount_cents=100, description="a")
    await note(tenant, first, 200, refund_amount_cents=200, description="b",
               reason="duplicated_charge")  # fmt: skip
    await note(tenant, second, 500, offset_amount_cents=500, description="c")
    await tenant.put(f"/credit_notes/{a['lago_id']}/void")
    await owner.execute(
        "UPDATE credit_notes SET issuing_date = '2020-01-01' WHERE description = 'c'"
    )
    cases: list[tuple[dict[str, Any], str]] = [
        ({}, "abc"),
        ({"external_customer_id": "c1"}, "ab"),
        ({"external_customer_id": "nobody"}, ""),
        ({"credit_status": "voided"}, "a"),
        ({"credit_status": "available"}, ""),
        ({"credit_status": "gone"}, "abc"),  # not a word of Lago's: as if not said
        ({"refund_status": "pending"}, "b"),
        ({"reason": "duplicated_charge"}, "b"),
        ({"reason": "why"}, "abc"),
        ({"types[]": ["credit", "offset"]}, "ac"),
        ({"types": "refund"}, "b"),
        ({"types[]": ["refund", "none"]}, "b"),
        ({"currency": "EUR"}, "abc"),
        ({"currency": "USD"}, ""),
        ({"invoice_number": first["number"]}, "ab"),
        ({"purchase_order_number": "PO 7"}, "ab"),
        ({"self_billed": "true"}, "c"),
        ({"self_billed": "0"}, "ab"),
        ({"issuing_date_to": "2020-01-01"}, "c"),
        ({"issuing_date_from": "2020-01-02"}, "ab"),
        ({"issuing_date_from": "soon"}, "abc"),
        ({"amount_from": 200}, "bc"),
        ({"amount_to": 200}, "ab"),
        ({"amount_from": 10**30}, ""),
        ({"billing_entity_codes[]": "acme-ltd"}, "abc"),
        ({"search_term": "-cn002"}, "b"),
        ({"search_term": a["lago_id"]}, "a"),
        ({"search_term": " ADA "}, "ab"),
        ({"search_term": "ada", "external_customer_id": "c1"}, ""),
    ]
    for query, expected in cases:
        assert "".join(await list_of(tenant, **query)) == expected, query
        nested = query | {"external_customer_id": ""}
        of_first = "".join(await list_of(tenant, "/customers/c1/credit_notes", **nested))
        if "external_customer_id" not in query and query.get("search_term") != " ADA ":
            assert of_first == "".join(one for one in expected if one in "ab"), query
    assert await list_of(other_tenant) == []
    latest_first = (await tenant.get("/credit_notes")).json()["credit_notes"]
    assert [one["description"] for one in latest_first] == ["b", "a", "c"]
    page = (await tenant.get("/credit_notes", page=2, per_page=2)).json()
    assert (page["meta"]["total_count"], len(page["credit_notes"])) == (3, 1)
    for query, expected_refusal in [
        ({"self_billed": "perhaps"}, (422, {"self_billed": ["must be boolean"]})),
        ({"amount_from": "much"}, (422, {"amount_from": ["must be an integer"]})),
        ({"search_term": "a\0"}, (422, {"search_term": ["is in invalid format"]})),
        ({"billing_entity_codes[]": "other"}, (404, "billing_entity_not_found")),
    ]:
        assert refusal(await tenant.get("/credit_notes", **query)) == expected_refusal
    nobody = await tenant.get("/customers/nobody/credit_notes")
    assert refusal(nobody) == (404, "customer_not_found")

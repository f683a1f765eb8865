"""`/fees` as a caller sees them."""

from __future__ import annotations

from typing import Any

from tests.api.billing import has_customer, has_tax, issue, refusal, sells
from tests.api.conftest import Tenant
from tests.api.test_invoices import UNKNOWN, put

KEYS = """
    lago_id lago_charge_id lago_charge_filter_id lago_fixed_charge_id lago_invoice_id
    lago_true_up_fee_id lago_true_up_parent_fee_id lago_original_fee_id lago_subscription_id
    external_subscription_id lago_customer_id external_customer_id item pay_in_advance invoiceable
    amount_cents amount_currency precise_amount precise_total_amount taxes_amount_cents
    taxes_precise_amount taxes_rate total_aggregated_units total_amount_cents
    total_amount_currency units description precise_unit_amount precise_coupons_amount_cents
    sub_total_excluding_taxes_amount_cents sub_total_excluding_taxes_precise_amount_cents
    events_count payment_status created_at succeeded_at failed_at refunded_at amount_details
    self_billed pricing_unit_details presentation_breakdowns from_date to_date
""".split()  # noqa: SIM905


async def codes(tenant: Tenant, query: str = "") -> str:
    """What the fees in a list are described as."""
    answer = await tenant.client.get(f"/api/v1/fees?{query}")
    assert answer.status_code == 200, answer.text
    return "".join(fee["description"] for fee in answer.json()["fees"])


async def test_a_fee_has_every_field_of_the_wire(tenant: Tenant) -> None:
    await sells(tenant)
    await has_tax(tenant, "vat", 19.6, description="V")
    fee = {"add_on_code": "setup", "unit_amount_cents": 333, "units": 1.5, "tax_codes": ["vat"]}
    made = await issue(tenant, fees=[fee])
    [line] = made["fees"]
    assert list(line) == KEYS
    expected = {
        "lago_invoice_id": made["lago_id"], "amount_cents": 500, "amount_currency": "EUR",
        "precise_amount": "4.995", "precise_total_amount": "5.97402", "taxes_amount_cents": 98,
        "taxes_precise_amount": "0.97902", "taxes_rate": 19.6, "total_amount_cents": 598,
        "units": "1.5", "description": "Set up once", "precise_unit_amount": "3.33",
        "precise_coupons_amount_cents": "0.0", "sub_total_excluding_taxes_amount_cents": 500,
        "sub_total_excluding_taxes_precise_amount_cents": "499.5", "payment_status": "pending",
        "self_billed": False, "invoiceable": True, "pay_in_advance": False, "amount_details": {},
        "lago_customer_id": None, "external_customer_id": None, "from_date": None,
    }  # fmt: skip
    assert {field: line[field] for field in expected} == expected
    item = line["item"]
    lago_item_id = item.pop("lago_item_id")
    assert item == {
        "type": "add_on", "code": "setup", "name": "Setup", "description": "Set up once",
        "invoice_display_name": "Setup", "filters": None, "filter_invoice_display_name": None,
        "item_type": "AddOn", "grouped_by": {},
    }  # fmt: skip
    assert lago_item_id == (await tenant.get("/add_ons/setup")).json()["add_on"]["lago_id"]
    shown = (await tenant.get(f"/fees/{line['lago_id']}")).json()["fee"]
    [tax] = shown.pop("applied_taxes")
    item["lago_item_id"] = lago_item_id
    assert shown == line
    assert (tax["lago_fee_id"], tax["amount_cents"]) == (line["lago_id"], 98)
    assert (tax["tax_code"], tax["tax_rate"], tax["tax_description"]) == ("vat", 19.6, "V")
    [listed] = (await tenant.get("/fees")).json()["fees"]
    assert listed == line | {"applied_taxes": [tax]}


async def test_an_invoice_keeps_the_add_on_and_the_tax_as_they_were(tenant: Tenant) -> None:
    await sells(tenant)
    await has_tax(tenant, "vat", 10, applied_to_organization=True)
    made = await issue(tenant)
    await tenant.put("/add_ons/setup", {"add_on": {"name": "New", "amount_cents": 5}})
    await tenant.delete("/add_ons/setup")
    await tenant.put("/taxes/vat", {"tax": {"rate": 20, "name": "New"}})
    await tenant.delete("/taxes/vat")
    shown = (await tenant.get(f"/invoices/{made['lago_id']}")).json()["invoice"]
    assert (shown["fees"], shown["applied_taxes"]) == (made["fees"], made["applied_taxes"])


async def test_fees_are_listed_oldest_first_and_filtered(tenant: Tenant) -> None:
    await sells(tenant)
    await has_customer(tenant, "c2")
    fees = [{"add_on_code": "setup", "description": name} for name in "abc"]
    first = await issue(tenant, fees=fees)
    fees = [{"add_on_code": "setup", "description": "d"}]
    second = await issue(tenant, fees=fees, currency="USD", external_customer_id="c2")
    await put(tenant, second, payment_status="failed")
    at = first["created_at"]
    cases = {
        "": "abcd",
        "per_page=2&page=2": "cd",
        "fee_type=add_on": "abcd",
        "fee_type=charge": "",
        "payment_status=failed": "d",
        "payment_status=refunded": "",
        "currency=USD": "d",
        "external_customer_id=c1": "abc",
        "external_customer_id=c9": "",
        f"created_at_from={at}": "abcd",
        f"created_at_to={at}": "",  # it was a fraction of a second later
        "created_at_from=2000-01-01T00:00:00+01:00&created_at_to=2100-01-01": "abcd",
        "created_at_from=2100-01-01": "",
        "succeeded_at_from=2000-01-01": "",
        "refunded_at_to=2100-01-01": "",
        "external_subscription_id=s": "",
        "billable_metric_code=m": "",
        "event_transaction_id=t": "",
    }
    assert {query: await codes(tenant, query) for query in cases} == cases
    assert (await tenant.get("/fees", currency="USD")).json()["meta"]["total_count"] == 1


async def test_wrong_filters_are_named_by_code(tenant: Tenant) -> None:
    query = "fee_type=x&payment_status=paid&currency=XXX&created_at_from=soon&failed_at_to=x"
    assert refusal(await tenant.client.get(f"/api/v1/fees?{query}")) == (
        422,
        {
            "fee_type": ["value_is_invalid"], "payment_status": ["value_is_invalid"],
            "currency": ["value_is_invalid"], "created_at_from": ["invalid_date"],
            "failed_at_to": ["invalid_date"],
        },
    )  # fmt: skip


async def test_a_filter_that_no_text_can_equal_is_named(tenant: Tenant) -> None:
    for name in ("external_customer_id", "external_subscription_id", "payment_status"):
        answer = await tenant.client.get(f"/api/v1/fees?{name}=%00")
        code = "value_is_invalid" if name == "payment_status" else "is in invalid format"
        assert refusal(answer) == (422, {name: [code]})


async def test_a_fee_on_an_invoice_is_neither_changed_nor_deleted(tenant: Tenant) -> None:
    await sells(tenant)
    [line] = (await issue(tenant))["fees"]
    path = f"/fees/{line['lago_id']}"
    for status in ("succeeded", "nonsense"):
        answer = await tenant.put(path, {"fee": {"payment_status": status}})
        assert refusal(answer) == (405, "invoiced_fee")
    assert refusal(await tenant.delete(path)) == (405, "invoiced_fee")
    assert (await tenant.get(path)).json()["fee"]["payment_status"] == "pending"
    assert (await tenant.put(path, {})).status_code == 400


async def test_another_tenants_fee_is_not_found(tenant: Tenant, other_tenant: Tenant) -> None:
    await sells(tenant)
    [line] = (await issue(tenant))["fees"]
    body: Any = {"fee": {"payment_status": "failed"}}
    for lago_id in (line["lago_id"], UNKNOWN, "nonsense"):
        path = f"/fees/{lago_id}"
        assert refusal(await other_tenant.get(path)) == (404, "fee_not_found")
        assert refusal(await other_tenant.put(path, body)) == (404, "fee_not_found")
        assert refusal(await other_tenant.delete(path)) == (404, "fee_not_found")
    assert await codes(other_tenant) == ""
    assert await codes(other_tenant, "external_customer_id=c1") == ""

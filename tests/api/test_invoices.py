"""One invoice as a caller sees it: issued, read, changed, voided, disputed."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta
from typing import Any

import asyncpg
import httpx
import pytest

from recoup.store.db import Pool
from tests.api.billing import (
    ask,
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
    told,
    words,
)
from tests.api.conftest import Tenant

KEYS = """
    lago_id billing_entity_code sequential_id number purchase_order_number issuing_date
    payment_due_date net_payment_term invoice_type status payment_status payment_dispute_lost_at
    payment_overdue currency fees_amount_cents taxes_amount_cents
    progressive_billing_credit_amount_cents coupons_amount_cents credit_notes_amount_cents
    sub_total_excluding_taxes_amount_cents sub_total_including_taxes_amount_cents
    total_amount_cents total_due_amount_cents total_paid_amount_cents
    total_offsetted_credit_note_amount_cents prepaid_credit_amount_cents
    prepaid_granted_credit_amount_cents prepaid_purchased_credit_amount_cents file_url xml_url
    web_url version_number self_billed created_at updated_at voided_at
""".split()  # noqa: SIM905
EXTRAS = [
    "customer", "billing_periods", "subscriptions", "fees", "credits", "metadata", "applied_taxes",
    "error_details", "applied_invoice_custom_sections",
]  # fmt: skip
UNKNOWN = "01900000-0000-7000-8000-000000000000"
STORED = ("invoices", "fees", "applied_taxes", "events", "ledger_entries", "payments")


async def put(tenant: Tenant, invoice: Any, **change: Any) -> httpx.Response:
    return await tenant.put(f"/invoices/{invoice['lago_id']}", {"invoice": change})


async def shown(tenant: Tenant, invoice: Any) -> Any:
    return (await tenant.get(f"/invoices/{invoice['lago_id']}")).json()["invoice"]


async def test_an_invoice_is_issued_told_and_booked(
    tenant: Tenant, owner: asyncpg.Connection
) -> None:
    await sells(tenant, net_payment_term=14, name="Ada")
    await has_tax(tenant, "vat", 19.6)
    fee = {
        "add_on_code": "setup", "unit_amount_cents": 33, "units": "3", "tax_codes": ["vat", "no"],
        "invoice_display_name": "Shown", "from_datetime": "2026-01-01T00:00:00+01:00",
        "to_datetime": "2026-01-31",
    }  # fmt: skip
    made = await issue(tenant, fees=[fee], purchase_order_number="  PO 7 ", skip_psp=False)
    assert list(made) == KEYS + EXTRAS
    prefix = await owner.fetchval("SELECT document_number_prefix FROM billing_entities")
    issued = date.fromisoformat(made["issuing_date"])
    expected = {
        "billing_entity_code": "acme-ltd", "sequential_id": 1, "number": f"{prefix}-001-001",
        "purchase_order_number": "PO 7", "net_payment_term": 14, "invoice_type": "one_off",
        "status": "finalized", "payment_status": "pending", "payment_overdue": False,
        "currency": "EUR", "fees_amount_cents": 99, "taxes_amount_cents": 19,
        "sub_total_excluding_taxes_amount_cents": 99,
        "sub_total_including_taxes_amount_cents": 118, "total_amount_cents": 118,
        "total_due_amount_cents": 118, "total_paid_amount_cents": 0, "version_number": 4,
        "self_billed": False, "voided_at": None, "payment_dispute_lost_at": None,
        "payment_due_date": str(issued + timedelta(days=14)), "metadata": [], "credits": [],
    }  # fmt: skip
    assert {field: made[field] for field in expected} == expected
    assert (made["customer"]["name"], made["customer"]["integration_customers"]) == ("Ada", [])
    [tax] = made["applied_taxes"]
    assert (tax["tax_code"], tax["amount_cents"], tax["fees_amount_cents"]) == ("vat", 19, 99)
    assert tax["lago_invoice_id"] == made["lago_id"]
    [line] = made["fees"]
    assert line["item"]["invoice_display_name"] == "Shown"
    assert (line["from_date"], line["to_date"]) == ("2025-12-31T23:00:00Z", "2026-01-31T00:00:00Z")
    assert await shown(tenant, made) == made
    [event] = await told(owner)
    assert (event["webhook_type"], event["object_type"]) == ("invoice.one_off_created", "invoice")
    extras = ["customer", "fees", "applied_taxes", "applied_invoice_custom_sections"]
    assert list(event["invoice"]) == KEYS + extras
    assert event["invoice"]["total_due_amount_cents"] == 118
    assert await booked(owner, made) == {"receivable": 118, "revenue": -118}


async def test_the_first_charge_is_part_of_the_invoices_transaction(
    tenant: Tenant, pool: Pool, owner: asyncpg.Connection
) -> None:
    await sells(tenant)
    method = await has_method(tenant, pool)
    asked = {"payment_method_type": "provider", "payment_method_id": method.upper()}
    made = await issue(tenant, skip_psp=False, payment_method=asked)
    [attempt] = await owner.fetch("SELECT * FROM payments")
    assert (attempt["state"], attempt["asked_by"]) == ("ready", "creation")
    assert (attempt["amount_cents"], str(attempt["payment_method_id"])) == (1000, method)
    covered = await owner.fetchrow("SELECT * FROM payment_invoices")
    assert str(covered["invoice_id"]) == made["lago_id"]
    assert await count(owner, "pgqueuer WHERE entrypoint = 'submit_attempt'") == 1


@pytest.mark.parametrize(
    ("customer", "fields"),
    [({}, {"skip_psp": True}), ({"account_type": "partner"}, {}), ({}, {"fees": "free"})],
)
async def test_what_nobody_is_to_be_charged_for_is_not_charged(
    customer: Any, fields: Any, tenant: Tenant, pool: Pool, owner: asyncpg.Connection
) -> None:
    await sells(tenant, **customer)
    await has_method(tenant, pool)
    if fields.get("fees") == "free":
        fields = {"fees": [{"add_on_code": "setup", "units": 0}]}
    made = await issue(tenant, **{"skip_psp": False} | fields)
    assert made["self_billed"] is (customer.get("account_type") == "partner")
    assert await count(owner, "payments") == 0


async def test_an_invoice_of_nothing_is_paid_at_once(
    tenant: Tenant, owner: asyncpg.Connection
) -> None:
    await sells(tenant)
    made = await issue_of(tenant, 0, skip_psp=False)
    assert (made["status"], made["payment_status"]) == ("finalized", "succeeded")
    assert made["sequential_id"] == 1
    assert await words(owner) == ["invoice.one_off_created"]
    assert await count(owner, "ledger_entries") == 0


async def test_an_invoice_of_nothing_that_the_customer_skips_is_closed_and_hidden(
    tenant: Tenant, owner: asyncpg.Connection
) -> None:
    await sells(tenant, finalize_zero_amount_invoice="skip")
    made = await issue_of(tenant, 0)
    assert (made["status"], made["sequential_id"]) == ("closed", None)
    assert made["number"].endswith("-DRAFT")
    assert await words(owner) == []
    for path in ("", "/void", "/lose_dispute"):
        method = "GET" if not path else "POST"
        answer = await tenant.client.request(method, f"/api/v1/invoices/{made['lago_id']}{path}")
        assert refusal(answer) == (404, "invoice_not_found")
    assert refusal(await put(tenant, made, payment_status="failed")) == (404, "invoice_not_found")
    assert refusal(await pay(tenant, made, 1)) == (404, "invoice_not_found")
    assert (await tenant.get("/invoices")).json()["invoices"] == []
    assert (await tenant.get("/fees")).json()["fees"] == []
    assert (await issue(tenant))["sequential_id"] == 1  # no number went to the hidden one


async def test_taxes_come_from_the_fee_the_add_on_the_customer_or_its_entity(
    tenant: Tenant,
) -> None:
    await sells(tenant)
    for code, rate in (("fee", 1), ("add-on", 2), ("customer", 3)):
        await has_tax(tenant, code, rate)
    await has_tax(tenant, "entity", 4, applied_to_organization=True)

    async def applied(**fee: Any) -> list[str]:
        made = await issue(tenant, fees=[{"add_on_code": "setup"} | fee])
        return [tax["tax_code"] for tax in made["applied_taxes"]]

    assert await applied() == ["entity"]
    await has_customer(tenant, "c1", tax_codes=["customer"])
    assert await applied() == ["customer"]
    await tenant.put("/add_ons/setup", {"add_on": {"tax_codes": ["add-on"]}})
    assert await applied() == ["add-on"]
    assert await applied(tax_codes=["fee"]) == ["fee"]
    assert await applied(tax_codes=["unknown", "\0"]) == ["add-on"]


async def test_the_invoices_tax_is_rounded_once_over_its_fees(tenant: Tenant) -> None:
    await sells(tenant, tax_codes=[])
    await has_tax(tenant, "vat", 19.6, applied_to_organization=True)
    fee = {"add_on_code": "setup", "unit_amount_cents": 33}
    made = await issue(tenant, fees=[fee, fee, fee])
    assert [line["taxes_amount_cents"] for line in made["fees"]] == [6, 6, 6]
    assert (made["taxes_amount_cents"], made["total_amount_cents"]) == (19, 118)


REFUSED: list[tuple[Any, Any]] = [
    ({"external_customer_id": "c9", "fees": []}, (404, "customer_not_found")),
    ({"external_customer_id": None}, (404, "customer_not_found")),
    ({"external_customer_id": "\0"}, (404, "customer_not_found")),
    ({"fees": [], "currency": "XXX"}, (404, "fees_not_found")),
    ({"fees": None}, (404, "fees_not_found")),
    (
        {"fees": [{"add_on_code": "setup"}, {"add_on_code": "no"}], "payment_method": {
            "payment_method_id": UNKNOWN}},
        (404, "add_on_not_found"),
    ),
    ({"fees": [{}]}, (404, "add_on_not_found")),
    ({"fees": [{"add_on_code": "\0"}]}, (404, "add_on_not_found")),
    (
        {"payment_method": {"payment_method_id": UNKNOWN}, "billing_entity_code": "no"},
        (422, {"payment_method": ["invalid_payment_method"]}),
    ),
    ({"billing_entity_code": "no", "currency": "XXX"}, (404, "billing_entity_not_found")),
    ({"currency": "XXX"}, (422, {"currency": ["value_is_invalid"]})),
    ({"currency": "eur"}, (422, {"currency": ["value_is_invalid"]})),
    ({"purchase_order_number": "x" * 256},
     (422, {"purchase_order_number": ["value_is_too_long"]})),
    ({"purchase_order_number": "\0"}, (422, {"purchase_order_number": ["value_is_invalid"]})),
]  # fmt: skip


async def test_a_refused_invoice_stores_nothing(tenant: Tenant, owner: asyncpg.Connection) -> None:
    await sells(tenant)
    before = [await count(owner, table) for table in STORED]
    for fields, expected in REFUSED:
        assert refusal(await ask(tenant, **fields)) == expected, fields
    assert [await count(owner, table) for table in STORED] == before


async def test_what_is_named_by_text_may_be_named_by_a_number(tenant: Tenant) -> None:
    await has_customer(tenant, 5)
    await has_tax(tenant, 20, 20)
    add_on = {"name": 7, "code": 7, "amount_cents": 1000, "amount_currency": "EUR"}
    await tenant.post("/add_ons", {"add_on": add_on})
    line = {"add_on_code": 7, "tax_codes": [20], "description": 1.5}
    made = await issue(tenant, external_customer_id=5, fees=[line])
    assert (made["customer"]["external_id"], made["fees_amount_cents"]) == ("5", 1000)
    assert [tax["tax_code"] for tax in made["applied_taxes"]] == ["20"]
    assert made["fees"][0]["description"] == "1.5"
    unknown = await ask(tenant, external_customer_id=5, fees=[line], billing_entity_code=5)
    assert refusal(unknown) == (404, "billing_entity_not_found")


BROKEN_FEES: list[tuple[Any, Any]] = [
    ({"from_datetime": "2026-01-01"}, {"boundaries": ["values_are_invalid"]}),
    ({"to_datetime": "2026-01-01", "units": -1}, {"boundaries": ["values_are_invalid"]}),
    ({"from_datetime": "2026-01-02", "to_datetime": "2026-01-01"},
     {"boundaries": ["values_are_invalid"]}),
    ({"from_datetime": "soon", "to_datetime": "later"},
     {"boundaries": ["values_are_invalid"]}),
    ({"from_datetime": "0001-01-01T00:00+14:00", "to_datetime": "2026-01-01"},
     {"boundaries": ["values_are_invalid"]}),
    ({"from_datetime": 1, "to_datetime": 2}, {"boundaries": ["values_are_invalid"]}),
    ({"units": -0.5}, {"units": ["value_is_out_of_range"]}),
    ({"units": "NaN"}, {"units": ["value_is_invalid"]}),
    ({"units": "inf"}, {"units": ["value_is_invalid"]}),
    ({"units": "1e999"}, {"units": ["value_is_invalid"]}),
    ({"units": "1_0"}, {"units": ["value_is_invalid"]}),
    ({"units": "many"}, {"units": ["value_is_invalid"]}),
    ({"units": True}, {"units": ["value_is_invalid"]}),
    ({"units": {}}, {"units": ["value_is_invalid"]}),
    ({"units": 1e300}, {"amount_cents": ["value_is_out_of_range"]}),
    ({"unit_amount_cents": 2**63}, {"unit_amount_cents": ["value_is_out_of_range"]}),
    ({"unit_amount_cents": 10**40}, {"unit_amount_cents": ["value_is_out_of_range"]}),
    ({"unit_amount_cents": 2**62, "units": 2}, {"amount_cents": ["value_is_out_of_range"]}),
    ({"unit_amount_cents": -1}, {"amount_cents": ["value_is_out_of_range"]}),
    ({"unit_amount_cents": 0.5}, {"unit_amount_cents": ["value_is_invalid"]}),
    ({"unit_amount_cents": "ten"}, {"unit_amount_cents": ["value_is_invalid"]}),
    ({"unit_amount_cents": False}, {"unit_amount_cents": ["value_is_invalid"]}),
    ({"description": "\0"}, {"description": ["value_is_invalid"]}),
    ({"invoice_display_name": "\0"}, {"invoice_display_name": ["value_is_invalid"]}),
]  # fmt: skip


async def test_a_fee_that_breaks_a_rule_is_named(tenant: Tenant) -> None:
    await sells(tenant)
    for fee, expected in BROKEN_FEES:
        answer = await ask(tenant, fees=[{"add_on_code": "setup"} | fee])
        assert refusal(answer) == (422, expected), fee


AMOUNTS: list[tuple[Any, int, str]] = [
    ({}, 1000, "1.0"),
    ({"units": None, "unit_amount_cents": ""}, 1000, "1.0"),
    ({"units": "2.50"}, 2500, "2.5"),
    ({"units": 0.1, "unit_amount_cents": "5"}, 1, "0.1"),
    ({"units": 1.005, "unit_amount_cents": 100}, 100, "1.005"),
    ({"units": -0.0}, 0, "0.0"),
    ({"unit_amount_cents": 2**62}, 2**62, "1.0"),
]


async def test_amounts_are_units_times_price_in_binary_floats(tenant: Tenant) -> None:
    await sells(tenant)
    for fee, cents, units in AMOUNTS:
        made = await issue(tenant, fees=[{"add_on_code": "setup"} | fee])
        [line] = made["fees"]
        assert (line["amount_cents"], line["units"]) == (cents, units), fee
        assert made["total_amount_cents"] == cents


async def test_a_rebate_may_take_off_but_not_outweigh(tenant: Tenant) -> None:
    await sells(tenant)
    rebate = {"add_on_code": "setup", "unit_amount_cents": -400}
    made = await issue(tenant, fees=[{"add_on_code": "setup"}, rebate])
    assert made["total_amount_cents"] == 600


async def test_the_currency_is_the_callers_or_the_customers(tenant: Tenant) -> None:
    await sells(tenant, currency=None)
    expected = (422, {"currency": ["value_is_mandatory"]})
    assert refusal(await ask(tenant)) == expected
    assert (await issue(tenant, currency="USD"))["currency"] == "USD"


async def test_a_method_and_its_type_must_go_together(tenant: Tenant, pool: Pool) -> None:
    await sells(tenant)
    mine = await has_method(tenant, pool)
    await has_customer(tenant, "c2")
    foreign = await has_method(tenant, pool, "c2")

    async def taken(kind: Any = None, method: Any = None) -> bool:
        asked = {"payment_method_type": kind, "payment_method_id": method}
        answer = await ask(tenant, payment_method=asked, skip_psp=True)
        assert answer.status_code == 200 or refusal(answer) == (
            422, {"payment_method": ["invalid_payment_method"]},
        )  # fmt: skip
        return answer.status_code == 200

    assert [await taken(kind, mine) for kind in ("provider", "manual", None, "x")] == [
        True, False, False, False,
    ]  # fmt: skip
    assert [await taken(kind, foreign) for kind in ("provider", "manual", None)] == [
        False, True, False,
    ]  # fmt: skip
    assert [await taken(kind) for kind in ("provider", "manual", None, "", "x")] == [
        True, True, True, True, False,
    ]  # fmt: skip
    assert not await taken("provider", 7)
    assert (await ask(tenant, payment_method="card", skip_psp=True)).status_code == 200


async def test_numbers_have_no_gaps_also_when_many_are_drawn_at_once(
    tenant: Tenant, owner: asyncpg.Connection
) -> None:
    await sells(tenant)
    await has_customer(tenant, "c2")
    asks = [
        ask(tenant, external_customer_id=f"c{1 + n % 2}", skip_psp=True,
            **({"currency": "XXX"} if n % 5 == 4 else {}))
        for n in range(20)
    ]  # fmt: skip
    await asyncio.gather(*asks)
    prefix = await owner.fetchval("SELECT document_number_prefix FROM billing_entities")
    numbers = [row["number"] for row in await owner.fetch("SELECT number FROM invoices")]
    assert sorted(numbers) == [
        f"{prefix}-{customer:03}-{n:03}" for customer in (1, 2) for n in range(1, 9)
    ]


async def test_a_billing_entity_may_number_across_its_customers(
    tenant: Tenant, owner: asyncpg.Connection
) -> None:
    await sells(tenant)
    await has_customer(tenant, "c2")
    await has_customer(tenant, "partner", account_type="partner")
    await owner.execute(
        "UPDATE billing_entities SET document_numbering = 'per_billing_entity',"
        " document_number_prefix = 'ENT'"
    )
    asks = [ask(tenant, external_customer_id=f"c{1 + n % 2}", skip_psp=True) for n in range(8)]
    made = [answer.json()["invoice"] for answer in await asyncio.gather(*asks)]
    month = made[0]["created_at"][:7].replace("-", "")
    assert sorted(invoice["number"] for invoice in made) == [
        f"ENT-{month}-{n:03}" for n in range(1, 9)
    ]
    assert sorted(invoice["sequential_id"] for invoice in made) == [1, 1, 2, 2, 3, 3, 4, 4]
    self_billed = await issue(tenant, external_customer_id="partner")
    assert self_billed["number"] == "ENT-003-001"  # counted for itself


async def test_the_payment_status_is_changed_and_told_once(
    tenant: Tenant, owner: asyncpg.Connection
) -> None:
    await sells(tenant)
    made = await issue(tenant)
    await owner.execute("UPDATE invoices SET payment_overdue = true, next_try_at = now()")
    changed = (await put(tenant, made, payment_status="failed")).json()["invoice"]
    assert (changed["payment_status"], changed["payment_overdue"]) == ("failed", True)
    assert changed["fees"][0]["payment_status"] == "failed"
    await put(tenant, made, payment_status="failed")
    paid = await tenant.client.patch(
        f"/api/v1/invoices/{made['lago_id']}", json={"invoice": {"payment_status": "succeeded"}}
    )
    assert list(paid.json()["invoice"]) == KEYS + EXTRAS
    assert paid.json()["invoice"]["payment_overdue"] is False
    assert paid.json()["invoice"]["total_due_amount_cents"] == 1000  # no money has moved
    assert await owner.fetchval("SELECT next_try_at FROM invoices") is None
    status_events = [
        body for body in await told(owner)
        if body["webhook_type"] == "invoice.payment_status_updated"
    ]  # fmt: skip
    assert [body["invoice"]["payment_status"] for body in status_events] == ["failed", "succeeded"]
    assert list(status_events[0]["invoice"]) == [*KEYS, "customer", "fees"]


async def test_a_status_is_taken_while_an_attempt_is_open(
    tenant: Tenant, pool: Pool, owner: asyncpg.Connection
) -> None:
    await sells(tenant)
    await has_method(tenant, pool)
    made = await issue(tenant, skip_psp=False)
    for status in ("failed", "succeeded"):
        answer = await put(tenant, made, payment_status=status)
        assert answer.json()["invoice"]["payment_status"] == status
    assert await owner.fetchval("SELECT open FROM payment_invoices") is True


async def test_metadata_replace_what_was_there(tenant: Tenant) -> None:
    await sells(tenant)
    made = await issue(tenant)
    scalars = [{"key": "a", "value": True}, {"key": 5, "value": 1.5}]
    written = (await put(tenant, made, metadata=scalars)).json()["invoice"]["metadata"]
    assert {one["key"]: one["value"] for one in written} == {"a": "true", "5": "1.5"}
    two = [{"key": "a", "value": "1"}, {"key": "b", "value": 2}]
    first = (await put(tenant, made, metadata=two)).json()["invoice"]["metadata"]
    assert [(one["key"], one["value"]) for one in first] == [("a", "1"), ("b", "2")]
    kept = {"id": first[1]["lago_id"].upper(), "key": "a"}
    again = (
        await put(tenant, made, metadata=[kept, {"id": UNKNOWN, "key": "c", "value": "3"}])
    ).json()["invoice"]["metadata"]
    assert [(one["key"], one["value"]) for one in again] == [("a", "2"), ("c", "3")]
    assert again[0] == first[1] | {"key": "a"}
    assert again[1]["lago_id"] != UNKNOWN
    assert (await put(tenant, made, payment_status="failed")).json()["invoice"]["metadata"] == again
    assert (await put(tenant, made, metadata=[])).json()["invoice"]["metadata"] == []


BROKEN_CHANGES: list[tuple[Any, Any]] = [
    ({"payment_status": "paid"}, {"payment_status": ["value_is_invalid"]}),
    ({"metadata": [{"key": f"{n}", "value": "x"} for n in range(6)]},
     {"metadata": ["invalid_count"]}),
    ({"metadata": [{"key": "k" * 21, "value": "v" * 141}]},
     {"key": ["value_is_too_long"], "value": ["value_is_too_long"]}),
    ({"metadata": [{"key": "k", "value": "v"}, {"key": "k", "value": "w"}]},
     {"key": ["value_already_exist"]}),
    ({"metadata": [{"key": " "}]},
     {"key": ["value_is_mandatory"], "value": ["value_is_mandatory"]}),
    ({"metadata": [{"key": "k", "value": "\0"}]}, {"value": ["value_is_invalid"]}),
]  # fmt: skip


async def test_a_change_that_breaks_a_rule_is_refused_whole(
    tenant: Tenant, owner: asyncpg.Connection
) -> None:
    await sells(tenant)
    made = await issue(tenant)
    for change, expected in BROKEN_CHANGES:
        answer = await put(tenant, made, **{"payment_status": "failed"} | change)
        assert refusal(answer) == (422, expected), change
    assert await shown(tenant, made) == made
    assert await words(owner) == ["invoice.one_off_created"]


async def test_a_voided_invoice_owes_nothing_and_the_books_agree(
    tenant: Tenant, owner: asyncpg.Connection
) -> None:
    await sells(tenant)
    made = await issue(tenant)
    await pay(tenant, made, 400)
    await owner.execute("UPDATE invoices SET payment_overdue = true, next_try_at = now()")
    voided = (await tenant.post(f"/invoices/{made['lago_id']}/void")).json()["invoice"]
    assert list(voided) == KEYS + EXTRAS
    assert (voided["status"], voided["payment_status"]) == ("voided", "pending")
    assert (voided["total_due_amount_cents"], voided["total_paid_amount_cents"]) == (0, 400)
    assert (voided["number"], voided["payment_overdue"]) == (made["number"], False)
    assert voided["voided_at"] is not None
    assert await booked(owner, made) == {"revenue": -400, "paid_by_hand": 400}
    assert await owner.fetchval("SELECT next_try_at FROM invoices") is None
    body = (await told(owner))[-1]
    assert (body["webhook_type"], body["invoice"]["status"]) == ("invoice.voided", "voided")
    again = await tenant.post(f"/invoices/{made['lago_id']}/void", {"generate_credit_note": False})
    assert refusal(again) == (405, "not_voidable")
    assert refusal(await put(tenant, made, metadata=[])) == (405, "update_on_voided_invoice")
    assert (await words(owner)).count("invoice.voided") == 1


@pytest.mark.parametrize("said", ["yes", "TRUE", "t", " ", "no", 2, [], {}])
async def test_what_is_not_clearly_false_asks_for_the_credit_note(
    tenant: Tenant, owner: asyncpg.Connection, said: Any
) -> None:
    await sells(tenant)
    made = await issue(tenant)
    path = f"/invoices/{made['lago_id']}/void"
    answer = await tenant.post(path, {"generate_credit_note": said})
    assert answer.json()["invoice"]["status"] == "voided"
    assert await count(owner, "credit_notes") == 1


@pytest.mark.parametrize(
    "said", [None, False, 0, "0", "f", "F", "false", "FALSE", "off", "OFF", ""]
)
async def test_what_rails_reads_as_false_asks_for_no_credit_note(
    tenant: Tenant, owner: asyncpg.Connection, said: Any
) -> None:
    await sells(tenant)
    made = await issue(tenant)
    path = f"/invoices/{made['lago_id']}/void"
    assert (await tenant.post(path, {"generate_credit_note": said})).status_code == 200
    assert await count(owner, "credit_notes") == 0


async def test_a_paid_invoice_can_be_voided(tenant: Tenant, owner: asyncpg.Connection) -> None:
    await sells(tenant)
    made = await issue(tenant)
    await pay(tenant, made, 1000)
    voided = (await tenant.post(f"/invoices/{made['lago_id']}/void", {})).json()["invoice"]
    assert (voided["status"], voided["payment_status"]) == ("voided", "succeeded")
    assert await booked(owner, made) == {"revenue": -1000, "paid_by_hand": 1000}


async def test_a_lost_dispute_is_dated_once_and_told_each_time(
    tenant: Tenant, owner: asyncpg.Connection
) -> None:
    await sells(tenant)
    made = await issue(tenant)
    await owner.execute("UPDATE invoices SET payment_overdue = true")
    path = f"/invoices/{made['lago_id']}/lose_dispute"
    first = (await tenant.post(path)).json()["invoice"]
    assert first["payment_overdue"] is False
    assert len(first["payment_dispute_lost_at"]) == len("2025-01-21T00:10:29.000Z")
    await tenant.post(f"/invoices/{made['lago_id']}/void")
    second = (await tenant.put(path)).json()["invoice"]
    assert second["payment_dispute_lost_at"] == first["payment_dispute_lost_at"]
    lost = [body for body in await told(owner) if "payment_dispute_lost" in body]
    assert [list(body["payment_dispute_lost"]) for body in lost] == [
        ["invoice", "provider_error"]
    ] * 2
    assert list(lost[0]["payment_dispute_lost"]["invoice"]) == [*KEYS, "customer"]


async def test_what_is_not_final_is_neither_voided_nor_disputed(
    tenant: Tenant, owner: asyncpg.Connection
) -> None:
    await sells(tenant)
    made = await issue(tenant)
    path = f"/invoices/{made['lago_id']}"
    for status in ("draft", "failed", "pending"):
        await owner.execute("UPDATE invoices SET status = $1", status)
        assert refusal(await tenant.post(f"{path}/void")) == (405, "not_voidable")
        assert refusal(await tenant.post(f"{path}/lose_dispute")) == (405, "not_disputable")


async def test_a_draft_takes_neither_metadata_nor_another_status(
    tenant: Tenant, owner: asyncpg.Connection
) -> None:
    await sells(tenant)
    made = await issue(tenant)
    await owner.execute("UPDATE invoices SET status = 'draft'")
    assert refusal(await put(tenant, made, metadata=[])) == (405, "metadata_on_draft_invoice")
    assert refusal(await put(tenant, made, payment_status="failed")) == (
        405, "payment_status_update_on_draft_invoice",
    )  # fmt: skip
    assert (await put(tenant, made, payment_status="pending")).status_code == 200


async def test_what_is_no_invoice_is_not_found(tenant: Tenant) -> None:
    body = {"invoice": {"payment_status": "failed"}}
    calls = [
        ("GET", "", None), ("PUT", "", body), ("PATCH", "", body), ("POST", "/void", None),
        ("POST", "/lose_dispute", None), ("PUT", "/lose_dispute", None),
    ]  # fmt: skip
    for lago_id in (UNKNOWN, "nonsense", "%00", "1", "{}"):
        for method, action, sent in calls:
            path = f"/api/v1/invoices/{lago_id}{action}"
            answer = await tenant.client.request(method, path, json=sent)
            assert refusal(answer) == (404, "invoice_not_found"), path


async def test_another_tenants_invoice_is_not_found_and_stays_as_it_is(
    tenant: Tenant, other_tenant: Tenant, pool: Pool, owner: asyncpg.Connection
) -> None:
    await sells(tenant)
    method = await has_method(tenant, pool)
    made = await issue(tenant)
    path = f"/invoices/{made['lago_id']}"
    not_found = (404, "invoice_not_found")
    assert refusal(await other_tenant.get(path)) == not_found
    assert refusal(await put(other_tenant, made, payment_status="failed")) == not_found
    for action in ("void", "lose_dispute"):
        assert refusal(await other_tenant.post(f"{path}/{action}")) == not_found
    assert await shown(tenant, made) == made
    assert await told(owner, other_tenant) == []
    assert refusal(await ask(other_tenant)) == (404, "customer_not_found")
    await has_customer(other_tenant, "c1")
    assert refusal(await ask(other_tenant)) == (404, "add_on_not_found")
    add_on = {"name": "S", "code": "setup", "amount_cents": 5, "amount_currency": "EUR"}
    await other_tenant.post("/add_ons", {"add_on": add_on})
    stolen = {"payment_method_type": "provider", "payment_method_id": method}
    assert refusal(await ask(other_tenant, payment_method=stolen)) == (
        422, {"payment_method": ["invalid_payment_method"]},
    )  # fmt: skip
    assert refusal(await ask(other_tenant, billing_entity_code="acme-ltd")) == (
        404, "billing_entity_not_found",
    )  # fmt: skip
    assert (await issue(other_tenant))["sequential_id"] == 1


async def test_the_same_idempotency_key_issues_one_invoice(
    tenant: Tenant, owner: asyncpg.Connection
) -> None:
    await sells(tenant)
    body = {"invoice": {"external_customer_id": "c1", "fees": [{"add_on_code": "setup"}]}}
    first = await tenant.post("/invoices", body, **{"Idempotency-Key": "k"})
    again = await tenant.post("/invoices", body, **{"Idempotency-Key": "k"})
    assert again.content == first.content
    assert await count(owner, "invoices") == 1


async def test_a_change_that_says_nothing_we_know_changes_nothing(tenant: Tenant) -> None:
    await sells(tenant)
    made = await issue(tenant)
    for change in ({"number": "x"}, {"payment_status": None}, {"metadata": None, "zz": {}}):
        answer = await put(tenant, made, **change)
        assert (answer.status_code, answer.json()) == (200, {"invoice": made})


async def test_a_missing_root_is_a_bad_request(tenant: Tenant) -> None:
    assert (await tenant.post("/invoices", {})).status_code == 400
    assert (await tenant.put(f"/invoices/{UNKNOWN}", {"invoice": "x"})).status_code == 400


async def test_an_invoice_is_read_by_odd_spellings_of_its_id(tenant: Tenant) -> None:
    await sells(tenant)
    made = await issue(tenant)
    for odd in (
        made["lago_id"].upper(),
        made["lago_id"].replace("-", ""),
        f"{{{made['lago_id']}}}",
    ):
        assert (await tenant.get(f"/invoices/{odd}")).json()["invoice"] == made

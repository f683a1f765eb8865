"""A void that gives back: the credit notes that it makes, and what it refuses."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from recoup.store.db import Pool
from tests.api.billing import (
    booked,
    count,
    has_method,
    has_tax,
    issue,
    issue_of,
    pay,
    refusal,
    sells,
)
from tests.api.conftest import Tenant
from tests.api.noting import ask_note, charged, note

TOO_MUCH = (422, {"credit_refund_amount": ["total_amount_exceeds_invoice_amount"]})


async def void(tenant: Tenant, invoice: Any, **body: Any) -> Any:
    return await tenant.post(f"/invoices/{invoice['lago_id']}/void", body)


async def notes_of(tenant: Tenant, invoice: Any) -> list[Any]:
    found = (await tenant.get("/credit_notes", invoice_number=invoice["number"])).json()
    return sorted(found["credit_notes"], key=lambda one: one["sequential_id"])


def parts(made: Any) -> tuple[int, int, int, str | None]:
    names = ("credit_amount_cents", "refund_amount_cents", "balance_amount_cents", "credit_status")
    credit, refund, balance, status = (made[name] for name in names)
    return credit, refund, balance, status


async def test_a_void_gives_back_by_one_note_and_a_second_leaves_nothing(
    tenant: Tenant, owner: asyncpg.Connection, pool: Pool
) -> None:
    await sells(tenant)
    await has_tax(tenant, "vat", 19.6)
    await has_method(tenant, pool)
    taxed = {"add_on_code": "setup", "tax_codes": ["vat"]}
    invoice = await issue(
        tenant, fees=[taxed, {"add_on_code": "setup", "unit_amount_cents": 333}], skip_psp=False
    )
    assert invoice["total_amount_cents"] == 1_529
    await charged(pool, owner, invoice)
    answer = await void(
        tenant, invoice, generate_credit_note=True, refund_amount=500, credit_amount=229
    )
    assert answer.json()["invoice"]["status"] == "voided"
    given_back, lapsed = await notes_of(tenant, invoice)
    assert parts(given_back) == (229, 500, 229, "available")
    assert parts(lapsed) == (800, 0, 0, "voided")
    assert (given_back["reason"], given_back["refund_status"]) == ("other", "pending")
    [refund] = (await tenant.get("/refunds")).json()["refunds"]
    assert (refund["amount_cents"], refund["lago_credit_note_id"]) == (500, given_back["lago_id"])
    by_fee = [
        sum(item["amount_cents"] for made in (given_back, lapsed) for item in made["items"]
            if item["fee"]["lago_id"] == fee["lago_id"])
        for fee in invoice["fees"]
    ]  # fmt: skip
    assert by_fee == [1_000, 333]
    for made in (given_back, lapsed):
        exact = float(made["precise_total_amount_cents"])
        assert abs(exact - made["total_amount_cents"]) <= 1
    assert await booked(owner, invoice) == {
        "revenue": -800, "customer_credit": -229, "to_refund": -500,
    }  # fmt: skip
    refused = await ask_note(tenant, invoice, 1, credit_amount_cents=1)
    assert refusal(refused)[0] == 422
    told = await owner.fetch("SELECT webhook_type FROM events WHERE webhook_type LIKE 'credit%'")
    assert [row["webhook_type"] for row in told] == ["credit_note.created"] * 2


async def test_a_void_that_gives_all_back_makes_one_note_and_one_that_gives_nothing_voids_it(
    tenant: Tenant, owner: asyncpg.Connection
) -> None:
    await sells(tenant)
    whole, nothing, plain = [await issue_of(tenant, 1_000) for _ in range(3)]
    await void(tenant, whole, generate_credit_note="true", credit_amount=1_000)
    assert [parts(one) for one in await notes_of(tenant, whole)] == [(1_000, 0, 1_000, "available")]
    await void(tenant, nothing, generate_credit_note=True)
    assert [parts(one) for one in await notes_of(tenant, nothing)] == [(1_000, 0, 0, "voided")]
    await void(tenant, plain, generate_credit_note=False, credit_amount=1_000)
    assert await notes_of(tenant, plain) == []
    assert await booked(owner, nothing) == {}
    assert await booked(owner, plain) == {}


async def test_what_notes_took_off_before_is_not_given_back_again(tenant: Tenant) -> None:
    await sells(tenant)
    invoice = await issue_of(tenant, 1_000)
    await pay(tenant, invoice, 600)
    await note(tenant, invoice, 500, credit_amount_cents=300, refund_amount_cents=200)
    for asked in (
        {"credit_amount": 501},
        {"refund_amount": 401},
        {"credit_amount": 200, "refund_amount": 301},
    ):
        assert refusal(await void(tenant, invoice, generate_credit_note=True, **asked)) == TOO_MUCH
    done = await void(
        tenant, invoice, generate_credit_note=True, credit_amount=100, refund_amount=400
    )
    assert done.status_code == 200
    before, given_back = await notes_of(tenant, invoice)
    assert parts(before) == (300, 200, 300, "available")
    assert parts(given_back) == (100, 400, 100, "available")


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"credit_amount": 1_001}, TOO_MUCH),
        ({"refund_amount": 1}, TOO_MUCH),  # nothing was paid
        ({"credit_amount": 10**30}, TOO_MUCH),
        ({"credit_amount": -1}, (422, {"credit_amount": ["invalid_value"]})),
        ({"credit_amount": "x"}, (422, {"credit_amount": ["invalid_value"]})),
        ({"refund_amount": [1]}, (422, {"refund_amount": ["invalid_value"]})),
    ],
)
async def test_a_void_that_may_not_give_so_much_back_voids_nothing(
    tenant: Tenant, owner: asyncpg.Connection, asked: Any, expected: Any
) -> None:
    await sells(tenant)
    invoice = await issue_of(tenant, 1_000)
    refused = await void(tenant, invoice, generate_credit_note=True, **asked)
    assert refusal(refused) == expected
    assert await owner.fetchval("SELECT status FROM invoices") == "finalized"
    assert await count(owner, "credit_notes") == 0
    await void(tenant, invoice)
    again = await void(tenant, invoice, generate_credit_note=True, **asked)
    assert refusal(again) == (405, "not_voidable")


async def test_money_that_was_paid_of_a_voided_invoice_goes_back_by_a_note(
    tenant: Tenant, owner: asyncpg.Connection
) -> None:
    await sells(tenant)
    invoice = await issue_of(tenant, 1_000)
    await pay(tenant, invoice, 400)
    await void(tenant, invoice)
    offset = await ask_note(tenant, invoice, 100, offset_amount_cents=100)
    assert refusal(offset) == (
        422, {"offset_amount_cents": ["higher_than_remaining_invoice_amount"]},
    )  # fmt: skip
    made = await note(tenant, invoice, 400, refund_amount_cents=400)
    assert made["refund_status"] == "pending"
    found = (await tenant.get(f"/invoices/{invoice['lago_id']}")).json()["invoice"]
    assert (found["total_due_amount_cents"], found["status"]) == (0, "voided")
    assert (await booked(owner, invoice))["to_refund"] == -400

"""`/payments` as a caller sees them: those made by hand, and the attempts at providers."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg

from recoup.rules.attempt_state import State
from recoup.rules.lago.payments import payment_object
from recoup.rules.records.keys import RowKey
from recoup.store import db, payments
from recoup.store.db import Pool
from tests.api.billing import (
    booked,
    count,
    has_customer,
    has_method,
    issue,
    pay,
    refusal,
    sells,
    told,
    words,
)
from tests.api.conftest import Tenant
from tests.api.test_invoices import KEYS as INVOICE_KEYS
from tests.api.test_invoices import UNKNOWN, put, shown

KEYS = """
    lago_id lago_customer_id external_customer_id invoice_ids invoice_numbers lago_payable_id
    payable_type amount_cents amount_currency status payment_status type reference
    payment_provider_code payment_provider_type external_payment_id provider_payment_id
    provider_customer_id next_action created_at
""".split()  # noqa: SIM905


async def listed(tenant: Tenant, query: str = "", path: str = "/payments") -> list[str]:
    """The references of the payments in a list."""
    answer = await tenant.client.get(f"/api/v1{path}?{query}")
    assert answer.status_code == 200, answer.text
    return [payment["reference"] for payment in answer.json()["payments"]]


async def test_a_payment_by_hand_takes_off_what_is_due(
    tenant: Tenant, owner: asyncpg.Connection
) -> None:
    await sells(tenant)
    made = await issue(tenant)
    await owner.execute("UPDATE invoices SET payment_overdue = true, next_try_at = now()")
    answer = await pay(tenant, made, 400, paid_at="2026-01-02T03:04:05+01:00", reference=" cash ")
    payment = answer.json()["payment"]
    assert list(payment) == KEYS
    expected = {
        "lago_customer_id": made["customer"]["lago_id"], "external_customer_id": "c1",
        "invoice_ids": [made["lago_id"]], "invoice_numbers": [made["number"]],
        "lago_payable_id": made["lago_id"], "payable_type": "Invoice", "amount_cents": 400,
        "amount_currency": "EUR", "status": "succeeded", "payment_status": "succeeded",
        "type": "manual", "reference": "cash", "payment_provider_code": None,
        "payment_provider_type": None, "external_payment_id": None, "provider_payment_id": None,
        "provider_customer_id": None, "next_action": None, "created_at": "2026-01-02T02:04:05Z",
    }  # fmt: skip
    assert {field: payment[field] for field in expected} == expected
    assert (await tenant.get(f"/payments/{payment['lago_id']}")).json() == {"payment": payment}
    partly = await shown(tenant, made)
    assert (partly["total_paid_amount_cents"], partly["total_due_amount_cents"]) == (400, 600)
    assert (partly["payment_status"], partly["payment_overdue"]) == ("pending", True)
    assert await words(owner) == ["invoice.one_off_created"]
    await pay(tenant, made, 600)
    paid = await shown(tenant, made)
    assert (paid["total_paid_amount_cents"], paid["total_due_amount_cents"]) == (1000, 0)
    assert (paid["payment_status"], paid["payment_overdue"]) == ("succeeded", False)
    assert await owner.fetchval("SELECT next_try_at FROM invoices") is None
    assert await booked(owner, made) == {"revenue": -1000, "paid_by_hand": 1000}
    body = (await told(owner))[-1]
    assert body["webhook_type"] == "invoice.payment_status_updated"
    assert list(body["invoice"]) == [*INVOICE_KEYS, "customer", "fees"]
    assert body["invoice"]["total_due_amount_cents"] == 0
    covered = await owner.fetch("SELECT * FROM payment_invoices")
    assert {(row["open"], row["amount_cents"] - row["applied_cents"]) for row in covered} == {
        (False, 0)
    }


async def test_a_payment_of_an_invoice_that_was_set_to_paid_tells_nothing_new(
    tenant: Tenant, owner: asyncpg.Connection
) -> None:
    await sells(tenant)
    made = await issue(tenant)
    await put(tenant, made, payment_status="succeeded")
    before = await words(owner)
    assert (await pay(tenant, made, 1000)).status_code == 200
    assert (await shown(tenant, made))["total_due_amount_cents"] == 0
    assert await words(owner) == before


async def test_a_refused_payment_stores_nothing(tenant: Tenant, owner: asyncpg.Connection) -> None:
    await sells(tenant)
    made = await issue(tenant)
    cases: list[tuple[dict[str, Any], Any]] = [
        ({"invoice_id": None, "amount_cents": 0}, (422, {"invoice_id": ["value_is_mandatory"]})),
        ({"invoice_id": " "}, (422, {"invoice_id": ["value_is_mandatory"]})),
        *(
            ({"amount_cents": amount, "invoice_id": UNKNOWN},
             (422, {"amount_cents": ["invalid_value"]}))
            for amount in (None, 0, -1, 1.5, "1", True)
        ),
        ({"invoice_id": UNKNOWN, "paid_at": "soon"}, (404, "invoice_not_found")),
        *(({"invoice_id": odd}, (404, "invoice_not_found")) for odd in ("nonsense", 5, False)),
        ({"paid_at": "soon", "reference": ""}, (422, {"paid_at": ["invalid_date"]})),
        ({"paid_at": 5}, (422, {"paid_at": ["invalid_date"]})),
        ({"reference": " ", "amount_cents": 9999}, (422, {"reference": ["value_is_mandatory"]})),
        ({"reference": None}, (422, {"reference": ["value_is_mandatory"]})),
        ({"reference": "x" * 41, "amount_cents": 9999},
         (422, {"reference": ["value_is_too_long"]})),
        ({"reference": "\0"}, (422, {"reference": ["value_is_invalid"]})),
        ({"amount_cents": 1001}, (422, {"amount_cents": ["value_is_out_of_range"]})),
        ({"amount_cents": 2**63}, (422, {"amount_cents": ["value_is_out_of_range"]})),
    ]  # fmt: skip
    for fields, expected in cases:
        answer = await pay(tenant, made, **{"cents": 1000} | fields)
        assert refusal(answer) == expected, fields
    assert await count(owner, "payments") == 0
    assert await shown(tenant, made) == made
    assert await booked(owner, made) == {"receivable": 1000, "revenue": -1000}


async def test_only_a_final_invoice_takes_payments(
    tenant: Tenant, owner: asyncpg.Connection
) -> None:
    await sells(tenant)
    made = await issue(tenant)
    for status in ("draft", "voided", "failed", "pending"):
        await owner.execute("UPDATE invoices SET status = $1", status)
        assert refusal(await pay(tenant, made, 1)) == (403, "feature_unavailable")
    for status in ("generating", "closed", "deleted"):
        await owner.execute("UPDATE invoices SET status = $1", status)
        assert refusal(await pay(tenant, made, 1)) == (404, "invoice_not_found")


async def test_a_credit_invoice_is_paid_in_full(tenant: Tenant, owner: asyncpg.Connection) -> None:
    await sells(tenant)
    made = await issue(tenant)
    await owner.execute("UPDATE invoices SET invoice_type = 'credit'")
    assert refusal(await pay(tenant, made, 999)) == (422, {"amount_cents": ["invalid_amount"]})
    assert (await pay(tenant, made, 1000)).status_code == 200


async def test_payments_at_once_never_take_more_than_is_due(
    tenant: Tenant, owner: asyncpg.Connection
) -> None:
    await sells(tenant)
    made = await issue(tenant)
    answers = await asyncio.gather(*(pay(tenant, made, 400) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 422, 422, 422]
    assert (await shown(tenant, made))["total_due_amount_cents"] == 200
    assert await booked(owner, made) == {
        "receivable": 200, "revenue": -1000, "paid_by_hand": 800,
    }  # fmt: skip


async def test_a_payment_by_hand_is_taken_while_an_attempt_is_open(
    tenant: Tenant, pool: Pool, owner: asyncpg.Connection
) -> None:
    await sells(tenant)
    await has_method(tenant, pool)
    made = await issue(tenant, skip_psp=False)
    assert (await pay(tenant, made, 1000)).status_code == 200
    assert (await shown(tenant, made))["payment_status"] == "succeeded"
    rows = await owner.fetch("SELECT state FROM payments ORDER BY state")
    assert [row["state"] for row in rows] == ["ready", "succeeded"]


async def test_an_attempt_is_shown_in_lagos_words(
    tenant: Tenant, pool: Pool, owner: asyncpg.Connection
) -> None:
    await sells(tenant)
    method = await has_method(tenant, pool)
    made = await issue(tenant, skip_psp=False)
    await owner.execute(
        "ALTER TABLE payments DISABLE TRIGGER USER; UPDATE payments SET sent_at = now(),"
        " request = '{}', provider_payment_id = 'ch_1', provider_status = 'requires_action',"
        """ next_action = '{"type": "redirect", "url": "https://3ds.example"}'"""
    )
    lago_words = {}
    for state in State:
        ended = state in {State.SUCCEEDED, State.FAILED, State.WITHDRAWN}
        await owner.execute(
            "UPDATE payments SET state = $1, ended_at = CASE WHEN $2 THEN now() END", state, ended
        )
        payments_shown = (await tenant.get("/payments")).json()["payments"]
        lago_words[state] = [payment["payment_status"] for payment in payments_shown]
    assert lago_words == {
        State.READY: ["pending"], State.SENT: ["pending"], State.UNKNOWN: ["processing"],
        State.PROCESSING: ["processing"], State.CUSTOMER_NEEDED: ["processing"],
        State.NEEDS_REVIEW: ["processing"], State.SUCCEEDED: ["succeeded"],
        State.FAILED: ["failed"], State.WITHDRAWN: [],
    }  # fmt: skip
    payment_id = await owner.fetchval("SELECT id FROM payments")
    assert refusal(await tenant.get(f"/payments/{payment_id}")) == (404, "payment_not_found")
    await owner.execute("UPDATE payments SET state = 'succeeded'")
    shown_payment = (await tenant.get(f"/payments/{payment_id}")).json()["payment"]
    expected = {
        "invoice_ids": [made["lago_id"]], "type": "provider", "reference": "",
        "status": "requires_action", "payment_provider_code": "play-c1",
        "payment_provider_type": "sandbox", "external_payment_id": "ch_1",
        "provider_payment_id": "ch_1", "provider_customer_id": "cus_c1",
        "next_action": {"type": "redirect", "url": "https://3ds.example"},
    }  # fmt: skip
    assert {field: shown_payment[field] for field in expected} == expected
    assert list(shown_payment) == KEYS
    key = RowKey(tenant.organization_id, payment_id)
    async with db.transaction(pool, tenants=[tenant.organization_id]) as conn:
        details = (await payments.details(conn, [key]))[key]
    charged_on = payment_object(details, with_method=True).payment_method
    assert str(getattr(charged_on, "lago_id", None)) == method


async def test_payments_are_listed_newest_first_and_filtered(
    tenant: Tenant, owner: asyncpg.Connection
) -> None:
    await sells(tenant)
    await has_customer(tenant, "a/b")
    first = await issue(tenant)
    second = await issue(tenant, external_customer_id="a/b")
    await pay(tenant, first, 1, reference="a", paid_at="2026-01-01")
    await pay(tenant, first, 1, reference="b", paid_at="2026-01-03")
    await pay(tenant, second, 1, reference="c", paid_at="2026-01-02")
    cases = {
        "": ["b", "c", "a"],
        "per_page=1&page=2": ["c"],
        "external_customer_id=c1": ["b", "a"],
        "external_customer_id=c9": [],
        f"invoice_id={second['lago_id'].upper()}": ["c"],
        f"invoice_id={UNKNOWN}": [],
        f"invoice_id={second['lago_id']}&external_customer_id=c1": [],
    }
    assert {query: await listed(tenant, query) for query in cases} == cases
    assert await listed(tenant, "", "/customers/a%2Fb/payments") == ["c"]
    query = f"invoice_id={first['lago_id']}"
    assert await listed(tenant, query, "/customers/a%2Fb/payments") == []
    assert (await tenant.get("/payments", per_page=1)).json()["meta"]["total_count"] == 3
    undashed = second["lago_id"].replace("-", "")
    assert refusal(await tenant.get("/payments", invoice_id=undashed)) == (
        422, {"invoice_id": ["is in invalid format"]},
    )  # fmt: skip
    await owner.execute("UPDATE invoices SET status = 'deleted' WHERE id = $1", second["lago_id"])
    assert await listed(tenant) == ["b", "a"]
    assert refusal(await tenant.get("/customers/c9/payments", invoice_id="x")) == (
        404, "customer_not_found",
    )  # fmt: skip


async def test_of_an_invoice_named_twice_the_last_counts(tenant: Tenant) -> None:
    await sells(tenant)
    first, second = await issue(tenant), await issue(tenant)
    await pay(tenant, first, 1, reference="first")
    await pay(tenant, second, 1, reference="second")
    for name in ("invoice_id", "invoice_id[]"):
        query = f"{name}={first['lago_id']}&{name}={second['lago_id']}"
        assert await listed(tenant, query) == ["second"]


async def test_another_tenants_payment_is_not_found(
    tenant: Tenant, other_tenant: Tenant, owner: asyncpg.Connection
) -> None:
    await sells(tenant)
    made = await issue(tenant)
    payment = (await pay(tenant, made, 1)).json()["payment"]
    for lago_id in (payment["lago_id"], UNKNOWN, "nonsense"):
        assert refusal(await other_tenant.get(f"/payments/{lago_id}")) == (404, "payment_not_found")
    assert refusal(await pay(other_tenant, made, 1)) == (404, "invoice_not_found")
    assert await listed(other_tenant, f"invoice_id={made['lago_id']}") == []
    assert await listed(other_tenant, "external_customer_id=c1") == []
    assert refusal(await other_tenant.get("/customers/c1/payments")) == (404, "customer_not_found")
    assert await count(owner, "payments") == 1

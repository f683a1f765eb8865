"""`/payment_requests` as a caller sees them (contract section 3.11)."""

from __future__ import annotations

import json
from typing import Any

import asyncpg
import httpx
import pytest

from recoup.store.db import Pool
from tests.api.billing import count, has_customer, has_method, issue, issue_of, pay, refusal, sells
from tests.api.conftest import Tenant
from tests.api.test_invoices import KEYS as INVOICE_KEYS
from tests.api.test_invoices import UNKNOWN, put, shown

KEYS = [
    "lago_id", "amount_cents", "amount_currency", "email", "payment_status", "created_at",
    "customer", "invoices",
]  # fmt: skip
NOT_READY = (405, "invoices_not_ready_for_payment_processing")


async def late(owner: asyncpg.Connection, *invoices: Any, **fields: Any) -> None:
    """Let these invoices be overdue; `fields` are further columns."""
    sets = ", ".join(f"{name} = ${place}" for place, name in enumerate(fields, 2))
    await owner.execute(
        f"UPDATE invoices SET payment_overdue = true{', ' * bool(sets)}{sets}"
        " WHERE id = ANY ($1::uuid[])",
        [invoice["lago_id"] for invoice in invoices],
        *fields.values(),
    )


async def owes(tenant: Tenant, owner: asyncpg.Connection, *cents: int) -> list[Any]:
    """Overdue invoices of `c1`, one for each of these amounts."""
    invoices = [await issue_of(tenant, each) for each in cents]
    await late(owner, *invoices)
    return invoices


async def request(tenant: Tenant, *invoices: Any, **fields: Any) -> httpx.Response:
    """Ask `c1` for these invoices."""
    ids = [invoice["lago_id"] for invoice in invoices]
    asked = {"external_customer_id": "c1", "lago_invoice_ids": ids} | fields
    return await tenant.post("/payment_requests", {"payment_request": asked})


async def requested(tenant: Tenant, *invoices: Any, **fields: Any) -> Any:
    answer = await request(tenant, *invoices, **fields)
    assert answer.status_code == 200, answer.text
    return answer.json()["payment_request"]


async def test_a_request_is_for_what_is_due_of_all_its_invoices(
    tenant: Tenant, owner: asyncpg.Connection
) -> None:
    await sells(tenant, email="ann@example.com")
    invoices = await owes(tenant, owner, 1_000, 250)
    await pay(tenant, invoices[0], 400)
    made = await requested(tenant, *invoices)
    assert list(made) == KEYS
    expected = {
        "amount_cents": 850, "amount_currency": "EUR", "email": "ann@example.com",
        "payment_status": "pending",
    }  # fmt: skip
    assert {field: made[field] for field in expected} == expected
    assert made["customer"]["external_id"] == "c1"
    assert [list(one) for one in made["invoices"]] == [INVOICE_KEYS] * 2
    assert {one["lago_id"] for one in made["invoices"]} == {one["lago_id"] for one in invoices}
    assert (await tenant.get(f"/payment_requests/{made['lago_id']}")).json() == {
        "payment_request": made
    }
    body = await owner.fetchval(
        "SELECT body FROM events WHERE webhook_type = 'payment_request.created'"
    )
    told = json.loads(body)
    assert (told["object_type"], told["payment_request"]) == ("payment_request", made)
    # There is nobody to charge, so nothing is promised, and each invoice is as free as before.
    assert await count(owner, "payments") == 1
    assert (await tenant.post(f"/invoices/{invoices[1]['lago_id']}/retry_payment")).is_success


async def test_whoever_can_be_charged_is_charged_once_for_all(
    tenant: Tenant, owner: asyncpg.Connection, pool: Pool
) -> None:
    await sells(tenant)
    await has_method(tenant, pool)
    invoices = await owes(tenant, owner, 1_000, 250)
    made = await requested(tenant, *invoices)
    assert made["email"] == ""  # nobody has told one, and clients declare a string
    [payment] = (await tenant.get("/payments")).json()["payments"]
    expected = {
        "lago_payable_id": made["lago_id"], "payable_type": "PaymentRequest",
        "amount_cents": 1_250, "payment_status": "pending", "type": "provider",
    }  # fmt: skip
    assert {field: payment[field] for field in expected} == expected
    assert set(payment["invoice_ids"]) == {one["lago_id"] for one in invoices}
    assert set(payment["invoice_numbers"]) == {one["number"] for one in invoices}
    for invoice in invoices:
        found = await tenant.get("/payments", invoice_id=invoice["lago_id"])
        assert [one["lago_id"] for one in found.json()["payments"]] == [payment["lago_id"]]
        retry = await tenant.post(f"/invoices/{invoice['lago_id']}/retry_payment")
        assert refusal(retry) == (405, "payment_processor_is_currently_handling_payment")
        assert refusal(await request(tenant, invoice)) == NOT_READY
    nested = await tenant.get("/customers/c1/payments")
    assert nested.json()["payments"] == [payment]
    jobs = "SELECT count(*) FROM pgqueuer WHERE entrypoint = 'submit_attempt'"
    assert await owner.fetchval(jobs) == 1


async def test_each_refusal_comes_in_the_contracts_order_and_stores_nothing(
    tenant: Tenant, owner: asyncpg.Connection
) -> None:
    """Each case breaks what its own refusal is about, and all that is looked at after it."""
    await sells(tenant)
    await has_customer(tenant, "c2")
    first, second = await owes(tenant, owner, 1_000, 250)
    early = await issue(tenant)
    dollars = await issue(tenant, currency="USD")
    theirs = await issue(tenant, external_customer_id="c2")
    entity = await owner.fetchval(
        "INSERT INTO billing_entities (organization_id, id, code, name, document_number_prefix,"
        " created_at, updated_at) VALUES ($1, gen_random_uuid(), 'second', 'X', 'SEC', now(),"
        " now()) RETURNING id",
        tenant.organization_id,
    )
    await owner.execute(
        "UPDATE invoices SET billing_entity_id = $1 WHERE id = ANY ($2::uuid[])",
        entity, [dollars["lago_id"], second["lago_id"]],
    )  # fmt: skip
    await late(owner, dollars, theirs)
    await late(owner, second, held_because="contradicted")
    wrong = {"email": "nobody"}
    cases: list[tuple[tuple[Any, ...], dict[str, Any], Any]] = [
        ((), {"external_customer_id": "nobody", **wrong}, (404, "customer_not_found")),
        ((early,), {"external_customer_id": None}, (404, "customer_not_found")),
        ((early,), {"external_customer_id": "a\0b"}, (404, "customer_not_found")),
        ((), wrong, (404, "invoice_not_found")),
        ((), {"lago_invoice_ids": None}, (404, "invoice_not_found")),
        ((), {"lago_invoice_ids": ["x", 5, None, {}, [], UNKNOWN]}, (404, "invoice_not_found")),
        ((theirs,), wrong, (404, "invoice_not_found")),
        ((early, dollars, second), wrong, (405, "invoices_not_overdue")),
        ((first, dollars), wrong, (405, "invoices_have_different_currencies")),
        ((first, second), wrong, (405, "invoices_have_different_billing_entities")),
        ((second,), wrong, NOT_READY),
        ((first,), wrong, (422, {"email": ["invalid_email_format"]})),
        ((first,), {"email": ["a@example.com"]}, (422, {"email": ["value_is_invalid"]})),
        ((), {"lago_invoice_ids": "x"}, (422, {"lago_invoice_ids": ["value_is_invalid"]})),
        ((), {"lago_invoice_ids": {"a": 1}}, (422, {"lago_invoice_ids": ["value_is_invalid"]})),
        (
            (), {"lago_invoice_ids": [UNKNOWN[:-4] + f"{n:04x}" for n in range(1_001)]},
            (422, {"lago_invoice_ids": ["invalid_count"]}),
        ),
    ]  # fmt: skip
    for invoices, fields, expected in cases:
        answer = await request(tenant, *invoices, **fields)
        assert refusal(answer) == expected, (fields, answer.text)
    for body in ({}, {"payment_request": {}}, {"payment_request": "x"}, {"payment_request": []}):
        assert (await tenant.post("/payment_requests", body)).status_code == 400
    jobs = "pgqueuer WHERE entrypoint <> 'make_document'"  # those are the invoices' own
    for table in ("payment_requests", "payment_request_invoices", "payments", jobs):
        assert await count(owner, table) == 0, table
    assert await owner.fetchval(
        "SELECT count(*) FROM events WHERE webhook_type LIKE 'payment_request%'"
    ) == 0  # fmt: skip
    # Unknown ids among known ones, and one that is named twice, make no difference.
    mixed = [first["lago_id"], first["lago_id"].upper(), UNKNOWN, theirs["lago_id"], "x", None]
    made = await requested(tenant, lago_invoice_ids=mixed)
    assert (made["amount_cents"], len(made["invoices"])) == (1_000, 1)


@pytest.mark.parametrize("way", ["voided", "paid", "nothing due", "self-billed", "held"])
async def test_what_nobody_can_collect_is_not_ready(
    tenant: Tenant, owner: asyncpg.Connection, way: str
) -> None:
    await sells(tenant)
    invoices = await owes(tenant, owner, 1_000, 250)
    match way:
        case "voided":
            await tenant.post(f"/invoices/{invoices[1]['lago_id']}/void")
            await late(owner, invoices[1])
        case "paid":
            await put(tenant, invoices[1], payment_status="succeeded")
            await late(owner, invoices[1])
        case "nothing due":
            await pay(tenant, invoices[1], 250)
            await put(tenant, invoices[1], payment_status="pending")
            await late(owner, invoices[1])
        case "self-billed":
            await late(owner, invoices[1], self_billed=True)
        case _:
            await late(owner, invoices[1], held_because="contradicted")
    assert refusal(await request(tenant, *invoices)) == NOT_READY
    assert await count(owner, "payment_requests") == 0


async def test_more_than_an_amount_can_be_is_refused(
    tenant: Tenant, owner: asyncpg.Connection
) -> None:
    await sells(tenant)
    invoices = await owes(tenant, owner, 1, 1)
    await late(owner, *invoices, total_cents=2**62 + 1)
    answer = await request(tenant, *invoices)
    assert refusal(answer) == (422, {"amount_cents": ["value_is_out_of_range"]})


async def test_the_same_idempotency_key_asks_once(
    tenant: Tenant, owner: asyncpg.Connection, pool: Pool
) -> None:
    await sells(tenant)
    await has_method(tenant, pool)
    invoices = await owes(tenant, owner, 1_000, 250)
    asked = {
        "external_customer_id": "c1", "lago_invoice_ids": [one["lago_id"] for one in invoices],
        "email": "a@example.com, b@example.com",
        "payment_method": {"payment_method_type": "manual"},
    }  # fmt: skip
    answers = [
        await tenant.post(
            "/payment_requests", {"payment_request": asked}, **{"Idempotency-Key": "k"}
        )
        for _ in range(2)
    ]
    assert answers[0].json()["payment_request"]["email"] == asked["email"]
    assert answers[1].content == answers[0].content
    assert answers[1].headers["idempotent-replayed"] == "true"
    assert await count(owner, "payment_requests") == 1
    assert await count(owner, "payments") == 1  # Lago's REST reads no method here


async def test_lists_are_filtered_newest_first(tenant: Tenant, owner: asyncpg.Connection) -> None:
    await sells(tenant)
    await has_customer(tenant, "c2")
    made = []
    for external_id in ("c1", "c1", "c2"):
        invoice = await issue(tenant, external_customer_id=external_id)
        await late(owner, invoice)
        one = await requested(tenant, invoice, external_customer_id=external_id)
        made.append(one["lago_id"])
        await owner.execute("UPDATE payment_requests SET created_at = created_at - interval '1 h'")
    await owner.execute(
        "UPDATE payment_requests SET payment_status = 'failed' WHERE id = $1", made[0]
    )
    await owner.execute("UPDATE payment_requests SET currency = 'USD' WHERE id = $1", made[1])
    code = (await tenant.get("/billing_entities")).json()["billing_entities"][0]["code"]

    async def listed(query: str = "", path: str = "/payment_requests") -> list[str]:
        answer = await tenant.client.get(f"/api/v1{path}?{query}")
        assert answer.status_code == 200, answer.text
        return [one["lago_id"] for one in answer.json()["payment_requests"]]

    assert await listed() == [made[2], made[1], made[0]]
    assert await listed("external_customer_id=c1") == [made[1], made[0]]
    assert await listed("external_customer_id=nobody") == []
    assert await listed("payment_status=failed") == [made[0]]
    assert await listed("currency=USD") == [made[1]]
    assert await listed(f"billing_entity_codes[]={code}&payment_status=pending") == made[:0:-1]
    assert await listed(f"billing_entity_codes={code}&per_page=1&page=3") == [made[0]]
    assert await listed(path="/customers/c2/payment_requests") == [made[2]]
    assert await listed("payment_status=failed", "/customers/c1/payment_requests") == [made[0]]
    meta = (await tenant.get("/payment_requests", per_page=2)).json()["meta"]
    assert meta == {
        "current_page": 1, "next_page": 2, "prev_page": None, "total_pages": 2, "total_count": 3,
    }  # fmt: skip


async def test_wrong_filters_and_unknown_requests_are_refused_by_name(tenant: Tenant) -> None:
    await sells(tenant)
    for path in ("/payment_requests", "/customers/c1/payment_requests"):
        wrong = await tenant.get(path, payment_status="paid")
        assert refusal(wrong) == (
            422, {"payment_status": ["must be one of: pending, succeeded, failed"]},
        )  # fmt: skip
        unknown = await tenant.get(path, **{"billing_entity_codes[]": "nowhere"})
        assert refusal(unknown) == (404, "billing_entity_not_found")
        with_nul = await tenant.get(path, currency="a\0b")
        assert with_nul.status_code == 422
    nobody = await tenant.get("/customers/nobody/payment_requests")
    assert refusal(nobody) == (404, "customer_not_found")
    for one in (UNKNOWN, "nonsense", "a%00b"):
        answer = await tenant.get(f"/payment_requests/{one}")
        assert refusal(answer) == (404, "payment_request_not_found")


async def test_an_open_page_gives_way_once_it_is_closed(
    tenant: Tenant, owner: asyncpg.Connection, pool: Pool
) -> None:
    """The sandbox does not answer here, so whether the page is closed cannot be told: refused."""
    await sells(tenant)
    await has_method(tenant, pool)
    invoices = await owes(tenant, owner, 1_000, 250)
    await tenant.post(f"/invoices/{invoices[0]['lago_id']}/payment_url")
    pages = await owner.fetch("SELECT state FROM payments WHERE manner = 'page'")
    assert len(pages) == 1
    assert refusal(await request(tenant, *invoices)) == NOT_READY
    # Once its end is known nothing is in the way, and the same call goes through.
    await owner.execute(
        "UPDATE payments SET state = 'failed', ended_at = now(), look_up_at = NULL"
        " WHERE manner = 'page'"
    )
    assert (await request(tenant, *invoices)).status_code == 200


async def test_a_paid_requests_invoice_takes_no_payment_by_hand(
    tenant: Tenant, owner: asyncpg.Connection
) -> None:
    await sells(tenant)
    invoices = await owes(tenant, owner, 1_000)
    made = await requested(tenant, *invoices)
    assert (await pay(tenant, invoices[0], 100)).status_code == 200  # it is pending
    await owner.execute(
        "UPDATE payment_requests SET payment_status = 'succeeded' WHERE id = $1", made["lago_id"]
    )
    too_much = await pay(tenant, invoices[0], 901)
    assert refusal(too_much) == (422, {"amount_cents": ["value_is_out_of_range"]})
    answer = await pay(tenant, invoices[0], 100)
    assert refusal(answer) == (422, {"base": ["payment_request_is_already_succeeded"]})
    assert (await shown(tenant, invoices[0]))["total_paid_amount_cents"] == 100

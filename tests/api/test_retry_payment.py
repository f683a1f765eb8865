"""`POST /invoices/{lago_id}/retry_payment` on the wire (contract section 5.1)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from recoup.flows.add_provider_account import add_provider_account
from recoup.rules.records.keys import RowKey
from recoup.store import db
from recoup.store.db import Pool
from tests.api.conftest import BOX, Tenant
from tests.shop import MovableClock, Shop


@pytest_asyncio.fixture
async def shop(tenant: Tenant, pool: Pool, owner: asyncpg.Connection) -> AsyncIterator[Shop]:
    """The caller's own organization, as a shop whose provider is never reached."""
    shop = Shop(pool, owner, None, MovableClock())  # type: ignore[arg-type]  # nothing is sent
    shop.organization_id = tenant.organization_id
    shop.entity_id = await owner.fetchval(
        "SELECT id FROM billing_entities WHERE organization_id = $1", tenant.organization_id
    )
    async with db.transaction(pool, tenants=[tenant.organization_id]) as conn:
        await add_provider_account(
            conn, tenant.organization_id, kind="sandbox", code="sandbox", name="Sandbox",
            secrets={"api_key": "sk", "webhook_secret": "wh"}, box=BOX,
            account_id=shop.account_id, now=shop.clock.now(),
        )  # fmt: skip
    yield shop


NOBODYS = UUID("00000000-0000-7000-8000-00000000abcd")


def path(invoice: RowKey) -> str:
    return f"/invoices/{invoice.id}/retry_payment"


async def test_an_accepted_retry_answers_200_with_an_empty_body(tenant: Tenant, shop: Shop) -> None:
    invoice = await shop.sell("pm_sandbox_ok")
    answer = await tenant.client.post(
        f"/api/v1{path(invoice)}", headers={"Content-Type": "application/json"}
    )
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == "0"
    attempt = await shop.row(
        "payments", RowKey(shop.organization_id, answer.headers["recoup-payment-id"])
    )
    assert (attempt["state"], attempt["amount_cents"]) == ("ready", 1_000)
    queued = await shop.owner.fetchval(
        "SELECT payload FROM pgqueuer WHERE entrypoint = 'submit_attempt'"
    )
    assert queued.decode() == f"{shop.organization_id}/{attempt['id']}"
    shown = (await tenant.get(f"/payments/{attempt['id']}")).json()["payment"]
    assert shown["payment_status"] == "pending"


@pytest.mark.parametrize(
    "body",
    [None, {}, {"payment_method": None}, {"payment_method": "x"}, {"payment_method": [1]},
     {"payment_method": {"payment_method_type": "odd"}}, {"unknown": 1}],
)  # fmt: skip
async def test_no_shape_of_a_body_is_refused(tenant: Tenant, shop: Shop, body: Any) -> None:
    answer = await tenant.post(path(await shop.sell("pm_sandbox_ok")), body)
    assert answer.status_code == 200, answer.text
    assert "recoup-payment-id" in answer.headers


@pytest.mark.parametrize(
    "method",
    [{"payment_method_type": "manual"}, {"payment_method_id": "no uuid"},
     {"payment_method_type": "provider", "payment_method_id": str(NOBODYS)}],
)  # fmt: skip
async def test_a_method_that_cannot_be_charged_is_accepted_without_an_attempt(
    tenant: Tenant, shop: Shop, method: Any
) -> None:
    answer = await tenant.post(path(await shop.sell("pm_sandbox_ok")), {"payment_method": method})
    assert answer.status_code == 200
    assert "recoup-payment-id" not in answer.headers
    assert await shop.words() == ["invoice.payment_failure"]


async def test_the_named_method_is_charged_and_no_other(tenant: Tenant, shop: Shop) -> None:
    customer = await shop.customer("pm_sandbox_ok", "pm_sandbox_stolen_card")
    second = await shop.owner.fetchval(
        "SELECT id FROM payment_methods WHERE NOT is_default AND customer_id = $1", customer
    )
    answer = await tenant.post(
        path(await shop.invoice(customer)),
        {"payment_method": {"payment_method_type": "provider", "payment_method_id": str(second)}},
    )
    attempt = RowKey(shop.organization_id, answer.headers["recoup-payment-id"])
    assert (await shop.row("payments", attempt))["provider_method_id"] == "pm_sandbox_stolen_card"


async def test_unknown_odd_and_foreign_invoices_answer_alike(
    tenant: Tenant, other_tenant: Tenant, shop: Shop
) -> None:
    mine = await shop.sell("pm_sandbox_ok")
    answers = [
        await other_tenant.post(path(mine)),
        await tenant.post(f"/invoices/{NOBODYS}/retry_payment"),
        await tenant.post("/invoices/odd/retry_payment"),
        *[
            await tenant.post(path(await shop.sell("pm_sandbox_ok", status=status)))
            for status in ["generating", "open", "closed", "deleted"]
        ],
    ]
    assert {(one.status_code, one.content) for one in answers} == {
        (404, b'{"status":404,"error":"Not Found","code":"invoice_not_found"}')
    }
    assert await shop.owner.fetchval("SELECT count(*) FROM payments") == 0


@pytest.mark.parametrize("fields", [
    {"status": "draft"}, {"status": "voided"}, {"payment_status": "succeeded"},
])  # fmt: skip
async def test_what_cannot_be_collected_is_refused(
    tenant: Tenant, shop: Shop, fields: dict[str, str]
) -> None:
    answer = await tenant.post(path(await shop.sell("pm_sandbox_ok", **fields)))
    assert answer.json() == {
        "status": 405, "error": "Method Not Allowed", "code": "invalid_status",
    }  # fmt: skip


@pytest.mark.parametrize("status", ["failed", "pending"])
async def test_an_invoice_whose_total_is_unknown_is_not_called_paid(
    tenant: Tenant, shop: Shop, status: str
) -> None:
    invoice = await shop.sell("pm_sandbox_ok", status=status, cents=0)
    assert (await tenant.post(path(invoice))).status_code == 200
    assert await shop.shown(invoice) == ("pending", 0)
    [(_, failure)] = await shop.told()
    assert failure["error_details"] == {"code": "invoice_no_longer_collectable"}


async def test_a_second_retry_is_told_that_one_is_under_way(tenant: Tenant, shop: Shop) -> None:
    invoice = await shop.sell("pm_sandbox_ok")
    await tenant.post(path(invoice))
    answer = await tenant.post(path(invoice))
    assert (answer.status_code, answer.json()["code"]) == (
        405, "payment_processor_is_currently_handling_payment",
    )  # fmt: skip
    await shop.change("invoices", invoice, status="voided")  # comes first, as at Lago
    assert (await tenant.post(path(invoice))).json()["code"] == "invalid_status"


async def test_of_many_at_once_one_begins(tenant: Tenant, shop: Shop) -> None:
    invoices = [await shop.sell("pm_sandbox_ok") for _ in range(20)]
    answers = await asyncio.gather(
        *(tenant.post(path(invoice)) for invoice in invoices for _ in range(8))
    )
    assert sorted(one.status_code for one in answers) == [200] * 20 + [405] * 140
    assert await shop.owner.fetchval("SELECT count(*) FROM payments") == 20
    assert await shop.owner.fetchval("SELECT count(*) FROM pgqueuer") == 20


async def test_an_idempotency_key_gets_the_same_answer_and_one_attempt(
    tenant: Tenant, shop: Shop
) -> None:
    invoice = await shop.sell("pm_sandbox_ok")
    key = {"Idempotency-Key": "retry-1"}
    answers = await asyncio.gather(*(tenant.post(path(invoice), None, **key) for _ in range(10)))
    answers.append(await tenant.post(path(invoice), None, **key))
    assert {one.status_code for one in answers} <= {200, 409}
    ids = {one.headers["recoup-payment-id"] for one in answers if one.status_code == 200}
    assert len(ids) == 1
    assert answers[-1].headers["idempotent-replayed"] == "true"
    other = await tenant.post(path(invoice), {"payment_method": {}}, **key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    # The same word of another tenant or for another invoice is another key.
    second = await tenant.post(path(await shop.sell("pm_sandbox_ok")), None, **key)
    assert second.headers["recoup-payment-id"] not in ids


async def test_a_refused_retry_keeps_nothing_under_its_key(tenant: Tenant, shop: Shop) -> None:
    invoice = await shop.sell("pm_sandbox_ok", status="draft")
    key = {"Idempotency-Key": "k"}
    assert (await tenant.post(path(invoice), None, **key)).status_code == 405
    await shop.change("invoices", invoice, status="finalized")
    assert (await tenant.post(path(invoice), None, **key)).status_code == 200


async def test_the_bulk_call_answers_each_in_the_order_asked(tenant: Tenant, shop: Shop) -> None:
    good, draft = await shop.sell("pm_sandbox_ok"), await shop.sell("pm_sandbox_ok", status="draft")
    ids = [str(draft.id), "odd", str(good.id), str(good.id).upper()]
    answer = await tenant.post("/invoices/retry_payments", {"invoice_ids": ids})
    results = answer.json()["results"]
    assert [one["lago_id"] for one in results] == ids
    assert [one["code"] for one in results] == [
        "invalid_status", "invoice_not_found", None,
        "payment_processor_is_currently_handling_payment",
    ]  # fmt: skip
    assert results[2]["payment_id"]


async def test_a_bulk_call_passes_over_a_row_that_somebody_holds(
    tenant: Tenant, shop: Shop
) -> None:
    held, free = await shop.sell("pm_sandbox_ok"), await shop.sell("pm_sandbox_ok")
    async with shop.owner.transaction():
        await shop.owner.execute("SELECT FROM invoices WHERE id = $1 FOR UPDATE", held.id)
        answer = await tenant.post(
            "/invoices/retry_payments", {"invoice_ids": [str(held.id), str(free.id)]}
        )
        alone = await tenant.post(path(held))
    assert [one["code"] for one in answer.json()["results"]] == ["lock_acquisition_failed", None]
    assert (alone.status_code, alone.json()["code"]) == (422, "lock_acquisition_failed")


async def test_a_bulk_call_under_a_key_passes_over_a_held_row_too_and_answers_the_same_again(
    tenant: Tenant, shop: Shop
) -> None:
    held, free = await shop.sell("pm_sandbox_ok"), await shop.sell("pm_sandbox_ok")
    body = {"invoice_ids": [str(held.id), str(free.id)]}
    key = {"Idempotency-Key": "bulk"}
    async with shop.owner.transaction():
        await shop.owner.execute("SELECT FROM invoices WHERE id = $1 FOR UPDATE", held.id)
        first = await tenant.post("/invoices/retry_payments", body, **key)
    assert [one["code"] for one in first.json()["results"]] == ["lock_acquisition_failed", None]
    # What failed is not the last word: the same key does the rest, and answers as before else.
    second = await tenant.post("/invoices/retry_payments", body, **key)
    assert [one["accepted"] for one in second.json()["results"]] == [True, True]
    assert second.json()["results"][1] == first.json()["results"][1]
    again = await tenant.post("/invoices/retry_payments", body, **key)
    assert again.content == second.content
    assert again.headers["idempotent-replayed"] == "true"
    other = await tenant.post("/invoices/retry_payments", {"invoice_ids": [str(held.id)]}, **key)
    assert other.json()["code"] == "idempotency_key_reused"
    assert await shop.owner.fetchval("SELECT count(*) FROM payments") == 2


async def test_a_bulk_call_under_a_key_that_was_forgotten_begins_anew(
    tenant: Tenant, shop: Shop
) -> None:
    invoice = await shop.sell("pm_sandbox_ok")
    body, key = {"invoice_ids": [str(invoice.id)]}, {"Idempotency-Key": "monthly"}
    [first] = (await tenant.post("/invoices/retry_payments", body, **key)).json()["results"]
    # A month later: the attempt has failed, and the key was tidied away.
    attempt = RowKey(shop.organization_id, UUID(first["payment_id"]))
    await shop.owner.execute(
        "UPDATE payments SET state = 'withdrawn', ended_at = now() WHERE id = $1", attempt.id
    )
    await shop.owner.execute("DELETE FROM idempotency_keys")
    [second] = (await tenant.post("/invoices/retry_payments", body, **key)).json()["results"]
    assert second["accepted"]
    assert second["payment_id"] != first["payment_id"]


async def test_a_bulk_call_under_a_key_that_died_half_way_comes_to_the_same_attempts(
    tenant: Tenant, shop: Shop
) -> None:
    invoices = [await shop.sell("pm_sandbox_ok") for _ in range(3)]
    body = {"invoice_ids": [str(invoice.id) for invoice in invoices]}
    key = {"Idempotency-Key": "bulk"}
    await shop.owner.execute(
        "ALTER TABLE idempotency_keys ADD CONSTRAINT no_answer CHECK (http_status = 0)"
    )
    assert (await tenant.post("/invoices/retry_payments", body, **key)).status_code == 500
    begun = {row["id"] for row in await shop.owner.fetch("SELECT id FROM payments")}
    await shop.owner.execute("ALTER TABLE idempotency_keys DROP CONSTRAINT no_answer")
    answer = await tenant.post("/invoices/retry_payments", body, **key)
    assert {UUID(one["payment_id"]) for one in answer.json()["results"]} == begun
    assert len(begun) == 3
    assert await shop.owner.fetchval("SELECT count(*) FROM payments") == 3


async def test_a_bulk_call_says_of_each_row_what_became_of_it_though_one_is_broken(
    tenant: Tenant, shop: Shop
) -> None:
    broken, fine = await shop.sell("pm_sandbox_ok"), await shop.sell("pm_sandbox_ok")
    await shop.owner.execute(
        f"ALTER TABLE payment_invoices ADD CHECK (invoice_id <> '{broken.id}')"
    )
    answer = await tenant.post(
        "/invoices/retry_payments", {"invoice_ids": [str(broken.id), str(fine.id)]}
    )
    assert [one["code"] for one in answer.json()["results"]] == ["internal_error", None]
    assert await shop.owner.fetchval("SELECT count(*) FROM payments") == 1


@pytest.mark.parametrize("ids", ["x", 5, [5], [None], {"a": 1}])
async def test_a_bulk_call_of_no_list_of_texts_names_its_field(tenant: Tenant, ids: object) -> None:
    answer = await tenant.post("/invoices/retry_payments", {"invoice_ids": ids})
    assert answer.status_code == 422
    assert answer.json()["error_details"] == {"invoice_ids": ["value_is_invalid"]}


@pytest.mark.parametrize("ids", [[], ["x"] * 10_001])
async def test_a_bulk_call_of_none_or_too_many_is_refused(tenant: Tenant, ids: list[str]) -> None:
    answer = await tenant.post("/invoices/retry_payments", {"invoice_ids": ids})
    assert answer.json()["error_details"] == {"invoice_ids": ["invalid_count"]}

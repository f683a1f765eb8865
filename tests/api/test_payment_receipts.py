"""`/payment_receipts` as a caller sees them (contract section 3.12)."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import asyncpg

from tests.api.billing import count, has_customer, issue, pay, refusal, sells
from tests.api.conftest import Tenant
from tests.api.test_invoices import UNKNOWN
from tests.api.test_payments import KEYS as PAYMENT_KEYS

KEYS = ["lago_id", "number", "file_url", "xml_url", "payment", "created_at"]


async def listed(tenant: Tenant, **query: Any) -> list[Any]:
    answer = await tenant.get("/payment_receipts", **query)
    assert answer.status_code == 200, answer.text
    found: list[Any] = answer.json()["payment_receipts"]
    return found


async def test_every_payment_by_hand_has_its_receipt(
    tenant: Tenant, owner: asyncpg.Connection
) -> None:
    await sells(tenant)
    invoice = await issue(tenant)
    payment = (await pay(tenant, invoice, 400)).json()["payment"]
    [receipt] = await listed(tenant)
    assert list(receipt) == KEYS
    assert list(receipt["payment"]) == PAYMENT_KEYS
    assert receipt["payment"] == payment
    assert (receipt["file_url"], receipt["xml_url"]) == (None, None)
    assert receipt["number"] == f"{invoice['customer']['slug']}-RCPT-000001"
    found = await tenant.get(f"/payment_receipts/{receipt['lago_id']}")
    assert found.json() == {"payment_receipt": receipt}
    [body] = await owner.fetch(
        "SELECT body FROM events WHERE webhook_type = 'payment_receipt.created'"
    )
    told = json.loads(body["body"])
    assert (told["object_type"], told["payment_receipt"]) == ("payment_receipt", receipt)


async def test_each_customer_is_counted_apart_and_refused_payments_leave_no_gap(
    tenant: Tenant, owner: asyncpg.Connection
) -> None:
    await sells(tenant)
    await has_customer(tenant, "c2")
    invoices = [await issue(tenant, external_customer_id=whose) for whose in ("c1", "c1", "c2")]
    await pay(tenant, invoices[0], 100)
    assert (await pay(tenant, invoices[0], 100_000)).status_code == 422
    await pay(tenant, invoices[1], 100)
    await pay(tenant, invoices[2], 100)
    await pay(tenant, invoices[0], 100)
    numbers = sorted(one["number"] for one in await listed(tenant))
    slugs = [invoices[0]["customer"]["slug"], invoices[2]["customer"]["slug"]]
    assert numbers == sorted([
        f"{slugs[0]}-RCPT-000001", f"{slugs[0]}-RCPT-000002", f"{slugs[0]}-RCPT-000003",
        f"{slugs[1]}-RCPT-000001",
    ])  # fmt: skip
    of_first = await listed(tenant, invoice_id=invoices[0]["lago_id"])
    assert [one["payment"]["invoice_ids"] for one in of_first] == [[invoices[0]["lago_id"]]] * 2
    assert len(await listed(tenant, invoice_id=UNKNOWN)) == 0
    assert len(await listed(tenant, per_page=3, page=2)) == 1


async def test_payments_at_the_same_moment_share_no_number(
    tenant: Tenant, owner: asyncpg.Connection
) -> None:
    await sells(tenant)
    invoices = [await issue(tenant) for _ in range(8)]
    answers = await asyncio.gather(*(pay(tenant, invoice, 100) for invoice in invoices))
    assert {answer.status_code for answer in answers} == {200}
    numbers = sorted(one["number"][-6:] for one in await listed(tenant))
    assert numbers == [f"{place:06}" for place in range(1, 9)]
    assert await count(owner, "payment_receipts") == 8


async def test_wrong_filters_and_unknown_receipts_are_refused_by_name(tenant: Tenant) -> None:
    wrong = await tenant.get("/payment_receipts", invoice_id="nonsense")
    assert refusal(wrong) == (422, {"invoice_id": ["is in invalid format"]})
    for one in (UNKNOWN, "nonsense", "a%00b"):
        answer = await tenant.get(f"/payment_receipts/{one}")
        assert refusal(answer) == (404, "payment_receipt_not_found")

"""Tenants that bill: customers, add-ons and invoices made through the API, for its tests."""

from __future__ import annotations

import json
from typing import Any

import asyncpg
import httpx

from recoup import clock
from recoup.flows.add_provider_account import add_provider_account
from recoup.store import db
from recoup.store.db import Pool
from tests.account_secrets import SECRETS_OF
from tests.api.conftest import BOX, Tenant

SKIP: dict[str, Any] = {"skip_psp": True}


async def sells(tenant: Tenant, **customer: Any) -> None:
    """Give the tenant the customer `c1` and the add-on `setup` of 10.00 EUR."""
    await has_customer(tenant, "c1", **customer)
    add_on = {
        "name": "Setup", "code": "setup", "amount_cents": 1000, "amount_currency": "EUR",
        "description": "Set up once",
    }  # fmt: skip
    answer = await tenant.post("/add_ons", {"add_on": add_on})
    assert answer.status_code == 200, answer.text


async def has_customer(tenant: Tenant, external_id: str | int, **fields: Any) -> Any:
    asked = {"external_id": external_id, "currency": "EUR"} | fields
    answer = await tenant.post("/customers", {"customer": asked})
    assert answer.status_code == 200, answer.text
    return answer.json()["customer"]


async def has_tax(tenant: Tenant, code: str | int, rate: float, **fields: Any) -> None:
    answer = await tenant.post(
        "/taxes", {"tax": {"name": code, "code": code, "rate": rate} | fields}
    )
    assert answer.status_code == 200, answer.text


async def has_method(tenant: Tenant, pool: Pool, external_id: str = "c1") -> str:
    """Link the customer to the sandbox, and answer the id of a method to charge."""
    async with db.transaction(pool, tenants=[tenant.organization_id]) as conn:
        await add_provider_account(
            conn, tenant.organization_id, "sandbox", f"play-{external_id}", "Play",
            SECRETS_OF["sandbox"], box=BOX, account_id=clock.new_id(), now=clock.now(),
        )  # fmt: skip
    link = {
        "payment_provider": "sandbox", "payment_provider_code": f"play-{external_id}",
        "provider_customer_id": f"cus_{external_id}",
    }  # fmt: skip
    await has_customer(tenant, external_id, billing_configuration=link)
    method = {"payment_method": {"provider_method_id": "pm_sandbox_ok"}}
    answer = await tenant.post(f"/customers/{external_id}/payment_methods", method)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["payment_method"]["lago_id"])


async def ask(tenant: Tenant, **fields: Any) -> httpx.Response:
    """Ask for an invoice of one `setup` for `c1`, changed by `fields`."""
    asked = {"external_customer_id": "c1", "fees": [{"add_on_code": "setup"}]} | fields
    return await tenant.post("/invoices", {"invoice": asked})


async def issue(tenant: Tenant, **fields: Any) -> Any:
    """Issue an invoice, which nobody charges unless `skip_psp` is among the fields."""
    answer = await ask(tenant, **SKIP | fields)
    assert answer.status_code == 200, answer.text
    return answer.json()["invoice"]


async def issue_of(tenant: Tenant, cents: int, **fields: Any) -> Any:
    """Issue an invoice of this amount."""
    fees = [{"add_on_code": "setup", "unit_amount_cents": cents}]
    return await issue(tenant, **{"fees": fees} | fields)


async def pay(tenant: Tenant, invoice: Any, cents: int, **fields: Any) -> httpx.Response:
    """Report a payment made by hand."""
    asked = {"invoice_id": invoice["lago_id"], "amount_cents": cents, "reference": "wire 1"}
    return await tenant.post("/payments", {"payment": asked | fields})


async def told(owner: asyncpg.Connection, tenant: Tenant | None = None) -> list[Any]:
    """The bodies of the events about invoices told so far, oldest first."""
    rows = await owner.fetch(
        "SELECT body FROM events WHERE webhook_type LIKE 'invoice.%'"
        " AND ($1::uuid IS NULL OR organization_id = $1) ORDER BY created_at, webhook_type",
        tenant.organization_id if tenant else None,
    )
    return [json.loads(row["body"]) for row in rows]


async def words(owner: asyncpg.Connection) -> list[str]:
    """The types of those events."""
    return [body["webhook_type"] for body in await told(owner)]


async def booked(owner: asyncpg.Connection, invoice: Any) -> dict[str, int]:
    """What the ledger says of an invoice: the balance of every account that is not even."""
    rows = await owner.fetch(
        "SELECT account, sum(amount_cents)::bigint AS cents FROM ledger_entries"
        " WHERE invoice_id = $1 GROUP BY account HAVING sum(amount_cents) <> 0",
        invoice["lago_id"],
    )
    return {row["account"]: row["cents"] for row in rows}


async def count(owner: asyncpg.Connection, table: str) -> int:
    """How many rows a table really has."""
    rows: int = await owner.fetchval(f"SELECT count(*) FROM {table}")
    return rows


def refusal(answer: httpx.Response) -> tuple[int, Any]:
    """Status, and the code or the details of a refusal."""
    body = answer.json()
    return answer.status_code, body.get("error_details", body.get("code", body.get("error")))

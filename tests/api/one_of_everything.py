"""A tenant that has one of everything there is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import msgspec

from recoup import clock
from recoup.flows.refund_payment import begin_refund
from recoup.rules.reconciliation import What
from recoup.rules.records.keys import RowKey
from recoup.store import (
    contradictions,
    db,
    events,
    findings,
    provider_accounts,
    webhook_deliveries,
)
from recoup.store.contradictions import Contradiction
from recoup.store.db import Pool
from recoup.store.events import Event
from recoup.store.findings import Finding
from tests.api.billing import has_customer, has_method, has_tax, issue, pay
from tests.api.conftest import Tenant
from tests.api.noting import note


class Party(msgspec.Struct, frozen=True):
    """A tenant that has one of everything, and what each is called, by resource."""

    tenant: Tenant
    words: Mapping[str, str]


async def surprise_and_refund(tenant: Tenant, pool: Pool, payment_id: str) -> tuple[str, str, str]:
    """Money that belongs to nothing, and goes back; the ids of both, and of the account."""
    surprise = Contradiction(
        payment=RowKey(tenant.organization_id, UUID(payment_id)), id=clock.new_id(),
        was="succeeded", told="succeeded", reason="a_second_charge", amount_cents=1_000,
        currency="EUR", provider_payment_id="ch_2", unapplied_cents=1_000,
    )  # fmt: skip
    async with db.transaction(pool, tenants=[tenant.organization_id]) as conn:
        await contradictions.insert(conn, [surprise], now=clock.now())
        [account] = await provider_accounts.live(conn, tenant.organization_id)
        refund = await begin_refund(
            conn, surprise, account.id, refund_id=clock.new_id(), asked_by="api", now=clock.now()
        )
    assert refund is not None
    return str(surprise.id), str(refund.id), str(account.id)


async def something_found(tenant: Tenant, pool: Pool) -> str:
    """A charge that only the provider knows."""
    one = Finding(what=What.UNKNOWN_HERE, idempotency_key=f"payment-{clock.new_id()}")
    async with db.transaction(pool, tenants=[tenant.organization_id]) as conn:
        [account, *_] = await provider_accounts.live(conn, tenant.organization_id)
        await findings.find(conn, account.key, [one], now=clock.now())
    return str(one.id_in(account.key))


async def something_told(tenant: Tenant, pool: Pool) -> tuple[str, str]:
    """A webhook that was given up: what it was about, and its delivery."""
    told = Event(tenant.organization_id, clock.new_id(), "invoice.voided", clock.new_id(), "{}")
    async with db.transaction(pool, tenants=[tenant.organization_id]) as conn:
        [key] = await events.insert(conn, [told], now=clock.now())
        due = await webhook_deliveries.lock_due(conn, key, now=clock.now())
        assert due is not None
        at = clock.now()
        await webhook_deliveries.put_off(conn, key, until=at)
        assert await webhook_deliveries.failed(
            conn, due, leased_until=at, next_try_at=None, http_status=410, error="gone",
            began_at=at, now=at,
        )  # fmt: skip
    return str(told.object_id), str(key.id)


async def asked_for(tenant: Tenant, pool: Pool, customer: str, lines: Any) -> str:
    """A payment request; what the customer owes besides is overdue as well."""
    fields = {"external_customer_id": customer, "fees": lines}
    invoice = await issue(tenant, **fields)
    async with db.transaction(pool, tenants=[tenant.organization_id]) as conn:
        await conn.execute("UPDATE invoices SET payment_overdue = true")
    asked = {"external_customer_id": customer, "lago_invoice_ids": [invoice["lago_id"]]}
    made = await tenant.post("/payment_requests", {"payment_request": asked})
    assert made.is_success, made.text
    return str(made.json()["payment_request"]["lago_id"])


async def dunned_by(tenant: Tenant, code: str) -> str:
    """A campaign, which the default billing entity applies."""
    fields = {
        "name": "X",
        "code": code,
        "thresholds": [{"currency": "EUR", "amount_cents": 1}],
        "applied_to_organization": True,
    }
    made = await tenant.post("/dunning_campaigns", {"dunning_campaign": fields})
    assert made.is_success, made.text
    return str(made.json()["dunning_campaign"]["code"])


async def with_one_of_everything(tenant: Tenant, pool: Pool, name: str) -> Party:
    customer, tax, add_on = f"{name}-customer", f"{name}-tax", f"{name}-add-on"
    await has_tax(tenant, tax, 10)
    metadata = [{"key": "k", "value": "v"}]
    kept = (await has_customer(tenant, customer, metadata=metadata))["metadata"]
    fields = {"name": "X", "code": add_on, "amount_cents": 1_000, "amount_currency": "EUR"}
    await tenant.post("/add_ons", {"add_on": fields})
    method = await has_method(tenant, pool, customer)
    lines = [{"add_on_code": add_on}]
    order = f"{name}-order"
    invoice = await issue(
        tenant, external_customer_id=customer, fees=lines, purchase_order_number=order
    )
    noted = await tenant.put(f"/invoices/{invoice['lago_id']}", {"invoice": {"metadata": metadata}})
    paid = await pay(tenant, invoice, 100)
    made = await note(tenant, invoice, 100, credit_amount_cents=100, metadata={f"{name}-key": "v"})
    listening = {"webhook_endpoint": {"webhook_url": f"https://{name}.example"}}
    endpoint = await tenant.post("/webhook_endpoints", listening)
    about, delivery = await something_told(tenant, pool)
    payment = paid.json()["payment"]["lago_id"]
    receipts = await tenant.get("/payment_receipts")
    surprise, refund, account = await surprise_and_refund(tenant, pool, payment)
    entities = (await tenant.get("/billing_entities")).json()["billing_entities"]
    words = {
        "add_ons": add_on,
        "billing_entities": entities[0]["code"],
        "contradictions": surprise,
        "credit_notes": made["lago_id"],
        "customers": customer,
        "customer_metadata": kept[0]["lago_id"],
        "dunning_campaigns": await dunned_by(tenant, f"{name}-campaign"),
        "events": about,
        "fees": invoice["fees"][0]["lago_id"],
        "invoices": invoice["lago_id"],
        "invoice_numbers": invoice["number"],
        "order_numbers": order,
        "metadata": f"{name}-key",
        "invoice_metadata": noted.json()["invoice"]["metadata"][0]["lago_id"],
        "payment_methods": method,
        "payment_providers": account,
        "payment_receipts": receipts.json()["payment_receipts"][0]["lago_id"],
        "payment_requests": await asked_for(tenant, pool, customer, lines),
        "payments": payment,
        "provider_accounts": f"play-{customer}",
        "reconciliation_findings": await something_found(tenant, pool),
        "refunds": refund,
        "taxes": tax,
        "webhook_deliveries": delivery,
        "webhook_endpoints": endpoint.json()["webhook_endpoint"]["lago_id"],
    }
    return Party(tenant, words)

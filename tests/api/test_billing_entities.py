"""`/billing_entities` as a caller sees it."""

from __future__ import annotations

from urllib.parse import quote

import asyncpg

from recoup import clock
from recoup.rules.records.organizations import BillingEntity
from recoup.store import db, organizations
from recoup.store.db import Pool
from tests.api.conftest import Tenant

FIELDS = [
    "lago_id", "code", "name", "default_currency", "created_at", "updated_at", "country",
    "address_line1", "address_line2", "phone", "city", "state", "zipcode", "einvoicing", "email",
    "legal_name", "legal_number", "timezone", "net_payment_term", "email_settings",
    "document_numbering", "document_number_prefix", "tax_identification_number",
    "finalize_zero_amount_invoice", "invoice_footer", "invoice_grace_period",
    "subscription_invoice_issuing_date_adjustment", "subscription_invoice_issuing_date_anchor",
    "document_locale", "is_default", "eu_tax_management", "logo_url",
]  # fmt: skip


async def test_a_new_organization_has_one_that_is_its_default(tenant: Tenant) -> None:
    answer = await tenant.get("/billing_entities")
    assert list(answer.json()) == ["billing_entities"]
    (listed,) = answer.json()["billing_entities"]
    assert list(listed) == FIELDS
    defaults = {
        "code": "acme-ltd", "name": "Acme Ltd", "is_default": True, "default_currency": "USD",
        "timezone": "UTC", "document_locale": "en", "net_payment_term": 0,
        "invoice_grace_period": 0, "finalize_zero_amount_invoice": True,
        "document_numbering": "per_customer", "einvoicing": False,
    }  # fmt: skip
    assert {field: listed[field] for field in defaults} == defaults
    shown = (await tenant.get("/billing_entities/acme-ltd")).json()["billing_entity"]
    assert shown == listed | {"taxes": [], "selected_invoice_custom_sections": []}


async def test_a_single_one_shows_its_own_taxes(tenant: Tenant, pool: Pool) -> None:
    vat = {"name": "VAT", "code": "vat", "rate": 20, "applied_to_organization": True}
    await tenant.post("/taxes", {"tax": vat})
    now = clock.now()
    second = BillingEntity(
        organization_id=tenant.organization_id, id=clock.new_id(), code="a/b.json", name="B",
        document_number_prefix="B", created_at=now, updated_at=now,
    )  # fmt: skip
    async with db.transaction(pool, tenants=[tenant.organization_id]) as conn:
        await organizations.insert_billing_entity(conn, second)
    listed = (await tenant.get("/billing_entities")).json()["billing_entities"]
    assert [one["code"] for one in listed] == ["acme-ltd", "a/b.json"]
    shown = {
        code: (await tenant.get(f"/billing_entities/{quote(code, safe='')}")).json()
        for code in ["acme-ltd", "a/b.json"]
    }
    taxes = {
        code: [tax["code"] for tax in one["billing_entity"]["taxes"]] for code, one in shown.items()
    }
    assert taxes == {"acme-ltd": ["vat"], "a/b.json": []}


async def test_another_tenants_entity_is_not_found(
    tenant: Tenant, other_tenant: Tenant, owner: asyncpg.Connection
) -> None:
    assert await owner.fetchval("SELECT count(*) FROM billing_entities") == 2
    for code in ["other-gmbh", "nothing"]:
        refused = await tenant.get(f"/billing_entities/{code}")
        assert refused.json() == {
            "status": 404, "error": "Not Found", "code": "billing_entity_not_found",
        }  # fmt: skip
    (own,) = (await other_tenant.get("/billing_entities")).json()["billing_entities"]
    assert own["code"] == "other-gmbh"

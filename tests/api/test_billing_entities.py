"""`/billing_entities` as a caller sees it."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

import asyncpg
import httpx
import pytest

from recoup import clock
from recoup.rules.records.organizations import BillingEntity
from recoup.store import db, organizations
from recoup.store.db import Pool
from tests.api.billing import has_customer, has_tax, issue, refusal, sells
from tests.api.conftest import Tenant

FIELDS = [
    "lago_id", "code", "name", "default_currency", "created_at", "updated_at", "country",
    "address_line1", "address_line2", "phone", "city", "state", "zipcode", "einvoicing", "email",
    "legal_name", "legal_number", "timezone", "net_payment_term", "email_settings",
    "document_numbering", "document_number_prefix", "tax_identification_number",
    "finalize_zero_amount_invoice", "invoice_footer", "invoice_grace_period",
    "subscription_invoice_issuing_date_adjustment", "subscription_invoice_issuing_date_anchor",
    "document_locale", "is_default", "eu_tax_management", "logo_url",
    "applied_dunning_campaign_code",
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


EVERYTHING: dict[str, Any] = {
    "name": "Acme SAS", "default_currency": "EUR", "country": "FR", "address_line1": "1 rue X",
    "address_line2": "2e", "phone": "+33 1", "city": "Paris", "state": "IDF", "zipcode": "75001",
    "einvoicing": True, "email": "a@example.com", "legal_name": "Acme SAS", "legal_number": "123",
    "timezone": "Europe/Paris", "net_payment_term": 30,
    "email_settings": ["invoice.finalized", "credit_note.created"],
    "document_numbering": "per_billing_entity", "document_number_prefix": "ACF",
    "tax_identification_number": "FR1", "finalize_zero_amount_invoice": False,
    "eu_tax_management": True,
}  # fmt: skip
BILLING: dict[str, Any] = {
    "invoice_footer": "Merci", "invoice_grace_period": 3, "document_locale": "fr",
    "subscription_invoice_issuing_date_anchor": "current_period_end",
    "subscription_invoice_issuing_date_adjustment": "keep_anchor",
}  # fmt: skip


async def create(tenant: Tenant, **fields: Any) -> httpx.Response:
    asked = {"code": "france", "name": "Acme SAS"} | fields
    return await tenant.post("/billing_entities", {"billing_entity": asked})


async def change(tenant: Tenant, of: str = "acme-ltd", /, **fields: Any) -> httpx.Response:
    return await tenant.put(f"/billing_entities/{of}", {"billing_entity": fields})


async def test_an_entity_is_created_with_all_its_fields(
    tenant: Tenant, other_tenant: Tenant
) -> None:
    await has_tax(tenant, "vat", 20)
    answer = await create(
        tenant, **EVERYTHING, billing_configuration=BILLING, tax_codes=["vat"], unknown=1
    )
    assert answer.status_code == 200, answer.text
    made = answer.json()["billing_entity"]
    assert list(made) == FIELDS
    expected = EVERYTHING | BILLING | {"code": "france", "is_default": False}
    assert {field: made[field] for field in expected} == expected
    shown = (await tenant.get("/billing_entities/france")).json()["billing_entity"]
    assert [tax["code"] for tax in shown.pop("taxes")] == ["vat"]
    assert shown == made | {"selected_invoice_custom_sections": []}
    assert (await create(other_tenant)).status_code == 200  # a code is a tenant's own


async def test_an_entity_that_says_little_has_the_defaults(tenant: Tenant) -> None:
    made = (await create(tenant)).json()["billing_entity"]
    expected = {
        "default_currency": "USD", "timezone": "UTC", "document_locale": "en",
        "net_payment_term": 0, "invoice_grace_period": 0, "finalize_zero_amount_invoice": True,
        "document_numbering": "per_customer", "einvoicing": False, "eu_tax_management": False,
        "email_settings": [], "country": None, "is_default": False,
        "document_number_prefix": f"ACM-{made['lago_id'][-4:].upper()}",
    }  # fmt: skip
    assert {field: made[field] for field in expected} == expected


@pytest.mark.parametrize("at_top", [True, False])
async def test_a_change_is_of_what_is_given(tenant: Tenant, at_top: bool) -> None:
    await create(tenant, **EVERYTHING)
    before = (await tenant.get("/billing_entities/france")).json()["billing_entity"]
    given = {"city": None, "timezone": None, "name": "New", "billing_configuration": {
        "invoice_footer": None, "invoice_grace_period": 9}}  # fmt: skip
    body = given if at_top else {"billing_entity": given}
    for method in ("PUT", "PATCH"):
        answer = await tenant.client.request(method, "/api/v1/billing_entities/france", json=body)
        after = answer.json()["billing_entity"]
        expected = {"city": None, "name": "New", "invoice_footer": None, "invoice_grace_period": 9}
        assert after == before | expected | {"updated_at": after["updated_at"]}
    assert (await change(tenant, "france", code="other", unknown=1)).status_code == 200
    assert (await tenant.get("/billing_entities/france")).status_code == 200


async def test_an_entitys_taxes_are_replaced(tenant: Tenant) -> None:
    await has_tax(tenant, "vat", 20, applied_to_organization=True)
    await has_tax(tenant, "city", 1)
    changed = (await change(tenant, tax_codes=["city"])).json()["billing_entity"]
    assert [tax["code"] for tax in changed["taxes"]] == ["city"]
    kept = (await change(tenant, name="X")).json()["billing_entity"]
    assert [tax["code"] for tax in kept["taxes"]] == ["city"]
    assert refusal(await change(tenant, name="Y", tax_codes=["no"])) == (404, "tax_not_found")
    assert (await tenant.get("/billing_entities/acme-ltd")).json()["billing_entity"] == kept
    assert (await change(tenant, tax_codes=[])).json()["billing_entity"]["taxes"] == []


@pytest.mark.parametrize(
    ("fields", "details"),
    [
        ({"code": " "}, {"code": ["value_is_mandatory"]}),
        ({"code": None, "name": None},
         {"code": ["value_is_mandatory"], "name": ["value_is_mandatory"]}),
        ({"code": "acme-ltd"}, {"code": ["value_already_exist"]}),
        ({"code": "x" * 256}, {"code": ["value_is_too_long"]}),
        ({"name": "a\0b"}, {"name": ["value_is_invalid"]}),
    ],
)  # fmt: skip
async def test_a_new_entity_needs_a_code_and_a_name(
    tenant: Tenant, owner: asyncpg.Connection, fields: Any, details: Any
) -> None:
    assert refusal(await create(tenant, **fields)) == (422, details)
    assert await owner.fetchval("SELECT count(*) FROM billing_entities") == 1


@pytest.mark.parametrize(
    ("fields", "details"),
    [
        ({"country": "XX"}, {"country": ["not_a_valid_country_code"]}),
        ({"default_currency": "XXX"}, {"default_currency": ["value_is_invalid"]}),
        ({"email": "nobody"}, {"email": ["invalid_email_format"]}),
        ({"timezone": "Mars/Base"}, {"timezone": ["invalid_timezone"]}),
        ({"net_payment_term": -1}, {"net_payment_term": ["value_is_out_of_range"]}),
        ({"net_payment_term": 2**70}, {"net_payment_term": ["value_is_out_of_range"]}),
        ({"net_payment_term": "soon"}, {"net_payment_term": ["value_is_invalid"]}),
        ({"document_numbering": "per_organization"}, {"document_numbering": ["value_is_invalid"]}),
        ({"document_number_prefix": ""}, {"document_number_prefix": ["value_is_too_short"]}),
        ({"document_number_prefix": "x" * 11}, {"document_number_prefix": ["value_is_too_long"]}),
        ({"email_settings": ["x"]}, {"email_settings": ["unsupported_value"]}),
        ({"einvoicing": "perhaps"}, {"einvoicing": ["value_is_invalid"]}),
        ({"billing_configuration": {"invoice_footer": "x" * 601}},
         {"invoice_footer": ["value_is_too_long"]}),
        ({"billing_configuration": {"invoice_grace_period": -1}},
         {"invoice_grace_period": ["value_is_out_of_range"]}),
        ({"billing_configuration": {"document_locale": "xx"}},
         {"document_locale": ["not_a_valid_language_code"]}),
        ({"billing_configuration": {"subscription_invoice_issuing_date_anchor": "x"}},
         {"subscription_invoice_issuing_date_anchor": ["value_is_invalid"]}),
        ({"billing_configuration": []}, {"billing_configuration": ["value_is_invalid"]}),
    ],
)  # fmt: skip
async def test_broken_rules_are_named_and_nothing_changes(
    tenant: Tenant, owner: asyncpg.Connection, fields: Any, details: Any
) -> None:
    before = await owner.fetch("SELECT e FROM billing_entities e")
    assert refusal(await create(tenant, **fields)) == (422, details)
    assert refusal(await change(tenant, legal_name="Must not stay", **fields)) == (422, details)
    assert await owner.fetch("SELECT e FROM billing_entities e") == before


async def test_what_is_not_there_or_not_said_is_refused(
    tenant: Tenant, other_tenant: Tenant
) -> None:
    root = "BadRequest: param is missing or the value is empty or invalid: billing_entity"
    assert refusal(await tenant.post("/billing_entities", {})) == (400, root)
    for body in ({}, {"billing_entity": {}}, {"billing_entity": "x"}, None):
        answer = await tenant.put("/billing_entities/acme-ltd", body)
        assert refusal(answer) == (400, root), body
    for code in ("other-gmbh", "nothing", "%00"):
        answer = await change(tenant, code, name="Mine")
        assert refusal(answer) == (404, "billing_entity_not_found")
    assert (await other_tenant.get("/billing_entities/other-gmbh")).json()["billing_entity"][
        "name"
    ] == "Other GmbH"


async def test_two_who_create_one_code_make_one_entity(tenant: Tenant) -> None:
    answers = await asyncio.gather(*(create(tenant) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 422, 422, 422]


async def test_each_entity_numbers_its_own_invoices(tenant: Tenant) -> None:
    await sells(tenant)
    await create(tenant, document_number_prefix="FRA")
    await create(
        tenant, code="spain", document_number_prefix="ESP",
        document_numbering="per_billing_entity", timezone="Pacific/Kiritimati",
    )  # fmt: skip
    await has_customer(tenant, "c2")
    await has_customer(tenant, "c3", billing_entity_code="france")
    prefix = (await tenant.get("/organizations")).json()["organization"]["document_number_prefix"]
    asks = [
        {}, {"billing_entity_code": "france"}, {"billing_entity_code": "spain"},
        {"billing_entity_code": "spain", "external_customer_id": "c2"},
        {"external_customer_id": "c3"}, {},
    ]  # fmt: skip
    made = [await issue(tenant, **ask) for ask in asks]
    month = made[2]["number"][4:10]
    assert [one["number"] for one in made] == [
        f"{prefix}-001-001", "FRA-001-001", f"ESP-{month}-001", f"ESP-{month}-002", "FRA-003-001",
        f"{prefix}-001-002",
    ]  # fmt: skip
    assert [one["billing_entity_code"] for one in made] == [
        "acme-ltd", "france", "spain", "spain", "france", "acme-ltd",
    ]  # fmt: skip
    query = "billing_entity_codes[]=france&billing_entity_codes[]=spain"
    listed = (await tenant.client.get(f"/api/v1/invoices?{query}")).json()["invoices"]
    assert {one["lago_id"] for one in listed} == {one["lago_id"] for one in made[1:5]}
    mine = (await tenant.client.get("/api/v1/customers?billing_entity_codes[]=france")).json()
    assert [one["external_id"] for one in mine["customers"]] == ["c3"]


async def test_a_logo_is_named_by_its_address_in_lagos_word_or_in_ours(tenant: Tenant) -> None:
    async def put(**said: Any) -> httpx.Response:
        return await tenant.put("/billing_entities/acme-ltd", {"billing_entity": said})

    for field in ("logo", "logo_url"):
        address = f"https://cdn.example/{field}.png"
        assert (await put(**{field: address})).json()["billing_entity"]["logo_url"] == address
        picture = (
            "data:image/png;base64,iVBORw0KGgo="  # documents have no room for one that is sent
        )
        assert refusal(await put(**{field: picture})) == (422, {field: ["url_is_invalid"]})
    both = {"logo": None, "logo_url": "https://cdn.example/both.png"}
    assert (await put(**both)).json()["billing_entity"]["logo_url"] == both["logo_url"]
    assert (await put(logo=None)).json()["billing_entity"]["logo_url"] is None
    assert (await put(name="Acme")).json()["billing_entity"]["logo_url"] is None

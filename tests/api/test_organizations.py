"""`/organizations` as a caller sees it."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from tests.api.conftest import Tenant

EVERYTHING = {
    "country": "FR", "default_currency": "EUR", "address_line1": "1 rue X", "address_line2": "2e",
    "state": "IDF", "zipcode": "75001", "email": "a@example.com", "city": "Paris",
    "legal_name": "Acme SAS", "legal_number": "123", "net_payment_term": 30,
    "tax_identification_number": "FR1", "timezone": "Europe/Paris",
    "document_numbering": "per_organization", "document_number_prefix": "ACM",
    "finalize_zero_amount_invoice": False, "slug": "acme-paris",
    "email_settings": ["invoice.finalized", "payment_receipt.created"],
    "billing_configuration": {
        "invoice_footer": "Merci", "invoice_grace_period": 3, "document_locale": "fr",
    },
}  # fmt: skip


async def test_an_organization_is_told_as_the_contract_has_it(tenant: Tenant) -> None:
    answer = await tenant.get("/organizations")
    assert answer.status_code == 200
    told = answer.json()["organization"]
    assert list(told) == [
        "lago_id", "name", "slug", "default_currency", "created_at", "webhook_url", "webhook_urls",
        "country", "address_line1", "address_line2", "state", "zipcode", "email", "city",
        "legal_name", "legal_number", "timezone", "net_payment_term", "email_settings",
        "document_numbering", "document_number_prefix", "tax_identification_number",
        "finalize_zero_amount_invoice", "billing_configuration", "events_store",
    ]  # fmt: skip
    assert told["lago_id"] == str(tenant.organization_id)
    assert (told["name"], told["webhook_url"], told["webhook_urls"]) == ("Acme Ltd", "", [])
    assert told["document_number_prefix"] == f"ACM-{str(tenant.organization_id)[-4:].upper()}"
    assert told["billing_configuration"] == {
        "invoice_footer": None, "invoice_grace_period": 0, "document_locale": "en",
    }  # fmt: skip


async def test_every_field_is_changed_here_and_at_the_default_billing_entity(
    tenant: Tenant, other_tenant: Tenant
) -> None:
    vat = {"name": "VAT", "code": "vat", "rate": 20, "applied_to_organization": True}
    await tenant.post("/taxes", {"tax": vat})
    theirs = (await other_tenant.get("/organizations")).json()
    answer = await tenant.put("/organizations", {"organization": EVERYTHING})
    assert answer.status_code == 200, answer.text
    told = answer.json()["organization"]
    assert {field: told[field] for field in EVERYTHING} == EVERYTHING
    assert [tax["code"] for tax in told.pop("taxes")] == ["vat"]
    assert (await tenant.get("/organizations")).json()["organization"] == told

    (entity,) = (await tenant.get("/billing_entities")).json()["billing_entities"]
    mirrored = EVERYTHING | EVERYTHING["billing_configuration"]  # type: ignore[operator]
    mirrored |= {"document_numbering": "per_billing_entity"}
    del mirrored["billing_configuration"], mirrored["slug"]
    assert {field: entity[field] for field in mirrored} == mirrored

    nulls = dict.fromkeys(["country", "email", "address_line1", "legal_number"])
    emptied = await tenant.put("/organizations", {"organization": nulls})
    left = emptied.json()["organization"]
    assert [tax["code"] for tax in left.pop("taxes")] == ["vat"]
    assert left == told | nulls
    assert (await other_tenant.get("/organizations")).json() == theirs


async def test_what_is_written_in_another_form_is_tidied(tenant: Tenant) -> None:
    change = {
        "country": "de", "document_number_prefix": "abc-9", "zipcode": 1234, "timezone": "GMT+12",
        "email_settings": ["invoice.finalized", "invoice.finalized"], "city": " ",
        "finalize_zero_amount_invoice": None, "billing_configuration": None, "unknown": 1,
    }  # fmt: skip
    told = (await tenant.put("/organizations", {"organization": change})).json()["organization"]
    assert told["country"] == "DE"
    assert told["document_number_prefix"] == "ABC-9"
    assert (told["zipcode"], told["city"]) == ("1234", None)
    assert told["timezone"] == "Etc/GMT+12"
    assert told["email_settings"] == ["invoice.finalized"]
    assert told["finalize_zero_amount_invoice"] is True


@pytest.mark.parametrize(
    ("change", "details"),
    [
        ({"country": "XX"}, {"country": ["not_a_valid_country_code"]}),
        ({"default_currency": "XXX"}, {"default_currency": ["value_is_invalid"]}),
        ({"default_currency": None}, {"default_currency": ["value_is_invalid"]}),
        ({"email": "nobody"}, {"email": ["invalid_email_format"]}),
        ({"timezone": "Mars/Base"}, {"timezone": ["invalid_timezone"]}),
        ({"net_payment_term": -1}, {"net_payment_term": ["value_is_out_of_range"]}),
        ({"net_payment_term": 2**40}, {"net_payment_term": ["value_is_out_of_range"]}),
        ({"net_payment_term": None}, {"net_payment_term": ["value_is_mandatory"]}),
        ({"document_numbering": "per_billing_entity"},
         {"document_numbering": ["value_is_invalid"]}),
        ({"document_number_prefix": ""}, {"document_number_prefix": ["value_is_too_short"]}),
        ({"document_number_prefix": "x" * 11}, {"document_number_prefix": ["value_is_too_long"]}),
        ({"document_number_prefix": "ß" * 10}, {"document_number_prefix": ["value_is_too_long"]}),
        ({"slug": None}, {"slug": ["value_is_mandatory"]}),
        ({"city": "a\0b"}, {"city": ["value_is_invalid"]}),
        ({"email_settings": ["invoice.finalized", "x"]}, {"email_settings": ["unsupported_value"]}),
        ({"email_settings": "x"}, {"email_settings": ["value_is_invalid"]}),
        ({"billing_configuration": {"invoice_footer": "x" * 601}},
         {"invoice_footer": ["value_is_too_long"]}),
        ({"billing_configuration": {"invoice_grace_period": -1}},
         {"invoice_grace_period": ["value_is_out_of_range"]}),
        ({"billing_configuration": {"document_locale": "xx"}},
         {"document_locale": ["not_a_valid_language_code"]}),
        ({"webhook_url": "nonsense"}, {"webhook_url": ["url_is_invalid"]}),
        ({"country": "XX", "email": "x"},
         {"country": ["not_a_valid_country_code"], "email": ["invalid_email_format"]}),
    ],
)  # fmt: skip
async def test_broken_rules_are_named_and_nothing_is_stored(
    tenant: Tenant, owner: asyncpg.Connection, change: dict[str, Any], details: dict[str, list[str]]
) -> None:
    async def stored() -> list[Any]:
        rows = await owner.fetch("SELECT o, e FROM organizations o, billing_entities e")
        return [*rows, await owner.fetchval("SELECT count(*) FROM webhook_endpoints")]

    before = await stored()
    asked = {"legal_name": "Must not stay"} | change
    refused = await tenant.put("/organizations", {"organization": asked})
    assert (refused.status_code, refused.json().get("error_details")) == (422, details)
    assert await stored() == before


async def test_a_footer_may_have_600_characters(tenant: Tenant) -> None:
    longest = {"billing_configuration": {"invoice_footer": "ü" * 600}}
    assert (await tenant.put("/organizations", {"organization": longest})).status_code == 200


async def test_the_webhook_url_is_that_of_the_oldest_endpoint(
    tenant: Tenant, other_tenant: Tenant
) -> None:
    async def point(url: str | None) -> Any:
        return await tenant.put("/organizations", {"organization": {"webhook_url": url}})

    assert (await point("")).json()["organization"]["webhook_urls"] == []
    made = (await point("https://example.com/a")).json()["organization"]
    assert (made["webhook_url"], made["webhook_urls"]) == (
        "https://example.com/a", ["https://example.com/a"],
    )  # fmt: skip
    second = {"webhook_url": "https://example.com/b"}
    await tenant.post("/webhook_endpoints", {"webhook_endpoint": second})
    moved = (await point("https://example.com/c")).json()["organization"]
    assert moved["webhook_url"] == "https://example.com/c"
    assert moved["webhook_urls"] == ["https://example.com/c", "https://example.com/b"]
    for url, code in [
        ("https://example.com/b", "value_already_exist"),
        (None, "value_is_mandatory"),
    ]:
        refused = await point(url)
        assert refused.json()["error_details"] == {"webhook_url": [code]}
    assert (await tenant.get("/organizations")).json()["organization"]["webhook_urls"] == [
        "https://example.com/c", "https://example.com/b",
    ]  # fmt: skip
    assert (await other_tenant.get("/organizations")).json()["organization"]["webhook_url"] == ""


async def test_a_missing_root_object_is_a_400(tenant: Tenant) -> None:
    refused = await tenant.put("/organizations", {})
    assert refused.status_code == 400
    assert refused.json()["error"].endswith("invalid: organization")

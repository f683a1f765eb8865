"""`/customers` as a caller sees it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import asyncpg
import pytest

from recoup import clock
from recoup.flows.add_provider_account import add_provider_account
from recoup.store import db
from recoup.store.db import Pool
from tests.account_secrets import SECRETS_OF
from tests.api.conftest import BOX, Tenant

SANDBOX = {"payment_provider": "sandbox", "payment_provider_code": "play"}
KEYS = """
    lago_id billing_entity_code external_id account_type name firstname lastname customer_type
    sequential_id slug created_at updated_at country address_line1 address_line2 state zipcode email
    city url phone logo_url legal_name legal_number currency tax_identification_number timezone
    applicable_timezone net_payment_term external_salesforce_id finalize_zero_amount_invoice
    billing_configuration shipping_address skip_invoice_custom_sections metadata taxes
    integration_customers applicable_invoice_custom_sections error_details
    exclude_from_dunning_campaign applied_dunning_campaign_code
""".split()  # noqa: SIM905
ALL_FIELDS = {
    "account_type": "partner", "name": "Ada", "firstname": "Ada", "lastname": "Lovelace",
    "customer_type": "individual", "country": "GB", "address_line1": "12 St James's Square",
    "address_line2": "Top", "state": "London", "zipcode": "SW1Y 4JH", "email": "a@b.co,c@d.co",
    "city": "London", "url": "https://ada.example", "phone": "+44 20", "logo_url": "https://l.example",
    "legal_name": "Ada Ltd", "legal_number": "7", "tax_identification_number": "GB1",
    "currency": "GBP", "timezone": "Europe/London", "net_payment_term": 30,
    "external_salesforce_id": "sf", "finalize_zero_amount_invoice": "skip",
    "skip_invoice_custom_sections": True,
    "shipping_address": {
        "address_line1": "1", "address_line2": "2", "city": "Leeds", "zipcode": "LS1",
        "state": "Y", "country": "GB",
    },
}  # fmt: skip
BILLING = {
    "invoice_grace_period": 3, "document_locale": "fr",
    "subscription_invoice_issuing_date_anchor": "next_period_start",
    "subscription_invoice_issuing_date_adjustment": "keep_anchor",
}  # fmt: skip


async def upsert(tenant: Tenant, external_id: Any = "c1", **fields: Any) -> Any:
    """Create or change a customer, and answer it."""
    answer = await tenant.post("/customers", {"customer": {"external_id": external_id} | fields})
    assert answer.status_code == 200, answer.text
    return answer.json()["customer"]


async def refused(tenant: Tenant, **fields: Any) -> Any:
    """What is wrong, by field."""
    answer = await tenant.post("/customers", {"customer": {"external_id": "c1"} | fields})
    assert answer.status_code == 422, answer.text
    return answer.json()["error_details"]


async def add_account(
    pool: Pool, tenant: Tenant, kind: str = "sandbox", code: str = "play"
) -> None:
    async with db.transaction(pool, tenants=[tenant.organization_id]) as conn:
        await add_provider_account(
            conn, tenant.organization_id, kind, code, "Play", SECRETS_OF[kind],
            box=BOX, account_id=clock.new_id(), now=clock.now(),
        )  # fmt: skip


async def listed(tenant: Tenant, **query: Any) -> list[str]:
    """The external ids of the customers in a list."""
    answer = await tenant.get("/customers", **query)
    assert answer.status_code == 200, answer.text
    return [customer["external_id"] for customer in answer.json()["customers"]]


async def told(owner: asyncpg.Connection) -> list[Any]:
    rows = await owner.fetch("SELECT body FROM events ORDER BY created_at, webhook_type")
    return [json.loads(row["body"]) for row in rows]


async def test_a_customer_has_every_field_of_the_wire(
    tenant: Tenant, owner: asyncpg.Connection
) -> None:
    made = await upsert(tenant, **ALL_FIELDS, billing_configuration=BILLING)
    assert list(made) == KEYS
    assert {field: made[field] for field in ALL_FIELDS} == ALL_FIELDS
    assert made["billing_configuration"] == BILLING | {
        "payment_provider": None, "payment_provider_code": None,
    }  # fmt: skip
    assert made["applicable_timezone"] == "Europe/London"
    assert made["billing_entity_code"] == "acme-ltd"
    prefix = await owner.fetchval("SELECT document_number_prefix FROM organizations")
    assert (made["sequential_id"], made["slug"]) == (1, f"{prefix}-001")
    assert (await tenant.get("/customers/c1")).json() == {"customer": made}
    [event] = await told(owner)
    assert event["webhook_type"] == "customer.created"
    assert event["customer"] == made


async def test_only_what_is_given_changes(tenant: Tenant, owner: asyncpg.Connection) -> None:
    made = await upsert(tenant, **ALL_FIELDS, billing_configuration=BILLING)
    changed = await upsert(
        tenant, city=None, zipcode=75001, shipping_address={"city": "York"},
        billing_configuration={"document_locale": "de"}, account_type=None,
    )  # fmt: skip
    made["city"], made["zipcode"], made["shipping_address"]["city"] = None, "75001", "York"
    made["billing_configuration"]["document_locale"] = "de"
    assert changed == made | {"updated_at": changed["updated_at"]}
    assert [event["webhook_type"] for event in await told(owner)] == [
        "customer.created", "customer.updated",
    ]  # fmt: skip
    empty = await upsert(tenant, **dict.fromkeys(ALL_FIELDS), billing_configuration=None)
    assert (empty["name"], empty["email"], empty["net_payment_term"]) == (None, None, None)
    assert (empty["account_type"], empty["finalize_zero_amount_invoice"]) == ("partner", "skip")
    assert empty["applicable_timezone"] == "UTC"


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("external_id", "", "value_is_mandatory"),
        ("external_id", None, "value_is_mandatory"),
        ("external_id", "x" * 256, "value_is_too_long"),
        ("external_id", "a\0b", "value_is_invalid"),
        ("name", "a\0b", "value_is_invalid"),
        ("name", ["Ada"], "value_is_invalid"),
        ("email", "a@b.co, nobody", "invalid_email_format"),
        ("country", "XX", "not_a_valid_country_code"),
        (
            "integration_customers",
            [{"integration_type": "xero"}, {"integration_type": "xero"}],
            "invalid_count_per_integration_type",
        ),
        ("currency", "XXX", "value_is_invalid"),
        ("timezone", "Mars/Olympus", "invalid_timezone"),
        ("net_payment_term", -1, "value_is_out_of_range"),
        ("net_payment_term", 2**40, "value_is_out_of_range"),
        ("account_type", "robot", "value_is_invalid"),
        ("customer_type", "robot", "value_is_invalid"),
        ("finalize_zero_amount_invoice", "maybe", "invalid_value"),
    ],
)
async def test_a_broken_field_is_named_and_nothing_is_stored(
    tenant: Tenant, owner: asyncpg.Connection, field: str, value: Any, code: str
) -> None:
    assert await refused(tenant, **{field: value}) == {field: [code]}
    assert await owner.fetchval("SELECT count(*) FROM customers") == 0


async def test_broken_fields_are_named_together(tenant: Tenant) -> None:
    assert await refused(
        tenant, email="x", country="XX", shipping_address={"country": "XX"},
        billing_configuration={"document_locale": "xx", "invoice_grace_period": -1},
    ) == {
        "email": ["invalid_email_format"],
        "country": ["not_a_valid_country_code"],
        "shipping_country": ["not_a_valid_country_code"],
        "document_locale": ["not_a_valid_language_code"],
        "invoice_grace_period": ["value_is_out_of_range"],
    }  # fmt: skip
    empty = await tenant.post("/customers", {})
    assert empty.json()["error"].endswith("invalid: customer")


async def test_codes_are_read_leniently(tenant: Tenant) -> None:
    made = await upsert(tenant, country="fr", timezone="GMT+12", invoice_grace_period="2")
    assert (made["country"], made["timezone"]) == ("FR", "Etc/GMT+12")
    assert made["billing_configuration"]["invoice_grace_period"] == 2
    number = await upsert(tenant, external_id=42)
    assert number["external_id"] == "42"


async def test_metadata_are_replaced_and_known_ids_keep_their_rows(tenant: Tenant) -> None:
    made = await upsert(
        tenant,
        metadata=[
            {"key": "a", "value": 1, "display_in_invoice": True},
            {"key": "b", "value": "2", "display_in_invoice": False},
        ],
    )
    a, b = made["metadata"]
    assert (a["key"], a["value"], a["display_in_invoice"]) == ("a", "1", True)
    scalars = [{"key": "a", "value": True}, {"key": 5, "value": 1.5}]
    written = (await upsert(tenant, external_id="c2", metadata=scalars))["metadata"]
    assert {one["key"]: one["value"] for one in written} == {"a": "true", "5": "1.5"}
    swapped = await upsert(
        tenant,
        metadata=[
            {"id": b["lago_id"].upper(), "key": "a"},
            {"id": "nobody's", "key": "b", "value": "3"},
        ],
    )
    kept = {one["lago_id"]: one for one in swapped["metadata"]}
    assert a["lago_id"] not in kept
    assert kept.pop(b["lago_id"]) == b | {"key": "a"}
    assert [(one["key"], one["value"]) for one in kept.values()] == [("b", "3")]
    assert (await upsert(tenant, name="Ada"))["metadata"] == swapped["metadata"]
    assert (await upsert(tenant, metadata=[]))["metadata"] == []


@pytest.mark.parametrize(
    ("metadata", "details"),
    [
        ([{"key": str(n), "value": "v"} for n in range(6)], {"metadata": ["invalid_count"]}),
        ([{"key": "k" * 21, "value": "v"}], {"key": ["value_is_too_long"]}),
        ([{"key": "k", "value": "v" * 101}], {"value": ["value_is_too_long"]}),
        ([{"key": "k"}], {"value": ["value_is_mandatory"]}),
        ([{"key": "k", "value": "1"}, {"key": "k", "value": "2"}],
         {"key": ["value_already_exist"]}),
        ([{"key": "k", "value": "a\0"}], {"value": ["value_is_invalid"]}),
    ],
)  # fmt: skip
async def test_metadata_have_bounds(
    tenant: Tenant, owner: asyncpg.Connection, metadata: Any, details: Any
) -> None:
    assert await refused(tenant, metadata=metadata) == details
    assert await owner.fetchval("SELECT count(*) FROM customers") == 0


async def test_taxes_and_the_billing_entity_are_found_by_code(
    tenant: Tenant, owner: asyncpg.Connection
) -> None:
    for code in ("vat", "gst"):
        await tenant.post("/taxes", {"tax": {"name": code, "code": code, "rate": 20}})
    made = await upsert(tenant, tax_codes=["vat", "gst", "vat"])
    assert [tax["code"] for tax in made["taxes"]] == ["vat", "gst"]
    assert [tax["code"] for tax in (await upsert(tenant, name="Ada"))["taxes"]] == ["vat", "gst"]
    assert (await upsert(tenant, tax_codes=[]))["taxes"] == []
    for fields, code in (
        ({"tax_codes": ["vat", "no"]}, "tax_not_found"),
        ({"billing_entity_code": "no"}, "billing_entity_not_found"),
    ):
        body = {"customer": {"external_id": "c2"} | fields}
        answer = await tenant.post("/customers", body)
        assert (answer.status_code, answer.json()["code"]) == (404, code)
    assert await owner.fetchval("SELECT count(*) FROM customers") == 1
    named = await upsert(tenant, billing_entity_code="acme-ltd")
    assert named["billing_entity_code"] == "acme-ltd"


@pytest.mark.parametrize("external_id", ["a.b", "a/b", "a b%", "naïve+1", "x.json", "a?b#c"])
async def test_an_external_id_is_any_text(tenant: Tenant, external_id: str) -> None:
    made = await upsert(tenant, external_id=external_id)
    path = f"/customers/{''.join(f'%{byte:02X}' for byte in external_id.encode())}"
    assert (await tenant.get(path)).json()["customer"] == made
    assert (await tenant.delete(path)).status_code == 200
    gone = await tenant.get(path)
    assert (gone.status_code, gone.json()["code"]) == (404, "customer_not_found")


async def test_what_no_customer_can_be_called_is_not_found(tenant: Tenant) -> None:
    assert (await tenant.get("/customers/%00")).status_code == 404
    assert (await tenant.delete("/customers/%00")).status_code == 404
    assert (await tenant.get("/customers/%ff")).status_code == 404


async def test_a_deleted_customers_external_id_is_free_and_its_number_is_not(
    tenant: Tenant, pool: Pool, owner: asyncpg.Connection
) -> None:
    await add_account(pool, tenant)
    made = await upsert(tenant, billing_configuration=SANDBOX | {"provider_customer_id": "cus_1"})
    method = {"payment_method": {"provider_method_id": "pm_1"}}
    await tenant.post("/customers/c1/payment_methods", method)
    answer = await tenant.delete("/customers/c1")
    assert answer.json() == {"customer": made}
    assert (await tenant.delete("/customers/c1")).status_code == 404
    assert await listed(tenant) == []
    left = await owner.fetchrow("""
        SELECT (SELECT count(*) FROM provider_customers WHERE discarded_at IS NULL) AS links,
               (SELECT count(*) FROM payment_methods WHERE deleted_at IS NULL) AS methods
    """)
    assert tuple(left) == (0, 0)
    again = await upsert(tenant)
    assert again["lago_id"] != made["lago_id"]
    assert again["sequential_id"] == 2


async def test_customers_made_at_once_are_numbered_without_a_gap(tenant: Tenant) -> None:
    made = await asyncio.gather(*(upsert(tenant, external_id=f"c{n % 6}") for n in range(12)))
    numbers = {customer["external_id"]: customer["sequential_id"] for customer in made}
    assert sorted(numbers.values()) == [1, 2, 3, 4, 5, 6]
    assert len({customer["lago_id"] for customer in made}) == 6


async def test_a_refused_customer_uses_up_no_number(tenant: Tenant) -> None:
    await refused(tenant, billing_configuration=SANDBOX | {"sync_with_provider": True})
    assert (await upsert(tenant))["sequential_id"] == 1


async def test_a_customer_is_linked_and_what_it_is_linked_to_is_shown(
    tenant: Tenant, pool: Pool, owner: asyncpg.Connection
) -> None:
    await add_account(pool, tenant)
    await add_account(pool, tenant, "stripe", "eu")
    own = await upsert(tenant, billing_configuration=SANDBOX | {"provider_customer_id": "cus_1"})
    assert (
        own["billing_configuration"].items()
        >= (SANDBOX | {"provider_customer_id": "cus_1", "sync_with_provider": False}).items()
    )
    assert "provider_payment_methods" not in own["billing_configuration"]
    made = await upsert(
        tenant, external_id="c2", billing_configuration=SANDBOX | {"sync_with_provider": True}
    )
    shown = made["billing_configuration"]
    assert shown["provider_customer_id"] == f"cus_{made['lago_id'].replace('-', '')}"
    stripe = await upsert(
        tenant, external_id="c3",
        billing_configuration={
            "payment_provider": "stripe", "provider_customer_id": "cus_3",
            "provider_payment_methods": ["card", "link"],
        },
    )  # fmt: skip
    assert stripe["billing_configuration"]["payment_provider_code"] == "eu"
    assert stripe["billing_configuration"]["provider_payment_methods"] == ["card", "link"]
    happened = [
        (event["webhook_type"], event["customer"]["external_id"]) for event in await told(owner)
    ]
    assert sorted(happened) == [
        ("customer.created", "c1"), ("customer.created", "c2"), ("customer.created", "c3"),
        ("customer.payment_provider_created", "c2"),
    ]  # fmt: skip


async def test_a_refused_link_stores_nothing_of_the_customer(
    tenant: Tenant, pool: Pool, owner: asyncpg.Connection
) -> None:
    wanted = SANDBOX | {"provider_customer_id": "cus_1"}
    details = await refused(tenant, billing_configuration=wanted)
    assert details == {"base": ["payment_provider_not_found"]}
    assert await owner.fetchval("SELECT count(*) FROM customers") == 0
    assert await told(owner) == []
    await add_account(pool, tenant)
    await add_account(pool, tenant, code="play2")
    assert await refused(
        tenant, billing_configuration=wanted | {"payment_provider_code": None}
    ) == {"base": ["payment_provider_code_missing"]}
    await upsert(tenant, name="Ada", billing_configuration=wanted)
    await refused(
        tenant, name="Eve", billing_configuration=SANDBOX | {"payment_provider_code": "no"}
    )
    assert (await tenant.get("/customers/c1")).json()["customer"]["name"] == "Ada"


@pytest.mark.parametrize(
    "asked",
    [
        {"payment_provider": None},
        {"payment_provider": "stripe", "payment_provider_code": "eu"},
        {"provider_customer_id": "cus_2"},
    ],
)
async def test_methods_of_a_link_that_is_given_up_go_with_it(
    tenant: Tenant, pool: Pool, asked: Any
) -> None:
    await add_account(pool, tenant)
    await add_account(pool, tenant, "stripe", "eu")
    await upsert(tenant, billing_configuration=SANDBOX | {"provider_customer_id": "cus_1"})
    method = {"payment_method": {"provider_method_id": "pm_1"}}
    await tenant.post("/customers/c1/payment_methods", method)
    unchanged = SANDBOX | {"sync_with_provider": True}
    await upsert(tenant, billing_configuration=unchanged)
    assert (await tenant.get("/customers/c1/payment_methods")).json()["meta"]["total_count"] == 1
    after = (await upsert(tenant, billing_configuration=asked))["billing_configuration"]
    assert (await tenant.get("/customers/c1/payment_methods")).json()["payment_methods"] == []
    if asked == {"payment_provider": None}:
        assert (after["payment_provider"], after["payment_provider_code"]) == (None, None)
        assert "provider_customer_id" not in after


async def test_the_list_is_filtered_and_paged(tenant: Tenant, other_tenant: Tenant) -> None:
    await upsert(
        tenant, "ada", name="Ada Lovelace", email="ada@x.co", country="GB", state="London",
        zipcode="SW1", currency="GBP", customer_type="individual", tax_identification_number="GB1",
        metadata=[{"key": "tier", "value": "gold"}],
    )  # fmt: skip
    await upsert(
        tenant, "bob", legal_name="Bob 100% Ltd", country="FR", currency="EUR",
        account_type="partner", metadata=[{"key": "tier", "value": "iron"}],
    )  # fmt: skip
    await upsert(tenant, "cyd", firstname="Cyd", lastname="Char_sse", country="FR")
    await upsert(other_tenant, "eve", name="Ada")
    assert await listed(tenant) == ["cyd", "bob", "ada"]
    for query, found in [
        ({"external_id": "bob"}, ["bob"]),
        ({"search_term": "LOVE"}, ["ada"]),
        ({"search_term": "100%"}, ["bob"]),
        ({"search_term": "r_s"}, ["cyd"]),
        ({"search_term": "x.co"}, ["ada"]),
        ({"account_type[]": "partner"}, ["bob"]),
        ({"countries[]": ["GB", "FR"]}, ["cyd", "bob", "ada"]),
        ({"countries": "FR"}, ["cyd", "bob"]),
        ({"countries": ["FR", "DE"]}, ["cyd", "bob"]),
        ({"states[]": "London"}, ["ada"]),
        ({"zipcodes[]": "SW1"}, ["ada"]),
        ({"currencies[]": ["EUR", "USD"]}, ["bob"]),
        ({"billing_entity_codes[]": "acme-ltd"}, ["cyd", "bob", "ada"]),
        ({"billing_entity_codes[]": "other"}, []),
        ({"has_tax_identification_number": "true"}, ["ada"]),
        ({"has_tax_identification_number": "false"}, ["cyd", "bob"]),
        ({"customer_type": "individual"}, ["ada"]),
        ({"has_customer_type": "false"}, ["cyd", "bob"]),
        ({"metadata[tier]": "gold"}, ["ada"]),
        ({"metadata[tier]": ""}, ["cyd"]),
        ({"metadata[tier]": "gold", "metadata[x]": ""}, ["ada"]),
        ({"metadata[tier]": "gold", "metadata[x]": "1"}, []),
        ({"countries[]": "FR", "search_term": "cyd"}, ["cyd"]),
        ({"search_term": " "}, ["cyd", "bob", "ada"]),
    ]:  # fmt: skip
        assert await listed(tenant, **query) == found, query
    second = (await tenant.get("/customers", page=2, per_page=2)).json()
    assert [customer["external_id"] for customer in second["customers"]] == ["ada"]
    assert second["meta"] == {
        "current_page": 2, "next_page": None, "prev_page": 1, "total_pages": 2, "total_count": 3,
    }  # fmt: skip
    assert list(second["customers"][0]) == KEYS[:-4]


@pytest.mark.parametrize(("field", "filtered"), [("state", "states[]"), ("zipcode", "zipcodes[]")])
async def test_a_long_text_is_found_whole_and_by_no_shorter_one(
    tenant: Tenant, field: str, filtered: str
) -> None:
    texts = {"a": "ü" * 99, "b": "ü" * 100, "c": "ü" * 101, "d": "x" * 3_000}
    for external_id, text in texts.items():  # the last is more than an index entry holds
        await upsert(tenant, external_id, **{field: text})
    for external_id, text in texts.items():
        assert await listed(tenant, **{filtered: text}) == [external_id]
    assert await listed(tenant, **{filtered: "ü" * 102}) == []
    assert await listed(tenant, **{filtered: ["ü" * 99, "ü" * 101]}) == ["c", "a"]


async def test_a_wrong_filter_is_refused_with_what_it_must_be(tenant: Tenant) -> None:
    answer = await tenant.get(
        "/customers",
        **{"account_type[]": ["customer", "robot"], "customer_type": "robot",
           "has_customer_type": "perhaps"},
    )  # fmt: skip
    assert answer.status_code == 422
    assert answer.json()["error_details"] == {
        "account_type": {"1": ["must be one of: customer, partner"]},
        "customer_type": ["must be one of: company, individual"],
        "has_customer_type": ["must be one of: true, false"],
    }
    for query in ({"countries[]": "fr"}, {"currencies[]": "XXX"}, {"search_term": "a\0"},
                  {"metadata[a\0]": "x"}):  # fmt: skip
        assert (await tenant.get("/customers", **query)).status_code == 422, query


async def test_another_tenants_customer_is_not_found(tenant: Tenant, other_tenant: Tenant) -> None:
    await upsert(tenant)
    assert (await other_tenant.get("/customers/c1")).status_code == 404
    assert (await other_tenant.delete("/customers/c1")).status_code == 404
    assert (await upsert(other_tenant))["sequential_id"] == 1

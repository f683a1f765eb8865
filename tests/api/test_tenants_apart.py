"""Another tenant's ids and codes answer exactly like unknown ones, wherever a call may name one.

The calls are made from the OpenAPI document that the application serves: whatever in it names a
row, in a path, a query or a body, is asked for by another tenant, and so is a word that nobody has.
What is new in the document fails here until it is in the tables below. Providers' webhooks, which
come without a key, are in `test_provider_webhooks`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Final
from uuid import UUID

import asyncpg
import httpx
import msgspec
import pytest
import pytest_asyncio
from litestar import Litestar

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

NOBODYS: Final = "00000000-0000-7000-8000-00000000abcd"
# A field whose name ends like this names a row. `payment_method` holds the id of one.
NAMES_A_ROW: Final = re.compile(r"(^|[._])(ids?|codes?|payment_method|search_term)$")
OF_OTHERS: Final = {
    "external_salesforce_id", "provider_customer_id", "provider_method_id", "provider_payment_id",
    "provider_refund_id",
}  # fmt: skip

# A body that gets past all that is looked at before the row that the path names.
FIT: Final[Mapping[str, Any]] = {
    "PUT /add_ons/{code}": {"add_on": {"name": "Mine"}},
    "PUT /credit_notes/{lago_id}": {"credit_note": {"refund_status": "succeeded"}},
    "POST /credit_notes/{lago_id}/metadata": {"metadata": {"k": "v"}},
    "PUT /credit_notes/{lago_id}/metadata": {"metadata": {"k": "v"}},
    "POST /customers/{external_id}/payment_methods": {
        "payment_method": {"provider_method_id": "pm_sandbox_ok"}
    },
    "PUT /billing_entities/{code}": {"billing_entity": {"name": "Mine"}},
    "PUT /dunning_campaigns/{code}": {"dunning_campaign": {"name": "Mine"}},
    "PUT /fees/{lago_id}": {"fee": {"payment_status": "succeeded"}},
    "PUT /invoices/{lago_id}": {"invoice": {"payment_status": "succeeded"}},
    "PUT /payment_providers/{lago_id}": {"payment_provider": {"name": "Mine"}},
    "POST /payments/{lago_id}/settle": {
        "payment": {"outcome": "paid", "by": "ann", "reason": "x", "provider_payment_id": "ch"}
    },
    "POST /reconciliation_findings/{lago_id}/resolve": {
        "reconciliation_finding": {"by": "ann", "reason": "x"}
    },
    "POST /refunds/{lago_id}/settle": {
        "refund": {"outcome": "refunded", "by": "ann", "reason": "x", "provider_refund_id": "re"}
    },
    "PUT /taxes/{code}": {"tax": {"name": "Mine"}},
    "PUT /webhook_endpoints/{lago_id}": {"webhook_endpoint": {"name": "Mine"}},
}
# The filters, and whose ids or codes they take.
FILTERS: Final[Mapping[str, str]] = {
    "GET /credit_notes external_customer_id": "customers",
    "GET /credit_notes billing_entity_codes[]": "billing_entities",
    "GET /credit_notes search_term": "credit_notes",
    "GET /customers external_id": "customers",
    "GET /customers billing_entity_codes[]": "billing_entities",
    "GET /customers search_term": "customers",
    "GET /customers/{external_id}/credit_notes billing_entity_codes[]": "billing_entities",
    "GET /customers/{external_id}/credit_notes search_term": "credit_notes",
    "GET /customers/{external_id}/invoices external_customer_id": "customers",
    "GET /customers/{external_id}/invoices billing_entity_codes[]": "billing_entities",
    "GET /customers/{external_id}/invoices search_term": "invoices",
    "GET /customers/{external_id}/payments invoice_id": "invoices",
    "GET /fees external_customer_id": "customers",
    "GET /invoices external_customer_id": "customers",
    "GET /invoices billing_entity_codes[]": "billing_entities",
    "GET /invoices search_term": "invoices",
    "GET /customers/{external_id}/payment_requests billing_entity_codes[]": "billing_entities",
    "GET /payment_receipts invoice_id": "invoices",
    "GET /payment_requests external_customer_id": "customers",
    "GET /payment_requests billing_entity_codes[]": "billing_entities",
    "GET /payments external_customer_id": "customers",
    "GET /payments invoice_id": "invoices",
    "GET /webhook_deliveries webhook_endpoint_id": "webhook_endpoints",
    "GET /webhook_deliveries object_id": "events",
}
OUTRANKED: Final = "GET /customers/{external_id}/invoices external_customer_id"  # by the path's
# The fields that take another row's id or code, and whose. In the body, `?` is that word, and
# `$customers` is the caller's own customer.
TAXED: Final = {
    "name": "X", "code": "new", "amount_cents": 1, "amount_currency": "EUR", "tax_codes": ["?"],
}  # fmt: skip
LINKED: Final = {"payment_provider": "sandbox", "payment_provider_code": "?"}
LINE: Final = {"add_on_code": "$add_ons"}
ASKED_FROM: Final = {"currency": "EUR", "amount_cents": 1}
BILLED: Final = {"external_customer_id": "$customers", "fees": [LINE], "skip_psp": True}
PAID_BY: Final = {"payment_method_type": "provider", "payment_method_id": "?"}
NOTE_OF_INVOICE: Final = {
    "credit_note": {
        "invoice_id": "?", "items": [{"fee_id": "$fees", "amount_cents": 1}],
        "credit_amount_cents": 1,
    }
}  # fmt: skip
NOTE_OF_FEE: Final = {
    "credit_note": {
        "invoice_id": "$invoices", "items": [{"fee_id": "?", "amount_cents": 1}],
        "credit_amount_cents": 1,
    }
}  # fmt: skip
NOTED: Final = [{"id": "?", "key": "k", "value": "v"}]
FIELDS: Final[Mapping[str, tuple[str, Any]]] = {
    "POST /add_ons add_on.tax_codes": ("taxes", {"add_on": TAXED}),
    "PUT /add_ons/{code} add_on.tax_codes": ("taxes", {"add_on": {"tax_codes": ["?"]}}),
    "POST /billing_entities billing_entity.tax_codes": (
        "taxes",
        {"billing_entity": {"code": "new", "name": "X", "tax_codes": ["?"]}},
    ),
    "PUT /billing_entities/{code} billing_entity.tax_codes": (
        "taxes",
        {"billing_entity": {"tax_codes": ["?"]}},
    ),
    "PUT /billing_entities/{code} tax_codes": ("taxes", {"tax_codes": ["?"]}),
    "POST /billing_entities billing_entity.applied_dunning_campaign_code": (
        "dunning_campaigns",
        {"billing_entity": {"code": "new", "name": "X", "applied_dunning_campaign_code": "?"}},
    ),
    "PUT /billing_entities/{code} billing_entity.applied_dunning_campaign_code": (
        "dunning_campaigns",
        {"billing_entity": {"applied_dunning_campaign_code": "?"}},
    ),
    "PUT /billing_entities/{code} applied_dunning_campaign_code": (
        "dunning_campaigns",
        {"applied_dunning_campaign_code": "?"},
    ),
    "POST /customers customer.applied_dunning_campaign_code": (
        "dunning_campaigns",
        {"customer": {"external_id": "$customers", "applied_dunning_campaign_code": "?"}},
    ),
    "POST /credit_notes credit_note.invoice_id": ("invoices", NOTE_OF_INVOICE),
    "POST /credit_notes credit_note.items.fee_id": ("fees", NOTE_OF_FEE),
    "POST /credit_notes/estimate credit_note.invoice_id": ("invoices", NOTE_OF_INVOICE),
    "POST /credit_notes/estimate credit_note.items.fee_id": ("fees", NOTE_OF_FEE),
    "POST /customers customer.billing_entity_code": (
        "billing_entities",
        {"customer": {"external_id": "new", "billing_entity_code": "?"}},
    ),
    "POST /customers customer.tax_codes": (
        "taxes",
        {"customer": {"external_id": "$customers", "tax_codes": ["?"]}},
    ),
    "POST /customers customer.metadata.id": (
        "customer_metadata",
        {"customer": {"external_id": "$customers", "metadata": NOTED}},
    ),
    "POST /customers customer.billing_configuration.payment_provider_code": (
        "provider_accounts",
        {"customer": {"external_id": "$customers", "billing_configuration": LINKED}},
    ),
    "POST /invoices invoice.external_customer_id": (
        "customers",
        {"invoice": {**BILLED, "external_customer_id": "?"}},
    ),
    "POST /invoices invoice.billing_entity_code": (
        "billing_entities",
        {"invoice": {**BILLED, "billing_entity_code": "?"}},
    ),
    "POST /invoices invoice.fees.add_on_code": (
        "add_ons",
        {"invoice": {**BILLED, "fees": [{"add_on_code": "?"}]}},
    ),
    "POST /invoices invoice.fees.tax_codes": (
        "taxes",
        {"invoice": {**BILLED, "fees": [{**LINE, "tax_codes": ["?"]}]}},
    ),
    "POST /invoices invoice.payment_method": (
        "payment_methods",
        {"invoice": {**BILLED, "payment_method": PAID_BY}},
    ),
    "PUT /invoices/{lago_id} invoice.metadata.id": (
        "invoice_metadata",
        {"invoice": {"metadata": NOTED}},
    ),
    "POST /invoices/retry_payments invoice_ids": ("invoices", {"invoice_ids": ["?"]}),
    "POST /invoices/{lago_id}/retry_payment payment_method": (
        "payment_methods",
        {"payment_method": PAID_BY},
    ),
    "PUT /payment_providers/{lago_id} payment_provider.code": (
        "provider_accounts",
        {"payment_provider": {"code": "?"}},
    ),
    "POST /payment_requests payment_request.external_customer_id": (
        "customers",
        {"payment_request": {"external_customer_id": "?", "lago_invoice_ids": ["$invoices"]}},
    ),
    "POST /payment_requests payment_request.lago_invoice_ids": (
        "invoices",
        {"payment_request": {"external_customer_id": "$customers", "lago_invoice_ids": ["?"]}},
    ),
    "POST /payments payment.invoice_id": (
        "invoices",
        {"payment": {"invoice_id": "?", "amount_cents": 1, "reference": "wire"}},
    ),
    "POST /webhook_deliveries/replay webhook_deliveries.webhook_endpoint_id": (
        "webhook_endpoints",
        {"webhook_deliveries": {"webhook_endpoint_id": "?"}},
    ),
    "POST /webhook_deliveries/replay webhook_deliveries.object_id": (
        "events",
        {"webhook_deliveries": {"object_id": "?"}},
    ),
}
# The fields by which a caller names what is its own: another tenant's word is as free as any.
OWN_NAMES: Final[Mapping[str, tuple[str, Any]]] = {
    "POST /billing_entities billing_entity.code": (
        "billing_entities",
        {"billing_entity": {"code": "?", "name": "X"}},
    ),
    "POST /add_ons add_on.code": ("add_ons", {"add_on": {**TAXED, "code": "?", "tax_codes": []}}),
    "PUT /add_ons/{code} add_on.code": ("add_ons", {"add_on": {"code": "?"}}),
    "POST /customers customer.external_id": ("customers", {"customer": {"external_id": "?"}}),
    "POST /payment_providers payment_provider.code": (
        "provider_accounts",
        {"payment_provider": {"provider_type": "sandbox", "code": "?"}},
    ),
    "POST /dunning_campaigns dunning_campaign.code": (
        "dunning_campaigns",
        {"dunning_campaign": {"name": "X", "code": "?", "thresholds": [ASKED_FROM]}},
    ),
    "PUT /dunning_campaigns/{code} dunning_campaign.code": (
        "dunning_campaigns",
        {"dunning_campaign": {"code": "?"}},
    ),
    "POST /taxes tax.code": ("taxes", {"tax": {"name": "X", "code": "?", "rate": 1}}),
    "PUT /taxes/{code} tax.code": ("taxes", {"tax": {"code": "?"}}),
}


class Place(msgspec.Struct, frozen=True):
    """A place of a call that names a row: the operation and what the place is called there."""

    method: str
    path: str
    name: str

    @property
    def operation(self) -> str:
        """As the tables have it, where PUT stands for PATCH as well."""
        return f"{'PUT' if self.method == 'PATCH' else self.method} {self.path}"

    @property
    def entry(self) -> str:
        return f"{self.operation} {self.name}"


class Party(msgspec.Struct, frozen=True):
    """A tenant that has one of everything, and what each is called, by resource."""

    tenant: Tenant
    words: Mapping[str, str]


Ask = Callable[[Party, str], Awaitable[httpx.Response]]  # who asks, and the word that is asked for


class World:
    """Two tenants: B does not find out what A has."""

    def __init__(self, a: Party, b: Party, owner: asyncpg.Connection) -> None:
        self.a = a
        self.b = b
        self._owner = owner

    async def b_cannot_tell(self, place: Place, resource: str, ask: Ask) -> httpx.Response:
        """Ask for A's and for nobody's: one answer, which is returned, and A's rows as before."""
        word = self.a.words[resource]
        before = await self.rows_of_a()
        real, unknown = await ask(self.b, word), await ask(self.b, nobodys(word))
        assert shown(real, word) == shown(unknown, nobodys(word)), place.entry
        told = set(_UUID.findall(real.text)) - {word}
        assert not any(one in rows for one in told for rows in before.values()), place.entry
        assert await self.rows_of_a() == before, place.entry
        return unknown

    async def a_can_tell(self, place: Place, resource: str, ask: Ask) -> None:
        """The same is another matter for A: what B was asking for is really there."""
        word = self.a.words[resource]
        real, unknown = await ask(self.a, word), await ask(self.a, nobodys(word))
        assert real.is_success, f"{place.entry}: {real.text}"
        assert shown(real, word) != shown(unknown, nobodys(word)), place.entry

    async def rows_of_a(self) -> dict[str, str]:
        """All that A has, by table, and what is promised for it."""
        tables = await self._owner.fetch(
            """SELECT table_name AS name, column_name AS tenant FROM information_schema.columns
                WHERE table_schema = 'public'
                  AND (column_name = 'organization_id'
                       OR (table_name, column_name) = ('organizations', 'id'))"""
        )
        asks = [
            f"SELECT '{table['name']}' AS name, string_agg(t::text, ';' ORDER BY t::text) AS rows"
            f" FROM {table['name']} t WHERE {table['tenant']} = $1"
            for table in tables
        ]
        asks.append(
            "SELECT 'jobs', string_agg(j::text, ';' ORDER BY id) FROM pgqueuer j"
            " WHERE starts_with(convert_from(payload, 'UTF8'), $1::text)"
        )
        found = await self._owner.fetch(" UNION ALL ".join(asks), self.a.tenant.organization_id)
        return {row["name"]: row["rows"] or "" for row in found}


_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_COUNTED: Final = re.compile(r'(?<="sequential_id":)\d+|(?<=-)\d{3}(?=")')  # invoices' numbers


def nobodys(word: str) -> str:
    """A word as long as this one, which names nothing."""
    return NOBODYS if _UUID.fullmatch(word) else f"x{word[1:]}"


def shown(answer: httpx.Response, word: str) -> tuple[int, dict[str, str], str]:
    """All that an answer tells, but for the word asked for, and what is new with every call."""
    text = answer.text.replace(word, "?")
    for new in (_UUID, _INSTANT, _COUNTED):
        text = new.sub("new", text)
    headers = {name: _UUID.sub("new", said) for name, said in answer.headers.items()}
    return answer.status_code, headers, text


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
        "thresholds": [ASKED_FROM],
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
    invoice = await issue(tenant, external_customer_id=customer, fees=lines)
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


@pytest_asyncio.fixture
async def world(
    tenant: Tenant, other_tenant: Tenant, pool: Pool, owner: asyncpg.Connection
) -> World:
    a = await with_one_of_everything(tenant, pool, "a")
    b = await with_one_of_everything(other_tenant, pool, "b")
    return World(a, b, owner)


@pytest_asyncio.fixture
async def document(tenant: Tenant) -> Any:
    """The OpenAPI document, as it is served."""
    return (await tenant.get("/openapi.json")).json()


def operations(document: Any) -> Iterator[tuple[str, str, Any]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path.removeprefix("/api/v1"), operation


def places_in_paths(document: Any) -> list[Place]:
    return [
        Place(method, path, place)
        for method, path, _ in operations(document)
        for place in re.findall(r"\w+/\{\w+\}", path)
    ]


def places_in_queries(document: Any) -> list[Place]:
    return [
        Place(method, path, one["name"])
        for method, path, operation in operations(document)
        for one in operation.get("parameters", [])
        if one["in"] == "query" and NAMES_A_ROW.search(one["name"].removesuffix("[]"))
    ]


def places_in_bodies(document: Any) -> list[Place]:
    return [
        Place(method, path, field)
        for method, path, operation in operations(document)
        if "requestBody" in operation
        for field in fields_of(
            operation["requestBody"]["content"]["application/json"]["schema"], document
        )
        if NAMES_A_ROW.search(field) and field.rpartition(".")[2] not in OF_OTHERS
    ]


def fields_of(schema: Any, document: Any) -> list[str]:
    """The fields of a body that hold no others: `invoice.fees.add_on_code`."""
    if ref := schema.get("$ref"):
        schema = document["components"]["schemas"][ref.rpartition("/")[2]]
    kinds = [*schema.get("anyOf", []), *([schema["items"]] if schema.get("items") else [])]
    found = [field for kind in kinds for field in fields_of(kind, document)]
    for name, held in schema.get("properties", {}).items():
        found += [f"{name}.{field}" for field in fields_of(held, document)] or [name]
    return found


def filled(path: str, words: Mapping[str, str]) -> str:
    """The path with a word for each of its places, by the resource that is before it."""
    return re.sub(r"(\w+)/\{\w+\}", lambda place: f"{place[1]}/{words[place[1]]}", path)


async def call(by: Party, place: Place, path: str, **more: Any) -> httpx.Response:
    return await by.tenant.client.request(place.method, f"/api/v1{path}", **more)


def in_path(place: Place, owner: Party) -> Ask:
    """Ask for a word in one place of the path.

    The places before it are the asker's own, or the call would be refused for them; those after it
    are `owner`'s, as where somebody has guessed the whole path.
    """
    before, found, after = place.path.partition(place.name)
    assert found

    async def ask(by: Party, word: str) -> httpx.Response:
        resource = place.name.partition("/")[0]
        path = f"{filled(before, by.words)}{resource}/{word}{filled(after, owner.words)}"
        return await call(by, place, path, json=FIT.get(place.operation))

    return ask


def in_query(place: Place) -> Ask:
    async def ask(by: Party, word: str) -> httpx.Response:
        return await call(by, place, filled(place.path, by.words), params={place.name: word})

    return ask


def in_body(place: Place, body: Any) -> Ask:
    async def ask(by: Party, word: str) -> httpx.Response:
        text = json.dumps(body).replace('"?"', json.dumps(word))
        for resource, own in by.words.items():
            text = text.replace(f'"${resource}"', json.dumps(own))
        return await call(by, place, filled(place.path, by.words), content=text)

    return ask


async def test_the_tables_hold_every_place_that_names_a_row(app: Any, document: Any) -> None:
    assert {place.entry for place in places_in_queries(document)} == set(FILTERS)
    assert {place.entry for place in places_in_bodies(document)} == {*FIELDS, *OWN_NAMES}
    served = app
    while not isinstance(served, Litestar):  # it is within what counts the calls and reads them
        served = served._app
    with_places = {route.path_format for route in served.routes if "{" in route.path_format}
    described = {f"/api/v1{place.path}" for place in places_in_paths(document)}
    assert with_places - described == {
        "/webhooks/{provider}/{organization_id}",
        "/documents/{organization_id}/{document_id}",  # signed: tests/api/test_documents.py
    }


async def test_a_path_to_anothers_is_a_path_to_nothing(world: World, document: Any) -> None:
    places = places_in_paths(document)
    assert places, "what names nothing proves nothing"
    for place in places:
        resource = place.name.partition("/")[0]
        ask = in_path(place, world.a)
        refused = await world.b_cannot_tell(place, resource, ask)
        assert refused.status_code == 404, f"{place.entry}: {refused.text}"
        if place.method == "GET":
            await world.a_can_tell(place, resource, ask)


async def test_a_filter_by_anothers_finds_nothing(world: World, document: Any) -> None:
    places = places_in_queries(document)
    assert places, "what filters by nothing proves nothing"
    for place in places:
        resource, ask = FILTERS[place.entry], in_query(place)
        await world.b_cannot_tell(place, resource, ask)
        if place.entry != OUTRANKED:
            await world.a_can_tell(place, resource, ask)


@pytest.mark.parametrize("entry", FIELDS)
async def test_a_field_that_names_anothers_names_nothing(
    entry: str, world: World, document: Any
) -> None:
    resource, body = FIELDS[entry]
    places = [place for place in places_in_bodies(document) if place.entry == entry]
    assert places, "what names nothing proves nothing"
    for place in places:
        await world.b_cannot_tell(place, resource, in_body(place, body))
    await world.a_can_tell(places[0], resource, in_body(places[0], body))


async def test_a_name_that_another_has_given_is_free(world: World, document: Any) -> None:
    places = [place for place in places_in_bodies(document) if place.entry in OWN_NAMES]
    assert {place.entry for place in places} == {*OWN_NAMES}
    for place in places:
        resource, body = OWN_NAMES[place.entry]
        root, field = place.name.split(".")
        before = await world.rows_of_a()
        word = world.a.words[resource]
        answer = await in_body(place, body)(world.b, word)
        assert answer.is_success, f"{place.entry}: {answer.text}"
        assert answer.json()[root][field] == word, place.entry
        assert await world.rows_of_a() == before, place.entry
        # Or else it would be taken when the next place is tried.
        if "{" in place.path:
            own = {root: {field: world.b.words[resource]}}
            await world.b.tenant.put(f"/{resource}/{word}", own)
        else:
            await world.b.tenant.delete(f"/{resource}/{word}")


async def test_an_idempotency_key_of_anothers_is_a_new_one(world: World) -> None:
    tax = {"tax": {"name": "X", "code": "new", "rate": 1}}
    once = {"Idempotency-Key": "once"}
    first, theirs = [await by.tenant.post("/taxes", tax, **once) for by in (world.a, world.b)]
    assert theirs.is_success
    assert "idempotent-replayed" not in theirs.headers
    assert theirs.json()["tax"]["lago_id"] != first.json()["tax"]["lago_id"]

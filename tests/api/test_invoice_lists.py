"""Lists of invoices as a caller filters them."""

from __future__ import annotations

from typing import Any

import asyncpg

from tests.api.billing import (
    has_customer,
    has_tax,
    issue,
    issue_of,
    pay,
    refusal,
    sells,
)
from tests.api.conftest import Tenant
from tests.api.test_invoices import KEYS, put


async def numbers(tenant: Tenant, query: str = "", path: str = "/invoices") -> list[str]:
    """The purchase order numbers of the invoices in a list, which tests name them by."""
    answer = await tenant.client.get(f"/api/v1{path}?{query}")
    assert answer.status_code == 200, answer.text
    return [invoice["purchase_order_number"] for invoice in answer.json()["invoices"]]


async def found(tenant: Tenant, query: str, path: str = "/invoices") -> str:
    """The same, in alphabetical order and without space between."""
    return "".join(sorted(await numbers(tenant, query, path)))


async def details(tenant: Tenant, query: str) -> Any:
    status, said = refusal(await tenant.client.get(f"/api/v1/invoices?{query}"))
    assert status == 422, said
    return said


async def change(owner: asyncpg.Connection, name: str, sets: str) -> None:
    """Change an invoice behind everybody's back."""
    await owner.execute(f"UPDATE invoices SET {sets} WHERE purchase_order_number = $1", name)


async def test_a_list_shows_the_latest_issued_first_page_by_page(
    tenant: Tenant, owner: asyncpg.Connection
) -> None:
    await sells(tenant)
    await has_tax(tenant, "vat", 10, applied_to_organization=True)
    for name in "abcd":
        await issue(tenant, purchase_order_number=name)
    await change(owner, "a", "issuing_date = issuing_date + 1")
    assert await numbers(tenant) == ["a", "d", "c", "b"]
    assert await numbers(tenant, "per_page=3&page=2") == ["b"]
    answer = (await tenant.get("/invoices", per_page=3, page=2)).json()
    assert answer["meta"] == {
        "current_page": 2, "next_page": None, "prev_page": 1, "total_pages": 2, "total_count": 4,
    }  # fmt: skip
    [listed] = answer["invoices"]
    assert list(listed) == [*KEYS, "customer", "metadata", "applied_taxes"]
    assert "integration_customers" not in listed["customer"]
    assert listed["applied_taxes"][0]["amount_cents"] == 100


async def test_filters_find_what_they_say(tenant: Tenant, owner: asyncpg.Connection) -> None:
    await sells(tenant)
    for name, cents in (("a", 100), ("b", 200), ("c", 300), ("d", 400), ("e", 500)):
        made = await issue_of(tenant, cents, purchase_order_number=name)
        if name == "a":
            await put(tenant, made, payment_status="failed")
            await put(
                tenant, made, metadata=[{"key": "k", "value": "v"}, {"key": "x", "value": "1"}]
            )
        if name == "b":
            await pay(tenant, made, 50)
            await put(tenant, made, metadata=[{"key": "k", "value": "w"}])
        if name == "c":
            await pay(tenant, made, 300)
        if name == "d":
            await tenant.post(f"/invoices/{made['lago_id']}/void")
        if name == "e":
            await tenant.post(f"/invoices/{made['lago_id']}/lose_dispute")
    await change(owner, "a", "payment_overdue = true, issuing_date = '2020-01-31'")
    await change(owner, "b", "self_billed = true, currency = 'USD'")
    await change(owner, "c", "invoice_type = 'credit'")
    await change(owner, "e", "offset_cents = 10")
    cases = {
        "status=voided": "d",
        "status=": "abcde",
        "status[]=voided&status[]=draft": "d",
        "statuses=voided&statuses=finalized": "abcde",
        "statuses[]=finalized": "abce",
        "statuses=voided": "d",
        "status=voided&statuses[]=finalized": "d",
        "payment_status=failed": "a",
        "payment_statuses[]=failed&payment_statuses[]=succeeded": "ac",
        "payment_statuses=failed&payment_statuses=succeeded": "ac",
        "payment_status=succeeded&payment_statuses[]=failed": "c",
        "payment_overdue=true": "a",
        "payment_overdue=0": "bcde",
        "partially_paid=1": "b",
        "partially_paid=false": "acde",
        "self_billed=true": "b",
        "self_billed=false": "acde",
        "payment_dispute_lost=true": "e",
        "payment_dispute_lost=false": "abcd",
        "invoice_type=credit": "c",
        "invoice_type=one_off": "abde",
        "currency=USD": "b",
        "currency=usd": "",
        "issuing_date_to=2020-01-31": "a",
        "issuing_date_to=2020-01-30": "",
        "issuing_date_from=2020-01-31T00:00:00Z&issuing_date_to=2020-02-01": "a",
        "issuing_date_from=2020-02-01": "bcde",
        "issuing_date_from=yesterday": "abcde",
        "amount_from=300": "cde",
        "amount_to=300": "abc",
        "amount_from=200&amount_to=200": "b",
        "amount_to=-1": "",
        f"amount_to={10**30}": "abcde",
        "metadata[k]=v": "a",
        "metadata[k]=v&metadata[x]=1": "a",
        "metadata[k]=v&metadata[x]=2": "",
        "metadata[k]=": "cde",
        "metadata[k]=w&metadata[x]=": "b",
        "purchase_order_number=B": "b",
        "purchase_order_number=%25": "",
        "settlements[]=payment": "bc",
        "settlements=credit_note": "e",
        "settlements[]=payment&settlements[]=credit_note": "bce",
        "billing_entity_codes[]=acme-ltd": "abcde",
        "billing_entity_codes=acme-ltd": "abcde",
        "payment_status=pending&status=finalized&amount_to=200": "b",
    }
    assert {query: await found(tenant, query) for query in cases} == cases
    missing = await tenant.client.get("/api/v1/invoices?billing_entity_codes[]=acme-ltd"
                                      "&billing_entity_codes[]=no")  # fmt: skip
    assert refusal(missing) == (404, "billing_entity_not_found")


async def test_of_a_single_value_given_twice_the_last_counts(
    tenant: Tenant, owner: asyncpg.Connection
) -> None:
    await sells(tenant)
    await has_customer(tenant, "c2")
    await issue(tenant, purchase_order_number="a", currency="USD")
    await issue(tenant, purchase_order_number="b", external_customer_id="c2")
    await change(owner, "b", "payment_overdue = true")
    cases = {
        "currency=USD&currency=EUR": "b",
        "currency=EUR&currency=USD": "a",
        "currency[]=EUR&currency[]=USD": "a",
        "external_customer_id[]=c2": "b",
        "payment_overdue[]=true": "b",
        "payment_overdue=true&payment_overdue=false": "a",
        "amount_from[]=1&amount_from[]=2000": "",
        "issuing_date_from=2999-01-01&issuing_date_from[]=2000-01-01": "",
        "currency=USD&currency=": "ab",
        "per_page=1&per_page=2": "ab",
        "page[]=3": "",
    }
    assert {query: await found(tenant, query) for query in cases} == cases
    assert await details(tenant, "payment_overdue=true&payment_overdue=maybe") == {
        "payment_overdue": ["must be boolean"]
    }


async def test_a_page_far_past_the_end_is_empty(tenant: Tenant) -> None:
    await sells(tenant)
    await issue(tenant)
    last = 2**53 - 1
    endless = "9" * 5_000
    for asked, current in ((5, 5), (10**10, 10**10), (last, last), (10**20, last), (endless, last)):
        answer = await tenant.get("/invoices", page=asked, per_page=endless)
        assert answer.json() == {
            "invoices": [],
            "meta": {
                "current_page": current, "next_page": None, "prev_page": current - 1,
                "total_pages": 1, "total_count": 1,
            },
        }, asked  # fmt: skip
    for nonsense in ("0", "-1", "x", "٣", "1e3"):
        answer = await tenant.get("/invoices", page=nonsense)
        assert answer.json()["meta"]["current_page"] == 1, nonsense


async def test_wrong_filters_are_named_in_the_contracts_words(tenant: Tenant) -> None:
    payment_statuses = "must be one of: pending, succeeded, failed"
    statuses = "must be one of: draft, finalized, voided, failed, pending"
    for name in ("payment_status", "payment_statuses"):
        assert await details(tenant, f"{name}=paid") == {
            "payment_status": [f"{payment_statuses} or must be an array"]
        }
        assert await details(tenant, f"{name}[]=failed&{name}[]=paid") == {
            "payment_status": {"1": [payment_statuses]}
        }
    assert await details(tenant, "status=closed&statuses[]=draft") == {
        "status": [f"{statuses} or must be an array"]
    }
    assert await details(tenant, "statuses=closed&statuses=draft&statuses=open") == {
        "status": {"0": [statuses], "2": [statuses]}
    }
    assert await details(tenant, "settlements=cash&payment_overdue=maybe&amount_from=much") == {
        "settlements": ["must be one of: payment, credit_note or must be an array"],
        "payment_overdue": ["must be boolean"],
        "amount_from": ["must be an integer"],
    }
    assert await details(tenant, "external_customer_id=%00") == {
        "external_customer_id": ["is in invalid format"]
    }
    for name in ("partially_paid", "self_billed", "payment_dispute_lost"):
        assert await details(tenant, f"{name}=2") == {name: ["must be boolean"]}


async def test_a_search_looks_at_the_invoice_and_at_its_customer(tenant: Tenant) -> None:
    await sells(tenant, name="Ada 100%", email="ada@analytical.example")
    await has_customer(tenant, "c2", firstname="Grace", lastname="Hopper")
    first = await issue(tenant, purchase_order_number="a")
    second = await issue(tenant, purchase_order_number="b", external_customer_id="c2")
    cases = {
        f"search_term={first['number'].lower()}": "a",
        "search_term=-002-001": "b",
        f"search_term={second['lago_id']}": "b",
        "search_term=%20hopper%20": "b",
        "search_term=GRACE": "b",
        "search_term=100%25": "a",
        "search_term=1%250": "",
        "search_term=analytical": "a",
        "search_term=c2": "b",
        "search_term=%20": "ab",
        "search_term=hopper&external_customer_id=c2": "",
        "search_term=-001&external_customer_id=c2": "b",
        "search_term=grace%0Ahopper": "",
        "search_term=hopper%0Ac2": "",
    }
    assert {query: await found(tenant, query) for query in cases} == cases


async def test_a_customers_invoices_are_those_of_its_external_id(tenant: Tenant) -> None:
    await sells(tenant)
    await has_customer(tenant, "a/b.c")
    await issue(tenant, purchase_order_number="a")
    await issue(tenant, purchase_order_number="b", external_customer_id="a/b.c")
    assert await found(tenant, "external_customer_id=c1") == "a"
    assert await found(tenant, "customer_external_id=a/b.c") == "b"
    assert await found(tenant, "external_customer_id=c9") == ""
    nested = "/customers/a%2Fb.c/invoices"
    assert await found(tenant, "external_customer_id=c1", nested) == "b"
    assert await found(tenant, "amount_to=999", nested) == ""
    await tenant.delete("/customers/c1")
    assert await found(tenant, "external_customer_id=c1") == "a"
    gone = await tenant.get("/customers/c1/invoices", status="nonsense")
    assert refusal(gone) == (404, "customer_not_found")
    await has_customer(tenant, "c1")
    assert await found(tenant, "", "/customers/c1/invoices") == "a"


async def test_only_visible_invoices_are_listed(tenant: Tenant, owner: asyncpg.Connection) -> None:
    await sells(tenant)
    for name in ("draft", "voided", "failed", "pending", "generating", "open", "closed", "deleted"):
        await issue(tenant, purchase_order_number=name)
        await change(owner, name, f"status = '{name}'")
    assert set(await numbers(tenant)) == {"draft", "voided", "failed", "pending"}


async def test_lists_show_no_other_tenants_invoices(tenant: Tenant, other_tenant: Tenant) -> None:
    await sells(tenant)
    made = await issue(tenant)
    await put(tenant, made, metadata=[{"key": "k", "value": "v"}])
    await has_customer(other_tenant, "c1")
    for query in ("", "external_customer_id=c1", f"search_term={made['lago_id']}", "metadata[k]=v"):
        assert await numbers(other_tenant, query) == []
    assert await numbers(other_tenant, "", "/customers/c1/invoices") == []
    answer = await other_tenant.client.get("/api/v1/invoices?billing_entity_codes[]=acme-ltd")
    assert refusal(answer) == (404, "billing_entity_not_found")
    assert (await other_tenant.get("/invoices")).json()["meta"]["total_count"] == 0

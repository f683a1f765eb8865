"""`payment_url` and `checkout_url` on the wire (contract sections 3.7.11 and 3.3)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import aiohttp
import asyncpg
import httpx
import pytest
import pytest_asyncio

from recoup import clock
from recoup.api.app import make_app
from recoup.api.edge import Edge
from recoup.flows.add_provider_account import add_provider_account
from recoup.flows.manage_provider_accounts import remove_provider_account
from recoup.flows.open_provider import Providers
from recoup.rules.provider_pace import ASKED_TO_PAUSE_AT_MOST, OPEN_FOR, OUTAGES_TO_OPEN
from recoup.rules.records.keys import RowKey
from recoup.store import db
from recoup.store.db import Pool
from tests.api.billing import refusal
from tests.api.conftest import Tenant
from tests.flows.pages import page_of
from tests.providers.gocardless_stub import TOKEN, Stub, gocardless_stub
from tests.shop import BOX, MovableClock, SandboxServer, Shop, sandbox_server

NOBODYS = "00000000-0000-7000-8000-00000000abcd"
NOBODY = "http://127.0.0.1:9"  # there, nobody answers
HANDLED = "payment_processor_is_currently_handling_payment"


@pytest_asyncio.fixture
async def psp(tmp_path: Path) -> AsyncIterator[SandboxServer]:
    async with sandbox_server(tmp_path, MovableClock()) as server:
        yield server


@pytest_asyncio.fixture
async def debits() -> AsyncIterator[Stub]:
    """GoCardless, which has a page to sign a mandate on, and none to pay on."""
    async with gocardless_stub() as stub:
        stub.mandate("MD1")
        yield stub


@pytest_asyncio.fixture
async def app(pool: Pool, scout: Pool, psp: SandboxServer, debits: Stub) -> AsyncIterator[Any]:
    """The application, and providers that answer it."""
    async with aiohttp.ClientSession() as http:
        providers = Providers(
            http, BOX, sandbox_base=psp.base, gocardless_base=debits.base, stripe_base=NOBODY
        )
        edge = Edge(pool, scout=scout, providers=providers, now=psp.clock.now, new_id=clock.new_id)
        yield make_app(edge, servers=["http://recoup.test"])


@pytest_asyncio.fixture
async def shop(
    tenant: Tenant, pool: Pool, owner: asyncpg.Connection, psp: SandboxServer
) -> AsyncIterator[Shop]:
    """The caller's own organization, as a shop that sells through the sandbox."""
    async with aiohttp.ClientSession() as http:
        shop = Shop(pool, owner, Providers(http, BOX, sandbox_base=psp.base), psp.clock)
        shop.organization_id = tenant.organization_id
        shop.entity_id = await owner.fetchval(
            "SELECT id FROM billing_entities WHERE organization_id = $1", tenant.organization_id
        )
        await add_account(shop, "sandbox", {"api_key": "sk_sandbox_1", "webhook_secret": "wh"})
        yield shop


async def add_account(shop: Shop, kind: str, secrets: dict[str, str]) -> None:
    account_id = shop.account_id if kind == "sandbox" else clock.new_id()
    async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
        await add_provider_account(
            conn, shop.organization_id, kind=kind, code=kind, name=kind, secrets=secrets,
            box=BOX, account_id=account_id, now=shop.clock.now(),
        )  # fmt: skip


async def remove_account(shop: Shop, code: str) -> None:
    async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
        await remove_provider_account(
            conn, shop.organization_id, code, by="ann", audit_id=clock.new_id(),
            now=shop.clock.now(),
        )  # fmt: skip


OUR_KEY: Final = {"access_token": TOKEN, "webhook_secret": "whsec"}


async def signs_mandates(
    tenant: Tenant, shop: Shop, known_as: str = "CU1", secrets: dict[str, str] = OUR_KEY
) -> None:
    """Give the tenant the customer `c/1`, whom GoCardless knows by this id."""
    await add_account(shop, "gocardless", secrets)
    link = {"payment_provider": "gocardless", "payment_provider_code": "gocardless"}
    customer = {
        "external_id": "c/1",
        "currency": "EUR",
        "billing_configuration": link | {"provider_customer_id": known_as},
    }
    answer = await tenant.post("/customers", {"customer": customer})
    assert answer.status_code == 200, answer.text


async def pay_page(tenant: Tenant, invoice: RowKey | str, **headers: str) -> httpx.Response:
    lago_id = invoice if isinstance(invoice, str) else invoice.id
    return await tenant.post(f"/invoices/{lago_id}/payment_url", **headers)


async def checkout(tenant: Tenant, external_id: str = "c%2F1", **headers: str) -> httpx.Response:
    return await tenant.post(f"/customers/{external_id}/checkout_url", **headers)


def base(code: str) -> tuple[int, dict[str, list[str]]]:
    return 422, {"base": [code]}


# payment_url


async def test_the_address_of_a_payment_page_is_answered_in_lagos_words(
    tenant: Tenant, shop: Shop, psp: SandboxServer
) -> None:
    invoice = await shop.sell("pm_sandbox_ok")
    answer = await pay_page(tenant, invoice)
    assert answer.status_code == 200, answer.text
    [charge] = await psp.charges()
    row = await shop.row("invoices", invoice)
    assert answer.json() == {
        "invoice_payment_details": {
            "lago_customer_id": str(row["customer_id"]),
            "external_customer_id": "customer-1",
            "payment_provider": "sandbox",
            "lago_invoice_id": str(invoice.id),
            "payment_url": f"{psp.base}/pay/{charge['id']}",
        }
    }
    assert (await pay_page(tenant, invoice)).content == answer.content
    shop.clock.advance(hours=24)
    later = (await pay_page(tenant, invoice)).json()["invoice_payment_details"]
    assert later["payment_url"] != answer.json()["invoice_payment_details"]["payment_url"]


async def test_the_same_key_opens_one_page(tenant: Tenant, shop: Shop) -> None:
    invoice = await shop.sell("pm_sandbox_ok")
    first = await pay_page(tenant, invoice, **{"Idempotency-Key": "k"})
    await shop.change("invoices", invoice, paid_cents=400)
    again = await pay_page(tenant, invoice, **{"Idempotency-Key": "k"})
    assert (again.content, again.headers["idempotent-replayed"]) == (first.content, "true")
    assert (await pay_page(tenant, invoice)).content != first.content


async def test_what_has_no_page_is_refused_by_name_in_the_contracts_order(
    tenant: Tenant, other_tenant: Tenant, shop: Shop, debits: Stub
) -> None:
    for nobodys in (NOBODYS, "odd"):
        assert refusal(await pay_page(tenant, nobodys)) == (404, "invoice_not_found")
    paid = await shop.sell("pm_sandbox_ok", payment_status="succeeded", paid_cents=1_000)
    assert refusal(await pay_page(other_tenant, paid)) == (404, "invoice_not_found")

    unlinked = await shop.invoice(await shop.customer(linked=False), payment_status="succeeded")
    assert refusal(await pay_page(tenant, unlinked)) == base("no_linked_payment_provider")

    await signs_mandates(tenant, shop)
    signed = await shop.owner.fetchval("SELECT id FROM customers WHERE external_id = 'c/1'")
    debit = await shop.invoice(signed, payment_status="succeeded")
    assert refusal(await pay_page(tenant, debit)) == base("invalid_payment_provider")

    not_payable = base("invalid_invoice_status_or_payment_status")
    assert refusal(await pay_page(tenant, paid)) == not_payable
    for status in ("draft", "voided"):
        invoice = await shop.sell("pm_sandbox_ok", status=status)
        assert refusal(await pay_page(tenant, invoice)) == not_payable


async def test_a_customer_whom_the_provider_does_not_know_has_no_page(
    tenant: Tenant, shop: Shop
) -> None:
    invoice = await shop.sell("pm_sandbox_ok")
    await shop.owner.execute("UPDATE provider_customers SET provider_customer_id = NULL")
    assert refusal(await pay_page(tenant, invoice)) == base("missing_payment_provider_customer")
    await shop.owner.execute("DELETE FROM payment_methods")
    await shop.owner.execute("DELETE FROM provider_customers")
    assert refusal(await pay_page(tenant, invoice)) == base("missing_payment_provider_customer")
    await remove_account(shop, "sandbox")
    assert refusal(await pay_page(tenant, invoice)) == base("missing_payment_provider")


async def test_an_account_that_was_taken_away_has_no_page(tenant: Tenant, shop: Shop) -> None:
    invoice = await shop.sell("pm_sandbox_ok")
    await remove_account(shop, "sandbox")
    assert refusal(await pay_page(tenant, invoice)) == base("missing_payment_provider")


async def test_a_provider_that_does_not_answer_opens_no_page_for_now(
    tenant: Tenant, shop: Shop, psp: SandboxServer
) -> None:
    invoice = await shop.sell("pm_sandbox_ok")
    await psp.faults("drop_before=1")
    assert refusal(await pay_page(tenant, invoice)) == base("payment_provider_error")
    await psp.faults("")
    assert refusal(await pay_page(tenant, invoice)) == (405, HANDLED)
    await shop.look_up(await page_of(shop, invoice))
    assert (await pay_page(tenant, invoice)).status_code == 200


async def test_a_refused_key_opens_no_page_and_is_nobodys_decline(
    tenant: Tenant, shop: Shop
) -> None:
    invoice = await shop.sell("pm_sandbox_ok")
    await shop.moves_to("sandbox", {"api_key": "of somebody else", "webhook_secret": "wh"})
    assert refusal(await pay_page(tenant, invoice)) == base("payment_provider_error")
    assert [kind for kind, _ in await shop.told()] == ["payment_provider.error"]  # and no failure


async def test_while_a_charge_is_under_way_there_is_no_page(tenant: Tenant, shop: Shop) -> None:
    invoice = await shop.sell("pm_sandbox_ok")
    await shop.begun(invoice)
    assert refusal(await pay_page(tenant, invoice)) == (405, HANDLED)


# A retry past a page


async def test_a_retry_closes_the_page_and_is_accepted(
    tenant: Tenant, shop: Shop, psp: SandboxServer
) -> None:
    alone, of_many = await shop.sell("pm_sandbox_ok"), await shop.sell("pm_sandbox_ok")
    for invoice in (alone, of_many):
        assert (await pay_page(tenant, invoice)).status_code == 200
    answers = await asyncio.gather(
        *(tenant.post(f"/invoices/{alone.id}/retry_payment") for _ in range(4))
    )
    accepted = [one.headers["recoup-payment-id"] for one in answers if one.status_code == 200]
    assert len(accepted) == 1
    assert {refusal(one) for one in answers if one.status_code != 200} <= {(405, HANDLED)}
    bulk = await tenant.post("/invoices/retry_payments", {"invoice_ids": [str(of_many.id)]})
    assert bulk.json()["results"][0]["accepted"]
    assert [charge["status"] for charge in await psp.charges()] == ["failed", "failed"]
    await shop.submit(RowKey(shop.organization_id, UUID(accepted[0])))
    assert await shop.shown(alone) == ("succeeded", 0)


async def test_a_retry_is_refused_while_nobody_can_tell_whether_the_page_is_closed(
    tenant: Tenant, shop: Shop, psp: SandboxServer
) -> None:
    invoice = await shop.sell("pm_sandbox_ok")
    await pay_page(tenant, invoice)
    await psp.faults("drop_after=1")
    assert refusal(await tenant.post(f"/invoices/{invoice.id}/retry_payment")) == (405, HANDLED)
    await psp.faults("")
    assert (await tenant.post(f"/invoices/{invoice.id}/retry_payment")).status_code == 200


async def test_a_page_of_an_account_whose_secrets_do_not_open_refuses_no_other_retry(
    tenant: Tenant, shop: Shop
) -> None:
    with_page, without = await shop.sell("pm_sandbox_ok"), await shop.sell("pm_sandbox_ok")
    await pay_page(tenant, with_page)
    account = RowKey(shop.organization_id, shop.account_id)
    await shop.change("provider_accounts", account, secrets_sealed=b"sealed with a lost key")
    ids = [str(with_page.id), str(without.id)]
    answer = await tenant.post("/invoices/retry_payments", {"invoice_ids": ids})
    assert answer.status_code == 200, answer.text
    assert [(one["accepted"], one["code"]) for one in answer.json()["results"]] == [
        (False, "secrets_do_not_open"),
        (True, None),
    ]
    alone = await tenant.post(f"/invoices/{with_page.id}/retry_payment")
    assert (alone.status_code, alone.json()["code"]) == (503, "secrets_do_not_open")


async def test_a_retry_of_what_was_paid_on_the_page_is_refused(
    tenant: Tenant, shop: Shop, psp: SandboxServer
) -> None:
    invoice = await shop.sell("pm_sandbox_ok")
    url = (await pay_page(tenant, invoice)).json()["invoice_payment_details"]["payment_url"]
    async with aiohttp.ClientSession() as payer:
        await payer.post(f"{url}/approve")
    answer = await tenant.post(f"/invoices/{invoice.id}/retry_payment")
    assert refusal(answer) == (405, "invalid_status")
    assert await shop.shown(invoice) == ("succeeded", 0)


# checkout_url


async def test_the_address_of_a_set_up_page_is_answered_in_lagos_words(
    tenant: Tenant, shop: Shop, debits: Stub
) -> None:
    await signs_mandates(tenant, shop)
    answer = await checkout(tenant)
    assert answer.status_code == 200, answer.text
    customer = await shop.owner.fetchval("SELECT id FROM customers WHERE external_id = 'c/1'")
    [request] = debits.books["billing_requests"]
    assert answer.json() == {
        "customer": {
            "lago_customer_id": str(customer),
            "external_customer_id": "c/1",
            "payment_provider": "gocardless",
            "payment_provider_code": "gocardless",
            "checkout_url": f"https://pay.gocardless.com/flow/{request['id']}",
        }
    }
    assert request["links"]["customer"] == "CU1"
    assert request["metadata"]["lago_customer_id"] == str(customer)


async def test_the_same_key_opens_one_set_up_page(tenant: Tenant, shop: Shop, debits: Stub) -> None:
    await signs_mandates(tenant, shop)
    answers = [await checkout(tenant, **{"Idempotency-Key": "k"}) for _ in range(2)]
    assert answers[0].content == answers[1].content
    assert len(debits.books["billing_requests"]) == 1
    await checkout(tenant)
    assert len(debits.books["billing_requests"]) == 2


async def test_what_has_no_set_up_page_is_refused_by_name(
    tenant: Tenant, other_tenant: Tenant, shop: Shop
) -> None:
    assert refusal(await checkout(tenant)) == (404, "customer_not_found")
    await shop.customer(linked=False)
    no_link = base("no_linked_payment_provider")
    assert refusal(await checkout(tenant, "customer-1")) == no_link
    await signs_mandates(tenant, shop)
    assert refusal(await checkout(other_tenant)) == (404, "customer_not_found")
    await shop.owner.execute("UPDATE provider_customers SET provider_customer_id = NULL")
    assert refusal(await checkout(tenant)) == no_link
    await shop.owner.execute("UPDATE provider_customers SET provider_customer_id = 'CU1'")
    assert (await checkout(tenant)).status_code == 200
    await remove_account(shop, "gocardless")
    assert refusal(await checkout(tenant)) == no_link


async def test_methods_that_cannot_be_kept_have_no_set_up_page(tenant: Tenant, shop: Shop) -> None:
    await add_account(shop, "stripe", {"secret_key": "sk_test", "webhook_secret": "wh"})
    link = {"payment_provider": "stripe", "provider_customer_id": "cus_1"}
    billing = link | {"provider_payment_methods": ["customer_balance"]}
    customer = {"external_id": "c/1", "billing_configuration": billing}
    assert (await tenant.post("/customers", {"customer": customer})).status_code == 200
    details = {"provider_payment_methods": ["no_payment_methods_to_setup_available"]}
    assert refusal(await checkout(tenant)) == (422, details)


async def test_who_pays_by_transfer_alone_is_charged_without_a_method(
    tenant: Tenant, shop: Shop
) -> None:
    await add_account(shop, "stripe", {"secret_key": "sk_test", "webhook_secret": "wh"})
    link = {"payment_provider": "stripe", "provider_customer_id": "cus_1"}

    async def linked(*methods: str) -> httpx.Response:
        billing = link | {"provider_payment_methods": methods}
        customer = {"external_id": "c/1", "billing_configuration": billing}
        return await tenant.post("/customers", {"customer": customer})

    details = {"provider_payment_methods": ["value_is_invalid"]}
    for methods in (["customer_balance", "card"], ["link"], ["cheque"]):
        assert refusal(await linked(*methods)) == (422, details)
    answers = {method: await linked(method) for method in ("card", "customer_balance")}
    customer_id = UUID(answers["customer_balance"].json()["customer"]["lago_id"])
    invoice = await shop.invoice(customer_id)
    assert (await tenant.post(f"/invoices/{invoice.id}/retry_payment", {})).status_code == 200
    [begun] = await shop.owner.fetch("SELECT manner, payment_method_id FROM payments")
    assert tuple(begun) == ("transfer", None)


async def test_a_set_up_page_that_the_provider_refuses_or_does_not_answer_for(
    tenant: Tenant, shop: Shop, debits: Stub
) -> None:
    await signs_mandates(tenant, shop, known_as="CU_OF_NOBODY")
    for _ in range(2):  # nothing is kept of it
        answer = await checkout(tenant, **{"Idempotency-Key": "k"})
        assert (answer.status_code, answer.json()["code"]) == (422, "third_party_error")
        said = answer.json()["error_details"]
        assert said["third_party"] == "GoCardless"
        assert said["thirdparty_error"], "its own words"


Waiting = Callable[[Tenant], Awaitable[httpx.Response]]
WHOSE: Final = "GoCardless's account gocardless"


async def attach(tenant: Tenant) -> httpx.Response:
    asked = {"payment_method": {"provider_method_id": "MD1"}}
    return await tenant.post("/customers/c%2F1/payment_methods", asked)


# Whoever calls one of these waits for the provider: an order, and a question.
WAITING: Final = pytest.mark.parametrize("ask", [checkout, attach])


@WAITING
async def test_a_provider_that_gives_no_answer_is_named(
    tenant: Tenant, shop: Shop, debits: Stub, ask: Waiting
) -> None:
    await signs_mandates(tenant, shop)
    debits.fault = "drop_after"
    answer = await ask(tenant)
    assert answer.status_code == 422
    message = f"{WHOSE} gave no answer that can be relied on (ConnectionError)."
    assert answer.json() == {
        "status": 422, "error": "Unprocessable Entity", "code": "provider_error",
        "provider": {"code": "gocardless"}, "error_details": {"message": message},
    }  # fmt: skip


@WAITING
async def test_a_provider_that_is_called_too_often_is_left_alone_and_its_caller_told_how_long(
    tenant: Tenant, shop: Shop, debits: Stub, ask: Waiting
) -> None:
    await signs_mandates(tenant, shop)
    debits.fault, debits.retry_after = "rate_limited", 90
    asked = len(debits.requests)
    for waited in (0, 30):
        shop.clock.advance(seconds=waited)
        answer = await ask(tenant)
        left = 90 - waited
        assert answer.status_code == 429
        message = f"{WHOSE} is called too often. It may be called again in {left} s."
        assert answer.json() == {
            "status": 429, "error": "Too Many Provider Requests",
            "code": "too_many_provider_requests",
            "error_details": {"provider_name": "GoCardless", "message": message},
        }  # fmt: skip
        told = {name: answer.headers[name] for name in ("retry-after", "x-ratelimit-reset")}
        assert told == {"retry-after": str(left), "x-ratelimit-reset": str(left)}
        assert answer.headers["x-ratelimit-remaining"] == "0"
    assert len(debits.requests) == asked + 1, "who may not call does not"


@pytest.mark.parametrize(
    ("retry_after", "longest"), [(None, 1), (86_400, ASKED_TO_PAUSE_AT_MOST.total_seconds())]
)
async def test_who_is_told_how_long_is_told_how_long_it_is(
    tenant: Tenant, shop: Shop, debits: Stub, retry_after: int | None, longest: float
) -> None:
    """What the provider asks for is not what it is left alone for: that has an end, and a least."""
    await signs_mandates(tenant, shop)
    debits.fault, debits.retry_after = "rate_limited", retry_after
    for times in (1, 2, 3):
        asked = len(debits.requests)
        told = int((await checkout(tenant)).headers["retry-after"])
        assert told <= longest * 2 ** (times - 1)
        assert (await checkout(tenant)).headers["retry-after"] == str(told)
        shop.clock.advance(seconds=told)
        assert len(debits.requests) == asked + 1


async def test_a_provider_that_is_out_is_left_alone(
    tenant: Tenant, shop: Shop, debits: Stub
) -> None:
    await signs_mandates(tenant, shop)
    debits.fault = "drop_before"
    for _ in range(OUTAGES_TO_OPEN):
        assert (await checkout(tenant)).json()["code"] == "provider_error"
    asked = len(debits.requests)
    answer = await checkout(tenant)
    assert (answer.status_code, answer.json()["code"]) == (422, "provider_error")
    again = f"It is asked again in {int(OPEN_FOR.total_seconds())} s."
    assert answer.json()["error_details"] == {"message": f"{WHOSE} does not answer. {again}"}
    assert len(debits.requests) == asked


@WAITING
async def test_a_key_that_the_provider_refuses_is_said_to_be(
    tenant: Tenant, shop: Shop, debits: Stub, ask: Waiting
) -> None:
    secrets = {"access_token": "token_of_nobody", "webhook_secret": "whsec"}
    await signs_mandates(tenant, shop, secrets=secrets)
    error = f"The API key of {WHOSE} is refused there."
    for _ in range(2):
        answer = await ask(tenant)
        assert (answer.status_code, answer.json()) == (401, {"status": 401, "error": error})
    assert len(debits.requests) == 1, "who is refused is left alone"


async def test_what_waits_for_its_turn_is_not_said_to_be_out_or_refused(
    tenant: Tenant, shop: Shop, debits: Stub
) -> None:
    """An empty bucket holds back whoever would see whether it answers again, or takes our key."""
    await signs_mandates(tenant, shop)
    health = (
        "INSERT INTO provider_health (organization_id, provider_account_id, tokens, refilled_at"
    )
    account = await shop.owner.fetchval(
        "SELECT id FROM provider_accounts WHERE kind = 'gocardless'"
    )
    for column in ("open_until", "key_refused_at"):
        await shop.owner.execute("DELETE FROM provider_health")
        await shop.owner.execute(
            f"{health}, {column}) VALUES ($1, $2, 0, $3, $3)",
            shop.organization_id, account, shop.clock.now(),
        )  # fmt: skip
        answer = await checkout(tenant)
        assert answer.json()["code"] == "too_many_provider_requests", column
    assert debits.requests == []


async def test_what_stripe_does_not_answer_is_said_with_the_keys_of_its_errors(
    tenant: Tenant, shop: Shop
) -> None:
    await add_account(shop, "stripe", {"secret_key": "sk_test", "webhook_secret": "wh"})
    link = {"payment_provider": "stripe", "provider_customer_id": "cus_1"}
    customer = {"external_id": "c/1", "billing_configuration": link}
    assert (await tenant.post("/customers", {"customer": customer})).status_code == 200
    answer = await checkout(tenant)
    assert (answer.status_code, answer.json()["provider"]) == (422, {"code": "stripe"})
    assert answer.json()["error_details"] == {
        "code": "no_answer", "http_body": None, "http_status": None, "request_id": None,
        "message": "Stripe's account stripe gave no answer that can be relied on (ConnectError).",
    }  # fmt: skip


async def test_a_mistyped_method_may_be_corrected_under_the_same_key(
    tenant: Tenant, shop: Shop
) -> None:
    await signs_mandates(tenant, shop)
    path, key = "/customers/c%2F1/payment_methods", {"Idempotency-Key": "k"}
    wrong, right = (
        {"payment_method": {"provider_method_id": said}} for said in ("MD_OF_NOBODY", "MD1")
    )
    refused = await tenant.post(path, wrong, **key)
    assert refusal(refused) == (422, {"provider_method_id": ["value_not_found_at_provider"]})
    accepted = await tenant.post(path, right, **key)
    assert accepted.status_code == 200, accepted.text
    assert (await tenant.post(path, right, **key)).content == accepted.content
    assert (await tenant.post(path, wrong, **key)).json()["code"] == "idempotency_key_reused"

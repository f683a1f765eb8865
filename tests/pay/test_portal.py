"""The payer's own page: what it shows, to whom, and that it can be paid from."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from html import unescape
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import asyncpg
import httpx
import pytest
import pytest_asyncio
import structlog

from recoup import clock
from recoup.api.app import make_app
from recoup.api.edge import Edge
from recoup.flows.open_provider import Providers
from recoup.flows.portal_links import PortalLinks
from recoup.flows.show_portal import PAGE_SIZE
from recoup.pay import portal
from recoup.rules.records.keys import RowKey
from recoup.store.db import Pool
from recoup.store.secret_box import SecretBox
from tests.account_secrets import spoiled
from tests.api.billing import has_customer, has_method, issue, issue_of, pay, refusal, sells
from tests.api.conftest import BOX, Tenant, new_tenant
from tests.shop import MovableClock, SandboxServer, sandbox_server

NOBODYS = "00000000-0000-7000-8000-00000000abcd"


@pytest_asyncio.fixture
async def psp(tmp_path: Path) -> AsyncIterator[SandboxServer]:
    async with sandbox_server(tmp_path, MovableClock(clock.now())) as server:
        yield server


@pytest_asyncio.fixture
async def app(pool: Pool, scout: Pool, psp: SandboxServer) -> AsyncIterator[Any]:
    """The application with its pages, as `serve` puts it together."""
    async with aiohttp.ClientSession() as http:
        providers = Providers(http, BOX, sandbox_base=psp.base)
        edge = Edge(
            pool, scout=scout, providers=providers, now=psp.clock.now, new_id=clock.new_id,
            public_url="https://recoup.test",
        )  # fmt: skip
        pages = portal.make_routes(
            pool, providers, edge.links, new_id=clock.new_id, now=psp.clock.now
        )
        yield make_app(edge, servers=[], pages=[pages])


@pytest_asyncio.fixture
async def tenant(pool: Pool, app: Any) -> AsyncIterator[Tenant]:
    made = await new_tenant(pool, app)
    yield made
    await made.client.aclose()


@pytest_asyncio.fixture
async def other_tenant(pool: Pool, app: Any) -> AsyncIterator[Tenant]:
    made = await new_tenant(pool, app, "Other GmbH")
    yield made
    await made.client.aclose()


@pytest_asyncio.fixture
async def payer(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="https://recoup.test") as client:
        yield client


async def link(tenant: Tenant, external_id: str = "c1") -> str:
    answer = await tenant.get(f"/customers/{external_id}/portal_url")
    assert answer.status_code == 200, answer.text
    assert list(answer.json()["customer"]) == ["portal_url"]
    return str(answer.json()["customer"]["portal_url"])


async def seen(payer: httpx.AsyncClient, url: str) -> str:
    answer = await payer.get(url)
    assert answer.status_code == 200, answer.text
    return answer.text


def texts(page: str) -> list[list[str]]:
    """The cells of the table, row by row."""
    rows = re.findall(r"<tr>(.*?)</tr>", page)[1:]
    return [
        [unescape(re.sub("<[^>]+>", "", cell)) for cell in re.findall(r"<td.*?</td>", row)]
        for row in rows
    ]


async def test_the_page_shows_the_customers_invoices_and_how_they_stand(
    tenant: Tenant, payer: httpx.AsyncClient, owner: asyncpg.Connection, pool: Pool
) -> None:
    await sells(tenant)
    await has_method(tenant, pool)
    await has_customer(tenant, "c2")
    opened = await issue_of(tenant, 123_456)
    partly = await issue_of(tenant, 500)
    await pay(tenant, partly, 120)
    paid = await issue_of(tenant, 700)
    await pay(tenant, paid, 700)
    void = await issue_of(tenant, 900)
    await tenant.post(f"/invoices/{void['lago_id']}/void")
    late = await issue_of(tenant, 1_000)
    await owner.execute("UPDATE invoices SET payment_overdue = true WHERE id = $1", late["lago_id"])
    busy = await issue_of(tenant, 1_100, skip_psp=False)
    draft = await issue(tenant, draft=True)
    other = await issue(tenant, external_customer_id="c2")
    page = await seen(payer, await link(tenant))
    shown = {row[0]: row[3:] for row in texts(page)}
    assert shown == {
        opened["number"]: ["1,234.56 EUR", "1,234.56 EUR", "Open", "Pay"],
        partly["number"]: ["5.00 EUR", "3.80 EUR", "Open", "Pay"],
        paid["number"]: ["7.00 EUR", "0.00 EUR", "Paid", ""],
        void["number"]: ["9.00 EUR", "0.00 EUR", "Void", ""],
        late["number"]: ["10.00 EUR", "10.00 EUR", "Overdue", "Pay"],
        busy["number"]: ["11.00 EUR", "11.00 EUR", "Being paid", ""],
    }
    assert texts(page)[0][1:3] == [busy["issuing_date"], busy["payment_due_date"]]
    assert draft["lago_id"] not in page
    assert other["number"] not in page


async def test_an_invoice_is_paid_from_the_page(
    tenant: Tenant, payer: httpx.AsyncClient, owner: asyncpg.Connection, pool: Pool,
    psp: SandboxServer,
) -> None:  # fmt: skip
    await sells(tenant)
    await has_method(tenant, pool)
    made = await issue(tenant)
    url = await link(tenant)
    [action] = re.findall(r'<form method="post" action="([^"]+)">', await seen(payer, url))
    answer = await payer.post(action)
    assert answer.status_code == 200, answer.text
    [onward] = re.findall(r'<a class="button" href="([^"]+)">', answer.text)
    assert unescape(onward).startswith(psp.base)
    assert f'content="0;url={onward}"' in answer.text
    again = await payer.post(action)
    assert re.findall(r'<a class="button" href="([^"]+)">', again.text) == [onward]
    assert await owner.fetchval("SELECT count(*) FROM payments") == 1
    assert await owner.fetchval("SELECT invoice_id FROM payment_invoices") == UUID(made["lago_id"])
    assert [row[5] for row in texts(await seen(payer, url))] == ["Open"]  # and may be opened again


async def test_what_cannot_be_paid_says_so(
    tenant: Tenant, payer: httpx.AsyncClient, owner: asyncpg.Connection, pool: Pool
) -> None:
    await sells(tenant)
    await has_method(tenant, pool)
    made = await issue(tenant)
    path = f"{await link(tenant)}/invoices/{made['lago_id']}/pay"
    await tenant.post(f"/invoices/{made['lago_id']}/void")
    answer = await payer.post(path)
    assert answer.status_code == 409
    assert "cannot be paid here" in answer.text
    assert (await payer.get(path)).status_code == 404  # a link that is only looked at pays nothing
    assert await owner.fetchval("SELECT count(*) FROM payments") == 0


async def test_where_a_key_does_not_open_the_link_is_not_logged(
    tenant: Tenant, payer: httpx.AsyncClient, owner: asyncpg.Connection, pool: Pool
) -> None:
    await sells(tenant)
    await has_method(tenant, pool)
    made = await issue(tenant)
    path = f"{await link(tenant)}/invoices/{made['lago_id']}/pay"
    kept = await owner.fetchval("SELECT secrets_sealed FROM provider_accounts")
    await owner.execute("UPDATE provider_accounts SET secrets_sealed = $1", spoiled(kept))
    with structlog.testing.capture_logs() as logs:
        answer = await payer.post(path)
    assert answer.status_code == 503
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["cache-control"] == "no-store"
    assert [line["event"] for line in logs] == ["portal_failed"]
    assert made["lago_id"] not in str(logs)


async def test_without_a_provider_there_is_nothing_to_press(
    tenant: Tenant, payer: httpx.AsyncClient
) -> None:
    await sells(tenant)
    await issue(tenant)
    assert "<form" not in await seen(payer, await link(tenant))


async def test_nobody_pays_or_sees_anothers_invoice(
    tenant: Tenant, other_tenant: Tenant, payer: httpx.AsyncClient, owner: asyncpg.Connection,
    pool: Pool,
) -> None:  # fmt: skip
    for one in (tenant, other_tenant):
        await sells(one)
        await has_method(one, pool)
    await has_customer(tenant, "c2")
    await has_method(tenant, pool, "c2")
    mine = await issue(tenant)
    neighbours = await issue(tenant, external_customer_id="c2")
    strangers = await issue(other_tenant)
    url = await link(tenant)
    unknown = await payer.post(f"{url}/invoices/{NOBODYS}/pay")
    assert unknown.status_code == 404
    for foreign in (neighbours, strangers):
        answer = await payer.post(f"{url}/invoices/{foreign['lago_id']}/pay")
        assert (answer.status_code, answer.text) == (404, unknown.text)
    assert await owner.fetchval("SELECT count(*) FROM payments") == 0
    page = await seen(payer, url)
    assert mine["lago_id"] in page
    assert neighbours["lago_id"] not in page
    assert strangers["lago_id"] not in page
    theirs = await seen(payer, await link(other_tenant))
    assert strangers["lago_id"] in theirs
    assert mine["lago_id"] not in theirs


async def test_a_link_is_good_for_twelve_hours(
    tenant: Tenant, payer: httpx.AsyncClient, psp: SandboxServer
) -> None:
    await sells(tenant)
    url = await link(tenant)
    psp.clock.advance(hours=11, minutes=59)
    assert "Your invoices" in await seen(payer, url)
    psp.clock.advance(minutes=1)
    for answer in (await payer.get(url), await payer.post(f"{url}/invoices/{NOBODYS}/pay")):
        assert answer.status_code == 404
        assert "no longer valid" in answer.text


async def test_what_is_no_link_of_ours_opens_nothing(
    tenant: Tenant, payer: httpx.AsyncClient, psp: SandboxServer
) -> None:
    await sells(tenant)
    url = await link(tenant)
    base, _, token = url.rpartition("/")
    changed = token[:-5] + ("A" if token[-5] != "A" else "B") + token[-4:]
    key = RowKey(tenant.organization_id, UUID(NOBODYS))
    strangers = PortalLinks(SecretBox.from_text(SecretBox.new_key()), address=base).token(
        key, until=clock.now() + timedelta(days=1)
    )
    nobodys = PortalLinks(BOX, address=base).token(key, until=clock.now() + timedelta(days=1))
    wrong = (changed, token[:-4], token + "AAAA", "x", "%00", "%F0%9F%98%80", "A" * 5_000,
             strangers, nobodys)  # fmt: skip
    first = await payer.get(f"{base}/{wrong[0]}")
    for one in wrong:
        answer = await payer.get(f"{base}/{one}")
        assert (answer.status_code, answer.text) == (404, first.text), one


async def test_a_deleted_customers_link_ends(tenant: Tenant, payer: httpx.AsyncClient) -> None:
    await sells(tenant)
    made = await issue(tenant)
    url = await link(tenant)
    await tenant.delete("/customers/c1")
    assert (await payer.get(url)).status_code == 404
    await has_customer(tenant, "c1")  # somebody else, who has the same name by now
    assert made["lago_id"] not in await seen(payer, await link(tenant))


async def test_the_page_is_told_to_nobody_and_runs_nothing(
    tenant: Tenant, payer: httpx.AsyncClient
) -> None:
    evil = '<script>alert(1)</script>"&'
    await tenant.put("/organizations", {"organization": {"legal_name": evil}})
    await sells(tenant)
    await issue(tenant)
    answer = await payer.get(await link(tenant))
    assert "<script" not in answer.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in answer.text
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize(
    ("locale", "title", "amount"),
    [
        ("de", "Ihre Rechnungen von Acme Ltd", "1.234,56 EUR"),
        ("fr", "Vos factures de Acme Ltd", "1\N{NARROW NO-BREAK SPACE}234,56 EUR"),
        ("es", "Sus facturas de Acme Ltd", "1.234,56 EUR"),
        ("pt-BR", "As suas faturas de Acme Ltd", "1.234,56 EUR"),
        ("sv", "Your invoices from Acme Ltd", "1,234.56 EUR"),
    ],
)
async def test_the_page_speaks_the_customers_language(
    tenant: Tenant, payer: httpx.AsyncClient, locale: str, title: str, amount: str
) -> None:
    await sells(tenant, billing_configuration={"document_locale": locale})
    await issue_of(tenant, 123_456)
    page = await seen(payer, await link(tenant))
    assert f"<h1>{title}</h1>" in page
    assert texts(page)[0][3] == amount


async def test_many_invoices_come_page_by_page(
    tenant: Tenant, payer: httpx.AsyncClient, owner: asyncpg.Connection
) -> None:
    await sells(tenant)
    made = await issue(tenant)
    await owner.execute(
        """INSERT INTO invoices (organization_id, id, customer_id, billing_entity_id, number,
                  status, payment_status, issuing_date, currency, created_at, updated_at)
           SELECT i.organization_id, gen_random_uuid(), i.customer_id, i.billing_entity_id,
                  'n-' || n, 'finalized', 'pending', i.issuing_date - 1, 'EUR', i.created_at,
                  i.updated_at
             FROM invoices i, generate_series(1, $1) AS n""",
        PAGE_SIZE,
    )
    url = await link(tenant)
    first = await seen(payer, url)
    assert len(texts(first)) == PAGE_SIZE
    assert texts(first)[0][0] == made["number"]
    [older] = re.findall(r'<nav><a href="([^"]+)">Older</a></nav>', first)
    second = await seen(payer, older)
    assert len(texts(second)) == 1
    assert re.findall(r'<nav><a href="([^"]+)">Newer</a></nav>', second)
    for odd in ("0", "-1", "x", "99999999999", "٣"):
        assert (await payer.get(url, params={"page": odd})).status_code == 200


async def test_an_unknown_customer_has_no_page(tenant: Tenant, other_tenant: Tenant) -> None:
    await sells(other_tenant)
    for unknown in ("c1", "nobody"):
        answer = await tenant.get(f"/customers/{unknown}/portal_url")
        assert refusal(answer) == (404, "customer_not_found")

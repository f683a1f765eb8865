"""Mails that a caller asks for: whom they go to, and what is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import asyncpg
import httpx
import pytest
import pytest_asyncio

from recoup import clock
from recoup.api.app import make_app
from recoup.api.edge import Edge
from recoup.flows.open_provider import Providers
from recoup.flows.portal_links import PortalLinks
from recoup.flows.write_letter import write_letter
from recoup.rules.records.mails import Mail
from recoup.store import db
from recoup.store.db import Pool
from tests.api.billing import count, has_customer, has_method, issue, pay, refusal, sells
from tests.api.conftest import BOX, Tenant, new_tenant
from tests.api.noting import note
from tests.api.test_invoices import UNKNOWN

WANTED = {"organization": {"email_settings": ["invoice.finalized"]}}


@pytest_asyncio.fixture
async def mailing(pool: Pool, scout: Pool) -> AsyncIterator[Tenant]:
    """A tenant of an installation that has a mail server."""
    async with aiohttp.ClientSession() as http:
        edge = Edge(
            pool, scout=scout, providers=Providers(http, BOX, sandbox_base="http://127.0.0.1:9"),
            now=clock.now, new_id=clock.new_id, can_send_mail=True,
        )  # fmt: skip
        made = await new_tenant(pool, make_app(edge, servers=[]))
        yield made
        await made.client.aclose()


async def resend(tenant: Tenant, invoice: Any, body: Any = None, **headers: str) -> httpx.Response:
    return await tenant.post(f"/invoices/{invoice['lago_id']}/resend_email", body, **headers)


async def issued(tenant: Tenant, **customer: Any) -> Any:
    await sells(tenant, **{"email": "ada@c.example"} | customer)
    made = await issue(tenant)
    await tenant.put("/organizations", WANTED)
    return made


async def test_an_invoice_is_mailed_to_the_customer(
    mailing: Tenant, owner: asyncpg.Connection
) -> None:
    made = await issued(mailing, email="ada@c.example,bob@c.example")
    for body in (None, {}, {"to": None}, {"to": []}):
        answer = await resend(mailing, made, body)
        assert (answer.status_code, answer.content) == (200, b""), answer.text
    rows = await owner.fetch("SELECT * FROM mails")
    assert len(rows) == 4
    for row in rows:
        assert str(row["object_id"]) == made["lago_id"]
        assert row["recipients"] == ["ada@c.example", "bob@c.example"]
        assert (row["kind"], row["state"]) == ("invoice.finalized", "waiting")
    assert await owner.fetchval("SELECT count(*) FROM pgqueuer WHERE entrypoint = 'send_mail'") == 4


async def test_an_invoice_is_mailed_to_whom_a_caller_names(
    mailing: Tenant, owner: asyncpg.Connection
) -> None:
    made = await issued(mailing)
    asked = {"to": ["b@c.example", " b@c.example"], "cc": ["c@c.example"], "bcc": ["d@c.example"]}
    assert (await resend(mailing, made, asked)).status_code == 200
    row = await owner.fetchrow("SELECT * FROM mails")
    assert row["recipients"] == ["b@c.example"]
    assert (row["copies"], row["blind_copies"]) == (["c@c.example"], ["d@c.example"])


async def test_a_repeated_ask_with_one_key_mails_once(
    mailing: Tenant, owner: asyncpg.Connection
) -> None:
    made = await issued(mailing)
    for _ in range(2):
        answer = await resend(mailing, made, **{"Idempotency-Key": "once"})
        assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["Idempotent-Replayed"] == "true"
    assert await count(owner, "mails") == 1


@pytest.mark.parametrize(
    ("body", "details"),
    [
        ({"to": "a@c.example"}, {"to": ["must_be_an_array"]}),
        ({"to": {}, "cc": 1}, {"to": ["must_be_an_array"], "cc": ["must_be_an_array"]}),
        ({"bcc": True}, {"bcc": ["must_be_an_array"]}),
        ({"to": ["nobody"]}, {"to": ["invalid_email_format"]}),
        ({"to": ["a@c.example,b@c.example"]}, {"to": ["invalid_email_format"]}),
        ({"to": ["a@c.example\r\nBcc: e@c.example"]}, {"to": ["invalid_email_format"]}),
        ({"cc": ["a@c.example\n"]}, {"cc": ["invalid_email_format"]}),
        ({"bcc": ["a\0@c.example"]}, {"bcc": ["invalid_email_format"]}),
        ({"to": [1]}, {"to": ["invalid_email_format"]}),
        ({"to": [None]}, {"to": ["invalid_email_format"]}),
        ({"to": [["a@c.example"]]}, {"to": ["invalid_email_format"]}),
        ({"cc": [f"a{n}@c.example" for n in range(11)]}, {"cc": ["invalid_count"]}),
    ],
)  # fmt: skip
async def test_wrong_addresses_are_named(
    mailing: Tenant, owner: asyncpg.Connection, body: Any, details: Any
) -> None:
    made = await issued(mailing)
    assert refusal(await resend(mailing, made, body)) == (422, details)
    assert await count(owner, "mails") == 0


async def test_a_customer_without_an_address_needs_one_named(mailing: Tenant) -> None:
    made = await issued(mailing, email=None)
    assert refusal(await resend(mailing, made)) == (422, {"to": ["value_is_mandatory"]})
    assert (await resend(mailing, made, {"to": ["a@c.example"]})).status_code == 200


async def test_what_is_not_mailed(mailing: Tenant, owner: asyncpg.Connection) -> None:
    await sells(mailing, email="ada@c.example")
    made, draft, void = await issue(mailing), await issue(mailing, draft=True), await issue(mailing)
    await mailing.post(f"/invoices/{void['lago_id']}/void")
    assert refusal(await resend(mailing, draft)) == (405, "invoice_not_finalized")
    assert refusal(await resend(mailing, made)) == (405, "email_settings_disabled")
    await mailing.put("/organizations", WANTED)
    assert refusal(await resend(mailing, draft)) == (405, "invoice_not_finalized")
    assert refusal(await resend(mailing, void)) == (405, "invoice_not_finalized")
    for unknown in (UNKNOWN, "nonsense"):
        assert refusal(await resend(mailing, {"lago_id": unknown})) == (404, "invoice_not_found")
    assert await count(owner, "mails") == 0


async def test_without_a_mail_server_it_is_said_what_to_set(
    tenant: Tenant, owner: asyncpg.Connection
) -> None:
    made = await issued(tenant)
    answer = await resend(tenant, made)
    assert answer.json() == {
        "status": 422, "error": "Unprocessable Entity", "code": "mail_not_configured",
        "error_details": {
            "RECOUP_SMTP_URL": ["value_is_mandatory"], "RECOUP_MAIL_FROM": ["value_is_mandatory"],
        },
    }  # fmt: skip
    assert await count(owner, "mails") == 0


EVERYTHING = ["invoice.finalized", "credit_note.created", "payment_receipt.created"]


async def paper(tenant: Tenant, kind: str) -> Any:
    """A credit note or a receipt, of a customer that has an address."""
    await sells(tenant, email="ada@c.example")
    invoice = await issue(tenant)
    await pay(tenant, invoice, 400)
    if kind == "credit_notes":
        return await note(tenant, invoice, 100, offset_amount_cents=100)
    return (await tenant.get("/payment_receipts")).json()["payment_receipts"][0]


@pytest.mark.parametrize(
    ("kind", "setting"),
    [("credit_notes", "credit_note.created"), ("payment_receipts", "payment_receipt.created")],
)
async def test_notes_and_receipts_are_mailed_again_where_such_mails_are_on(
    mailing: Tenant, owner: asyncpg.Connection, kind: str, setting: str
) -> None:
    made = await paper(mailing, kind)
    path = f"/{kind}/{made['lago_id']}/resend_email"
    others = [one for one in EVERYTHING if one != setting]
    await mailing.put("/organizations", {"organization": {"email_settings": others}})
    assert refusal(await mailing.post(path)) == (405, "email_settings_disabled")
    await mailing.put("/organizations", {"organization": {"email_settings": [setting]}})
    wrong = await mailing.post(path, {"to": ["nobody"]})
    assert refusal(wrong) == (422, {"to": ["invalid_email_format"]})
    assert await count(owner, "mails") == 0
    answer = await mailing.post(path, {"to": ["b@c.example"], "cc": ["c@c.example"]})
    assert (answer.status_code, answer.content) == (200, b"")
    assert (await mailing.post(path)).status_code == 200
    rows = await owner.fetch("SELECT * FROM mails ORDER BY created_at, id")
    assert [row["recipients"] for row in rows] == [["b@c.example"], ["ada@c.example"]]
    assert {(row["kind"], str(row["object_id"])) for row in rows} == {(setting, made["lago_id"])}
    unknown = await mailing.post(f"/{kind}/{UNKNOWN}/resend_email")
    assert refusal(unknown) == (404, f"{kind[:-1]}_not_found")


@pytest.mark.parametrize("is_wanted", [True, False])
async def test_new_notes_and_receipts_are_mailed_where_the_entity_wants_it(
    mailing: Tenant, owner: asyncpg.Connection, is_wanted: bool
) -> None:
    settings = EVERYTHING[1:] if is_wanted else []
    await mailing.put("/organizations", {"organization": {"email_settings": settings}})
    await paper(mailing, "credit_notes")
    await has_customer(mailing, "c2", email=None)
    await pay(mailing, await issue(mailing, external_customer_id="c2"), 100)  # has no address
    await has_customer(mailing, "p1", account_type="partner", email="partner@c.example")
    owed = await issue(mailing, external_customer_id="p1")
    await pay(mailing, owed, 100)  # we have paid, and the partner was
    await note(mailing, owed, 100, offset_amount_cents=100)
    kinds = [row["kind"] for row in await owner.fetch("SELECT kind FROM mails ORDER BY kind")]
    assert kinds == settings
    assert await owner.fetchval(
        "SELECT count(*) FROM pgqueuer WHERE entrypoint = 'send_mail'"
    ) == len(settings)


async def test_a_customer_who_cannot_be_charged_is_reminded(
    mailing: Tenant, owner: asyncpg.Connection, pool: Pool
) -> None:
    await sells(mailing, email="ada@c.example")
    invoices = [await issue(mailing) for _ in range(2)]
    await owner.execute("UPDATE invoices SET payment_overdue = true")
    asked = {
        "external_customer_id": "c1", "lago_invoice_ids": [one["lago_id"] for one in invoices],
        "email": "books@c.example",
    }  # fmt: skip
    answer = await mailing.post("/payment_requests", {"payment_request": asked})
    assert answer.status_code == 200
    [row] = await owner.fetch("SELECT * FROM mails")
    assert (row["kind"], row["recipients"]) == ("payment_request.created", ["books@c.example"])
    made = answer.json()["payment_request"]
    assert str(row["object_id"]) == made["lago_id"]
    links = PortalLinks(BOX, address="https://recoup.test")
    mail = Mail(**dict(row))
    async with db.transaction(pool, tenants=[mailing.organization_id]) as conn:
        letter = await write_letter(conn, mail, links=links, now=clock.now())
    assert letter is not None
    assert all(one["number"] in letter.text for one in invoices)
    assert "https://recoup.test/customer-portal/" in letter.text
    assert f"{2 * invoices[0]['total_amount_cents'] / 100:.2f} EUR" in letter.text
    for one in invoices:  # what was paid meanwhile is not asked for any more
        await pay(mailing, one, one["total_amount_cents"])
    async with db.transaction(pool, tenants=[mailing.organization_id]) as conn:
        assert await write_letter(conn, mail, links=links, now=clock.now()) is None


async def test_a_customer_who_is_charged_is_not_reminded(
    mailing: Tenant, owner: asyncpg.Connection, pool: Pool
) -> None:
    await sells(mailing, email="ada@c.example")
    await has_method(mailing, pool)
    invoice = await issue(mailing, skip_psp=True)
    await owner.execute("UPDATE invoices SET payment_overdue = true, skip_psp = false")
    asked = {"external_customer_id": "c1", "lago_invoice_ids": [invoice["lago_id"]]}
    answer = await mailing.post("/payment_requests", {"payment_request": asked})
    assert answer.status_code == 200, answer.text
    assert await count(owner, "pgqueuer WHERE entrypoint = 'submit_attempt'") == 1
    assert await count(owner, "mails") == 0

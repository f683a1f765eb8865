"""The PDFs of credit notes and of payment receipts, as a caller sees them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from recoup import clock
from recoup.documents.typesetter import Typesetter
from recoup.flows.reports import Report, Source
from recoup.flows.settle_attempt import settle_attempts
from recoup.providers.protocol import Paid
from recoup.rules.records.document_pages import CreditNotePage, Page, ReceiptPage, read
from recoup.rules.records.keys import RowKey
from recoup.store.db import Pool
from tests.api.billing import has_customer, has_method, has_tax, issue, issue_of, pay, sells
from tests.api.conftest import Tenant, new_tenant
from tests.api.noting import charged, note
from tests.document_desk import Desk, open_desk
from tests.documents.reading import text_of


@pytest_asyncio.fixture
async def desk(
    pool: Pool, scout: Pool, owner: asyncpg.Connection, tmp_path: Path, typesetter: Typesetter
) -> AsyncIterator[Desk]:
    async with open_desk(pool, scout, owner, tmp_path, typesetter) as opened:
        yield opened


@pytest_asyncio.fixture
async def shop(desk: Desk) -> AsyncIterator[Tenant]:
    tenant = await new_tenant(desk.pool, desk.app, "Morgenlicht Software")
    own = {"legal_name": "Morgenlicht GmbH", "billing_configuration": {"invoice_footer": "IBAN 1"}}
    await tenant.put("/organizations", {"organization": own})
    await sells(tenant, name="Ada Lovelace")
    yield tenant
    await tenant.client.aclose()


async def page(desk: Desk, of: Any) -> Page:
    """The page that is current."""
    return read((await desk.rows(of["lago_id"]))[-1]["page"])


async def told(desk: Desk, kind: str) -> list[Any]:
    """What was told of this kind's documents, oldest first."""
    every = await desk.told()
    return [one[kind] for one in every if one["webhook_type"] == f"{kind}.generated"]


async def shown(shop: Tenant, made: Any) -> Any:
    answer = await shop.get(f"/credit_notes/{made['lago_id']}")
    return answer.json()["credit_note"]


async def receipts(shop: Tenant, **query: Any) -> list[Any]:
    found: list[Any] = (await shop.get("/payment_receipts", **query)).json()["payment_receipts"]
    return found


async def paid_note(shop: Tenant, **fields: Any) -> Any:
    """A note of half an invoice of 1,000 that was paid."""
    invoice = await issue_of(shop, 1_000)
    assert (await pay(shop, invoice, 1_000)).status_code == 200
    return await note(shop, invoice, 500, **fields or {"credit_amount_cents": 500})


# Credit notes


@pytest.mark.parametrize("download", ["download", "download_pdf"])
async def test_a_note_is_downloaded_once_it_is_made(
    desk: Desk, shop: Tenant, download: str
) -> None:
    made = await paid_note(shop)
    assert made["file_url"] is None
    path = f"/credit_notes/{made['lago_id']}/{download}"
    not_yet = await shop.post(path)
    assert (not_yet.status_code, not_yet.content) == (200, b"")
    assert await told(desk, "credit_note") == []

    await desk.make_all()
    answer = await shop.post(path)
    ready = answer.json()["credit_note"]
    opened = await desk.open(ready["file_url"])
    assert (opened.status_code, opened.headers["content-type"]) == (200, "application/pdf")
    assert f'filename="{made["number"]}.pdf"' in opened.headers["content-disposition"]
    text = text_of(opened.content)
    for said in (made["number"], made["invoice_number"], "Ada Lovelace", "Morgenlicht GmbH"):
        assert said in text
    assert ready | {"file_url": None} == made


async def test_what_stands_on_a_note_is_what_it_was_made_of(desk: Desk, shop: Tenant) -> None:
    await has_tax(shop, "vat", 20)
    taxed = {"add_on_code": "setup", "tax_codes": ["vat"]}
    invoice = await issue(shop, fees=[taxed, taxed], purchase_order_number="PO 7")
    await pay(shop, invoice, 1_200)
    made = await note(
        shop, invoice, 500, 250, credit_amount_cents=300, refund_amount_cents=200,
        offset_amount_cents=400, reason="order_change", description="Too much",
    )  # fmt: skip
    await has_customer(shop, "c1", name="Somebody Else")
    frozen = await page(desk, made)
    assert isinstance(frozen, CreditNotePage)
    assert (frozen.number, frozen.invoice_number) == (made["number"], invoice["number"])
    assert frozen.issued_on is not None
    assert frozen.issued_on.isoformat() == made["issuing_date"]
    assert [line.amount_cents for line in frozen.lines] == [500, 250]
    assert [line.units for line in frozen.lines] == [None, None]
    (tax,) = frozen.taxes
    assert (tax.base_cents, tax.amount_cents) == (750, 150)
    assert (frozen.net_cents, frozen.taxes_cents, frozen.total_cents) == (750, 150, 900)
    parts = (frozen.credit_cents, frozen.refund_cents, frozen.offset_cents)
    assert parts == (300, 200, 400)
    assert (frozen.reason, frozen.description) == ("order_change", "Too much")
    assert (frozen.purchase_order_number, frozen.footer) == ("PO 7", "IBAN 1")
    assert (frozen.seller.name, frozen.buyer.name) == ("Morgenlicht GmbH", "Ada Lovelace")


async def test_a_self_billed_note_names_the_partner_as_seller(desk: Desk, shop: Tenant) -> None:
    await has_customer(shop, "p1", name="Partner SARL", account_type="partner")
    invoice = await issue(shop, external_customer_id="p1")
    assert invoice["self_billed"]
    made = await note(shop, invoice, 100, offset_amount_cents=100)
    frozen = await page(desk, made)
    assert isinstance(frozen, CreditNotePage)
    assert frozen.self_billed
    assert (frozen.seller.name, frozen.buyer.name) == ("Partner SARL", "Morgenlicht GmbH")
    assert (frozen.footer, frozen.logo_url) == (None, None)


async def test_a_note_is_told_once_with_an_address_that_opens(desk: Desk, shop: Tenant) -> None:
    made = await paid_note(shop)
    await desk.make_all()
    (row,) = await desk.rows(made["lago_id"])
    await desk.tools.storage.remove(f"{row['organization_id']}/{row['id']}.pdf")
    lost = await desk.open((await shown(shop, made))["file_url"])
    assert (lost.status_code, lost.json()["code"]) == (503, "document_is_being_made")
    await desk.make_all()
    (once,) = await told(desk, "credit_note")
    assert (await desk.open(once["file_url"])).status_code == 200
    assert once | {"file_url": None} == made  # with customer, items and taxes (section 7.4)


async def test_a_notes_address_is_shown_wherever_the_note_is(desk: Desk, shop: Tenant) -> None:
    made, other = await paid_note(shop), await paid_note(shop)
    await desk.make_all()
    listed = (await shop.get("/credit_notes")).json()["credit_notes"]
    of_customer = (await shop.get("/customers/c1/credit_notes")).json()["credit_notes"]
    changed = await shop.put(
        f"/credit_notes/{made['lago_id']}", {"credit_note": {"metadata": {"a": "1"}}}
    )
    for one in (*listed, *of_customer, changed.json()["credit_note"]):
        opened = await desk.open(one["file_url"])
        assert one["number"] in text_of(opened.content)
    assert {one["lago_id"] for one in listed} == {made["lago_id"], other["lago_id"]}


async def test_a_note_whose_credit_lapses_as_a_whole_is_marked_void(
    desk: Desk, shop: Tenant
) -> None:
    made = await paid_note(shop)
    await desk.make_all()
    before = (await shown(shop, made))["file_url"]
    desk.clock.advance(minutes=1)
    voided = await shop.put(f"/credit_notes/{made['lago_id']}/void")
    assert voided.json()["credit_note"]["file_url"] is None  # the new one is being made
    gone = await desk.open(before)
    assert (gone.status_code, gone.json()["code"]) == (410, "document_replaced")
    await desk.make_all()
    opened = await desk.open((await shown(shop, made))["file_url"])
    assert "VOID" in text_of(opened.content)
    assert [one["credit_status"] for one in await told(desk, "credit_note")] == [
        "available", "voided",
    ]  # fmt: skip


async def test_a_note_that_also_paid_back_stays_what_it_was(desk: Desk, shop: Tenant) -> None:
    made = await paid_note(shop, credit_amount_cents=300, refund_amount_cents=200)
    await desk.make_all()
    before = (await shown(shop, made))["file_url"]
    assert (await shop.put(f"/credit_notes/{made['lago_id']}/void")).status_code == 200
    opened = await desk.open(before)
    assert opened.status_code == 200
    assert "VOID" not in text_of(opened.content)
    assert len(await desk.rows(made["lago_id"])) == 1


async def test_the_notes_of_a_void_invoice_have_documents(desk: Desk, shop: Tenant) -> None:
    invoice = await issue_of(shop, 1_000)
    await pay(shop, invoice, 1_000)
    await shop.post(
        f"/invoices/{invoice['lago_id']}/void",
        {"generate_credit_note": True, "refund_amount": 300, "credit_amount": 0},
    )
    given_back, lapsed = sorted(
        (await shop.get("/credit_notes")).json()["credit_notes"], key=lambda one: one["number"]
    )
    assert (await page(desk, given_back)).voided_on is None
    assert (await page(desk, lapsed)).voided_on is not None
    await desk.make_all()
    assert sorted(one["number"] for one in await told(desk, "credit_note")) == [
        given_back["number"], lapsed["number"],
    ]  # fmt: skip


async def test_a_note_from_before_documents_gets_its_own_when_asked(
    desk: Desk, shop: Tenant
) -> None:
    made, lapsed = await paid_note(shop), await paid_note(shop)
    await shop.put(f"/credit_notes/{lapsed['lago_id']}/void")
    await desk.owner.execute("DELETE FROM documents")
    for one in (made, lapsed):
        for _ in range(2):  # asked for twice, made once
            answer = await shop.post(f"/credit_notes/{one['lago_id']}/download")
            assert (answer.status_code, answer.content) == (200, b"")
    assert len(await desk.rows(made["lago_id"])) == 1
    assert (await page(desk, made)).voided_on is None
    assert (await page(desk, lapsed)).voided_on is not None
    await desk.make_all()
    answer = await shop.post(f"/credit_notes/{made['lago_id']}/download")
    assert answer.json()["credit_note"]["file_url"]


async def test_a_foreign_note_is_downloaded_like_one_that_does_not_exist(
    desk: Desk, shop: Tenant
) -> None:
    made = await paid_note(shop)
    await desk.make_all()
    other = await new_tenant(desk.pool, desk.app, "Other GmbH")
    foreign = await other.post(f"/credit_notes/{made['lago_id']}/download")
    nobodys = await other.post(f"/credit_notes/{clock.new_id()}/download")
    no_id = await other.post("/credit_notes/x/download")
    assert (foreign.status_code, foreign.json()["code"]) == (404, "credit_note_not_found")
    assert foreign.content == nobodys.content == no_id.content
    await other.client.aclose()


# Receipts


async def test_a_receipt_is_made_told_once_and_shown(desk: Desk, shop: Tenant) -> None:
    invoice = await issue_of(shop, 1_000)
    await pay(shop, invoice, 400, reference="Transfer 7", paid_at="2026-01-05T10:00:00Z")
    (before,) = await receipts(shop)
    assert before["file_url"] is None
    await desk.make_all()
    (receipt,) = await receipts(shop)
    opened = await desk.open(receipt["file_url"])
    assert opened.status_code == 200
    text = text_of(opened.content)
    for said in (receipt["number"], invoice["number"], "Transfer 7", "Ada Lovelace", "4.00"):
        assert said in text
    one = await shop.get(f"/payment_receipts/{receipt['lago_id']}")
    assert (await desk.open(one.json()["payment_receipt"]["file_url"])).status_code == 200
    (once,) = await told(desk, "payment_receipt")
    assert (await desk.open(once["file_url"])).status_code == 200
    assert once | {"file_url": None} == before
    frozen = await page(desk, receipt)
    assert isinstance(frozen, ReceiptPage)
    assert frozen.paid_on is not None
    assert frozen.paid_on.isoformat() == "2026-01-05"
    assert [(one.total_cents, one.paid_cents) for one in frozen.invoices] == [(1_000, 400)]


async def test_receipts_of_one_batch_are_each_of_their_own_payment(
    desk: Desk, shop: Tenant, pool: Pool, owner: asyncpg.Connection
) -> None:
    other = await new_tenant(desk.pool, desk.app, "Other GmbH")
    await sells(other, name="Grace Hopper", billing_configuration={"document_locale": "de"})
    await has_customer(shop, "c2", name="Alan Turing")
    asks = [(shop, "c1", 700), (shop, "c2", 1_100), (shop, "c1", 900), (other, "c1", 1_300)]
    for tenant, whose in ((shop, "c1"), (shop, "c2"), (other, "c1")):
        await has_method(tenant, pool, whose)
    invoices, reports = [], []
    for tenant, whose, cents in asks:
        invoices.append(await issue_of(tenant, cents, external_customer_id=whose))
        reports.append(await paid_report(owner, tenant, invoices[-1], f"ch_{cents}"))
    await settle_attempts(pool, reports, now=desk.clock.now())
    for (tenant, _, cents), invoice in zip(asks, invoices, strict=True):
        (receipt,) = await receipts(tenant, invoice_id=invoice["lago_id"])
        frozen = await page(desk, receipt)
        assert isinstance(frozen, ReceiptPage)
        assert frozen.number == receipt["number"]
        assert frozen.buyer.name == invoice["customer"]["name"]
        assert (frozen.amount_cents, frozen.currency) == (cents, "EUR")
        assert [(one.number, one.total_cents, one.paid_cents) for one in frozen.invoices] == [
            (invoice["number"], cents, cents)
        ]
        assert frozen.locale == ("de" if tenant is other else "en")
    await other.client.aclose()


async def paid_report(
    owner: asyncpg.Connection, tenant: Tenant, invoice: Any, charge: str
) -> Report:
    """Have the open attempt of the invoice sent; answer the report that it is paid."""
    await tenant.post(f"/invoices/{invoice['lago_id']}/retry_payment")
    row = await owner.fetchrow(
        """UPDATE payments p
              SET state = 'sent', sent_at = now(), look_up_at = now(), request = '{}',
                  provider_account_id = a.id, provider_customer_id = 'cus'
             FROM payment_invoices pi, provider_accounts a
            WHERE pi.invoice_id = $1 AND pi.open AND pi.payment_id = p.id
              AND a.organization_id = p.organization_id
        RETURNING p.organization_id, p.id, p.amount_cents, p.currency""",
        invoice["lago_id"],
    )
    assert row is not None, "nothing is open for it"
    paid = Paid(charge, "succeeded", row["amount_cents"], row["currency"])
    return Report(RowKey(row["organization_id"], row["id"]), paid, Source.ANSWER)


async def test_a_charge_names_its_method_and_no_reference(
    desk: Desk, shop: Tenant, pool: Pool, owner: asyncpg.Connection
) -> None:
    await has_method(shop, pool)
    await owner.execute(
        """UPDATE payment_methods SET details = '{"brand": "visa", "last4": "4242"}'"""
    )
    invoice = await issue_of(shop, 1_000)
    await shop.post(f"/invoices/{invoice['lago_id']}/retry_payment")
    await charged(pool, owner, invoice)
    (receipt,) = await receipts(shop)
    frozen = await page(desk, receipt)
    assert isinstance(frozen, ReceiptPage)
    assert (frozen.method, frozen.reference) == ("Visa •••• 4242", None)
    assert [one.paid_cents for one in frozen.invoices] == [1_000]


async def test_a_payment_that_is_refused_leaves_no_document(
    desk: Desk, shop: Tenant, owner: asyncpg.Connection
) -> None:
    invoice = await issue_of(shop, 1_000)
    assert (await pay(shop, invoice, 2_000)).status_code == 422
    of_receipts = "SELECT count(*) FROM documents WHERE kind = 'payment_receipt'"
    assert await owner.fetchval(of_receipts) == 0

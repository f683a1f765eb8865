from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from recoup import clock
from recoup.documents.bucket import Bucket
from recoup.documents.typesetter import Typesetter
from recoup.rules.document_address import DocumentAddresses, signing_key
from recoup.rules.records.keys import RowKey
from recoup.store.db import Pool
from tests.api.billing import has_customer, issue, sells
from tests.api.conftest import Tenant, new_tenant
from tests.conftest import eventually, waiting_for_locks
from tests.document_desk import BASE, Desk, open_desk
from tests.documents.reading import text_of
from tests.documents.s3_stand_in import ACCESS, s3_stand_in


@pytest_asyncio.fixture
async def desk(
    pool: Pool, scout: Pool, owner: asyncpg.Connection, tmp_path: Path, typesetter: Typesetter
) -> AsyncIterator[Desk]:
    async with open_desk(pool, scout, owner, tmp_path, typesetter) as opened:
        yield opened


@pytest_asyncio.fixture
async def shop(desk: Desk) -> AsyncIterator[Tenant]:
    tenant = await new_tenant(desk.pool, desk.app, "Morgenlicht Software")
    await sells(tenant, name="Ada Lovelace", document_locale="en")
    yield tenant
    await tenant.client.aclose()


async def _shown(shop: Tenant, invoice: Any) -> Any:
    answer = await shop.get(f"/invoices/{invoice['lago_id']}")
    return answer.json()["invoice"]


async def _made(desk: Desk, shop: Tenant, **fields: Any) -> Any:
    """An invoice whose document can be opened."""
    invoice = await issue(shop, **fields)
    await desk.make_all()
    return await _shown(shop, invoice)


def _changed(url: str, **values: str) -> str:
    parts = urlsplit(url)
    query = {name: value for name, (value,) in parse_qs(parts.query).items()} | values
    return f"{BASE}{parts.path}?{urlencode(query)}"


@pytest.mark.parametrize("download", ["download", "download_pdf"])
async def test_an_invoice_is_downloaded_once_it_is_made(
    desk: Desk, shop: Tenant, download: str
) -> None:
    invoice = await issue(shop)
    assert invoice["file_url"] is None
    path = f"/invoices/{invoice['lago_id']}/{download}"
    not_yet = await shop.post(path)
    assert (not_yet.status_code, not_yet.content) == (200, b"")
    assert await desk.told() == []

    await desk.make_all()
    answer = await shop.post(path)
    assert answer.status_code == 200
    shown = answer.json()["invoice"]
    assert "customer" not in shown  # no extras (contract section 3.7.1)
    opened = await desk.open(shown["file_url"])
    assert opened.status_code == 200
    assert opened.headers["content-type"] == "application/pdf"
    assert f'filename="{invoice["number"]}.pdf"' in opened.headers["content-disposition"]
    assert opened.headers["cache-control"] == "private, no-store"
    assert invoice["number"] in text_of(opened.content)
    assert "Ada Lovelace" in text_of(opened.content)


async def test_a_document_that_is_made_while_it_is_asked_for_is_not_made_again(
    desk: Desk, shop: Tenant
) -> None:
    invoice = await issue(shop)
    path = f"/invoices/{invoice['lago_id']}/download"

    async def is_waiting() -> bool:
        return await waiting_for_locks(desk.owner) == 1

    async with desk.owner.transaction():  # whoever makes it has it, and is about to commit
        await desk.owner.execute(
            "UPDATE documents SET has_file = true, make_at = NULL, made_at = now()"
            " WHERE invoice_id = $1",
            UUID(invoice["lago_id"]),
        )
        asked = asyncio.create_task(shop.post(path))
        await eventually(is_waiting, what="the download waits for whoever makes the document")
    answer = await asked
    assert answer.json()["invoice"]["file_url"]
    assert await desk.due() == []


async def test_it_is_told_once_with_an_address_that_opens(desk: Desk, shop: Tenant) -> None:
    invoice = await _made(desk, shop)
    (told,) = await desk.told()
    assert (told["webhook_type"], told["object_type"]) == ("invoice.generated", "invoice")
    assert told["invoice"]["lago_id"] == invoice["lago_id"]
    assert told["invoice"]["customer"]["name"] == "Ada Lovelace"
    assert (await desk.open(told["invoice"]["file_url"])).status_code == 200


async def test_its_address_is_shown_wherever_the_invoice_is(desk: Desk, shop: Tenant) -> None:
    invoice = await _made(desk, shop)
    answer = await shop.get("/invoices")
    (listed,) = answer.json()["invoices"]
    nested = await shop.get("/customers/c1/invoices")
    changed = await shop.put(
        f"/invoices/{invoice['lago_id']}",
        {"invoice": {"metadata": [{"key": "k", "value": "v"}]}},
    )
    for shown in (
        invoice, listed, nested.json()["invoices"][0], changed.json()["invoice"],
    ):  # fmt: skip
        assert (await desk.open(shown["file_url"])).status_code == 200


async def test_an_address_that_was_tampered_with_opens_nothing(desk: Desk, shop: Tenant) -> None:
    mine, other = await _made(desk, shop), await _made(desk, shop)
    url, others = urlsplit(mine["file_url"]), urlsplit(other["file_url"])
    (expires,) = parse_qs(url.query)["expires"]
    (signature,) = parse_qs(url.query)["signature"]
    turned = ("0" if signature[0] != "0" else "1") + signature[1:]
    stranger = RowKey(shop.organization_id, (await desk.rows(mine["lago_id"]))[0]["id"])
    forged = DocumentAddresses(BASE, signing_key(b"another")).of(stranger, now=desk.clock.now())
    nobody = f"{BASE}/documents/{clock.new_id()}/{clock.new_id()}"
    unknown = (await desk.open(f"{nobody}?{url.query}")).content
    for attempt in (
        f"{BASE}{others.path}?{url.query}",  # one's signature for another document
        f"{BASE}{url.path}",
        f"{BASE}{url.path}?expires={expires}",
        f"{BASE}{url.path}?signature={signature}",
        _changed(mine["file_url"], expires=str(int(expires) + 1)),
        _changed(mine["file_url"], expires=f"0{expires}"),
        _changed(mine["file_url"], expires=f"{expires}.0"),
        _changed(mine["file_url"], expires="9" * 4_000),
        _changed(mine["file_url"], expires="-1"),
        _changed(mine["file_url"], expires="\N{ARABIC-INDIC DIGIT NINE}"),
        _changed(mine["file_url"], signature=turned),
        _changed(mine["file_url"], signature=signature.upper()),
        _changed(mine["file_url"], signature=""),
        _changed(mine["file_url"], signature="ü\0\ud83d".encode("utf-8", "replace").decode()),
        forged,
        f"{BASE}/documents/x/y?{url.query}",
        f"{BASE}/documents/{shop.organization_id}/%00?{url.query}",
    ):
        refused = await desk.open(attempt)
        assert (refused.status_code, refused.content) == (404, unknown), attempt
    assert (await desk.open(mine["file_url"])).status_code == 200


async def test_a_signature_holds_for_its_own_organization_alone(desk: Desk, shop: Tenant) -> None:
    invoice = await _made(desk, shop)
    other = await new_tenant(desk.pool, desk.app, "Other GmbH")
    url = invoice["file_url"].replace(str(shop.organization_id), str(other.organization_id))
    assert (await desk.open(url)).json()["code"] == "document_not_found"
    addresses = desk.tools.addresses
    (row,) = await desk.rows(invoice["lago_id"])
    ours = addresses.of(RowKey(shop.organization_id, row["id"]), now=desk.clock.now())
    theirs = addresses.of(RowKey(other.organization_id, row["id"]), now=desk.clock.now())
    assert urlsplit(ours).query != urlsplit(theirs).query
    # Rightly signed, and still no row of that organization's.
    assert (await desk.open(theirs)).json()["code"] == "document_not_found"
    foreign = await other.post(f"/invoices/{invoice['lago_id']}/download")
    nobodys = await other.post(f"/invoices/{clock.new_id()}/download")
    assert (foreign.status_code, foreign.content) == (404, nobodys.content)
    await other.client.aclose()


async def test_an_address_is_good_for_a_week(desk: Desk, shop: Tenant) -> None:
    url = (await _made(desk, shop))["file_url"]
    desk.clock.advance(days=6, hours=23)
    assert (await desk.open(url)).status_code == 200
    desk.clock.advance(hours=1)
    expired = await desk.open(url)
    assert (expired.status_code, expired.json()["code"]) == (410, "document_address_expired")


async def test_a_void_invoice_is_marked_and_its_old_address_is_gone(
    desk: Desk, shop: Tenant
) -> None:
    invoice = await _made(desk, shop)
    desk.clock.advance(minutes=1)
    voided = await shop.post(f"/invoices/{invoice['lago_id']}/void")
    assert voided.json()["invoice"]["file_url"] is None  # the new one is being made
    gone = await desk.open(invoice["file_url"])
    assert (gone.status_code, gone.json()["code"]) == (410, "document_replaced")

    await desk.make_all()
    shown = await _shown(shop, invoice)
    opened = await desk.open(shown["file_url"])
    assert opened.status_code == 200
    assert "VOID" in text_of(opened.content)
    assert "Amount due" not in text_of(opened.content)
    assert (await desk.open(invoice["file_url"])).status_code == 410
    assert [told["invoice"]["status"] for told in await desk.told()] == ["finalized", "voided"]
    again = await shop.post(f"/invoices/{invoice['lago_id']}/download")
    assert (again.status_code, again.json()["code"]) == (404, "invoice_not_found")


async def test_a_file_that_is_lost_is_made_again(desk: Desk, shop: Tenant) -> None:
    invoice = await _made(desk, shop)
    before = (await desk.open(invoice["file_url"])).content
    (row,) = await desk.rows(invoice["lago_id"])
    await desk.tools.storage.remove(f"{row['organization_id']}/{row['id']}.pdf")
    desk.clock.advance(days=1)

    missing = await desk.open(invoice["file_url"])
    assert (missing.status_code, missing.json()["code"]) == (503, "document_is_being_made")
    assert int(missing.headers["retry-after"]) > 0
    assert (await shop.post(f"/invoices/{invoice['lago_id']}/download")).content == b""
    await desk.make_all()
    assert (await desk.open(invoice["file_url"])).content == before
    assert len(await desk.told()) == 1


async def test_what_lies_in_a_bucket_is_opened_by_an_address_of_ours(
    pool: Pool, scout: Pool, owner: asyncpg.Connection, tmp_path: Path, typesetter: Typesetter,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for name, value in ACCESS.items():
        monkeypatch.setenv(name, value)
    with s3_stand_in() as shelf:
        bucket = Bucket("papers", folder="recoup", endpoint=shelf.base)
        await bucket.check(clock.new_id())
        async with open_desk(pool, scout, owner, tmp_path, typesetter, storage=bucket) as desk:
            tenant = await new_tenant(pool, desk.app, "Morgenlicht Software")
            await sells(tenant, name="Ada Lovelace", document_locale="en")
            invoice = await _made(desk, tenant)
            [place] = [one for one in shelf.objects if one.endswith(".pdf")]
            opened = await desk.open(invoice["file_url"])
            assert opened.content == shelf.objects.pop(place)
            assert invoice["number"] in text_of(opened.content)
            missing = await desk.open(invoice["file_url"])
            assert (missing.status_code, missing.json()["code"]) == (503, "document_is_being_made")
            await desk.make_all()
            assert (await desk.open(invoice["file_url"])).content == shelf.objects[place]
            desk.clock.advance(days=7)
            assert (await desk.open(invoice["file_url"])).status_code == 410
            await tenant.client.aclose()


async def test_an_invoice_from_before_documents_gets_its_own_when_asked(
    desk: Desk, shop: Tenant
) -> None:
    invoice = await issue(shop)
    await desk.owner.execute("DELETE FROM documents")
    path = f"/invoices/{invoice['lago_id']}/download"
    assert (await shop.post(path)).content == b""
    assert (await shop.post(path)).content == b""  # asked for twice, made once
    assert len(await desk.rows(invoice["lago_id"])) == 1
    await desk.make_all()
    assert (await shop.post(path)).json()["invoice"]["file_url"]


async def test_what_is_not_final_has_no_download(desk: Desk, shop: Tenant) -> None:
    skipped = await issue(shop, fees=[{"add_on_code": "setup", "units": 0}])
    await desk.make_all()
    for path in (
        f"/invoices/{clock.new_id()}/download", "/invoices/x/download",
        f"/invoices/{clock.new_id()}/download_xml",
    ):  # fmt: skip
        answer = await shop.post(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "invoice_not_found")
    assert (await shop.get(f"/invoices/{skipped['lago_id']}")).status_code == 200


async def test_a_closed_invoice_of_nothing_has_no_document(desk: Desk, shop: Tenant) -> None:
    await has_customer(shop, "c1", finalize_zero_amount_invoice="skip")
    closed = await issue(shop, fees=[{"add_on_code": "setup", "units": 0}])
    assert await desk.rows(closed["lago_id"]) == []


async def test_an_electronic_invoice_is_refused_by_name(desk: Desk, shop: Tenant) -> None:
    invoice = await _made(desk, shop)
    refused = await shop.post(f"/invoices/{invoice['lago_id']}/download_xml")
    assert (refused.status_code, refused.json()["code"]) == (403, "feature_unavailable")


async def test_the_same_ask_twice_under_a_key_is_answered_alike(desk: Desk, shop: Tenant) -> None:
    invoice = await issue(shop)
    path = f"/invoices/{invoice['lago_id']}/download"
    first = await shop.post(path, **{"Idempotency-Key": "k"})
    again = await shop.post(path, **{"Idempotency-Key": "k"})
    assert (first.content, again.content) == (b"", b"")
    assert again.headers["idempotent-replayed"] == "true"


async def test_a_logo_is_set_by_its_address(desk: Desk, shop: Tenant) -> None:
    for said, status in (
        ("https://cdn.example/logo.png", 200), ("", 200), ("ftp://cdn.example/logo", 422),
        ("javascript:alert(1)", 422), ("https://u:p@cdn.example/l", 422), ("x" * 3_000, 422),
    ):  # fmt: skip
        answer = await shop.put("/organizations", {"organization": {"logo_url": said}})
        assert answer.status_code == status, said
        if status == 422:
            assert "logo_url" in answer.json()["error_details"]
    await shop.put("/organizations", {"organization": {"logo_url": "https://cdn.example/l.png"}})
    entities = (await shop.get("/billing_entities")).json()["billing_entities"]
    assert [entity["logo_url"] for entity in entities] == ["https://cdn.example/l.png"]

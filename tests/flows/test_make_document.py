from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from aiohttp import web

from recoup import clock
from recoup.documents.folder import Folder
from recoup.documents.typesetter import NotTypeset, Typesetter
from recoup.flows.find_logo import LEFT_OUT_FOR
from recoup.flows.make_document import (
    GivenUp,
    Made,
    NothingToDo,
    Removed,
    Replaced,
    WillRetry,
)
from recoup.flows.sweep import sweep
from recoup.rules.document_schedule import DEATHS_BY_CHANCE, LEASE, TYPESET_WAITS
from recoup.rules.records.document_pages import Page
from recoup.store import db, documents, figures
from recoup.store.db import Pool
from tests.api.billing import has_customer, issue, sells
from tests.api.conftest import Tenant, new_tenant
from tests.document_desk import Desk, open_desk
from tests.documents.pages import LOGO
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
    await sells(tenant, name="Ada Lovelace", address_line1="12 St James's Square")
    yield tenant
    await tenant.client.aclose()


class Interrupted(Folder):
    """A folder at which something happens after each write, before whoever wrote goes on."""

    def __init__(self, root: Path, happens: Callable[[], Awaitable[object]]) -> None:
        super().__init__(root)
        self._happens = happens

    async def write(self, name: str, content: bytes) -> None:
        await super().write(name, content)
        await self._happens()


async def _text(desk: Desk, invoice: Any, version: int = 1) -> str:
    content = await desk.file((await desk.rows(invoice["lago_id"]))[version - 1])
    assert content is not None
    return text_of(content)


async def test_a_document_shows_what_was_true_at_issue(desk: Desk, shop: Tenant) -> None:
    invoice = await issue(shop)
    await has_customer(shop, "c1", name="Countess", address_line1="Elsewhere")
    changed = {"legal_name": "Abendrot AG", "billing_configuration": {"invoice_footer": "IBAN 2"}}
    await shop.put("/organizations", {"organization": changed})
    paid = {"invoice_id": invoice["lago_id"], "amount_cents": 1_000, "reference": "cash"}
    assert (await shop.post("/payments", {"payment": paid})).status_code == 200
    assert await desk.make_all() == [Made(), Made()]  # the invoice's, and the payment's receipt
    text = await _text(desk, invoice)
    for said in ("Ada Lovelace", "12 St James's Square", "Morgenlicht GmbH", "IBAN 1", "€10.00"):
        assert said in text, said
    for said in ("Countess", "Elsewhere", "Abendrot", "IBAN 2", "Paid", "PAID", "€0.00"):
        assert said not in text, said


async def test_the_database_keeps_what_was_issued(desk: Desk, shop: Tenant) -> None:
    await issue(shop)
    with pytest.raises(asyncpg.CheckViolationError):
        await desk.owner.execute("UPDATE documents SET page = '{}'")


async def test_it_is_in_the_customers_language_or_the_sellers(desk: Desk, shop: Tenant) -> None:
    german = {"organization": {"billing_configuration": {"document_locale": "de"}}}
    await shop.put("/organizations", german)
    first = await issue(shop)
    await has_customer(shop, "c1", billing_configuration={"document_locale": "fr"})
    second = await issue(shop, currency="JPY")
    await desk.make_all()
    assert "Gesamtbetrag 10,00 €" in await _text(desk, first)
    assert "Montant dû" in await _text(desk, second)
    assert "1 000 JPY" in (await _text(desk, second)).replace("¥", "JPY")


async def test_a_partners_invoice_is_the_partners_and_not_ours(desk: Desk, shop: Tenant) -> None:
    partner = {"account_type": "partner", "legal_name": "Partner SARL"}
    await has_customer(shop, "p1", **partner)
    invoice = await issue(shop, external_customer_id="p1")
    await desk.make_all()
    text = await _text(desk, invoice)
    assert "Self-billing" in text
    assert text.index("Partner SARL") < text.index("Bill to") < text.index("Morgenlicht GmbH")
    assert "IBAN 1" not in text


async def test_two_workers_leave_one_file_and_one_event(desk: Desk, shop: Tenant) -> None:
    invoice = await issue(shop)
    (key,) = await desk.due()
    results = await asyncio.gather(desk.make(key), desk.make(key))
    assert sorted(type(one).__name__ for one in results) == ["Made", "NothingToDo"]

    # And where one slept past its lease, and another made it meanwhile.
    async def meanwhile() -> None:
        desk.clock.at += LEASE
        assert await desk.make(key) == Made()

    await desk.owner.execute("UPDATE documents SET make_at = created_at, has_file = false")
    await desk.owner.execute("UPDATE documents SET made_at = NULL")
    await desk.owner.execute("DELETE FROM webhook_deliveries")
    await desk.owner.execute("DELETE FROM events WHERE webhook_type = 'invoice.generated'")
    slow = Interrupted(_folder(desk), meanwhile)
    assert await desk.make(key, storage=slow) == Made()
    assert len(await desk.told()) == 1
    assert len([path for path in _folder(desk).rglob("*") if path.is_file()]) == 1
    assert invoice["number"] in await _text(desk, invoice)


async def test_killed_between_the_file_and_the_commit_it_is_made_again(
    desk: Desk, shop: Tenant
) -> None:
    invoice = await issue(shop)
    (key,) = await desk.due()

    async def dies() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await desk.make(key, storage=Interrupted(_folder(desk), dies))
    assert await desk.told() == []
    assert await desk.make(key) == NothingToDo()  # whoever had it may be at it still
    desk.clock.at += LEASE
    assert await desk.due() == [key]
    assert await desk.make(key) == Made()
    assert len(await desk.told()) == 1
    assert invoice["number"] in await _text(desk, invoice)


async def test_a_void_while_it_is_made_leaves_no_unmarked_file(desk: Desk, shop: Tenant) -> None:
    invoice = await issue(shop)
    (key,) = await desk.due()

    async def voids() -> None:
        answer = await shop.post(f"/invoices/{invoice['lago_id']}/void")
        assert answer.status_code == 200

    assert await desk.make(key, storage=Interrupted(_folder(desk), voids)) == Replaced()
    first, second = await desk.rows(invoice["lago_id"])
    assert await desk.file(first) is None
    assert await desk.told() == []
    assert await desk.make_all() == [Made()]
    assert "VOID" in await _text(desk, invoice, version=2)
    assert (second["version"], len(await desk.told())) == (2, 1)


async def test_the_file_of_a_replaced_version_is_removed(desk: Desk, shop: Tenant) -> None:
    invoice = await issue(shop)
    await desk.make_all()
    await shop.post(f"/invoices/{invoice['lago_id']}/void")
    assert await desk.make_all() == [Made()]
    first, _ = await desk.rows(invoice["lago_id"])
    assert await desk.file(first) is not None  # whoever reads it at this moment reads it whole
    desk.clock.at += LEASE
    assert await desk.make_all() == [Removed()]
    assert await desk.file(first) is None
    assert await desk.due() == []


async def test_a_page_that_cannot_be_set_is_given_up_and_told_of(desk: Desk, shop: Tenant) -> None:
    invoice = await issue(shop)
    (key,) = await desk.due()
    hasty = Typesetter(deadline_seconds=0.001)
    try:
        for number, wait in enumerate(TYPESET_WAITS, 1):
            result = await desk.make(key, typesetter=hasty)
            assert isinstance(result, WillRetry)
            assert result.at == desk.clock.now() + wait
            assert await desk.due() == []
            (row,) = await desk.rows(invoice["lago_id"])
            assert (row["tries"], row["given_up_at"]) == (number, None)
            assert (await figures.read(desk.scout, now=desk.clock.now())).documents_failing == 1
            desk.clock.at = result.at
        assert isinstance(await desk.make(key, typesetter=hasty), GivenUp)
    finally:
        await hasty.close()
    desk.clock.advance(days=365)
    assert await desk.due() == []
    read = await figures.read(desk.scout, now=desk.clock.now())
    assert (read.documents_given_up, read.documents_waiting) == (1, 0)
    async with db.transaction(desk.pool, tenants=[shop.organization_id]) as conn:
        (listed,) = await documents.given_up(conn, shop.organization_id, most=10)
    assert listed.key == key
    assert listed.failed_because == "not typeset: it took more than 0.001 s"
    assert await desk.told() == []

    # Asked for again it is tried again, from the beginning.
    desk.clock.at = clock.now()
    assert (await shop.post(f"/invoices/{invoice['lago_id']}/download")).content == b""
    assert await desk.make_all() == [Made()]
    read = await figures.read(desk.scout, now=desk.clock.now())
    assert (read.documents_given_up, read.documents_failing) == (0, 0)


async def test_a_store_that_is_away_is_waited_for(desk: Desk, shop: Tenant, tmp_path: Path) -> None:
    await issue(shop)
    (key,) = await desk.due()
    (tmp_path / "away").touch()
    for _ in range(3 * len(TYPESET_WAITS)):
        result = await desk.make(key, storage=Folder(tmp_path / "away" / "documents"))
        assert isinstance(result, WillRetry)
        assert "not kept" in result.why
        desk.clock.at = result.at
    assert (await figures.read(desk.scout, now=desk.clock.now())).documents_failing == 1
    assert await desk.make(key) == Made()


async def test_the_sweep_finds_what_has_lost_its_job(desk: Desk, shop: Tenant) -> None:
    await issue(shop)
    await desk.owner.execute("DELETE FROM pgqueuer")
    assert await sweep(desk.pool, desk.scout, new_id=clock.new_id, now=desk.clock.now()) == 1
    jobs = await desk.owner.fetch("SELECT entrypoint FROM pgqueuer")
    assert [row["entrypoint"] for row in jobs] == ["make_document"]


@asynccontextmanager
async def _picture(content: bytes) -> AsyncIterator[tuple[str, list[int]]]:
    """A host of a logo, and how often it was asked."""
    asked: list[int] = []

    async def answer(_request: web.Request) -> web.Response:
        asked.append(1)
        return web.Response(body=content, content_type="image/svg+xml")

    app = web.Application()
    app.router.add_get("/logo", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/logo", asked
    finally:
        await runner.cleanup()


async def _has_logo(shop: Tenant, url: str) -> None:
    answer = await shop.put("/organizations", {"organization": {"logo_url": url}})
    assert answer.status_code == 200, answer.text


async def test_a_logo_is_fetched_once_and_stays_what_it_was(desk: Desk, shop: Tenant) -> None:
    async with _picture(LOGO.encode()) as (url, asked):
        await _has_logo(shop, url)
        first, second = await issue(shop), await issue(shop)
        await desk.make_all()
        assert len(asked) == 1
    kept = await desk.owner.fetch("SELECT svg FROM logos")
    assert [row["svg"] for row in kept] == [LOGO]
    for invoice in (first, second):
        (row,) = await desk.rows(invoice["lago_id"])
        before = await desk.file(row)
        await desk.owner.execute(
            "UPDATE documents SET make_at = created_at WHERE id = $1", row["id"]
        )
        await desk.make_all()  # its host is gone, and the logo is not
        assert await desk.file(row) == before
    await shop.post(f"/invoices/{first['lago_id']}/void")
    await desk.make_all()
    assert {row["logo_id"] is None for row in await desk.rows(first["lago_id"])} == {False}


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/logo", "http://10.0.0.1/logo", "https://logo.invalid/"]
)
async def test_without_its_logo_a_document_is_made_all_the_same(
    desk: Desk, shop: Tenant, url: str
) -> None:
    await _has_logo(shop, url)
    invoice = await issue(shop)
    assert await desk.make_all() == [Made()]
    assert invoice["number"] in await _text(desk, invoice)


async def test_a_picture_that_cannot_be_set_is_left_out(desk: Desk, shop: Tenant) -> None:
    async with _picture(b"<svg><unclosed></svg>") as (url, _asked):
        await _has_logo(shop, url)
        invoice = await issue(shop)
        assert await desk.make_all() == [Made()]
    (row,) = await desk.rows(invoice["lago_id"])
    assert row["logo_id"] is None


class Counting(Typesetter):
    """Notes how often a page was to be set with a logo."""

    with_logo = 0

    async def typeset(self, page: Page, *, logo: str | None = None) -> bytes | NotTypeset:
        self.with_logo += logo is not None
        return await super().typeset(page, logo=logo)


async def test_a_picture_that_cannot_be_set_holds_others_up_once(desk: Desk, shop: Tenant) -> None:
    counting = Counting()
    try:
        async with _picture(b"<svg><unclosed></svg>") as (url, asked):
            await _has_logo(shop, url)
            for _ in range(3):
                await issue(shop)
            for key in await desk.due():
                assert await desk.make(key, typesetter=counting) == Made()
            assert (len(asked), counting.with_logo) == (1, 1)
            await issue(shop)
            desk.clock.at += LEFT_OUT_FOR  # whoever has mended it by then has it on the next
            (key,) = await desk.due()
            assert await desk.make(key, typesetter=counting) == Made()
            assert (len(asked), counting.with_logo) == (2, 2)
    finally:
        await counting.close()


class Dying(Typesetter):
    """Its process is killed as often as a test says, when it is at a page with a logo."""

    deaths = 0

    async def typeset(self, page: Page, *, logo: str | None = None) -> bytes | NotTypeset:
        if logo is None or self.deaths == 0:
            return await super().typeset(page, logo=logo)
        self.deaths -= 1
        await super().typeset(page)  # the process is there
        assert self.process_id is not None
        os.kill(self.process_id, signal.SIGSTOP)
        asked = asyncio.create_task(super().typeset(page, logo=logo))
        await asyncio.sleep(0)
        os.kill(self.process_id, signal.SIGKILL)
        return await asked


async def test_a_process_that_dies_by_chance_costs_no_document_its_logo(
    desk: Desk, shop: Tenant
) -> None:
    dying = Dying()
    try:
        async with _picture(LOGO.encode()) as (url, _asked):
            await _has_logo(shop, url)
            unlucky, next_one = await issue(shop), await issue(shop)
            dying.deaths = DEATHS_BY_CHANCE
            first, second = await desk.due()
            for _ in range(DEATHS_BY_CHANCE):
                result = await desk.make(first, typesetter=dying)
                assert isinstance(result, WillRetry)
                assert "died" in result.why
                desk.clock.at = result.at
            assert await desk.make(first, typesetter=dying) == Made()
            assert await desk.make(second, typesetter=dying) == Made()
    finally:
        await dying.close()
    for invoice in (unlucky, next_one):
        (row,) = await desk.rows(invoice["lago_id"])
        assert row["logo_id"] is not None


async def test_a_picture_that_kills_the_process_each_time_is_left_out(
    desk: Desk, shop: Tenant
) -> None:
    dying = Dying()
    dying.deaths = 1_000
    try:
        async with _picture(LOGO.encode()) as (url, _asked):
            await _has_logo(shop, url)
            invoice = await issue(shop)
            (key,) = await desk.due()
            for _ in range(DEATHS_BY_CHANCE):
                result = await desk.make(key, typesetter=dying)
                assert isinstance(result, WillRetry)
                desk.clock.at = result.at
            assert await desk.make(key, typesetter=dying) == Made()
    finally:
        await dying.close()
    (row,) = await desk.rows(invoice["lago_id"])
    assert row["logo_id"] is None


async def test_many_long_lines_are_cut_and_said_to_be(desk: Desk, shop: Tenant) -> None:
    line = {"add_on_code": "setup", "unit_amount_cents": 1, "description": "long " * 100}
    invoice = await issue(shop, fees=[line] * 1_400)
    assert await desk.make_all() == [Made()]
    text = await _text(desk, invoice)
    assert "400 more lines, €4.00 in all, are not shown here." in text
    assert "Total €14.00" in text
    (row,) = await desk.rows(invoice["lago_id"])
    assert len(row["page"]) < 600_000


def _folder(desk: Desk) -> Path:
    storage = desk.tools.storage
    assert isinstance(storage, Folder)
    return storage._root

"""The PDF that goes along with a mail: waited for, and not for ever."""

from __future__ import annotations

from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from recoup.documents.folder import Folder
from recoup.documents.storage import StorageError
from recoup.documents.typesetter import Typesetter
from recoup.flows.portal_links import PortalLinks
from recoup.flows.send_mail import MOST_ATTACHED, send_mail
from recoup.rules.mail_schedule import LOOKS
from recoup.rules.records.keys import RowKey
from recoup.senders.mail import MailSender
from recoup.store.db import Pool
from tests.api.billing import issue, pay, sells
from tests.api.conftest import Tenant, new_tenant
from tests.api.noting import note
from tests.document_desk import Desk, open_desk
from tests.documents.reading import text_of
from tests.mail_server import Mailbox, mail_server
from tests.shop import BOX

LINKS = PortalLinks(BOX, address="https://recoup.test")


@pytest_asyncio.fixture
async def desk(
    pool: Pool, scout: Pool, owner: asyncpg.Connection, tmp_path: Path, typesetter: Typesetter
) -> AsyncIterator[Desk]:
    async with open_desk(pool, scout, owner, tmp_path, typesetter) as opened:
        yield opened


@pytest_asyncio.fixture
async def shop(desk: Desk) -> AsyncIterator[Tenant]:
    tenant = await new_tenant(desk.pool, desk.app, "Morgenlicht")
    wanted = ["credit_note.created", "payment_receipt.created"]
    await tenant.put("/organizations", {"organization": {"email_settings": wanted}})
    await sells(tenant, email="ada@c.example")
    yield tenant
    await tenant.client.aclose()


@pytest_asyncio.fixture
async def box() -> AsyncIterator[Mailbox]:
    async with mail_server() as opened:
        yield opened


async def receipt(shop: Tenant) -> Any:
    await pay(shop, await issue(shop), 400)
    return (await shop.get("/payment_receipts")).json()["payment_receipts"][0]


async def row(desk: Desk) -> asyncpg.Record:
    return await desk.owner.fetchrow("SELECT * FROM mails")


async def attempt(desk: Desk, box: Mailbox, storage: Any = None) -> None:
    found = await row(desk)
    await send_mail(
        desk.pool,
        RowKey(found["organization_id"], found["id"]),
        sender=MailSender(box.server, sender="billing@recoup.test"),
        links=LINKS,
        storage=storage or desk.tools.storage,
        now=desk.clock.now,
    )


def attached(message: EmailMessage) -> list[tuple[str | None, bytes]]:
    return [(one.get_filename(), one.get_content()) for one in message.iter_attachments()]


def text(message: EmailMessage) -> str:
    body = message.get_body(("plain",))
    assert body is not None
    content: str = body.get_content()
    return content


@pytest.mark.parametrize("kind", ["receipt", "credit note"])
async def test_a_mail_waits_for_its_pdf_and_is_woken_by_it(
    desk: Desk, shop: Tenant, box: Mailbox, kind: str
) -> None:
    if kind == "receipt":
        made, said, cents = await receipt(shop), f"Receipt {{}} from {'Morgenlicht'}", "4.00 EUR"
    else:
        made = await note(shop, await issue(shop), 300, offset_amount_cents=300)
        said, cents = "Credit note {} from Morgenlicht", "3.00 EUR"
    await attempt(desk, box)
    waiting = await row(desk)
    assert (waiting["state"], waiting["error"]) == ("waiting", "document_not_made")
    assert waiting["send_at"] == desk.clock.now() + LOOKS[0]
    assert box.messages == []
    await desk.owner.execute("DELETE FROM pgqueuer")
    await desk.make_all()
    key = f"send_mail/{waiting['organization_id']}/{waiting['id']}"
    promised = await desk.owner.fetch("SELECT dedupe_key FROM pgqueuer")
    assert [one["dedupe_key"] for one in promised if "send_mail" in one["dedupe_key"]] == [key]

    await attempt(desk, box)  # at once
    [message] = box.messages
    assert message["Subject"] == said.format(made["number"])
    assert made["number"] in text(message)
    assert cents in text(message)
    assert "https://recoup.test/customer-portal/" in text(message)
    [(name, pdf)] = attached(message)
    assert name == f"{made['number']}.pdf"
    assert made["number"] in text_of(pdf)
    assert (await row(desk))["state"] == "sent"


async def test_a_pdf_that_does_not_come_is_not_waited_for_for_ever(
    desk: Desk, shop: Tenant, box: Mailbox
) -> None:
    made = await receipt(shop)
    for wait in LOOKS:
        await attempt(desk, box)
        assert (await row(desk))["send_at"] == desk.clock.now() + wait
        desk.clock.at = (await row(desk))["send_at"]
    await attempt(desk, box)
    [message] = box.messages
    assert attached(message) == []
    assert made["number"] in text(message)


async def test_a_pdf_that_was_given_up_is_not_waited_for(
    desk: Desk, shop: Tenant, box: Mailbox
) -> None:
    await receipt(shop)
    await desk.owner.execute("UPDATE documents SET given_up_at = now(), make_at = NULL")
    await attempt(desk, box)
    assert [attached(message) for message in box.messages] == [[]]


class Holding(Folder):
    """A folder that answers one content, or does not answer."""

    def __init__(self, root: Path, content: bytes | None) -> None:
        super().__init__(root)
        self._content = content

    async def read(self, name: str) -> bytes | None:
        if self._content is None:
            raise StorageError("away")
        return self._content


@pytest.mark.parametrize(
    ("size", "goes_along"), [(MOST_ATTACHED, True), (MOST_ATTACHED + 1, False)]
)
async def test_a_pdf_that_is_too_large_stays_behind(
    desk: Desk, shop: Tenant, box: Mailbox, tmp_path: Path, size: int, goes_along: bool
) -> None:
    await receipt(shop)
    await desk.make_all()
    await attempt(desk, box, Holding(tmp_path, b"x" * size))
    [message] = box.messages
    assert [len(pdf) for _, pdf in attached(message)] == ([size] if goes_along else [])


async def test_a_store_that_does_not_answer_is_waited_for(
    desk: Desk, shop: Tenant, box: Mailbox, tmp_path: Path
) -> None:
    await receipt(shop)
    await desk.make_all()
    await attempt(desk, box, Holding(tmp_path, None))
    assert box.messages == []
    desk.clock.advance(minutes=1)
    await attempt(desk, box)
    assert [len(attached(message)) for message in box.messages] == [1]

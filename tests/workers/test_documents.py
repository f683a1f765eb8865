from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import asyncpg
import pytest_asyncio

from recoup import clock
from recoup.documents.typesetter import Typesetter
from recoup.flows.deliver_webhook import WebhookSigner
from recoup.flows.portal_links import PortalLinks
from recoup.senders.mail import MailSender
from recoup.senders.webhooks import WebhookSender
from recoup.store import db
from recoup.store.db import Pool
from recoup.workers.duties import Duties
from recoup.workers.rounds import Rounds
from recoup.workers.worker import Worker
from tests.api.billing import issue, pay, sells
from tests.api.conftest import BOX, new_tenant
from tests.api.noting import note
from tests.conftest import eventually
from tests.document_desk import Desk, open_desk
from tests.documents.reading import text_of
from tests.mail_server import Mailbox, mail_server


@pytest_asyncio.fixture
async def desk(
    pool: Pool, scout: Pool, owner: asyncpg.Connection, tmp_path: Path, typesetter: Typesetter
) -> AsyncIterator[Desk]:
    async with open_desk(pool, scout, owner, tmp_path, typesetter) as opened:
        yield opened


@asynccontextmanager
async def working(desk: Desk, dsn: str, box: Mailbox | None = None) -> AsyncIterator[None]:
    """A worker that makes documents, and mails to `box`."""
    queue = await db.connect(dsn, most=9, by_index=False)
    sender = WebhookSender()
    duties = Duties(
        desk.pool,
        providers=None,  # type: ignore[arg-type]  nobody is charged here
        sender=sender,
        signer=WebhookSigner(BOX, None),  # type: ignore[arg-type]  nobody has an endpoint
        documents=desk.tools,
        mail_sender=box and MailSender(box.server, sender="billing@recoup.test"),
        links=PortalLinks(BOX, address="https://recoup.test"),
        now=clock.now,
        new_id=clock.new_id,
        chance=Random(1),
    )
    rounds = Rounds(desk.pool, desk.scout, now=clock.now, new_id=clock.new_id)
    worker = Worker(queue, duties, rounds)
    running = asyncio.create_task(worker.run())
    try:
        yield
    finally:
        worker.stop()
        await running
        await sender.close()
        await queue.close()


async def test_a_worker_makes_the_document_of_an_invoice(desk: Desk, dsn: str) -> None:
    tenant = await new_tenant(desk.pool, desk.app)
    await sells(tenant)
    async with working(desk, dsn):
        invoice = await issue(tenant)

        async def can_be_opened() -> bool:
            shown = await tenant.post(f"/invoices/{invoice['lago_id']}/download")
            return bool(shown.content)

        await eventually(can_be_opened, what="the document was made", within_seconds=60)
        answer = await tenant.post(f"/invoices/{invoice['lago_id']}/download")
        opened = await desk.open(answer.json()["invoice"]["file_url"])
        assert invoice["number"] in text_of(opened.content)
    await tenant.client.aclose()


async def test_a_payment_and_a_note_are_mailed_with_their_documents(desk: Desk, dsn: str) -> None:
    tenant = await new_tenant(desk.pool, desk.app)
    wanted = {"email_settings": ["credit_note.created", "payment_receipt.created"]}
    await tenant.put("/organizations", {"organization": wanted})
    await sells(tenant, email="ada@c.example")
    async with mail_server() as box, working(desk, dsn, box):
        invoice = await issue(tenant)
        await pay(tenant, invoice, 400)
        credited = await note(tenant, invoice, 100, offset_amount_cents=100)

        async def both_came() -> bool:
            return len(box.messages) == 2

        await eventually(both_came, what="both mails came", within_seconds=90)
        (receipt,) = (await tenant.get("/payment_receipts")).json()["payment_receipts"]
        came = {}
        for message in box.messages:
            [pdf] = message.iter_attachments()
            came[pdf.get_filename()] = text_of(pdf.get_content())
        assert sorted(came) == sorted(f"{one['number']}.pdf" for one in (credited, receipt))
        for one in (credited, receipt):
            assert one["number"] in came[f"{one['number']}.pdf"]
        assert (await desk.open(receipt["file_url"])).status_code == 200
        told = [one["webhook_type"] for one in await desk.told()]
        assert sorted(told) == [
            "credit_note.generated", "invoice.generated", "payment_receipt.generated",
        ]  # fmt: skip
    await tenant.client.aclose()

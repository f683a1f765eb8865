from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import asyncpg
import pytest_asyncio

from recoup import clock
from recoup.documents.typesetter import Typesetter
from recoup.flows.deliver_webhook import WebhookSigner
from recoup.senders.webhooks import WebhookSender
from recoup.store import db
from recoup.store.db import Pool
from recoup.workers.worker import Worker
from tests.api.billing import issue, sells
from tests.api.conftest import BOX, new_tenant
from tests.conftest import eventually
from tests.document_desk import Desk, open_desk
from tests.documents.reading import text_of


@pytest_asyncio.fixture
async def desk(
    pool: Pool, scout: Pool, owner: asyncpg.Connection, tmp_path: Path, typesetter: Typesetter
) -> AsyncIterator[Desk]:
    async with open_desk(pool, scout, owner, tmp_path, typesetter) as opened:
        yield opened


async def test_a_worker_makes_the_document_of_an_invoice(desk: Desk, dsn: str) -> None:
    tenant = await new_tenant(desk.pool, desk.app)
    await sells(tenant)
    queue = await db.connect(dsn, most=9, by_index=False)
    sender = WebhookSender()
    worker = Worker(
        desk.pool,
        desk.scout,
        queue,
        providers=None,  # type: ignore[arg-type]  nobody is charged here
        sender=sender,
        signer=WebhookSigner(BOX, None),  # type: ignore[arg-type]  nobody has an endpoint
        documents=desk.tools,
        now=clock.now,
        new_id=clock.new_id,
        chance=Random(1),
    )
    running = asyncio.create_task(worker.run())
    try:
        invoice = await issue(tenant)

        async def can_be_opened() -> bool:
            shown = await tenant.post(f"/invoices/{invoice['lago_id']}/download")
            return bool(shown.content)

        await eventually(can_be_opened, what="the document was made", within_seconds=60)
        answer = await tenant.post(f"/invoices/{invoice['lago_id']}/download")
        opened = await desk.open(answer.json()["invoice"]["file_url"])
        assert invoice["number"] in text_of(opened.content)
    finally:
        worker.stop()
        await running
        await sender.close()
        await queue.close()
        await tenant.client.aclose()

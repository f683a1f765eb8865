"""The worker on its real queue: a promise is kept, however often its job has failed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from random import Random

import aiohttp
import asyncpg
import pytest
import pytest_asyncio

from recoup import clock
from recoup.flows.calls_under_way import SLOTS
from recoup.flows.create_invoice import create_invoice
from recoup.flows.deliver_webhook import WebhookSigner
from recoup.flows.open_provider import Providers
from recoup.rules.one_off_asks import FeeInput, InvoiceInput
from recoup.senders.mail import MailSender
from recoup.senders.webhooks import WebhookSender
from recoup.store import db
from recoup.store.db import Pool
from recoup.workers.duties import Duties
from recoup.workers.rounds import Rounds
from recoup.workers.worker import COMES_BACK_AT_MOST, Worker, comes_back_after
from tests.conftest import eventually
from tests.flows.issuing import stock
from tests.mail_server import mail_server
from tests.shop import BOX, MovableClock, SandboxServer, Shop, sandbox_server


@pytest_asyncio.fixture
async def psp(tmp_path: Path) -> AsyncIterator[SandboxServer]:
    """The sandbox over HTTP."""
    async with sandbox_server(tmp_path, MovableClock(clock.now())) as server:
        yield server


@pytest_asyncio.fixture
async def shop(pool: Pool, owner: asyncpg.Connection, psp: SandboxServer) -> AsyncIterator[Shop]:
    """A tenant that sells through the sandbox."""
    async with aiohttp.ClientSession() as http:
        yield await Shop(pool, owner, Providers(http, BOX, sandbox_base=psp.base), psp.clock).open()


@asynccontextmanager
async def working(
    shop: Shop,
    scout: Pool,
    dsn: str,
    *,
    money_jobs_at_once: int = SLOTS,
    mail_sender: MailSender | None = None,
) -> AsyncIterator[Rounds]:
    """A worker, as `recoup work` runs one; gives its rounds."""
    queue = await db.connect(dsn, most=6, by_index=False)
    sender = WebhookSender()
    duties = Duties(
        shop.pool,
        providers=shop.providers,
        sender=sender,
        signer=WebhookSigner(BOX, None),  # type: ignore[arg-type]  nobody here has an endpoint
        now=clock.now,
        new_id=clock.new_id,
        chance=Random(1),
        mail_sender=mail_sender,
    )
    rounds = Rounds(shop.pool, scout, now=clock.now, new_id=clock.new_id)
    worker = Worker(queue, duties, rounds, money_jobs_at_once=money_jobs_at_once)
    running = asyncio.create_task(worker.run())
    try:
        yield rounds
    finally:
        worker.stop()
        await running
        await sender.close()
        await queue.close()


@pytest.mark.parametrize("tries", [47, 2**31 - 1])
async def test_a_job_that_has_failed_for_days_still_comes_back(
    shop: Shop, scout: Pool, dsn: str, tries: int
) -> None:
    attempt = await shop.begun(await shop.sell("pm_sandbox_ok"))
    await shop.owner.execute("UPDATE pgqueuer SET attempts = $1", tries - 1)
    await shop.owner.execute("REVOKE UPDATE ON payments FROM recoup_app")

    async def has_failed() -> bool:
        return bool(await shop.owner.fetchval("SELECT attempts >= $1 FROM pgqueuer", tries))

    async def is_paid() -> bool:
        return await shop.state(attempt) == "succeeded"

    async with working(shop, scout, dsn):
        await eventually(has_failed, what="the job to fail once more")
        await shop.owner.execute("GRANT UPDATE ON payments TO recoup_app")
        await shop.owner.execute("UPDATE pgqueuer SET execute_after = now()")
        await eventually(is_paid, what="the attempt to be paid")


async def test_a_draft_whose_grace_has_ended_is_issued_charged_and_mailed(
    shop: Shop, scout: Pool, dsn: str
) -> None:
    await stock(shop)
    await shop.owner.execute(
        "UPDATE billing_entities SET email_settings = '{invoice.finalized}',"
        " invoice_grace_period = 1"
    )
    await shop.customer("pm_sandbox_ok")
    await shop.owner.execute("UPDATE customers SET email = 'ada@c.example', external_id = 'c'")
    asked = InvoiceInput(
        external_customer_id="c", currency="EUR", fees=[FeeInput(add_on_code="work")], draft=True
    )
    async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
        details = await create_invoice(
            conn, shop.organization_id, asked, invoice_id=clock.new_id(), collect=None,
            now=clock.now() - timedelta(days=2),
        )  # fmt: skip
    invoice = details.invoice.key

    async def is_done() -> bool:
        is_mailed = await shop.owner.fetchval("SELECT state FROM mails") == "sent"
        return is_mailed and await shop.shown(invoice) == ("succeeded", 0)

    async with mail_server() as box:
        sender = MailSender(box.server, sender="billing@recoup.test")
        async with working(shop, scout, dsn, mail_sender=sender) as rounds:
            await rounds.finalize_drafts()
            await rounds.finalize_drafts()
            await eventually(is_done, what="the invoice to be paid and mailed")
    assert (await shop.row("invoices", invoice))["sequential_id"] == 1
    assert await shop.owner.fetchval("SELECT count(*) FROM payments") == 1
    assert len(box.envelopes) == 1


def test_a_job_comes_back_sooner_at_first_and_never_later_than_half_a_minute() -> None:
    waits = [comes_back_after(tries).total_seconds() for tries in range(10)]
    assert waits == [1, 2, 4, 8, 16, 30, 30, 30, 30, 30]
    assert comes_back_after(2**31) == COMES_BACK_AT_MOST

"""The worker, and what it tells the sandbox about us."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from random import Random
from typing import Final

import structlog

from recoup import clock
from recoup.documents.logos import MOST_BYTES
from recoup.documents.storage import DocumentStorage
from recoup.documents.typesetter import Typesetter
from recoup.flows.deliver_webhook import WebhookSigner
from recoup.flows.find_logo import Logos
from recoup.flows.make_document import DocumentTools
from recoup.flows.open_provider import Providers
from recoup.flows.portal_links import PortalLinks
from recoup.flows.register_sandbox_webhooks import register_sandbox_webhooks
from recoup.flows.tidy import Retention
from recoup.rules.records.keys import RowKey
from recoup.senders.mail import MailSender, MailServer
from recoup.senders.pictures import PictureFetcher
from recoup.senders.webhook_headers import JwtSigner
from recoup.senders.webhooks import WebhookSender
from recoup.settings import Settings
from recoup.store import db
from recoup.store.db import DATABASE_AWAY, Pool
from recoup.store.sealed_columns import JWT_KEY
from recoup.wiring.document_keeping import addresses_of
from recoup.wiring.http_server import FINISH_WITHIN_SECONDS
from recoup.wiring.opening import Opened, close_pool
from recoup.workers.duties import Duties
from recoup.workers.rounds import Rounds
from recoup.workers.worker import Worker

log = structlog.get_logger()

LOOK_FOR_ACCOUNTS_EVERY_SECONDS: Final = 5.0


WORKER_CONNECTIONS: Final = 8


QUEUE_CONNECTIONS: Final = 9  # three queues: a listener and a dequeue each, and their logs


async def run_worker(
    settings: Settings,
    base: Opened,
    providers: Providers,
    storage: DocumentStorage,
    address: str,
    stop: asyncio.Event,
    *,
    is_reached: bool,
) -> None:
    """Do the jobs until `stop`, and finish what was begun; `is_reached`: providers can call us."""
    pool = await db.connect(base.dsn, most=WORKER_CONNECTIONS)
    queue = await db.connect(base.dsn, most=QUEUE_CONNECTIONS, by_index=False)
    sender = WebhookSender(allowed=settings.webhook_allow_networks)
    pem = base.box.open(
        base.installation.jwt_key_sealed, organization_id=None, row=None, field=JWT_KEY
    )
    signer = WebhookSigner(base.box, JwtSigner.load(pem, issuer=address))
    pictures = PictureFetcher(most_bytes=MOST_BYTES, allowed=settings.webhook_allow_networks)
    typesetter = Typesetter(own_fonts=settings.fonts_dir)
    duties = Duties(
        pool,
        providers=providers,
        sender=sender,
        signer=signer,
        documents=DocumentTools(storage, typesetter, Logos(pictures), addresses_of(base, address)),
        now=clock.now,
        new_id=clock.new_id,
        chance=Random(),  # noqa: S311  spreads work in time, keeps no secret
        mail_sender=_mail_sender(settings),
        links=PortalLinks(base.box, address=address),
    )
    rounds = Rounds(
        pool, base.scout, now=clock.now, new_id=clock.new_id, retention=retention_of(settings)
    )
    worker = Worker(queue, duties, rounds)
    running = asyncio.create_task(worker.run())
    telling = asyncio.create_task(
        _tell_sandbox(pool, base.scout, providers, address, stop)
        if is_reached
        else _warn_that_nobody_reaches_us()
    )
    try:
        await stop.wait()
        worker.stop()
        await asyncio.wait({running, telling}, timeout=FINISH_WITHIN_SECONDS)
    finally:
        for task in (running, telling):
            task.cancel()  # what is cut off here is `sent`, and looked up by the next worker
        await asyncio.gather(running, telling, return_exceptions=True)
        await typesetter.close()
        await pictures.close()
        await sender.close()
        await close_pool(queue)
        await close_pool(pool)


def retention_of(settings: Settings) -> Retention:
    """For how long things are kept, by the settings, where 0 days are for ever."""

    def days(said: int) -> timedelta | None:
        return timedelta(days=said) if said else None

    return Retention(
        webhook_deliveries=days(settings.retention_webhook_deliveries_days),
        event_bodies=days(settings.retention_event_bodies_days),
        provider_event_bodies=days(settings.retention_provider_event_bodies_days),
        mails=days(settings.retention_mails_days),
        idempotency_keys=timedelta(days=settings.retention_idempotency_keys_days),
        job_log=timedelta(days=settings.retention_job_log_days),
    )


def _mail_sender(settings: Settings) -> MailSender | None:
    if settings.smtp_url is None or settings.mail_from is None:
        return None
    return MailSender(MailServer.from_url(settings.smtp_url), sender=settings.mail_from)


async def _warn_that_nobody_reaches_us() -> None:
    """A worker alone does not know where the API is, so it can tell no provider."""
    log.warning("no_public_url", do="set RECOUP_PUBLIC_URL to the address of `recoup api`")


async def _tell_sandbox(
    pool: Pool, scout: Pool, providers: Providers, address: str, stop: asyncio.Event
) -> None:
    """Register our webhook address with the sandbox, for accounts that are there or will be."""
    told: dict[RowKey, datetime] = {}
    not_told = 0
    while not stop.is_set():
        before = not_told
        try:
            not_told = await register_sandbox_webhooks(
                pool, scout, providers, told, public_url=address, now=clock.now()
            )
            if not_told != before:  # once, and not every few seconds
                log.warning("sandbox_not_told_of_our_webhooks", accounts=not_told)
        except DATABASE_AWAY as error:
            log.warning("database_away", error=type(error).__name__)
        try:
            async with asyncio.timeout(LOOK_FOR_ACCOUNTS_EVERY_SECONDS):
                await stop.wait()
        except TimeoutError:
            continue

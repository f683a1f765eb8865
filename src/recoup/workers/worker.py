"""The worker: which flow keeps which promise, and what happens by the clock.

Any number of workers run on any number of hosts. A job that raises comes back; a worker that dies
leaves jobs that others take over once its heart has not beaten for `DEAD_AFTER`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from random import Random
from typing import Final
from uuid import UUID

import structlog
from pgqueuer import PgQueuer
from pgqueuer.errors import RetryRequested
from pgqueuer.models import Job as QueuedJob
from pgqueuer.models import Schedule

from recoup.flows.apply_event import apply_event
from recoup.flows.batches import Batches
from recoup.flows.begin_sending import Begun, ToLookUp, begin_sending
from recoup.flows.calls_under_way import SLOTS
from recoup.flows.collect_from_customer import collect_from_customer
from recoup.flows.deliver_webhook import EndpointsInFlight, WebhookSigner, deliver_webhook
from recoup.flows.dun_customer import dun_customer
from recoup.flows.fetch_methods import fetch_methods
from recoup.flows.finalize_draft import finalize_due_drafts
from recoup.flows.keep_methods import ProviderSilentError, check_method
from recoup.flows.look_up_attempt import look_up_attempt
from recoup.flows.make_document import DocumentTools, make_document
from recoup.flows.make_provider_customer import make_provider_customer
from recoup.flows.mark_overdue import mark_all_overdue
from recoup.flows.open_provider import Providers
from recoup.flows.portal_links import UNKNOWN_ADDRESS, PortalLinks
from recoup.flows.reconcile_account import reconcile_account
from recoup.flows.reports import Report, Settled
from recoup.flows.retry_payment import Ask, retry_payments_on
from recoup.flows.send_mail import send_mail
from recoup.flows.settle_attempt import settle_attempts
from recoup.flows.submit_attempt import submit_attempt
from recoup.flows.submit_refund import look_up_refund, submit_refund
from recoup.flows.sweep import sweep
from recoup.flows.tidy import USUAL, Retention, tidy
from recoup.rules.records.collection import AskedBy
from recoup.rules.records.keys import RowKey
from recoup.senders.mail import MailSender
from recoup.senders.webhooks import WebhookSender
from recoup.store import db, jobs, provider_accounts, quarantines
from recoup.store.db import DATABASE_AWAY, ROW_IS_HELD, Conn, Pool
from recoup.store.jobs import Job

log = structlog.get_logger()

DEAD_AFTER: Final = timedelta(seconds=15)
LOOK_FOR_JOBS_EVERY: Final = timedelta(seconds=2)  # beside being notified
JOBS_PER_ROUND: Final = 100
WEBHOOKS_AT_ONCE: Final = 400
DOCUMENTS_AT_ONCE: Final = 4  # one is typeset while others are fetched for or kept
LONGEST_JITTER: Final = timedelta(hours=2)  # spreads a day's retries
RESTART_AFTER_SECONDS: Final = 1.0
COMES_BACK_AT_MOST: Final = timedelta(seconds=30)


def comes_back_after(tries: int) -> timedelta:
    """How long a job waits that has failed `tries` times before: for ever, if need be, and soon.

    PgQueuer's own executor doubles without end, and gives a job up when the number gets too large.
    """
    doubled: int = 2 ** min(tries, 5)
    return min(timedelta(seconds=doubled), COMES_BACK_AT_MOST)


class Worker:
    """Keeps what was promised, until it is stopped."""

    def __init__(
        self,
        pool: Pool,
        scout: Pool,
        queue: Pool,
        *,
        providers: Providers,
        sender: WebhookSender,
        signer: WebhookSigner,
        now: Callable[[], datetime],
        new_id: Callable[[], UUID],
        chance: Random,
        mail_sender: MailSender | None = None,
        links: PortalLinks | None = None,
        documents: DocumentTools | None = None,
        money_jobs_at_once: int = SLOTS,
        retention: Retention = USUAL,
    ) -> None:
        """
        :param documents: what documents are made with; None: others make them.
        """
        self._pool = pool
        self._scout = scout
        self._queue = queue
        self._providers = providers
        self._sender = sender
        self._signer = signer
        self._now = now
        self._new_id = new_id
        self._chance = chance
        self._mail_sender = mail_sender
        self._links = links or PortalLinks(providers.box, address=UNKNOWN_ADDRESS)
        self._documents = documents
        self._money_jobs_at_once = money_jobs_at_once
        self._retention = retention
        self._busy = EndpointsInFlight()
        self._stopping = asyncio.Event()
        self._running: list[PgQueuer] = []
        self.sending: Batches[RowKey, Begun] = Batches(
            lambda keys: begin_sending(pool, providers, keys, now=now())
        )
        self.settling: Batches[Report, Settled] = Batches(
            lambda reports: settle_attempts(pool, reports, now=now())
        )

    async def run(self) -> None:
        """Work until `stop`. Money, webhooks and documents have job slots apart, so none waits.

        Of those for money no account has all: `flows/calls_under_way` keeps some free of each.
        """
        queues = [
            self._keep_running(self._money, self._money_jobs_at_once),
            self._keep_running(self._webhooks, WEBHOOKS_AT_ONCE),
        ]
        if self._documents is not None:
            queues.append(self._keep_running(self._papers, DOCUMENTS_AT_ONCE))
        await asyncio.gather(*queues)

    def stop(self) -> None:
        """Take no more jobs; `run` returns when those under way are done."""
        self._stopping.set()
        for queuer in self._running:
            queuer.shutdown.set()

    async def _keep_running(self, make: Callable[[], PgQueuer], at_once: int) -> None:
        """Run a queue, and begin again when the database went away under it."""
        while not self._stopping.is_set():
            queuer = make()
            self._running.append(queuer)
            try:
                await queuer.run(
                    dequeue_timeout=LOOK_FOR_JOBS_EVERY,
                    batch_size=min(JOBS_PER_ROUND, at_once // 2),
                    max_concurrent_tasks=at_once,
                    heartbeat_timeout=DEAD_AFTER,
                )
            except Exception as error:  # noqa: BLE001  whatever it was, the promises still stand
                log.warning("queue_interrupted", error=type(error).__name__)
                await self._pause()
            finally:
                self._running.remove(queuer)

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(RESTART_AFTER_SECONDS):
                await self._stopping.wait()
        except TimeoutError:
            return

    def _money(self) -> PgQueuer:
        queuer = PgQueuer.from_asyncpg_pool(self._queue)
        self._register(queuer, Job.SUBMIT_ATTEMPT, self.submit_attempt)
        self._register(queuer, Job.LOOK_UP_ATTEMPT, self.look_up_attempt)
        self._register(queuer, Job.APPLY_EVENT, self.apply_event)
        self._register(queuer, Job.SUBMIT_REFUND, self.submit_refund)
        self._register(queuer, Job.LOOK_UP_REFUND, self.look_up_refund)
        self._register(queuer, Job.CHECK_METHOD, self.check_method)
        self._register(queuer, Job.COLLECT_FROM_CUSTOMER, self.collect_from_customer)
        self._register(queuer, Job.MAKE_PROVIDER_CUSTOMER, self.make_provider_customer)
        self._register(queuer, Job.FETCH_METHODS, self.fetch_methods)
        self._register(queuer, Job.RECONCILE_ACCOUNT, self.reconcile_account)
        self._register(queuer, Job.DUN_CUSTOMER, self.dun_customer)
        queuer.schedule("sweep", "* * * * * */2")(self._sweep)
        queuer.schedule("finalize_drafts", "* * * * *")(self._finalize_drafts)
        queuer.schedule("mark_overdue", "25 * * * *")(self._mark_overdue)
        queuer.schedule("tidy", "10 1 * * *")(self._tidy)
        queuer.schedule("reconcile_all", "40 2 * * *")(self._reconcile_all)
        queuer.schedule("reconcile_held", "* * * * * */15")(self._reconcile_held)
        return queuer

    def _webhooks(self) -> PgQueuer:
        queuer = PgQueuer.from_asyncpg_pool(self._queue)
        self._register(queuer, Job.DELIVER_WEBHOOK, self.deliver_webhook)
        self._register(queuer, Job.SEND_MAIL, self.send_mail)
        return queuer

    def _papers(self) -> PgQueuer:
        queuer = PgQueuer.from_asyncpg_pool(self._queue)
        self._register(queuer, Job.MAKE_DOCUMENT, self.make_document)
        return queuer

    def _register(
        self, queuer: PgQueuer, job: Job, keep: Callable[[RowKey], Awaitable[object]]
    ) -> None:
        async def run(queued: QueuedJob) -> None:
            assert queued.payload is not None, "a job names its row"
            key = RowKey.read(queued.payload.decode())
            try:
                await keep(key)
            except Exception as error:  # said here, and the job comes back: the queue is silent
                expected = isinstance(error, (*DATABASE_AWAY, *ROW_IS_HELD, ProviderSilentError))
                log.warning(
                    "job_comes_back",
                    job=job.value,
                    row=str(key),
                    tries=queued.attempts,
                    error=type(error).__name__,
                    exc_info=None if expected else error,
                )
                # Without a reason: the text of an error can hold a whole request.
                raise RetryRequested(delay=comes_back_after(queued.attempts)) from None

        queuer.entrypoint(job.value, accepts_context=False)(run)

    async def submit_attempt(self, key: RowKey) -> None:
        """Send an attempt; look up one that somebody sent who did not come back."""
        begun = await submit_attempt(
            self._pool,
            key,
            sending=self.sending,
            settling=self.settling,
            jitter=self._jitter(),
            now=self._now,
        )
        if isinstance(begun, ToLookUp):
            await self.look_up_attempt(key)

    async def look_up_attempt(self, key: RowKey) -> None:
        """Ask the provider what became of an attempt."""
        await look_up_attempt(
            self._pool,
            self._providers,
            key,
            settling=self.settling,
            jitter=self._jitter(),
            now=self._now,
        )

    async def apply_event(self, key: RowKey) -> None:
        """Apply a provider's event."""
        await apply_event(
            self._pool,
            self._providers,
            key,
            jitter=self._jitter(),
            new_id=self._new_id,
            now=self._now(),
        )

    async def submit_refund(self, key: RowKey) -> None:
        """Send a refund, or look up one that may have been sent."""
        await submit_refund(self._pool, self._providers, key, now=self._now)

    async def look_up_refund(self, key: RowKey) -> None:
        """Ask the provider what became of a refund."""
        await look_up_refund(self._pool, self._providers, key, now=self._now)

    async def check_method(self, key: RowKey) -> None:
        """Ask the provider whether it still has a method."""
        await check_method(self._pool, self._providers, key, now=self._now())

    async def collect_from_customer(self, key: RowKey) -> None:
        """Collect what a customer owes, with its new method."""
        await collect_from_customer(
            self._pool, self._providers, key, new_id=self._new_id, now=self._now
        )

    async def make_provider_customer(self, key: RowKey) -> None:
        """Make a customer known to its provider."""
        await make_provider_customer(self._pool, self._providers, key, now=self._now())

    async def fetch_methods(self, key: RowKey) -> None:
        """Keep what a customer has at its provider already."""
        await fetch_methods(self._pool, self._providers, key, new_id=self._new_id, now=self._now())

    async def reconcile_account(self, key: RowKey) -> None:
        """Compare a provider account's list of charges with ours."""
        await reconcile_account(
            self._pool, self._providers, key, new_id=self._new_id, now=self._now
        )

    async def dun_customer(self, key: RowKey) -> None:
        """Ask a late customer for what its dunning campaign wants asked for by now."""
        await dun_customer(
            self._pool,
            key,
            can_mail=self._mail_sender is not None,
            new_id=self._new_id,
            now=self._now(),
        )

    async def deliver_webhook(self, key: RowKey) -> None:
        """Try to deliver an event to one endpoint."""
        await deliver_webhook(
            self._pool,
            key,
            sender=self._sender,
            signer=self._signer,
            busy=self._busy,
            jitter=self._chance.random(),
            now=self._now,
        )

    async def send_mail(self, key: RowKey) -> None:
        """Try to hand over a mail."""
        await send_mail(
            self._pool,
            key,
            sender=self._mail_sender,
            links=self._links,
            storage=self._documents.storage if self._documents else None,
            now=self._now,
        )

    async def make_document(self, key: RowKey) -> None:
        """Make a document's file, or remove a replaced one's."""
        assert self._documents is not None, "this queue is not read without"
        await make_document(
            self._pool,
            key,
            tools=self._documents,
            jitter=self._chance.random(),
            now=self._now,
        )

    async def _sweep(self, _schedule: Schedule) -> None:
        await sweep(self._pool, self._scout, new_id=self._new_id, now=self._now())

    async def finalize_drafts(self) -> None:
        """Finalize the drafts whose grace has ended, and begin to collect them."""

        async def collect(conn: Conn, invoice: RowKey) -> None:
            ask = Ask(invoice, self._new_id(), AskedBy.CREATION)
            await retry_payments_on(conn, [ask], now=self._now())

        await finalize_due_drafts(self._pool, self._scout, collect=collect, now=self._now())

    async def _finalize_drafts(self, _schedule: Schedule) -> None:
        await self.finalize_drafts()

    async def _mark_overdue(self, _schedule: Schedule) -> None:
        await mark_all_overdue(self._pool, self._scout, now=self._now())

    async def _tidy(self, _schedule: Schedule) -> None:
        await tidy(self._pool, self._scout, keep=self._retention, now=self._now())

    async def _reconcile_all(self, _schedule: Schedule) -> None:
        async with db.nameless(self._scout) as conn:
            every = await provider_accounts.everybodys(conn)
        async with db.nameless(self._pool) as conn:
            await jobs.promise(conn, Job.RECONCILE_ACCOUNT, every)

    async def _reconcile_held(self, _schedule: Schedule) -> None:
        async with db.nameless(self._scout) as conn:
            held = await quarantines.accounts(conn)
        if held:
            log.warning("in_quarantine", accounts=len(held), do="see docs/restore.md")
            async with db.nameless(self._pool) as conn:
                await jobs.promise(conn, Job.RECONCILE_ACCOUNT, held)

    def _jitter(self) -> timedelta:
        return self._chance.random() * LONGEST_JITTER

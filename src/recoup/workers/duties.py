"""Which flow keeps which promise: a method for each job, given the row that it is about.

Any of them may be called again for a row that was dealt with: the flow looks first.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from random import Random
from typing import Final
from uuid import UUID

from recoup.flows.apply_event import apply_event
from recoup.flows.batches import Batches
from recoup.flows.begin_sending import Begun, ToLookUp, begin_sending
from recoup.flows.collect_from_customer import collect_from_customer
from recoup.flows.deliver_webhook import EndpointsInFlight, WebhookSigner, deliver_webhook
from recoup.flows.dun_customer import dun_customer
from recoup.flows.fetch_methods import fetch_methods
from recoup.flows.keep_methods import check_method
from recoup.flows.look_up_attempt import look_up_attempt
from recoup.flows.make_document import DocumentTools, make_document
from recoup.flows.make_provider_customer import make_provider_customer
from recoup.flows.open_provider import Providers
from recoup.flows.portal_links import UNKNOWN_ADDRESS, PortalLinks
from recoup.flows.reconcile_account import reconcile_account
from recoup.flows.reports import Report, Settled
from recoup.flows.send_mail import send_mail
from recoup.flows.settle_attempt import settle_attempts
from recoup.flows.submit_attempt import submit_attempt
from recoup.flows.submit_refund import look_up_refund, submit_refund
from recoup.flows.wake_dunned import wake_dunned
from recoup.rules.records.keys import RowKey
from recoup.senders.mail import MailSender
from recoup.senders.webhooks import WebhookSender
from recoup.store.db import Pool
from recoup.store.jobs import Job

LONGEST_JITTER: Final = timedelta(hours=2)  # spreads a day's retries


class Duties:
    """Keeps promises, one row at a time; what many share on the way is done in batches."""

    def __init__(
        self,
        pool: Pool,
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
    ) -> None:
        """
        :param documents: what documents are made with; None: others make them.
        """
        self._pool = pool
        self._providers = providers
        self._sender = sender
        self._signer = signer
        self._now = now
        self._new_id = new_id
        self._chance = chance
        self._mail_sender = mail_sender
        self._links = links or PortalLinks(providers.box, address=UNKNOWN_ADDRESS)
        self._documents = documents
        self._busy = EndpointsInFlight()
        self.sending: Batches[RowKey, Begun] = Batches(
            lambda keys: begin_sending(pool, providers, keys, now=now())
        )
        self.settling: Batches[Report, Settled] = Batches(
            lambda reports: settle_attempts(pool, reports, now=now())
        )

    @property
    def makes_documents(self) -> bool:
        """Whether documents are made here."""
        return self._documents is not None

    def of(self, job: Job) -> Callable[[RowKey], Awaitable[object]]:
        """What keeps a job's promise."""
        keep: dict[Job, Callable[[RowKey], Awaitable[object]]] = {
            Job.SUBMIT_ATTEMPT: self.submit_attempt,
            Job.LOOK_UP_ATTEMPT: self.look_up_attempt,
            Job.APPLY_EVENT: self.apply_event,
            Job.SUBMIT_REFUND: self.submit_refund,
            Job.LOOK_UP_REFUND: self.look_up_refund,
            Job.CHECK_METHOD: self.check_method,
            Job.COLLECT_FROM_CUSTOMER: self.collect_from_customer,
            Job.MAKE_PROVIDER_CUSTOMER: self.make_provider_customer,
            Job.FETCH_METHODS: self.fetch_methods,
            Job.RECONCILE_ACCOUNT: self.reconcile_account,
            Job.DUN_CUSTOMER: self.dun_customer,
            Job.WAKE_DUNNED: self.wake_dunned,
            Job.DELIVER_WEBHOOK: self.deliver_webhook,
            Job.SEND_MAIL: self.send_mail,
            Job.MAKE_DOCUMENT: self.make_document,
        }
        return keep[job]

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

    async def wake_dunned(self, key: RowKey) -> None:
        """Have an organization's late customers looked at."""
        await wake_dunned(self._pool, key, now=self._now())

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

    def _jitter(self) -> timedelta:
        return self._chance.random() * LONGEST_JITTER

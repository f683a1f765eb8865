"""Try to deliver one event to one endpoint, and plan what follows.

Called by the worker for every new delivery, and again for each that the sweep finds due. A receiver
gets everything at least once, with the same id and the same bytes at every try.

What surprises:
- The row is leased before the call: whoever dies with it has lost it half a minute later, and the
  next try is another worker's. So a receiver may hear twice of what it has answered already.
- One endpoint gets few calls at once, and a single one while all of its answers are failures. What
  finds no place is put off, which is no try: a thousand webhooks for somebody who is dead hold
  neither job slots nor the queue.
- Those counts live in this process alone. They set the pace, never what is sent; another process
  finds out for itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from typing import Final

import msgspec

from recoup.rules.records.keys import RowKey
from recoup.rules.webhook_schedule import next_try
from recoup.senders.webhook_headers import JwtSigner, signed_headers
from recoup.senders.webhooks import Delivered, NotDelivered, WebhookRequest, WebhookSender
from recoup.store import db, webhook_deliveries
from recoup.store.db import Pool
from recoup.store.sealed_columns import HMAC_KEY
from recoup.store.secret_box import SecretBox
from recoup.store.webhook_deliveries import DueDelivery

LEASE: Final = timedelta(seconds=30)  # longer than any call takes, and the write that follows it
MOST_AT_ONCE: Final = 8  # per endpoint and process
FAILING_AFTER: Final = 5  # failures in a row
WAIT_FOR_A_PLACE: Final = timedelta(seconds=2)
WAIT_WHILE_FAILING: Final = timedelta(seconds=30)


class NothingDue(msgspec.Struct, frozen=True):
    """It was delivered, given up, deleted with its endpoint, is not due, or another worker's."""


class PutOff(msgspec.Struct, frozen=True):
    """The endpoint has as many calls under way as it may have. No try was made."""

    until: datetime


class WillRetry(msgspec.Struct, frozen=True):
    """The receiver did not take it; it is tried again."""

    at: datetime
    why: str


class GivenUp(msgspec.Struct, frozen=True):
    """The receiver did not take it, and will not be asked again."""

    why: str


class Overtaken(msgspec.Struct, frozen=True):
    """It failed, but the lease had run out, or the endpoint was deleted: not ours to plan."""


Result = NothingDue | PutOff | Delivered | WillRetry | GivenUp | Overtaken


class WebhookSigner:
    """Signs for every tenant: with the organization's sealed key and the installation's RSA key."""

    def __init__(self, box: SecretBox, jwt_signer: JwtSigner) -> None:
        self._box = box
        self._jwt_signer = jwt_signer

    def sign(self, delivery: DueDelivery, *, now: datetime) -> WebhookRequest:
        """Make the request of one try."""
        body = delivery.body.encode()
        hmac_key = self._box.open(
            delivery.hmac_key_sealed,
            organization_id=delivery.organization_id,
            row=delivery.organization_id,
            field=HMAC_KEY,
        )
        headers = signed_headers(
            body,
            algorithm=delivery.signature_algo,
            delivery_id=delivery.id,
            hmac_key=hmac_key.decode(),
            jwt_signer=self._jwt_signer,
            now=now,
        )
        return WebhookRequest(delivery.url, headers, body)


class EndpointsInFlight:
    """How many calls each endpoint has under way in this process, and how many failed in a row."""

    def __init__(self, *, most_at_once: int = MOST_AT_ONCE) -> None:
        self._most_at_once = most_at_once
        self._under_way: Counter[RowKey] = Counter()
        self._failures_in_a_row: Counter[RowKey] = Counter()  # holds those that fail, no others

    def is_failing(self, endpoint: RowKey) -> bool:
        """Tell whether so many calls failed, and none got through, that one at a time is enough."""
        return self._failures_in_a_row[endpoint] >= FAILING_AFTER

    def has_place(self, endpoint: RowKey) -> bool:
        """Tell whether it may have one more call now."""
        most = 1 if self.is_failing(endpoint) else self._most_at_once
        return self._under_way[endpoint] < most

    @contextmanager
    def place(self, endpoint: RowKey) -> Iterator[None]:
        """Count one call as under way for as long as the block runs."""
        self._under_way[endpoint] += 1
        try:
            yield
        finally:
            self._under_way[endpoint] -= 1
            if not self._under_way[endpoint]:
                del self._under_way[endpoint]

    def note(self, endpoint: RowKey, sent: Delivered | NotDelivered) -> None:
        """Remember how a call ended."""
        if isinstance(sent, NotDelivered):
            self._failures_in_a_row[endpoint] += 1
        else:
            del self._failures_in_a_row[endpoint]  # a Counter minds no missing key


async def deliver_webhook(
    pool: Pool,
    key: RowKey,
    *,
    sender: WebhookSender,
    signer: WebhookSigner,
    busy: EndpointsInFlight,
    jitter: float,
    now: Callable[[], datetime],
) -> Result:
    """Make one try, if one is due, and write down what came of it.

    :param busy: the one of this process.
    :param jitter: from 0 to 1; spreads what was put off or failed together.
    :param now: the edge's clock, and not its reading: a try may take a quarter of a minute, and the
        wait for the next one begins at its end.
    """
    with ExitStack() as held:
        async with db.transaction(pool, tenants=[key.organization_id]) as conn:
            claimed_at = now()
            delivery = await webhook_deliveries.lock_due(conn, key, now=claimed_at)
            if delivery is None:
                return NothingDue()
            if not busy.has_place(delivery.endpoint):
                wait = _wait(failing=busy.is_failing(delivery.endpoint), jitter=jitter)
                await webhook_deliveries.put_off(conn, key, until=claimed_at + wait)
                return PutOff(claimed_at + wait)
            # Taken before the commit, or others would find the same place free meanwhile.
            held.enter_context(busy.place(delivery.endpoint))
            leased_until = claimed_at + LEASE
            await webhook_deliveries.put_off(conn, key, until=leased_until)
        started_at = now()
        sent = await sender.send(signer.sign(delivery, now=started_at), now=started_at)
        busy.note(delivery.endpoint, sent)
    if isinstance(sent, Delivered):
        async with db.transaction(pool, tenants=[key.organization_id]) as conn:
            await webhook_deliveries.delivered(
                conn, delivery, http_status=sent.http_status, began_at=started_at, now=now()
            )
        return sent
    return await _note_failure(
        pool,
        delivery,
        sent,
        leased_until=leased_until,
        jitter=jitter,
        began_at=started_at,
        now=now(),
    )


async def _note_failure(
    pool: Pool,
    delivery: DueDelivery,
    sent: NotDelivered,
    *,
    leased_until: datetime,
    jitter: float,
    began_at: datetime,
    now: datetime,
) -> WillRetry | GivenUp | Overtaken:
    next_try_at = None
    if not sent.gone:
        next_try_at = next_try(
            delivery.tries + 1,
            jitter=jitter,
            first_at=delivery.first_at,
            now=now,
            retry_after_seconds=sent.retry_after_seconds,
        )
    async with db.transaction(pool, tenants=[delivery.organization_id]) as conn:
        noted = await webhook_deliveries.failed(
            conn,
            delivery,
            leased_until=leased_until,
            next_try_at=next_try_at,
            http_status=sent.http_status,
            error=sent.why,
            began_at=began_at,
            now=now,
        )
    if not noted:
        return Overtaken()
    return WillRetry(next_try_at, sent.why) if next_try_at else GivenUp(sent.why)


def _wait(*, failing: bool, jitter: float) -> timedelta:
    """Half to one and a half of the wait, so that what comes together does not return together."""
    return (WAIT_WHILE_FAILING if failing else WAIT_FOR_A_PLACE) * (0.5 + jitter)

"""Put what is due on the queue, and find what was promised and whose job is gone.

Called every few seconds by one worker at a time. Waiting is a column of our own tables, so that a
test moves time by passing another `now`; the queue carries due work only. Promising twice is
harmless: a job that waits or runs already is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from recoup.flows.batches import MOST_PER_BATCH, Failed, serve_each
from recoup.flows.retry_payment import Answer, Ask, PageIsOpen, retry_payments
from recoup.rules.records.collection import AskedBy
from recoup.rules.records.keys import RowKey
from recoup.rules.refusal import Refusal
from recoup.store import (
    db,
    documents,
    dunning_wakes,
    dunnings,
    jobs,
    mails,
    provider_events,
    refund_lists,
    tries,
    waiting_attempts,
    webhook_deliveries,
)
from recoup.store.db import Pool
from recoup.store.jobs import Job

MOST_AT_ONCE: Final = 1_000
# A promised job is taken up within a second or two; one that is older may be gone.
JOB_MAY_BE_GONE_AFTER: Final = timedelta(seconds=10)
AFTER_A_FAILURE: Final = timedelta(minutes=5)
AFTER_A_PAYER: Final = timedelta(hours=1)


async def sweep(pool: Pool, scout: Pool, *, new_id: Callable[[], UUID], now: datetime) -> int:
    """Promise everything that is due by `now`, and answer how much that was."""
    old = now - JOB_MAY_BE_GONE_AFTER
    async with db.nameless(scout) as conn:
        due = {
            Job.LOOK_UP_ATTEMPT: await waiting_attempts.to_look_up(
                conn, now=now, most=MOST_AT_ONCE
            ),
            Job.LOOK_UP_REFUND: await refund_lists.to_look_up(conn, now=now, most=MOST_AT_ONCE),
            Job.SUBMIT_REFUND: await refund_lists.ready_since(
                conn, before=old, most=MOST_AT_ONCE, now=now
            ),
            Job.SUBMIT_ATTEMPT: await waiting_attempts.ready_since(
                conn, before=old, most=MOST_AT_ONCE, now=now
            ),
            Job.APPLY_EVENT: await provider_events.waiting(
                conn, before=old, most=MOST_AT_ONCE, now=now
            ),
            Job.SEND_MAIL: await mails.due(conn, now=now, most=MOST_AT_ONCE),
            Job.DELIVER_WEBHOOK: await webhook_deliveries.due(conn, now=now, most=MOST_AT_ONCE),
            Job.MAKE_DOCUMENT: await documents.due(conn, now=now, most=MOST_AT_ONCE),
            Job.DUN_CUSTOMER: await dunnings.to_look_at(conn, now=now, most=MOST_AT_ONCE),
            Job.WAKE_DUNNED: await dunning_wakes.waiting(conn, before=old, most=MOST_AT_ONCE),
        }
        to_try = await tries.due_for_a_try(conn, now=now, most=MOST_AT_ONCE)
    for job, keys in due.items():
        if keys:
            async with db.nameless(pool) as conn:
                await jobs.promise(conn, job, keys)
    await _retry(pool, to_try, new_id=new_id, now=now)
    return sum(len(keys) for keys in due.values()) + len(to_try)


async def _retry(
    pool: Pool, to_try: Sequence[RowKey], *, new_id: Callable[[], UUID], now: datetime
) -> None:
    """Ask for the retries that the schedule planned; a refused one leaves the schedule.

    Others act meanwhile: whatever was planned since `now` is left as it is.
    """
    if not to_try:
        return
    asks = [Ask(invoice, new_id(), AskedBy.SCHEDULE) for invoice in to_try]
    answers: list[Answer | Failed] = []
    for start in range(0, len(asks), MOST_PER_BATCH):
        answers += await serve_each(
            lambda some: retry_payments(pool, some, now=now), asks[start : start + MOST_PER_BATCH]
        )
    answered = list(zip(asks, answers, strict=True))
    refused = [ask.invoice for ask, answer in answered if isinstance(answer, Refusal)]
    # A payer may be paying on a page that we sent them to: the schedule does not take it away.
    paying = [ask.invoice for ask, answer in answered if isinstance(answer, PageIsOpen)]
    failed = [ask.invoice for ask, answer in answered if isinstance(answer, Failed)]
    # Failed: somebody holds it, or a bug of ours. Later, so that these do not keep the others.
    for invoices, until in (
        (failed, now + AFTER_A_FAILURE),
        (paying, now + AFTER_A_PAYER),
        (refused, None),
    ):
        if invoices:
            tenants = {invoice.organization_id for invoice in invoices}
            async with db.transaction(pool, tenants=tenants) as conn:
                await tries.put_off_tries(conn, invoices, until=until, now=now)

"""Promises of work: rows of PgQueuer's queue, written in the transaction that made them necessary.

A job names what to do and for which row, and nothing else: everything it needs is read when it
runs. Promising the same job twice while it waits or runs leaves one.

What would surprise you: the rows are written here, and not by PgQueuer's own `enqueue`. That joins
the new rows with what was asked, to answer their ids, and on connections that plan by index it
compares each with each: 89 of the 210 microseconds that a retry took in a batch of a thousand. A
test holds the two against each other.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from enum import StrEnum
from typing import Final

from recoup.rules.records.keys import RowKey
from recoup.store.db import Conn


class Job(StrEnum):
    """What can be promised; `workers` says which flow keeps each."""

    SUBMIT_ATTEMPT = "submit_attempt"
    LOOK_UP_ATTEMPT = "look_up_attempt"
    APPLY_EVENT = "apply_event"
    SUBMIT_REFUND = "submit_refund"
    LOOK_UP_REFUND = "look_up_refund"
    CHECK_METHOD = "check_method"
    COLLECT_FROM_CUSTOMER = "collect_from_customer"
    MAKE_PROVIDER_CUSTOMER = "make_provider_customer"
    FETCH_METHODS = "fetch_methods"
    RECONCILE_ACCOUNT = "reconcile_account"
    DELIVER_WEBHOOK = "deliver_webhook"
    SEND_MAIL = "send_mail"
    MAKE_DOCUMENT = "make_document"
    DUN_CUSTOMER = "dun_customer"
    WAKE_DUNNED = "wake_dunned"


# A charge waits for nobody's webhook.
PRIORITY: Final = {
    Job.SUBMIT_ATTEMPT: 3,
    Job.APPLY_EVENT: 2,
    Job.LOOK_UP_ATTEMPT: 1,
    Job.SUBMIT_REFUND: 1,
    Job.LOOK_UP_REFUND: 1,
    Job.CHECK_METHOD: 1,
    Job.COLLECT_FROM_CUSTOMER: 1,
    Job.MAKE_PROVIDER_CUSTOMER: 1,
    Job.FETCH_METHODS: 1,
    Job.RECONCILE_ACCOUNT: 1,
    Job.DUN_CUSTOMER: 1,
    Job.WAKE_DUNNED: 1,
    Job.DELIVER_WEBHOOK: 0,
    Job.SEND_MAIL: 0,
    Job.MAKE_DOCUMENT: 0,
}


_ENQUEUE: Final = """
    WITH promised AS (
        INSERT INTO pgqueuer (priority, entrypoint, payload, execute_after, dedupe_key, status)
        SELECT $1::int, $2::text, convert_to(u.name, 'UTF8'), now(), $2::text || '/' || u.name,
               'queued'
          FROM unnest($3::text[]) AS u (name)
            ON CONFLICT (dedupe_key)
               WHERE status IN ('queued', 'picked') AND dedupe_key IS NOT NULL
               DO NOTHING  -- promised before, and not done yet
     RETURNING id, entrypoint, priority
    )
    INSERT INTO pgqueuer_log (job_id, status, entrypoint, priority)
    SELECT id, 'queued', entrypoint, priority FROM promised
"""

_FORGET_LOG: Final = """
    DELETE FROM pgqueuer_log
     WHERE id IN (SELECT id FROM pgqueuer_log WHERE created < $1 LIMIT $2)
"""
_FORGOTTEN_AT_ONCE: Final = 10_000


async def forget_log(conn: Conn, *, before: datetime) -> bool:
    """Delete a piece of the queue's log of before this instant; False: there was nothing left."""
    done: str = await conn.execute(_FORGET_LOG, before, _FORGOTTEN_AT_ONCE)
    return done != "DELETE 0"


async def promise(conn: Conn, job: Job, keys: Collection[RowKey]) -> None:
    """Put one job per row on the queue, as part of the caller's transaction."""
    if keys:
        await conn.execute(_ENQUEUE, PRIORITY[job], job.value, [str(key) for key in keys])

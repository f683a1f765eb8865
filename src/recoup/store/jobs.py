"""Promises of work: rows of PgQueuer's queue, written in the transaction that made them necessary.

A job names what to do and for which row, and nothing else: everything it needs is read when it
runs. Promising the same job twice while it waits or runs leaves one.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from enum import StrEnum
from typing import Final

from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
from pgqueuer.adapters.persistence.queries import Queries

from recoup.rules.records.keys import RowKey
from recoup.store.db import Conn


class Job(StrEnum):
    """What can be promised; `workers` says which flow keeps each."""

    SUBMIT_ATTEMPT = "submit_attempt"
    LOOK_UP_ATTEMPT = "look_up_attempt"
    APPLY_EVENT = "apply_event"
    DELIVER_WEBHOOK = "deliver_webhook"


# A charge waits for nobody's webhook.
_PRIORITY: Final = {
    Job.SUBMIT_ATTEMPT: 3,
    Job.APPLY_EVENT: 2,
    Job.LOOK_UP_ATTEMPT: 1,
    Job.DELIVER_WEBHOOK: 0,
}


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
    if not keys:
        return
    names = [str(key) for key in keys]
    await Queries(AsyncpgDriver(conn)).enqueue(
        [job.value] * len(names),
        [name.encode() for name in names],
        [_PRIORITY[job]] * len(names),
        dedupe_key=[f"{job}/{name}" for name in names],
        on_conflict="skip",
    )

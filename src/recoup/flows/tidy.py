"""Forget what nobody asks for any more: old `Idempotency-Key`s, and the job queue's log.

Called once a day. In pieces, so that no lock is held for long.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from recoup.flows.answer_once import KEPT_FOR
from recoup.store import db, idempotency_keys, jobs
from recoup.store.db import Pool

JOB_LOG_KEPT_FOR: Final = timedelta(days=1)  # for looking into yesterday's trouble


async def tidy(pool: Pool, scout: Pool, *, now: datetime) -> None:
    """Delete what is past its time."""
    async with db.nameless(scout) as conn:
        tenants = await idempotency_keys.tenants_with_old(conn, before=now - KEPT_FOR)
    for tenant in tenants:
        left = True
        while left:
            async with db.transaction(pool, tenants=[tenant]) as conn:
                left = await idempotency_keys.forget(conn, tenant, before=now - KEPT_FOR)
    left = True
    while left:
        async with db.nameless(pool) as conn:
            left = await jobs.forget_log(conn, before=now - JOB_LOG_KEPT_FOR)

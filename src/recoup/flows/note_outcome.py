"""Remember of a provider account that it was out, or is called too often, or answers again.

Called after each call to a provider, outside any other transaction. A call that was answered by an
account that is known to answer writes nothing.
"""

from __future__ import annotations

from datetime import datetime

import msgspec
import structlog

from recoup.providers.protocol import Lost
from recoup.rules.provider_pace import after_answer, after_outage, slow_until
from recoup.rules.records.keys import RowKey
from recoup.store import attempts, db, provider_health
from recoup.store.db import Pool

log = structlog.get_logger()


async def note_outcome(
    pool: Pool, account: RowKey, told: object, *, was_troubled: bool, now: datetime
) -> None:
    """Remember what an answer says of its account.

    `was_troubled`: an answer is news, as `take_calls` or the look-up's reading said.
    """
    lost = told if isinstance(told, Lost) else None
    is_slowed = lost is not None and lost.retry_after_seconds is not None
    if lost is not None and not lost.is_outage and not is_slowed:
        return  # no answer that says anything of the provider as a whole
    if lost is None and not was_troubled:
        return
    async with db.transaction(pool, tenants=[account.organization_id]) as conn:
        health = (await provider_health.lock(conn, [account]))[account]
        before = health.breaker
        if lost is None or is_slowed:  # who asks us to wait is there
            health = msgspec.structs.replace(health, breaker=after_answer())
        else:
            health = msgspec.structs.replace(health, breaker=after_outage(before, now=now))
        if lost is not None and is_slowed:
            until = slow_until(health.slow_until, lost.retry_after_seconds, now=now)
            health = msgspec.structs.replace(health, slow_until=until)
        await provider_health.keep(conn, {account: health})
        closed = before.open_until is not None and health.breaker.open_until is None
        if closed:
            await attempts.send_soon(conn, account, now=now)
    if closed:
        log.warning("provider_answers_again", account=str(account))
    elif health.breaker.times_opened > before.times_opened:
        log.warning("provider_is_down", account=str(account), until=str(health.breaker.open_until))

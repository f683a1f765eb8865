"""Make due what was held back for an account that may be called again.

Called by whoever has found that out, once their own transaction is committed: it locks attempts,
and an account's health is the last lock of a transaction. What it does not reach, since somebody
holds it or the process died, has a time of its own.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

from recoup.rules.records.keys import RowKey
from recoup.store import db, refunds, waiting_attempts
from recoup.store.db import Pool

MOST_AT_ONCE: Final = 1_000


async def wake_account(
    pool: Pool, account: RowKey, *, most: int | None = None, now: datetime
) -> None:
    """Let all that waits for this account be sent now, or the first `most` of each kind.

    In transactions of `MOST_AT_ONCE`, along the ids: what is put off anew meanwhile, by the limit
    for instance, is not met a second time.
    """
    for send_soon in (waiting_attempts.send_soon, refunds.send_soon):
        after: UUID | None = UUID(int=0)
        while after is not None:
            async with db.transaction(pool, tenants=[account.organization_id]) as conn:
                after = await send_soon(
                    conn, account, after=after, most=most or MOST_AT_ONCE, now=now
                )
            if most is not None:
                break

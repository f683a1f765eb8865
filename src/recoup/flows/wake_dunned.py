"""Have an organization's late customers looked at: a campaign, or who applies it, has changed.

Whoever changes that asks for it in the same transaction, and the worker does it, in pieces: there
may be a hundred thousand, and a call must not hold what invoices are numbered by for so long.

What would surprise you: once an hour it is also asked for where nothing was changed, for those
alone whom nobody looks at. Whoever is marked as late in the same moment in which a campaign begins
to apply to them is seen by neither side: each looks for what the other has not yet committed.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

from recoup.rules.records.keys import RowKey
from recoup.store import db, dunning_campaigns, dunning_wakes, dunnings, jobs
from recoup.store.db import Conn, Pool
from recoup.store.jobs import Job

MOST_AT_ONCE: Final = 1_000


async def ask_to_wake(conn: Conn, organization_id: UUID, *, now: datetime) -> None:
    """Promise it, as part of the caller's transaction, which holds no row of `dunnings` yet."""
    await dunning_wakes.ask(conn, organization_id, now=now)
    await jobs.promise(conn, Job.WAKE_DUNNED, [dunning_wakes.job_key(organization_id)])


async def wake_dunned(
    pool: Pool, organization: RowKey, *, most: int = MOST_AT_ONCE, now: datetime
) -> None:
    """Do it, `most` customers in a transaction, until all of this organization's are woken."""
    while await _wake_some(pool, organization.organization_id, most=most, now=now):
        pass


async def wake_forgotten(pool: Pool, scout: Pool, *, now: datetime) -> None:
    """Promise it for every organization that has a campaign, for those whom nobody looks at."""
    async with db.nameless(scout) as conn:
        found = await dunning_campaigns.organizations(conn)
    for start in range(0, len(found), MOST_AT_ONCE):
        some = found[start : start + MOST_AT_ONCE]
        async with db.transaction(pool, tenants=some) as conn:
            await dunning_wakes.ask_for_missing(conn, some, now=now)
            await jobs.promise(conn, Job.WAKE_DUNNED, [*map(dunning_wakes.job_key, some)])


async def _wake_some(pool: Pool, organization_id: UUID, *, most: int, now: datetime) -> bool:
    """Wake the next ones; say whether there may be more."""
    async with db.transaction(pool, tenants=[organization_id]) as conn:
        wake = await dunning_wakes.lock(conn, organization_id)
        if wake is None:
            return False
        late = await dunning_wakes.late_after(
            conn, organization_id, wake.after_customer_id, most=most
        )
        await dunnings.wake(conn, late, only_missing=wake.only_missing, now=now)
        if len(late) < most:
            await dunning_wakes.end(conn, organization_id)
            return False
        await dunning_wakes.advance(conn, organization_id, after=late[-1].id)
        return True

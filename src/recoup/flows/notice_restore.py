"""Notice that the database was restored, and hold all accounts back before anything is sent.

Called at the start of every process that serves, and with each beat afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog

from recoup.rules.persons_word import refuse_unsaid
from recoup.rules.restore_signs import why_restored
from recoup.store import audit_log, database_signs, db, installation, invariants, quarantines
from recoup.store.audit_log import AuditEntry
from recoup.store.beat_marker import BeatMarker
from recoup.store.db import Pool

log = structlog.get_logger()

# What was sent shortly before the state that was restored may have had its end after it.
MARGIN: Final = timedelta(hours=1)
BY_ITSELF: Final = "recoup"  # the actor in the audit log where no person has said so


async def notice_restore(
    pool: Pool,
    scout: Pool,
    *,
    folder: str,
    marker: BeatMarker,
    new_id: Callable[[], UUID],
    now: datetime,
) -> str | None:
    """Compare the database with what was last seen of it, and beat; answer why it was restored.

    `folder` is the sign of the embedded cluster's files. Killed half way, it begins again: the
    signs are kept last.
    """
    last_beat = marker.read()
    async with db.nameless(pool) as conn:
        kept = await database_signs.find(conn)
        found = await database_signs.identity(conn, folder=folder)
    because = why_restored(kept, found, last_beat)
    if because is not None:
        since = (kept.beat_at if kept else await _beginning(pool)) - MARGIN
        await hold_all_back(
            pool, scout, because=because, by=BY_ITSELF, since=since, new_id=new_id, now=now
        )
    async with db.nameless(pool) as conn:
        beat = await database_signs.keep(conn, found, now=now)
    marker.write(beat)  # after the commit: what the file knows, the database knows
    return because


async def _beginning(pool: Pool) -> datetime:
    """From when on a state may have been served that does not say when it last was.

    The last beat says when it was lost, and not how old it is.
    """
    async with db.nameless(pool) as conn:
        made = await installation.read(conn)
    assert made is not None, "nobody serves before there is one"
    return made.created_at


async def hold_all_back(
    pool: Pool,
    scout: Pool,
    *,
    because: str,
    by: str,
    since: datetime,
    new_id: Callable[[], UUID],
    now: datetime,
) -> int:
    """Put every account of every tenant in quarantine, and answer how many those are.

    `by` is who says so, in the audit log of each tenant.

    :raises Refused: 422 for a blank `by` or `because`.
    """
    refuse_unsaid(by=by, reason=because)
    held = 0
    async with db.nameless(scout) as conn:
        tenants = await invariants.organizations(conn)
    for first in range(0, len(tenants), 200):
        some = tenants[first : first + 200]
        async with db.transaction(pool, tenants=some) as conn:
            accounts = await quarantines.begin(
                conn, some, because=because.strip(), compare_since=since, now=now
            )
            entries = [
                AuditEntry(
                    organization_id=account.organization_id,
                    id=new_id(),
                    actor=by.strip(),
                    action="quarantine.begun",
                    object_id=account.id,
                    detail={"reason": because.strip(), "compare_since": since.isoformat()},
                )
                for account in accounts
            ]
            await audit_log.write(conn, entries, now=now)
        held += len(accounts)
    log.warning("quarantine_begun", because=because, since=since.isoformat(), accounts=held)
    return held

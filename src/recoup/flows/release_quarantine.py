"""Let an organization's accounts be charged through again, on a person's word.

Called by `recoup quarantine release`: for providers that list no charges, and for charges that
nobody but a person can explain.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from recoup.flows.find_organization import organization_must_exist
from recoup.rules.persons_word import refuse_unsaid
from recoup.rules.refusal import Refused, not_allowed
from recoup.store import audit_log, db, findings, quarantines
from recoup.store.audit_log import AuditEntry
from recoup.store.db import Pool


async def release_quarantine(
    pool: Pool,
    organization_id: UUID,
    *,
    by: str,
    reason: str,
    new_id: Callable[[], UUID],
    now: datetime,
) -> int:
    """Release all accounts that are held back, and answer how many those were.

    :raises Refused: `organization_not_found`; 405 `not_in_quarantine`; 422 for a blank `by` or
        `reason`.
    """
    refuse_unsaid(by=by, reason=reason)
    async with db.transaction(pool, tenants=[organization_id]) as conn:
        await organization_must_exist(conn, organization_id)
        held = await quarantines.live(conn, [organization_id])
        if not held:
            raise Refused(not_allowed("not_in_quarantine"))
        for one in held.values():
            # In the order in which `resolve_finding` locks the two.
            await findings.resolve(
                conn, one.account, [one.finding_key], because="quarantine_released", now=now
            )
            await quarantines.release(conn, one, because="a_person_said_so", now=now)
        entries = [
            AuditEntry(
                organization_id=organization_id,
                id=new_id(),
                actor=by.strip(),
                action="quarantine.released",
                object_id=one.provider_account_id,
                detail={"reason": reason.strip(), "was_held_because": one.because},
            )
            for one in held.values()
        ]
        await audit_log.write(conn, entries, now=now)
    return len(held)

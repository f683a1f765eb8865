"""Let a person say that what a comparison found is dealt with.

Called by `recoup reconciliation resolve`, and over the API. It stays so while the facts are the
same, and Recoup books nothing for it: the person has.

What would surprise you: where a provider has no list, it is this word, once somebody has compared
by its reports, that lets a restored account be charged again.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from recoup.rules.persons_word import refuse_unsaid
from recoup.rules.reconciliation import What
from recoup.rules.records.keys import RowKey
from recoup.rules.refusal import Refused, not_allowed, not_found
from recoup.store import audit_log, findings, quarantines
from recoup.store.audit_log import AuditEntry
from recoup.store.db import Conn
from recoup.store.findings import KeptFinding


class Resolved(msgspec.Struct, frozen=True, kw_only=True):
    """A person's word about one finding."""

    by: str
    reason: str


async def resolve_finding(
    conn: Conn, finding: RowKey, said: Resolved, *, audit_id: UUID, now: datetime
) -> KeptFinding:
    """Resolve an open finding, and answer what it has become.

    :raises Refused: `reconciliation_finding_not_found`; 405 `reconciliation_finding_not_open` for
        one that is resolved or closed; 422 for a blank `by` or `reason`.
    """
    refuse_unsaid(by=said.by, reason=said.reason)
    held = await findings.lock(conn, finding)
    if held is None:
        raise Refused(not_found("reconciliation_finding"))
    if held.resolved_at is not None:
        raise Refused(not_allowed("reconciliation_finding_not_open"))
    await findings.resolve_by_hand(conn, finding, by=said.by.strip(), now=now)
    if held.what is What.CANNOT_LIST:
        await _let_go(conn, held, now=now)
    entry = AuditEntry(
        organization_id=finding.organization_id,
        id=audit_id,
        actor=said.by.strip(),
        action="reconciliation_finding.resolved",
        object_id=finding.id,
        detail={
            "reason": said.reason.strip(),
            "what": held.what,
            "idempotency_key": held.idempotency_key,
            "provider_account_id": str(held.provider_account_id),
        },
    )
    await audit_log.write(conn, [entry], now=now)
    resolved = await findings.one(conn, finding)
    assert resolved is not None, "it is locked"
    return resolved


async def _let_go(conn: Conn, finding: KeptFinding, *, now: datetime) -> None:
    """End the quarantine that waited for this word, and no later one."""
    live = await quarantines.live(conn, [finding.organization_id])
    held = live.get(finding.account)
    if held is not None and held.finding_key == finding.idempotency_key:
        await quarantines.release(conn, held, because="a_person_compared", now=now)

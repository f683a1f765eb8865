"""Ask a provider by name for what its list has told nothing of, so that no finding stays for ever.

Called by `reconcile_account` after the last page. A charge that the list lacks may be listed under
another day, and one whose finding is older than the window is on no list any more: whether a
finding still holds, the charge's own look-up tells.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final

from recoup.flows.as_sent import as_sent
from recoup.flows.call_account import AccountLine, LeftAlone
from recoup.flows.count_as_sent import LONG_AGO
from recoup.flows.mend_from_list import Mending
from recoup.providers.protocol import (
    Charge,
    Fate,
    ListedCharge,
    Lost,
    NotKnown,
    Paid,
    Provider,
    Reversed,
)
from recoup.rules.attempt_state import State
from recoup.rules.reconciliation import What
from recoup.rules.records.collection import Attempt, attempt_of
from recoup.rules.records.keys import RowKey
from recoup.store import attempts, db, findings
from recoup.store.db import Pool
from recoup.store.findings import KeptFinding
from recoup.store.reconciliations import Reconciliation

MOST_AT_ONCE: Final = 200  # the others come next time: who waits longest comes first
_MONEY_MOVES: Final = frozenset({State.SUCCEEDED, State.PROCESSING})


async def ask_for_findings(
    pool: Pool, line: AccountLine, one: Reconciliation, *, now: Callable[[], datetime]
) -> None:
    """Ask for each, and take in what is told.

    Where the provider is silent, or may not be asked for now, leave the rest to the next time.
    """
    async with db.transaction(pool, tenants=[one.organization_id]) as conn:
        left = await findings.to_ask_for(
            conn, one.account, not_seen_since=one.began_at, most=MOST_AT_ONCE
        )
        known = await attempts.find(conn, {key for finding in left if (key := _attempt(finding))})
    for finding in left:
        key = _attempt(finding)
        attempt = known.get(key) if key else None
        if finding.what is What.UNKNOWN_THERE and not _money_moves(attempt):
            await _close(pool, finding, because="no_money_here", now=now())
            continue
        told = await line.ask(_look_up(_charge(finding, attempt)))
        if isinstance(told, LeftAlone):
            return
        if isinstance(told, Lost) and (told.is_outage or told.retry_after_seconds is not None):
            return
        async with db.transaction(pool, tenants=[one.organization_id]) as conn:
            asked_at = now()
            await findings.asked_for(conn, RowKey(one.organization_id, finding.id), now=asked_at)
            if not isinstance(told, Lost | NotKnown):
                listed = _as_listed(finding, told)
                await Mending(conn, one, now=asked_at).take([listed])


def _look_up(charge: Charge) -> Callable[[Provider], Awaitable[Fate | NotKnown]]:
    return lambda provider: provider.look_up(charge)


def _attempt(finding: KeptFinding) -> RowKey | None:
    attempt_id = attempt_of(finding.idempotency_key)
    return RowKey(finding.organization_id, attempt_id) if attempt_id else None


def _money_moves(attempt: Attempt | None) -> bool:
    return attempt is not None and attempt.state in _MONEY_MOVES


def _charge(finding: KeptFinding, attempt: Attempt | None) -> Charge:
    """The charge as it was sent; where no attempt tells how, it is known by the provider's id."""
    if attempt is not None and attempt.request is not None:
        return as_sent(attempt)
    return Charge(
        finding.idempotency_key,
        request="",
        sent_before=True,
        provider_payment_id=finding.charge_known_as,
        sent_at=finding.found_at - LONG_AGO,
    )


def _as_listed(finding: KeptFinding, told: Fate) -> ListedCharge:
    """What was told of one charge, as a list would have told it."""
    amount = (finding.amount_cents, finding.currency)
    if isinstance(told, Paid | Reversed):
        amount = (told.amount_cents, told.currency)
    known_as = finding.charge_known_as
    if not isinstance(told, Lost) and told.provider_payment_id is not None:
        known_as = told.provider_payment_id
    return ListedCharge(
        finding.idempotency_key, known_as or "", told, *amount, metadata=_metadata(finding)
    )


def _metadata(finding: KeptFinding) -> dict[str, str]:
    """What was sent beside the charge, as far as it says whose it is."""
    if finding.invoice_id is None:
        return {}
    return {
        "lago_invoice_id": str(finding.invoice_id),
        "lago_organization_id": str(finding.organization_id),
    }


async def _close(pool: Pool, finding: KeptFinding, *, because: str, now: datetime) -> None:
    async with db.transaction(pool, tenants=[finding.organization_id]) as conn:
        keys = [finding.idempotency_key]
        await findings.resolve(conn, finding.account, keys, because=because, now=now)

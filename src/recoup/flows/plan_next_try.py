"""Plan what follows a failed attempt: another try, or none, and why. The decision is kept.

Called by `settle_attempt` alone, in the transaction that settles. When, `rules/retry_policy` says;
here it is told what has failed before, and what forbids a try whatever the policy says.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import uuid5

from recoup.flows.attempt_ends import Failure
from recoup.rules.records.collection import Debt
from recoup.rules.records.keys import RowKey
from recoup.rules.retry_policy import DEFAULT_POLICY, RetryAt, decide
from recoup.rules.settlement import CONTRADICTED, status_after_failure
from recoup.store import collection, tries
from recoup.store.collection import Decision
from recoup.store.db import Conn


async def plan_next_tries(
    conn: Conn, failures: Sequence[Failure], held: Collection[RowKey], *, now: datetime
) -> None:
    """Plan the next try of what these attempts cover, where anything is still unpaid.

    `held` are the invoices that have come to be held in this very transaction.
    """
    unpaid = [
        (failure, one.debt)
        for failure in failures
        for one in failure.covered
        if status_after_failure(one.debt) == "failed"
    ]
    if not unpaid:
        return
    history = await tries.failures(
        conn, {debt.key: failure.attempt.payment_method_id for failure, debt in unpaid}
    )
    decisions, plans = [], {}
    for failure, debt in unpaid:
        decision = decide(DEFAULT_POLICY, history[debt.key], jitter=failure.jitter)
        never = CONTRADICTED if debt.key in held else _why_never(debt)
        at = decision.at if isinstance(decision, RetryAt) and not never else None
        plans[debt.key] = at
        decisions.append(
            Decision(
                invoice=debt.key,
                id=uuid5(failure.attempt.id, f"after/{debt.id}"),
                payment_id=failure.attempt.id,
                decided="retry_at" if at else "stop",
                because=never or decision.because,
                retry_at=at,
            )
        )
    await tries.plan_tries(conn, plans)
    await collection.decide(conn, decisions, now=now)


def _why_never(debt: Debt) -> str | None:
    """Say why the schedule leaves an invoice alone, whatever its policy; None: it does not."""
    if debt.status == "voided":  # while its attempt was on its way
        return "invoice_voided"
    return debt.held_because or ("skip_psp" if debt.skip_psp else None)

"""Make the one call of an attempt that was committed as `sent`, and note what it says.

Called by `submit_attempt` and `open_payment_page`.

What would surprise you: an attempt can be `ready` again. A provider that refuses our key has done
nothing, and refuses the next customer's charge as well: that is nobody's decline. The attempt waits
until the key is taken, and no customer is told. Only the first call is that certain; after another
one that was lost, a refused key says nothing of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime

from recoup.flows.note_outcome import note_outcome
from recoup.providers.protocol import Charge, Fate, Lost, Provider
from recoup.rules.provider_key import TRY_EVERY
from recoup.rules.records.keys import RowKey
from recoup.store import attempts, db
from recoup.store.db import Pool


async def call_first(
    pool: Pool,
    attempt: RowKey,
    charge: Charge,
    *,
    provider: Provider,
    account: RowKey,
    was_troubled: bool,
    ended: Callable[[], None],
    settle: Callable[[Fate], Awaitable[object]],
    now: Callable[[], datetime],
) -> Fate | None:
    """Charge, and settle the answer; None: the attempt is `ready` again.

    `ended` is called when the call is no longer under way, however it ended.
    """
    assert not charge.sent_before, "of what was sent before, a refused key says nothing"
    try:
        outcome = await provider.charge(charge)  # outside any transaction
    finally:
        ended()
    is_ready = False
    if isinstance(outcome, Lost) and outcome.key_refused:
        is_ready = await _take_back(pool, attempt, charge, now=now())
    if not is_ready:
        await settle(outcome)
    await note_outcome(pool, account, outcome, was_troubled=was_troubled, now=now())
    return None if is_ready else outcome


async def _take_back(pool: Pool, attempt: RowKey, charge: Charge, *, now: datetime) -> bool:
    """False: somebody looks it up already, and may send it again."""
    assert charge.sent_at is not None, "it has just been sent"
    async with db.transaction(pool, tenants=[attempt.organization_id]) as conn:
        return await attempts.take_back(
            conn, attempt, sent_at=charge.sent_at, send_at=now + TRY_EVERY
        )

"""Apply a kept event of a provider, through the one door for money.

Nothing depends on the order in which events come, nor on how often: `rules/attempt_state.py` says
what each means beside what is known already.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import assert_never

from recoup.flows.open_provider import Providers
from recoup.flows.settle_attempt import NothingSuch, Report, Settled, Source, settle_attempts_on
from recoup.providers.protocol import Ignored, Notice
from recoup.rules.attempt_state import Contradicted, Moved, Repeated
from recoup.rules.records.collection import attempt_of
from recoup.rules.records.keys import RowKey
from recoup.store import attempts, db, provider_accounts, provider_events
from recoup.store.db import Conn, Pool


async def apply_event(
    pool: Pool, providers: Providers, event: RowKey, *, jitter: timedelta, now: datetime
) -> str | None:
    """Apply one event and answer what that did, in a word; None: it was applied before."""
    async with db.transaction(pool, tenants=[event.organization_id]) as conn:
        kept = await provider_events.lock_to_apply(conn, event)
        if kept is None:
            return None
        account = (await provider_accounts.by_ids(conn, [kept.account]))[kept.account]
        said = providers.of(account).read_event(kept.body)
        match said:
            case Ignored():
                outcome = said.why
            case Notice():
                outcome = _word(await _settle(conn, said, kept.account, jitter=jitter, now=now))
            case _:
                assert_never(said)
        await provider_events.mark_applied(conn, event, outcome, now=now)
        return outcome


async def _settle(
    conn: Conn, notice: Notice, account: RowKey, *, jitter: timedelta, now: datetime
) -> Settled:
    """Settle the attempt that the notice is about, if it is this tenant's and this account's."""
    attempt_id = attempt_of(notice.idempotency_key)
    if attempt_id is None:
        return NothingSuch()
    key = RowKey(account.organization_id, attempt_id)
    held = (await attempts.find(conn, [key])).get(key)
    if held is None or held.provider_account_id != account.id:
        return NothingSuch()
    report = Report(key, notice.outcome, Source.EVENT, jitter)
    return (await settle_attempts_on(conn, [report], now=now))[0]


def _word(settled: Settled) -> str:
    match settled:
        case Moved():
            return f"moved_to_{settled.to}"
        case Repeated():
            return "nothing_new"
        case Contradicted():
            return f"contradicts_{settled.was}"
        case NothingSuch():
            return "no_such_attempt"
        case _:
            assert_never(settled)

"""Take the calls that a batch wants to make: under the limits, and of accounts that answer.

Called by `begin_sending` alone, last in its transaction: the rows it locks are what all processes
that call the same account meet at. An account without a published limit that answers has no row
that is locked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import assert_never

import msgspec

from recoup.providers.protocol import RateLimit
from recoup.rules.provider_pace import Call, Probe, Wait, permit, take
from recoup.rules.records.keys import RowKey
from recoup.store import provider_health
from recoup.store.db import Conn
from recoup.store.provider_health import ProviderHealth


class Pace(msgspec.Struct, frozen=True):
    """Which attempts wait, each until when; and the accounts whose answer would be news."""

    parked: Mapping[RowKey, datetime]
    troubled: frozenset[RowKey]


async def take_calls(
    conn: Conn,
    wanted: Mapping[RowKey, RowKey],
    limits: Mapping[RowKey, RateLimit],
    *,
    now: datetime,
) -> Pace:
    """Answer which attempts may not be sent yet, and when each asks again.

    `wanted` names the account of each attempt, first come first served; `limits` the accounts
    that have one.
    """
    callers: defaultdict[RowKey, list[RowKey]] = defaultdict(list)
    for attempt, account in wanted.items():
        callers[account].append(attempt)
    known = await provider_health.find(conn, callers.keys()) if callers else {}
    troubled = {account for account, health in known.items() if health.is_troubled}
    meeting = {account for account in callers if account in limits} | {
        account for account in troubled if known[account].breaker.open_until is not None
    }
    if not meeting:
        return Pace({}, frozenset(troubled))
    parked: dict[RowKey, datetime] = {}
    kept: dict[RowKey, ProviderHealth] = {}
    for account, health in (await provider_health.lock(conn, meeting)).items():
        if health.is_troubled:
            troubled.add(account)
        kept[account], waiting = _take(health, callers[account], limits.get(account), now=now)
        parked |= waiting
    await provider_health.keep(conn, kept)
    return Pace(parked, frozenset(troubled))


def _take(
    health: ProviderHealth, callers: Sequence[RowKey], limit: RateLimit | None, *, now: datetime
) -> tuple[ProviderHealth, dict[RowKey, datetime]]:
    """What an account gives its callers, in their order, and what becomes of it."""
    breaker, may_call = health.breaker, len(callers)
    parked: dict[RowKey, datetime] = {}
    said = permit(breaker, now=now)
    match said:
        case Call():
            pass
        case Probe():
            breaker, may_call = said.breaker, 1
            assert breaker.probing_until is not None, "a probe has its time"
            parked = dict.fromkeys(callers[1:], breaker.probing_until)
        case Wait():
            return health, dict.fromkeys(callers, said.until)
        case _:
            assert_never(said)
    bucket = health.bucket
    if limit is not None:
        taken = take(
            bucket,
            may_call,
            calls_per_second=limit.calls_per_second,
            burst=limit.burst,
            slow_until=health.slow_until,
            now=now,
        )
        bucket = taken.bucket
        parked |= dict(zip(callers[taken.granted : may_call], taken.ask_again_at, strict=True))
    return ProviderHealth(bucket, health.slow_until, breaker), parked

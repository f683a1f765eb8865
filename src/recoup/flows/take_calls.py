"""Take the calls that a batch wants to make: under the limits, of accounts that answer and know us.

Called by `begin_sending` and `submit_refund`, last in their transactions, and by `call_account` for
every other call: the rows it locks are what all processes that call the same account meet at. An
account without a published limit that answers has no row that is locked.

An *order* (a charge, a re-send, a refund, a customer to be made) waits as long as the account is
left alone. A *question* does not wait that long: while the account is down one question at a time
goes out, since somebody must find out when it answers again, and no silence may last for ever. Of
a provider that cannot be asked what became of a charge, the question is the same charge again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, assert_never

import msgspec

from recoup.providers.protocol import RateLimit
from recoup.rules.provider_key import trying, without_trial
from recoup.rules.provider_pace import (
    Breaker,
    Call,
    Held,
    HeldBack,
    Probe,
    Wait,
    permit,
    permit_question,
    put_back,
    take,
    without_probe,
)
from recoup.rules.records.keys import RowKey
from recoup.store import provider_health
from recoup.store.db import Conn
from recoup.store.provider_health import ProviderHealth

# Of an account whose provider publishes none, while it is slowed for having called too often.
UNTOLD_LIMIT: Final = RateLimit(calls_per_second=50, burst=50)
KEPT_FOR_THE_AWAITED: Final = 5  # one in so many calls of a burst


class Wants(msgspec.Struct, frozen=True):
    """What sort of calls these are."""

    questions: bool = False  # they change nothing at the provider
    awaited: bool = False  # somebody waits for the answer, at a page
    continues_probe: bool = False  # the caller was let through as the probe, and goes on


AN_ORDER: Final = Wants()


class Used(msgspec.Struct, frozen=True):
    """What the callers of one account have used up of it."""

    calls: int = 0  # out of its bucket
    probing_until: datetime | None = None  # it is called to see whether it answers again
    trying_until: datetime | None = None  # or whether its key is taken again

    @property
    def is_probe(self) -> bool:
        """Whether others wait for what this call is told."""
        return self.probing_until is not None or self.trying_until is not None


NOTHING: Final = Used()


class Pace(msgspec.Struct, frozen=True):
    """Which callers wait, and for what; and the accounts whose answer would be news."""

    held: Mapping[RowKey, Held]
    troubled: frozenset[RowKey]
    used: Mapping[RowKey, Used] = {}  # of the accounts that do not let everybody call

    @property
    def parked(self) -> dict[RowKey, datetime]:
        """Until when each of those waits."""
        return {caller: held.until for caller, held in self.held.items()}


class _Given(msgspec.Struct, frozen=True):
    health: ProviderHealth
    held: Mapping[RowKey, Held]
    used: Used = NOTHING


async def take_calls(
    conn: Conn,
    wanted: Mapping[RowKey, RowKey],
    limits: Mapping[RowKey, RateLimit],
    *,
    wants: Wants = AN_ORDER,
    now: datetime,
) -> Pace:
    """Answer which of the callers may not call yet, when each asks again, and why.

    `wanted` names the account of each, first come first served; `limits` the accounts that have
    one.
    """
    callers: defaultdict[RowKey, list[RowKey]] = defaultdict(list)
    for caller, account in wanted.items():
        callers[account].append(caller)
    known = await provider_health.find(conn, callers.keys()) if callers else {}
    troubled = {account for account, health in known.items() if health.is_troubled}
    meeting = {account for account in callers if account in limits} | {
        account for account, health in known.items() if health.holds_back(now=now)
    }
    if not meeting:
        return Pace({}, frozenset(troubled))
    held: dict[RowKey, Held] = {}
    kept: dict[RowKey, ProviderHealth] = {}
    used: dict[RowKey, Used] = {}
    for account, health in (await provider_health.lock(conn, meeting)).items():
        if health.is_troubled:
            troubled.add(account)
        given = _give(health, callers[account], limits.get(account), wants=wants, now=now)
        kept[account] = given.health
        held |= given.held
        used[account] = given.used
    await provider_health.keep(conn, kept)
    return Pace(held, frozenset(troubled), used)


async def give_back(conn: Conn, account: RowKey, used: Used, *, now: datetime) -> None:
    """Give back what was taken for a call that was not made."""
    health = (await provider_health.lock(conn, [account]))[account]
    health = msgspec.structs.replace(
        health,
        bucket=put_back(health.bucket, used.calls),
        breaker=without_probe(health.breaker, used.probing_until),
        key=without_trial(health.key, used.trying_until, now=now),
    )
    await provider_health.keep(conn, {account: health})


def _give(
    health: ProviderHealth,
    callers: Sequence[RowKey],
    limit: RateLimit | None,
    *,
    wants: Wants,
    now: datetime,
) -> _Given:
    """What an account gives its callers, in their order, and what becomes of it."""
    throttle, breaker, may_call = health.throttle, health.breaker, len(callers)
    if throttle.is_paused(now=now):
        assert throttle.paused_until is not None, "a pause has its end"
        return _Given(health, _each(callers, throttle.paused_until, HeldBack.PACE))
    held: dict[RowKey, Held] = {}
    key, tries_key = health.key, health.key.since is not None and not wants.continues_probe
    if tries_key:
        if (until := key.waits_until(now=now)) is not None:
            return _Given(health, _each(callers, until, HeldBack.KEY))
        key, may_call = trying(key, now=now), 1
        assert key.try_at is not None, "there is a next time"
        held = _each(callers[1:], key.try_at, HeldBack.KEY)
    said = _permit(breaker, wants, now=now)
    match said:
        case Call():
            pass
        case Probe():
            breaker, may_call = said.breaker, 1
            assert breaker.probing_until is not None, "a probe has its time"
            held |= _each(callers[1:], breaker.probing_until, HeldBack.OUTAGE)
        case Wait():
            return _Given(health, _each(callers, said.until, HeldBack.OUTAGE))
        case _:
            assert_never(said)
    bucket, granted, calls = health.bucket, may_call, 0
    is_slow = throttle.is_slow(now=now)
    if limit is None and is_slow:
        limit = UNTOLD_LIMIT
    if limit is not None:
        taken = take(
            bucket,
            may_call,
            calls_per_second=limit.calls_per_second,
            burst=limit.burst,
            is_slow=is_slow,
            kept=0 if wants.awaited else limit.burst // KEPT_FOR_THE_AWAITED,
            now=now,
        )
        bucket, granted, calls = taken.bucket, taken.granted, taken.granted
        later = zip(callers[taken.granted : may_call], taken.ask_again_at, strict=True)
        held |= {caller: Held(until, HeldBack.PACE) for caller, until in later}
    is_probe = (tries_key or isinstance(said, Probe)) and granted == 1
    if not is_probe:  # without a call there is no probe that others would have to wait for
        return _Given(msgspec.structs.replace(health, bucket=bucket), held, Used(calls))
    used = Used(
        calls,
        probing_until=breaker.probing_until if isinstance(said, Probe) else None,
        trying_until=key.try_at if tries_key else None,
    )
    return _Given(ProviderHealth(bucket, throttle, breaker, key), held, used)


def _each(callers: Sequence[RowKey], until: datetime, because: HeldBack) -> dict[RowKey, Held]:
    return dict.fromkeys(callers, Held(until, because))


def _permit(breaker: Breaker, wants: Wants, *, now: datetime) -> Call | Probe | Wait:
    if wants.questions:
        return permit_question(breaker, now=now)
    if wants.continues_probe:
        return Call()
    return permit(breaker, now=now)

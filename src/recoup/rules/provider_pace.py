"""How fast one provider account may be called, and when it is left alone for a while.

Three things hold a call back. The *bucket* keeps an account under the limit that its provider
publishes. The *throttle* leaves it alone for a moment that said "too often" (HTTP 429), and slows
it afterwards. The *breaker* leaves an account alone whose provider is down. None ever fails an
attempt: whoever may not call yet is told when to ask again.

What would surprise you: the breaker has no field for its state. It follows from `open_until` and
the time, so that nobody has to be alive for an open breaker to come to its next probe.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, TypeAlias

import msgspec

OUTAGES_TO_OPEN: Final = 5
# Outages that lie further apart than this are several accidents, and not one outage.
WITHIN: Final = timedelta(minutes=1)
OPEN_FOR: Final = timedelta(seconds=5)
OPEN_FOR_AT_MOST: Final = timedelta(minutes=5)
# Longer than a call may wait to begin and then last (15 s and 12 s), so that a probe that is still
# out is never joined by another one; and not for ever, since its process may have been killed.
PROBE_FOR: Final = timedelta(seconds=30)
PAUSE: Final = timedelta(seconds=1)  # after the first 429; each that follows it doubles this
PAUSE_AT_MOST: Final = timedelta(seconds=8)  # a provider that wants more names it
ASKED_TO_PAUSE_AT_MOST: Final = timedelta(hours=1)  # by a Retry-After
SLOW_FOR: Final = timedelta(minutes=1)  # counted from the end of the pause
SLOWED_BY: Final = 2.0


class HeldBack(enum.StrEnum):
    """What holds a call to an account back."""

    PACE = "pace"  # the bucket, or the throttle
    OUTAGE = "outage"  # the breaker: its provider does not answer
    KEY = "key"  # its provider refuses our key (`rules/provider_key.py`)
    SLOTS = "slots"  # as many calls as it may have hang (`flows/calls_under_way.py`)


class Held(msgspec.Struct, frozen=True):
    """A call that may not be made yet: when it may be asked for again, and why."""

    until: datetime
    because: HeldBack


class Bucket(msgspec.Struct, frozen=True):
    """The calls that an account had in hand at an instant: 0 up to its burst."""

    tokens: float
    refilled_at: datetime


class Taken(msgspec.Struct, frozen=True):
    """The bucket afterwards, how many may call now, and when each of the others asks again."""

    bucket: Bucket
    granted: int
    ask_again_at: Sequence[datetime]  # in order, one for each that got none


def take(
    bucket: Bucket | None,
    wanted: int,
    *,
    calls_per_second: float,
    burst: int,
    is_slow: bool = False,
    kept: int = 0,
    now: datetime,
) -> Taken:
    """Take `wanted` calls out of a bucket, or as many as there are. None: nobody has called yet.

    A clock that goes back fills nothing. While the account is slowed, it fills half as fast.
    `kept` calls are left in it for others, who are more in a hurry.
    """
    assert wanted >= 0, "nobody puts calls back"
    assert calls_per_second > 0, "a limit that forbids every call is none"
    assert 0 <= kept < burst, "a bucket that gives no call never lets one through"
    if bucket is None:
        bucket = Bucket(float(burst), now)
    rate = calls_per_second / SLOWED_BY if is_slow else calls_per_second
    elapsed = max((now - bucket.refilled_at).total_seconds(), 0.0)
    tokens = min(float(burst), bucket.tokens + elapsed * rate)
    granted = min(wanted, max(int(tokens) - kept, 0))
    left = tokens - granted
    # Spread by the rate. What comes late is not made up for: each takes a token when it is due.
    again = [
        now + timedelta(seconds=(place + kept - left) / rate)
        for place in range(1, wanted - granted + 1)
    ]
    return Taken(Bucket(left, max(now, bucket.refilled_at)), granted, again)


def put_back(bucket: Bucket | None, calls: int) -> Bucket | None:
    """The bucket after so many of the calls that were taken out of it were not made.

    Above its burst the next `take` lets it run over.
    """
    return bucket and msgspec.structs.replace(bucket, tokens=bucket.tokens + calls)


class Throttle(msgspec.Struct, frozen=True):
    """What is remembered of an account's 429s. As it is made: it has not said so lately."""

    times: int = 0  # in a row, each while the account was still slowed, no other answer between
    paused_until: datetime | None = None
    slow_until: datetime | None = None

    def is_paused(self, *, now: datetime) -> bool:
        """Whether nobody calls at all."""
        return self.paused_until is not None and now < self.paused_until

    def is_slow(self, *, now: datetime) -> bool:
        """Whether the account is called less often than it may be."""
        return self.slow_until is not None and now < self.slow_until


def after_too_often(
    throttle: Throttle, retry_after_seconds: float | None, *, spread: float, now: datetime
) -> Throttle:
    """The throttle after an account said that it is called too often.

    The pause doubles with each time, up to `PAUSE_AT_MOST`; it is as long as the provider asked for
    where that is longer. `spread`, from 0 to 1, takes up to half of ours away, so that accounts
    which were slowed together do not come back together. Time alone ends it: an account that has
    not said so for `SLOW_FOR` begins anew. The calls that were out when it said so come home during
    the pause, and their 429s count as the same one.
    """
    assert 0.0 <= spread <= 1.0, "it takes a part of the pause away"
    if throttle.is_paused(now=now):
        times = throttle.times
    else:
        times = throttle.times + 1 if throttle.is_slow(now=now) else 1
    doubled = min(PAUSE * int(2 ** min(times - 1, 16)), PAUSE_AT_MOST)
    asked = min(max(retry_after_seconds or 0.0, 0.0), ASKED_TO_PAUSE_AT_MOST.total_seconds())
    until = now + timedelta(seconds=asked)
    if not throttle.is_paused(now=now):
        until = max(until, now + doubled * (1 - spread / 2))
    if throttle.paused_until is not None:
        until = max(until, throttle.paused_until)
    slow = until + SLOW_FOR
    return Throttle(times, until, max(slow, throttle.slow_until or slow))


def after_accepted(throttle: Throttle, *, now: datetime) -> Throttle:
    """The throttle after another answer: the next pause is a first one again, and it stays slowed.

    So a 429 now and then, at whatever rate, does not add up. During the pause it says nothing.
    """
    return throttle if throttle.is_paused(now=now) else msgspec.structs.replace(throttle, times=0)


class BreakerState(enum.Enum):
    """Whether an account is called: as ever, not at all, or by one probe at a time."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


# Only an answer closes it, only an outage opens it, and only time makes it half open.
NEXT: Final[Mapping[BreakerState, frozenset[BreakerState]]] = {
    BreakerState.CLOSED: frozenset({BreakerState.OPEN}),
    BreakerState.OPEN: frozenset({BreakerState.HALF_OPEN, BreakerState.CLOSED}),
    BreakerState.HALF_OPEN: frozenset({BreakerState.OPEN, BreakerState.CLOSED}),
}


class Breaker(msgspec.Struct, frozen=True):
    """What is remembered of an account's outages. As it is made, it is closed."""

    outages_in_a_row: int = 0
    first_outage_at: datetime | None = None
    times_opened: int = 0  # since the last answer
    open_until: datetime | None = None
    probing_until: datetime | None = None


class Call(msgspec.Struct, frozen=True):
    """It may be called."""


class Probe(msgspec.Struct, frozen=True):
    """One call may go out, to see whether it answers again; `breaker` is to be kept first."""

    breaker: Breaker


class Wait(msgspec.Struct, frozen=True):
    """It is left alone; nobody asks before this time."""

    until: datetime


Permit: TypeAlias = Call | Probe | Wait


def state_of(breaker: Breaker, *, now: datetime) -> BreakerState:
    """Say what state a breaker is in."""
    if breaker.open_until is None:
        return BreakerState.CLOSED
    return BreakerState.OPEN if now < breaker.open_until else BreakerState.HALF_OPEN


def permit(breaker: Breaker, *, now: datetime) -> Permit:
    """Say whether an account may be called. The answer to one is not valid for a second one."""
    if breaker.open_until is None:
        return Call()
    if now < breaker.open_until:
        return Wait(breaker.open_until)
    if breaker.probing_until is not None and now < breaker.probing_until:
        return Wait(breaker.probing_until)
    return Probe(msgspec.structs.replace(breaker, probing_until=now + PROBE_FOR))


def permit_question(breaker: Breaker, *, now: datetime) -> Permit:
    """Say whether an account may be asked for what changes nothing there.

    While it is left alone one question every `PROBE_FOR` goes out, before its time and after: so
    the silence of none lasts longer than that for want of asking.
    """
    if breaker.open_until is None:
        return Call()
    if breaker.probing_until is not None and now < breaker.probing_until:
        return Wait(breaker.probing_until)
    return Probe(msgspec.structs.replace(breaker, probing_until=now + PROBE_FOR))


def without_probe(breaker: Breaker, probing_until: datetime | None) -> Breaker:
    """The breaker after the probe that was to be out until then asked nobody: another may go."""
    if breaker.probing_until != probing_until:
        return breaker  # it is another's by now
    return msgspec.structs.replace(breaker, probing_until=None)


def after_outage(breaker: Breaker, *, now: datetime) -> Breaker:
    """The breaker after a call got no answer because the provider may be down.

    While it is open, the calls that were out when it opened come home: they say nothing new.
    """
    match state_of(breaker, now=now):
        case BreakerState.OPEN:
            return breaker
        case BreakerState.HALF_OPEN:
            return _opened(breaker, now=now)
        case BreakerState.CLOSED:
            first = breaker.first_outage_at
            if first is None or now - first > WITHIN:
                counted = Breaker(outages_in_a_row=1, first_outage_at=now)
            else:
                counted = msgspec.structs.replace(
                    breaker, outages_in_a_row=breaker.outages_in_a_row + 1
                )
            if counted.outages_in_a_row < OUTAGES_TO_OPEN:
                return counted
            return _opened(counted, now=now)


def after_answer() -> Breaker:
    """The breaker after any answer, a refusal included: the provider is there, so it is closed."""
    return Breaker()


def _opened(breaker: Breaker, *, now: datetime) -> Breaker:
    doubled = OPEN_FOR * int(2 ** min(breaker.times_opened, 16))
    return msgspec.structs.replace(
        breaker,
        times_opened=breaker.times_opened + 1,
        open_until=now + min(doubled, OPEN_FOR_AT_MOST),
        probing_until=None,
    )

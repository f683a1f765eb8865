"""How fast a key may call."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from recoup.rules.call_pace import CallBucket, CallLimit, take_call

NOON = datetime(2027, 3, 1, 12, tzinfo=UTC)
LIMIT = CallLimit(per_second=2.0, at_once=5)


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def test_a_bucket_empties_and_fills_by_the_second() -> None:
    bucket = None
    for left in (4, 3, 2, 1, 0):
        taken = take_call(bucket, 1, LIMIT, now=NOON)
        assert (taken.granted, taken.left) == (True, left)
        bucket = taken.bucket
    assert taken.seconds == 3, "until it is full again, in whole seconds"
    refused = take_call(bucket, 1, LIMIT, now=after(0.4))
    assert (refused.granted, refused.left, refused.seconds) == (False, 0, 1)
    assert take_call(refused.bucket, 1, LIMIT, now=after(0.5)).granted
    full = take_call(bucket, 1, LIMIT, now=after(3_600))
    assert full.left == 4, "it never holds more than its limit"


def test_a_heavy_call_goes_when_the_bucket_is_full_and_is_paid_off_afterwards() -> None:
    taken = take_call(None, 11, LIMIT, now=NOON)
    assert (taken.granted, taken.left, taken.bucket.calls) == (True, 0, -6.0)
    for seconds, granted in [(3.4, False), (3.5, True)]:
        assert take_call(taken.bucket, 1, LIMIT, now=after(seconds)).granted is granted
    short = take_call(CallBucket(4.0, NOON), 11, LIMIT, now=NOON)
    assert (short.granted, short.seconds) == (False, 1), "a full bucket is all that it waits for"


def test_a_clock_that_goes_back_fills_nothing() -> None:
    empty = CallBucket(0.0, NOON)
    earlier = take_call(empty, 1, LIMIT, now=after(-60))
    assert (earlier.granted, earlier.bucket) == (False, empty)


@settings(max_examples=500)
@given(
    st.floats(0.1, 1_000), st.integers(1, 500),
    st.lists(st.tuples(st.floats(0, 5), st.integers(1, 900)), min_size=1, max_size=60),
)  # fmt: skip
def test_nobody_gets_more_than_the_limit_and_who_waits_as_told_gets_on(
    per_second: float, at_once: int, calls: list[tuple[float, int]]
) -> None:
    limit, bucket, now = CallLimit(per_second, at_once), None, NOON
    granted = heaviest = 0
    for pause, weight in calls:
        now += timedelta(seconds=pause)
        taken = take_call(bucket, weight, limit, now=now)
        if not taken.granted:
            assert taken.seconds >= 1
            later = now + timedelta(seconds=taken.seconds)
            assert take_call(taken.bucket, weight, limit, now=later).granted
        else:
            granted += weight
            heaviest = max(heaviest, weight)
        bucket = taken.bucket
    passed = (now - NOON).total_seconds()
    assert granted <= at_once + passed * per_second + heaviest + 1e-6

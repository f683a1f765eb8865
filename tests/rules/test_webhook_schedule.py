"""Webhooks are tried often enough, long enough, and never sooner than the receiver asked."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recoup.rules.webhook_schedule import next_try

FIRST_AT = datetime(2026, 3, 6, 18, 0, tzinfo=UTC)
jitters = st.floats(0, 1)
instants = st.integers(0, 2**32).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))


@settings(max_examples=1_000)
@given(st.lists(jitters, min_size=20, max_size=20), st.integers(0, 15))
def test_a_dead_receiver_gets_twelve_tries_over_three_days(
    draws: list[float], seconds_each: int
) -> None:
    tries, now = 1, FIRST_AT
    for jitter in draws:
        now += timedelta(seconds=seconds_each)
        at = next_try(tries, jitter=jitter, first_at=FIRST_AT, now=now, retry_after_seconds=None)
        if at is None:
            break
        assert at > now
        tries, now = tries + 1, at
    assert 12 <= tries < 20, "and it ends"
    assert timedelta(days=3) <= now - FIRST_AT <= timedelta(days=5)


@settings(max_examples=1_000)
@given(st.integers(1, 11), st.floats(0, 1), instants)
def test_the_waits_grow_and_jitter_only_lengthens_them(
    tries: int, jitter: float, now: datetime
) -> None:
    def wait(tries_made: int, drawn: float) -> timedelta:
        at = next_try(tries_made, jitter=drawn, first_at=now, now=now, retry_after_seconds=None)
        assert at is not None
        return at - now

    assert wait(tries, 0) <= wait(tries, jitter) <= wait(tries, 0) * 1.2
    assert wait(tries, 1) < wait(tries + 1, 0)


@settings(max_examples=1_000)
@given(st.integers(1, 12), jitters, st.timedeltas(timedelta(), timedelta(days=30)), st.integers(0))
def test_retry_after_is_kept_for_seven_days_and_costs_no_try(
    tries: int, jitter: float, age: timedelta, asked: int
) -> None:
    now = FIRST_AT + age
    own = next_try(tries, jitter=jitter, first_at=FIRST_AT, now=now, retry_after_seconds=None)
    at = next_try(tries, jitter=jitter, first_at=FIRST_AT, now=now, retry_after_seconds=asked)
    assert own is not None
    assert at is not None
    patience_ends = FIRST_AT + timedelta(days=7)
    assert own <= at <= max(own, patience_ends)
    if asked <= (patience_ends - now).total_seconds():
        assert at >= now + timedelta(seconds=asked)


@pytest.mark.parametrize(
    ("tries", "seconds"), [(1, 5), (2, 30), (3, 120), (6, 3_600), (12, 86_400), (13, None)]
)
def test_the_waits_as_they_are_told_to_operators(tries: int, seconds: int | None) -> None:
    at = next_try(tries, jitter=0, first_at=FIRST_AT, now=FIRST_AT, retry_after_seconds=None)
    assert at == (None if seconds is None else FIRST_AT + timedelta(seconds=seconds))


def test_a_standstill_of_ours_costs_no_try() -> None:
    late = FIRST_AT + timedelta(days=400)
    at = next_try(2, jitter=0, first_at=FIRST_AT, now=late, retry_after_seconds=3_600)
    assert at == late + timedelta(seconds=30)

"""How fast an account is called, by property: under its limit, and one probe while it is down."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from recoup.rules.provider_pace import (
    ASKED_TO_PAUSE_AT_MOST,
    NEXT,
    OPEN_FOR,
    OPEN_FOR_AT_MOST,
    OUTAGES_TO_OPEN,
    PAUSE,
    PAUSE_AT_MOST,
    PROBE_FOR,
    SLOW_FOR,
    WITHIN,
    Breaker,
    BreakerState,
    Bucket,
    Call,
    Probe,
    Throttle,
    Wait,
    after_accepted,
    after_answer,
    after_outage,
    after_too_often,
    permit,
    permit_question,
    state_of,
    take,
)

NOON = datetime(2027, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)

rates = st.floats(0.5, 200)
bursts = st.integers(1, 200)
# Pauses of 0 are several processes at once; negative ones are clocks that do not agree.
asks = st.lists(st.tuples(st.integers(-2_000, 10_000), st.integers(0, 300)), max_size=30)


def opened() -> Breaker:
    breaker = Breaker()
    for _ in range(OUTAGES_TO_OPEN):
        breaker = after_outage(breaker, now=NOON)
    return breaker


@settings(max_examples=500)
@given(rates, bursts, asks)
def test_no_window_has_more_calls_than_the_burst_and_the_rate(
    rate: float, burst: int, asked: list[tuple[int, int]]
) -> None:
    bucket, now, latest = None, NOON, NOON - timedelta(days=1)
    calls: list[tuple[datetime, int]] = []
    for pause_ms, wanted in asked:
        now += timedelta(milliseconds=pause_ms)
        latest = max(now, latest)  # what any of their clocks has said so far
        taken = take(bucket, wanted, calls_per_second=rate, burst=burst, now=now)
        bucket = taken.bucket
        calls.append((latest, taken.granted))
        assert 0 <= taken.granted <= wanted
        assert len(taken.ask_again_at) == wanted - taken.granted
    for first, (start, _) in enumerate(calls):
        for last in range(first, len(calls)):
            seconds = (calls[last][0] - start).total_seconds()
            made = sum(granted for _, granted in calls[first : last + 1])
            assert made <= burst + rate * seconds + 1e-3


@given(rates, bursts, st.integers(0, 500))
def test_whoever_gets_none_is_spread_by_the_rate(rate: float, burst: int, wanted: int) -> None:
    empty = Bucket(0.0, NOON)
    taken = take(empty, wanted, calls_per_second=rate, burst=burst, now=NOON)
    assert taken.granted == 0
    for place, at in enumerate(taken.ask_again_at, start=1):
        assert abs((at - NOON).total_seconds() - place / rate) < 1e-3


def test_a_bucket_is_full_before_the_first_call() -> None:
    assert take(None, 30, calls_per_second=10, burst=25, now=NOON).granted == 25


def test_a_slowed_account_fills_half_as_fast() -> None:
    empty = Bucket(0.0, NOON)
    later = NOON + 2 * SECOND
    fast = take(empty, 50, calls_per_second=10, burst=50, now=later)
    slow = take(empty, 50, calls_per_second=10, burst=50, is_slow=True, now=later)
    assert (fast.granted, slow.granted) == (20, 10)


def test_a_part_of_a_bucket_is_kept_for_whoever_is_awaited() -> None:
    full = take(None, 30, calls_per_second=10, burst=25, kept=5, now=NOON)
    assert full.granted == 20
    assert full.ask_again_at[0] == NOON + SECOND / 10
    assert take(full.bucket, 30, calls_per_second=10, burst=25, now=NOON).granted == 5


spreads = st.floats(0.0, 1.0)
waits = st.none() | st.floats(-1e9, 1e12)


@given(st.lists(st.tuples(st.integers(0, 400), waits, spreads), min_size=1, max_size=30))
def test_a_429_pauses_and_slows_for_a_while_and_never_shortens_either(
    said: list[tuple[int, float | None, float]],
) -> None:
    throttle, now = Throttle(), NOON
    for pause_seconds, retry_after, spread in said:
        now += pause_seconds * SECOND
        before = throttle
        throttle = after_too_often(before, retry_after, spread=spread, now=now)
        assert throttle.paused_until is not None
        assert throttle.slow_until is not None
        longest = max(PAUSE_AT_MOST, ASKED_TO_PAUSE_AT_MOST)
        assert now + PAUSE / 2 <= throttle.paused_until or before.is_paused(now=now)
        assert throttle.paused_until <= now + longest
        assert throttle.slow_until >= throttle.paused_until + SLOW_FOR
        if before.paused_until is not None and before.slow_until is not None:
            assert throttle.paused_until >= before.paused_until
            assert throttle.slow_until >= before.slow_until


def test_each_429_in_a_row_doubles_the_pause_up_to_a_cap() -> None:
    throttle, now, pauses = Throttle(), NOON, []
    for _ in range(40):
        throttle = after_too_often(throttle, None, spread=0.0, now=now)
        assert throttle.paused_until is not None
        pauses.append(throttle.paused_until - now)
        now = throttle.paused_until
    assert pauses[:3] == [PAUSE, 2 * PAUSE, 4 * PAUSE]
    assert pauses == sorted(pauses)
    assert pauses[-1] == PAUSE_AT_MOST
    again = after_too_often(throttle, None, spread=0.0, now=now + SLOW_FOR)
    assert again.times == 1  # it was quiet for as long as it was slowed


def test_a_429_now_and_then_does_not_add_up() -> None:
    throttle, now = Throttle(), NOON
    for _ in range(20):
        throttle = after_too_often(throttle, None, spread=0.0, now=now)
        assert throttle.paused_until == now + PAUSE
        assert after_accepted(throttle, now=now) == throttle  # it was out when the pause began
        now += 2 * PAUSE
        throttle = after_accepted(throttle, now=now)
        assert throttle.is_slow(now=now)


def test_the_429s_of_calls_that_were_out_count_as_one() -> None:
    first = after_too_often(Throttle(), None, spread=0.0, now=NOON)
    for _ in range(100):
        assert after_too_often(first, None, spread=0.0, now=NOON + PAUSE / 2) == first


def test_a_provider_that_names_a_time_is_left_alone_until_then() -> None:
    throttle = after_too_often(Throttle(), 90, spread=1.0, now=NOON)
    assert throttle.paused_until == NOON + 90 * SECOND


@given(spreads)
def test_accounts_that_were_slowed_together_do_not_come_back_together(spread: float) -> None:
    throttle = after_too_often(Throttle(), None, spread=spread, now=NOON)
    assert throttle.paused_until is not None
    assert abs((throttle.paused_until - NOON) - PAUSE * (1 - spread / 2)) < SECOND / 1_000


def test_so_many_outages_in_a_row_open_it_and_one_fewer_do_not() -> None:
    breaker = Breaker()
    for _ in range(OUTAGES_TO_OPEN - 1):
        breaker = after_outage(breaker, now=NOON)
        assert isinstance(permit(breaker, now=NOON), Call)
    breaker = after_outage(breaker, now=NOON)
    assert permit(breaker, now=NOON) == Wait(NOON + OPEN_FOR)


def test_outages_far_apart_do_not_open_it() -> None:
    breaker, now = Breaker(), NOON
    for _ in range(10 * OUTAGES_TO_OPEN):
        breaker = after_outage(breaker, now=now)
        now += WITHIN / (OUTAGES_TO_OPEN - 1) + SECOND
        assert state_of(breaker, now=now) is BreakerState.CLOSED


def test_half_open_lets_one_through_and_a_killed_probe_does_not_shut_it_for_ever() -> None:
    due = NOON + OPEN_FOR
    probe = permit(opened(), now=due)
    assert isinstance(probe, Probe)
    assert permit(probe.breaker, now=due) == Wait(due + PROBE_FOR)
    assert isinstance(permit(probe.breaker, now=due + PROBE_FOR), Probe)


def test_one_question_at_a_time_goes_out_while_it_is_down() -> None:
    breaker, now, asked = opened(), NOON, 0
    while now < NOON + timedelta(minutes=5):
        said = permit_question(breaker, now=now)
        if isinstance(said, Probe):
            asked += 1
            breaker = said.breaker
            assert isinstance(permit(breaker, now=now + OPEN_FOR), Wait)  # it is the only probe
        else:
            assert said == Wait(breaker.probing_until)
            assert said.until <= now + PROBE_FOR
        now += SECOND
    assert asked == timedelta(minutes=5) / PROBE_FOR
    assert isinstance(permit_question(Breaker(), now=NOON), Call)


def test_what_was_out_when_it_opened_does_not_keep_it_open_longer() -> None:
    breaker = opened()
    assert after_outage(breaker, now=NOON + OPEN_FOR - SECOND) == breaker


def test_probes_that_fail_double_the_wait_up_to_a_cap() -> None:
    breaker, now, waits = opened(), NOON, []
    for _ in range(40):
        assert breaker.open_until is not None
        waits.append(breaker.open_until - now)
        now = breaker.open_until
        probe = permit(breaker, now=now)
        assert isinstance(probe, Probe)
        breaker = after_outage(probe.breaker, now=now)
    assert waits[:3] == [OPEN_FOR, 2 * OPEN_FOR, 4 * OPEN_FOR]
    assert waits == sorted(waits)
    assert waits[-1] == OPEN_FOR_AT_MOST


@given(st.lists(st.tuples(st.integers(0, 400), st.sampled_from(["outage", "answer", "ask"]))))
def test_it_moves_as_the_table_says_and_never_waits_past_the_cap(
    events: list[tuple[int, str]],
) -> None:
    breaker, now = Breaker(), NOON
    for pause_seconds, event in events:
        before = state_of(breaker, now=now)
        now += pause_seconds * SECOND
        passed = state_of(breaker, now=now)
        assert passed is before or passed in NEXT[before]
        if event == "outage":
            breaker = after_outage(breaker, now=now)
        elif event == "answer":
            breaker = after_answer()
        else:
            match permit(breaker, now=now):
                case Probe(breaker=kept):
                    breaker = kept
                case Wait(until=until):
                    assert now < until <= now + OPEN_FOR_AT_MOST
                case Call():
                    assert passed is BreakerState.CLOSED
        after = state_of(breaker, now=now)
        assert after is passed or after in NEXT[passed]
        assert msgspec.json.decode(msgspec.json.encode(breaker), type=Breaker) == breaker

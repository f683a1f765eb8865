"""When a provider is asked again, by property: in time, for good, and never past the key's life."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recoup.rules.look_up_schedule import after_no_answer, may_re_send, next_step

SENT = datetime(2027, 3, 1, 12, tzinfo=UTC)
WAITS = [30, 120, 300, 900, 3_600, 21_600, 86_400]  # seconds after `sent`: DESIGN section 7

sent_ats = st.integers(0, 10**9).map(lambda seconds: SENT + timedelta(seconds=seconds))
ages = st.one_of(
    st.timedeltas(timedelta(), timedelta(days=3)),
    st.sampled_from([timedelta(seconds=wait) for wait in WAITS]),
    st.sampled_from([timedelta(hours=20), timedelta(hours=20) - timedelta(microseconds=1)]),
)


@pytest.mark.parametrize(("step", "wait"), [*enumerate(WAITS)])
def test_the_steps_count_from_sent(step: int, wait: int) -> None:
    before = timedelta(seconds=wait - 1)
    expected = (SENT + timedelta(seconds=wait), step)
    assert next_step(sent_at=SENT, now=SENT + before) == expected


@settings(max_examples=1_000)
@given(sent_ats, ages)
def test_the_next_step_is_the_first_that_lies_ahead(sent_at: datetime, age: timedelta) -> None:
    at, step = next_step(sent_at=sent_at, now=sent_at + age)
    ahead = [wait for wait in WAITS if timedelta(seconds=wait) > age]
    if not ahead:
        assert (at, step) == (None, len(WAITS))
    else:
        assert at == sent_at + timedelta(seconds=ahead[0])
        assert step == WAITS.index(ahead[0])


@settings(max_examples=1_000)
@given(sent_ats, ages, ages)
def test_steps_never_go_back(sent_at: datetime, one: timedelta, other: timedelta) -> None:
    sooner, later = sorted([one, other])
    assert (
        next_step(sent_at=sent_at, now=sent_at + sooner)[1]
        <= next_step(sent_at=sent_at, now=sent_at + later)[1]
    )


@settings(max_examples=1_000)
@given(st.integers(1, 10_000))
def test_what_gets_no_answer_is_asked_again_within_a_minute(unanswered: int) -> None:
    wait = (after_no_answer(unanswered, now=SENT) - SENT).total_seconds()
    assert wait == {1: 15, 2: 30}.get(unanswered, 60)


@settings(max_examples=1_000)
@given(sent_ats, ages)
def test_a_key_is_sent_again_for_twenty_hours_and_no_longer(
    sent_at: datetime, age: timedelta
) -> None:
    assert may_re_send(sent_at=sent_at, now=sent_at + age) == (age < timedelta(hours=20))

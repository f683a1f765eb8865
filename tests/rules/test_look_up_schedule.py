"""When a provider is asked again, by property: in time, for good, and never past the key's life."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recoup.rules.look_up_schedule import (
    after_no_answer,
    may_re_send,
    may_still_send,
    next_step,
)

SENT = datetime(2027, 3, 1, 12, tzinfo=UTC)
WAITS = [30, 120, 300, 900, 3_600, 21_600, 86_400]  # seconds after `sent`: DESIGN section 7

sent_ats = st.integers(0, 10**9).map(lambda seconds: SENT + timedelta(seconds=seconds))
ages = st.one_of(
    st.timedeltas(timedelta(), timedelta(days=3)),
    st.sampled_from([timedelta(seconds=wait) for wait in WAITS]),
    st.sampled_from([timedelta(hours=20), timedelta(hours=20) - timedelta(microseconds=1)]),
)


@pytest.mark.parametrize("wait", WAITS)
def test_the_steps_count_from_sent(wait: int) -> None:
    before = timedelta(seconds=wait - 1)
    assert next_step(sent_at=SENT, now=SENT + before) == SENT + timedelta(seconds=wait)


@settings(max_examples=1_000)
@given(sent_ats, ages)
def test_the_next_step_is_the_first_that_lies_ahead(sent_at: datetime, age: timedelta) -> None:
    at = next_step(sent_at=sent_at, now=sent_at + age)
    ahead = [wait for wait in WAITS if timedelta(seconds=wait) > age]
    if not ahead:
        assert at is None
    else:
        assert at == sent_at + timedelta(seconds=ahead[0])


@settings(max_examples=1_000)
@given(sent_ats, ages, ages)
def test_steps_never_go_back(sent_at: datetime, one: timedelta, other: timedelta) -> None:
    sooner, later = sorted([one, other])
    after_sooner = next_step(sent_at=sent_at, now=sent_at + sooner)
    after_later = next_step(sent_at=sent_at, now=sent_at + later)
    assert after_later is None or (after_sooner is not None and after_sooner <= after_later)


@settings(max_examples=1_000)
@given(st.integers(1, 10_000))
def test_what_gets_no_answer_is_asked_again_within_a_minute(unanswered: int) -> None:
    wait = (after_no_answer(unanswered, now=SENT) - SENT).total_seconds()
    assert wait == {1: 15, 2: 30}.get(unanswered, 60)


@settings(max_examples=1_000)
@given(sent_ats, ages)
def test_a_sender_who_may_still_send_is_nobodys_rival(sent_at: datetime, age: timedelta) -> None:
    if may_still_send(sent_at=sent_at, now=sent_at + age):
        assert age + timedelta(seconds=12) < timedelta(seconds=WAITS[0])  # a call takes 12 s
    else:
        assert age >= timedelta(seconds=15)


@settings(max_examples=1_000)
@given(sent_ats, ages)
def test_a_key_is_sent_again_for_twenty_hours_and_no_longer(
    sent_at: datetime, age: timedelta
) -> None:
    assert may_re_send(sent_at=sent_at, now=sent_at + age) == (age < timedelta(hours=20))

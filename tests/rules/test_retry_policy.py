"""When an invoice is tried again: the default policy by example, every policy by property."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recoup.rules.declines import Decline, DeclineClass, ProviderKind
from recoup.rules.retry_policy import (
    DEFAULT_POLICY,
    Failure,
    Policy,
    RetryAt,
    Stop,
    decide,
    not_before,
)

MONDAY = datetime(2026, 6, 1, 8, 0, tzinfo=UTC)
NONE = timedelta()
NO_TRY_BY_ITSELF = ["never", "new_method", "authentication", "ours"]
RETRIED = ["soft", "technical", "customer"]


def failed(decline_class: str, at: datetime = MONDAY, earliest: datetime = MONDAY) -> Failure:
    return Failure(at, DeclineClass(decline_class), max(at, earliest))


def schedule(policy: Policy, decline_class: str, jitter: timedelta = NONE) -> list[timedelta]:
    """The waits that come about when every try fails alike; it must end."""
    failures = [failed(decline_class)]
    while isinstance(decision := decide(policy, failures, jitter=jitter), RetryAt):
        failures.append(failed(decline_class, decision.at))
        assert len(failures) < 100, "this never ends"
    return [after.at - before.at for before, after in pairwise(failures)]


@pytest.mark.parametrize(
    ("decline_class", "waits"),
    [
        ("technical", [timedelta(minutes=10), timedelta(hours=1), timedelta(hours=6)]),
        ("soft", [timedelta(days=1), timedelta(days=3), timedelta(days=7)]),
        ("customer", [timedelta(days=3)]),
        *((hopeless, []) for hopeless in NO_TRY_BY_ITSELF),
    ],
)
def test_the_default_policy(decline_class: str, waits: list[timedelta]) -> None:
    assert schedule(DEFAULT_POLICY, decline_class) == waits
    assert DEFAULT_POLICY.window == timedelta(days=30)


def test_a_stop_says_why() -> None:
    assert decide(DEFAULT_POLICY, [failed("never")], jitter=NONE) == Stop(DeclineClass.NEVER)
    used_up = decide(DEFAULT_POLICY, [failed("customer")] * 2, jitter=NONE)
    assert used_up == Stop("tries_used_up")
    advice = failed("soft", earliest=MONDAY + timedelta(days=31))
    assert decide(DEFAULT_POLICY, [advice], jitter=NONE) == Stop("window_closed")


def test_a_retry_on_the_last_moment_of_the_window_is_in_time() -> None:
    end = MONDAY + DEFAULT_POLICY.window
    on_time, late = (failed("soft", earliest=end + timedelta(microseconds=n)) for n in (0, 1))
    assert decide(DEFAULT_POLICY, [on_time], jitter=NONE) == RetryAt(end, DeclineClass.SOFT)
    assert decide(DEFAULT_POLICY, [late], jitter=NONE) == Stop("window_closed")


def test_the_window_counts_from_the_first_failure() -> None:
    weeks_later = failed("soft", MONDAY + timedelta(days=29))
    answer = decide(DEFAULT_POLICY, [failed("soft"), weeks_later], jitter=NONE)
    assert answer == Stop("window_closed")


def test_failures_of_every_class_count() -> None:
    history = [failed("soft"), failed("soft"), failed("technical")]
    third_wait = decide(DEFAULT_POLICY, history, jitter=NONE)
    assert third_wait == RetryAt(MONDAY + timedelta(hours=6), DeclineClass.TECHNICAL)
    assert decide(DEFAULT_POLICY, [failed("soft"), *history], jitter=NONE) == Stop("tries_used_up")


def test_advice_outranks_the_policy() -> None:
    later = MONDAY + timedelta(days=6)
    answer = decide(DEFAULT_POLICY, [failed("soft", earliest=later)], jitter=timedelta(hours=1))
    assert answer == RetryAt(later, DeclineClass.SOFT)


@pytest.mark.parametrize(
    ("codes", "wait"),
    [
        ({}, timedelta()),
        ({"decline_code": "insufficient_funds"}, timedelta()),
        ({"network_advice_code": "00"}, timedelta()),
        ({"network_advice_code": "02"}, timedelta(hours=72)),
        ({"network_advice_code": "24"}, timedelta(hours=1)),
        ({"network_advice_code": "25"}, timedelta(hours=24)),
        ({"network_advice_code": "26"}, timedelta(days=2)),
        ({"network_advice_code": "27"}, timedelta(days=4)),
        ({"network_advice_code": "28"}, timedelta(days=6)),
        ({"network_advice_code": "29"}, timedelta(days=8)),
        ({"network_advice_code": "30"}, timedelta(days=10)),
        ({"decline_code": "card_velocity_exceeded"}, timedelta(hours=24)),
        ({"decline_code": "previously_declined_do_not_retry"}, timedelta(days=3)),
        (
            {"decline_code": "card_velocity_exceeded", "network_advice_code": "24"},
            timedelta(hours=24),
        ),
        (
            {"decline_code": "card_velocity_exceeded", "network_advice_code": "26"},
            timedelta(days=2),
        ),
    ],
)
def test_how_long_a_decline_says_to_wait(codes: dict[str, str], wait: timedelta) -> None:
    decline = Decline(ProviderKind.STRIPE, **codes)
    assert not_before(decline, failed_at=MONDAY) == MONDAY + wait


def test_adyens_refusal_24_is_not_mastercards_advice_24() -> None:
    decline = Decline(ProviderKind.ADYEN, decline_code="24")
    assert not_before(decline, failed_at=MONDAY) == MONDAY
    advised = Decline(ProviderKind.ADYEN, decline_code="12", network_advice_code="24")
    assert not_before(advised, failed_at=MONDAY) == MONDAY + timedelta(hours=1)


@pytest.mark.parametrize(
    "bug",
    [
        lambda: decide(DEFAULT_POLICY, [], jitter=NONE),
        lambda: decide(DEFAULT_POLICY, [failed("soft")], jitter=-timedelta(seconds=1)),
        lambda: Policy({}, window=-timedelta(days=1)),
        lambda: Policy({DeclineClass.SOFT: (-timedelta(days=1),)}, window=timedelta(days=1)),
    ],
)
def test_what_no_caller_may_ask(bug: object) -> None:
    assert callable(bug)
    with pytest.raises(AssertionError):
        bug()


classes = st.sampled_from(DeclineClass)
# Whole hours, so that instants meet often: at its edges is where a window leaks.
waits = st.integers(0, 480).map(lambda hours: timedelta(hours=hours))
jitters = st.integers(0, 48).map(lambda hours: timedelta(hours=hours))
ladders = st.lists(waits, max_size=6).map(tuple)
policies = st.builds(
    lambda soft, technical, customer, never, days: Policy(
        waits={
            DeclineClass.SOFT: soft,
            DeclineClass.TECHNICAL: technical,
            **({DeclineClass.CUSTOMER: customer} if customer else {}),
            DeclineClass.NEVER: never,  # a policy cannot talk `decide` into these
        },
        window=timedelta(days=days),
    ),
    *(ladders, ladders, ladders, ladders),
    st.integers(0, 60),
)


@st.composite
def histories(draw: st.DrawFn) -> list[Failure]:
    """Failures one after the other, most of a class that is tried again, some with advice."""
    at, failures = MONDAY, []
    for _ in range(draw(st.integers(1, 8))):
        at += draw(waits)
        kind = DeclineClass(draw(st.sampled_from([*RETRIED, *RETRIED, *NO_TRY_BY_ITSELF])))
        advice = draw(waits) if draw(st.booleans()) else NONE
        failures.append(Failure(at, kind, at + advice))
    return failures


@settings(max_examples=1_000)
@given(policies, histories(), jitters)
def test_a_retry_comes_in_time(policy: Policy, failures: list[Failure], jitter: timedelta) -> None:
    last = failures[-1]
    decision = decide(policy, failures, jitter=jitter)
    if isinstance(decision, RetryAt):
        wait = policy.waits[last.decline_class][len(failures) - 1]
        assert decision.at >= last.at + wait
        assert last.not_before <= decision.at <= failures[0].at + policy.window
        assert decision.at in {last.at + wait + jitter, last.not_before}
        assert decision.because is last.decline_class
        assert last.decline_class in RETRIED
        assert len(failures) <= max(map(len, policy.waits.values()))


@settings(max_examples=1_000)
@given(policies, histories(), jitters)
def test_a_stop_has_a_reason(policy: Policy, failures: list[Failure], jitter: timedelta) -> None:
    """The other way round: nothing that could be tried is given up."""
    last = failures[-1]
    decision = decide(policy, failures, jitter=jitter)
    of_class = policy.waits.get(last.decline_class, ())
    if last.decline_class in NO_TRY_BY_ITSELF:
        assert decision == Stop(last.decline_class)
    elif len(of_class) < len(failures):
        assert decision == Stop("tries_used_up")
    elif (
        max(last.at + of_class[len(failures) - 1] + jitter, last.not_before) - failures[0].at
        > policy.window
    ):
        assert decision == Stop("window_closed")
    else:
        assert isinstance(decision, RetryAt)


@settings(max_examples=1_000)
@given(policies, st.lists(classes, min_size=1, max_size=20), jitters)
def test_every_policy_comes_to_an_end(
    policy: Policy, next_classes: list[DeclineClass], jitter: timedelta
) -> None:
    most = max(map(len, policy.waits.values()), default=0)
    failures = [Failure(MONDAY, next_classes[0], MONDAY)]
    while isinstance(decision := decide(policy, failures, jitter=jitter), RetryAt):
        kind = next_classes[len(failures) % len(next_classes)]
        failures.append(Failure(decision.at, kind, decision.at))
        assert len(failures) <= most + 1
    assert failures[-1].at <= MONDAY + policy.window


@settings(max_examples=1_000)
@given(policies, histories(), jitters, jitters)
def test_more_jitter_never_means_sooner(
    policy: Policy, failures: list[Failure], one: timedelta, other: timedelta
) -> None:
    less, more = (decide(policy, failures, jitter=each) for each in sorted((one, other)))
    if isinstance(more, RetryAt):
        assert isinstance(less, RetryAt)
        assert less.at <= more.at
    elif more.because != "window_closed":
        assert less == more

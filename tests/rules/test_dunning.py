"""What a campaign does about a late customer, decided from nothing but values."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recoup.rules.declines import DeclineClass
from recoup.rules.dunning import MOST_CHARGES, OTHERWISE, WHILE_COLLECTED, History, Plan, plan
from recoup.rules.method_choice import NoAttempt
from recoup.rules.money import MAX_CENTS
from recoup.rules.payment_requests import MOST_INVOICES
from recoup.rules.records.dunning import Count, Dunning, DunningCampaign, Overdue, Threshold
from recoup.rules.records.keys import RowKey
from recoup.rules.retry_policy import Failure
from tests.rules.debts import a_debt

NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)
CAMPAIGN = DunningCampaign(
    organization_id=UUID(int=0), id=UUID(int=5), code="late", name="Late", max_attempts=2,
    days_between_attempts=3, thresholds=(Threshold("EUR", 1_000), Threshold("USD", 500)),
    terms_changed_at=NOW, created_at=NOW, updated_at=NOW,
)  # fmt: skip
NEW = Dunning(customer=RowKey(UUID(int=0), UUID(int=9)), look_at=NOW)


def late(number: int = 1, *, is_open: bool = False, try_at: Any = None, **said: Any) -> Overdue:
    debt = a_debt(**{"id": UUID(int=number), **said})
    return Overdue(debt=debt, try_at=try_at, is_open=is_open)


def asked(*attempts: int, days_ago: float = 3, **said: Any) -> Dunning:
    """A customer who was asked so often in EUR, and in USD."""
    at = NOW - timedelta(days=days_ago)
    counts = {
        currency: Count(times, at)
        for currency, times in zip(("EUR", "USD"), attempts, strict=False)
        if times
    }
    return msgspec.structs.replace(
        NEW, campaign_id=CAMPAIGN.id, terms_changed_at=CAMPAIGN.terms_changed_at,
        last_attempt_at=at, counts=counts, **said,
    )  # fmt: skip


def planned(
    dunning: Dunning, *overdue: Overdue, settled: Sequence[str] = (), **failures: Any
) -> Plan:
    history = History(failures.get("failures", {}))
    return plan(dunning, CAMPAIGN, overdue, history, settled=settled, now=NOW)


def counted(done: Plan) -> dict[str, int]:
    assert done.dunning is not None
    return {currency: count.attempts for currency, count in done.dunning.counts.items()}


def test_an_attempt_asks_for_all_that_is_due_of_each_currency_that_has_reached_its_threshold() -> (
    None
):
    done = planned(
        NEW, late(1, due_cents=600), late(2, due_cents=400), late(3, due_cents=499, currency="USD")
    )
    [demand] = done.demands
    assert (demand.currency, [key.id.int for key in demand.invoices]) == ("EUR", [1, 2])
    assert (counted(done), demand.instead) == ({"EUR": 1}, None)
    assert done.dunning is not None
    assert done.dunning.look_at == NOW + timedelta(days=3)


@pytest.mark.parametrize(
    "other",
    [
        {"is_open": True}, {"try_at": NOW}, {"held_because": "contradicted"}, {"status": "voided"},
        {"self_billed": True}, {"payment_status": "succeeded"},
    ],
)  # fmt: skip
def test_what_cannot_be_asked_for_reaches_no_threshold(other: dict[str, Any]) -> None:
    done = planned(NEW, late(1, due_cents=999), late(2, due_cents=1, **other))
    assert (done.demands, counted(done), done.is_finished) == ((), {}, False)


@pytest.mark.parametrize(("days_ago", "asks"), [(0, False), (2.999, False), (3, True), (300, True)])
def test_nobody_is_asked_twice_within_the_days(days_ago: float, asks: bool) -> None:
    done = planned(asked(1, days_ago=days_ago), late())
    assert bool(done.demands) is asks
    if not asks:
        assert done.dunning is not None
        assert done.dunning.look_at == NOW + timedelta(days=3 - days_ago)


def test_it_is_finished_once_and_only_when_all_that_counts_is_used_up() -> None:
    usd = late(2, currency="USD")
    assert planned(asked(2), late()).is_finished
    assert not planned(asked(2, finished_at=NOW), late()).is_finished
    both = planned(asked(2, 1), late(), usd)
    assert ([one.currency for one in both.demands], both.is_finished) == (["USD"], False)
    assert planned(asked(2, 2), late(), usd).is_finished
    assert planned(asked(2, 1), late(), late(2, currency="USD", due_cents=499)).is_finished
    assert not planned(asked(2), late(due_cents=999)).is_finished  # it would not ask anyway


@pytest.mark.parametrize(
    ("other", "wait"), [({"is_open": True}, WHILE_COLLECTED), ({"try_at": NOW}, OTHERWISE)]
)
def test_it_is_not_finished_while_something_is_being_collected(
    other: dict[str, Any], wait: timedelta
) -> None:
    done = planned(asked(2), late(), late(2, **other))
    assert not done.is_finished
    assert done.dunning is not None
    assert done.dunning.look_at == NOW + wait


def test_another_attempt_after_the_end_is_another_run() -> None:
    done = planned(asked(2, 0, finished_at=NOW), late(), late(2, currency="USD"))
    assert [one.currency for one in done.demands] == ["USD"]
    assert done.dunning is not None
    assert done.dunning.finished_at is None


def test_whoever_paid_something_begins_anew_in_that_currency() -> None:
    done = planned(asked(2, 1, finished_at=NOW), late(), late(2, currency="USD"), settled=["EUR"])
    assert counted(done) == {"EUR": 1, "USD": 2}
    assert done.dunning is not None
    assert done.dunning.counts["EUR"].since == NOW
    assert done.dunning.counts["USD"].since < NOW


@pytest.mark.parametrize("field", ["campaign_id", "terms_changed_at"])
def test_attempts_of_another_campaign_or_under_other_terms_do_not_count(field: str) -> None:
    before = msgspec.structs.replace(asked(2, finished_at=NOW), **{field: None})
    assert counted(planned(before, late())) == {"EUR": 1}
    resting = msgspec.structs.replace(asked(2, days_ago=1), **{field: None})
    done = planned(resting, late())
    assert (done.demands, counted(done)) == ((), {})


def test_whoever_owes_nothing_that_is_late_is_forgotten() -> None:
    assert planned(asked(1)) == Plan(None)


def failed(times: int, decline_class: DeclineClass, **said: Any) -> list[Failure]:
    at = NOW - timedelta(days=1)
    return [
        Failure(**{"at": at, "decline_class": decline_class, "not_before": at} | said)
        for _ in range(times)
    ]


@pytest.mark.parametrize("decline_class", [*DeclineClass])
def test_what_charging_again_is_no_use_for_is_reminded_of(decline_class: DeclineClass) -> None:
    """And so is all the rest: it would be charged on the same method."""
    failures = {late(2).debt.key: failed(1, decline_class)}
    [demand] = planned(NEW, late(1), late(2), failures=failures).demands
    again = decline_class in {"soft", "technical", "customer"}
    assert demand.instead is (None if again else NoAttempt.NO_USE)
    assert len(demand.invoices) == 2


def test_networks_limits_hold_for_a_campaign_too() -> None:
    key = late().debt.key
    many = failed(MOST_CHARGES, DeclineClass.SOFT)
    [demand] = planned(NEW, late(), failures={key: many}).demands
    assert demand.instead is NoAttempt.TOO_OFTEN
    [demand] = planned(NEW, late(), failures={key: many[1:]}).demands
    assert demand.instead is None
    tomorrow = failed(1, DeclineClass.SOFT, not_before=NOW + timedelta(seconds=1))
    assert planned(NEW, late(), failures={key: tomorrow}).demands == ()


def test_what_is_paid_by_hand_is_asked_for_apart() -> None:
    by_hand, skips = late(2, payment_method_type="manual"), late(3, skip_psp=True)
    demands = planned(NEW, late(1), by_hand, skips).demands
    assert {one.instead: [key.id.int for key in one.invoices] for one in demands} == {
        None: [1], NoAttempt.METHOD_IS_MANUAL: [2], NoAttempt.SKIPS_PROVIDER: [3],
    }  # fmt: skip


def test_one_request_is_of_no_more_than_it_can_be() -> None:
    many = [late(number) for number in range(1, MOST_INVOICES + 2)]
    [demand] = planned(NEW, *many).demands
    assert len(demand.invoices) == MOST_INVOICES
    [demand] = planned(NEW, late(1, due_cents=MAX_CENTS), late(2)).demands
    assert [key.id.int for key in demand.invoices] == [1]


overdues = st.lists(
    st.builds(
        late,
        st.integers(1, 9),
        due_cents=st.integers(0, 2_000),
        currency=st.sampled_from(["EUR", "USD", "CHF"]),
        is_open=st.booleans(),
        try_at=st.sampled_from([None, NOW]),
        held_because=st.sampled_from([None, "contradicted"]),
        skip_psp=st.booleans(),
        billing_entity_id=st.sampled_from([UUID(int=7), UUID(int=8)]),
    ),
    max_size=6,
    unique_by=lambda one: one.debt.id,
)


@settings(max_examples=1_000)
@given(
    overdues,
    st.integers(0, 2),
    st.integers(0, 2),
    st.floats(0, 5),
    st.sampled_from([None, NOW]),
    st.sets(st.sampled_from(["EUR", "USD"])),
)
def test_whatever_is_late_a_look_asks_or_ends_or_waits(
    overdue: list[Overdue],
    euros: int,
    dollars: int,
    days_ago: float,
    finished_at: datetime | None,
    paid: set[str],
) -> None:
    before = asked(euros, dollars, days_ago=days_ago, finished_at=finished_at)
    done = planned(before, *overdue, settled=[*paid])
    if done.dunning is None:
        assert not overdue
        return
    assert done.dunning.look_at > NOW  # or it would be looked at for ever
    assert all(times <= CAMPAIGN.max_attempts for times in counted(done).values())
    known = {one.debt.key: one for one in overdue}
    named = [key for demand in done.demands for key in demand.invoices]
    assert len(named) == len(set(named))  # nobody is asked twice for one invoice
    for demand in done.demands:
        for key in demand.invoices:
            one = known[key]
            assert (one.debt.currency, one.debt.billing_entity_id) == (
                demand.currency, demand.billing_entity_id,
            )  # fmt: skip
            assert not one.is_open
            assert one.try_at is None
            assert one.debt.held_because is None
            assert one.debt.due_cents > 0
    grown = {
        currency
        for currency, times in counted(done).items()
        if times > (before.counts[currency].attempts if currency in before.counts else 0)
        or currency in paid
    }
    assert grown == {demand.currency for demand in done.demands}
    assert not (done.is_finished and done.demands)

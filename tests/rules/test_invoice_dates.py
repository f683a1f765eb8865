"""The days of an invoice, around midnight and around the world."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from recoup.rules.invoice_dates import (
    MAX_NET_PAYMENT_TERM_DAYS,
    becomes_overdue,
    due_on,
    grace_ends,
    issued_on,
)

LATE_EVENING_UTC = datetime(2026, 2, 28, 23, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("timezone", "day"),
    [
        ("UTC", date(2026, 2, 28)),
        ("Europe/Paris", date(2026, 3, 1)),
        ("Pacific/Honolulu", date(2026, 2, 28)),
        ("Pacific/Kiritimati", date(2026, 3, 1)),
    ],
)
def test_an_invoice_is_issued_on_its_customers_day(timezone: str, day: date) -> None:
    assert issued_on(now=LATE_EVENING_UTC, timezone=timezone) == day


@pytest.mark.parametrize(
    ("term", "due"),
    [(0, date(2028, 2, 28)), (1, date(2028, 2, 29)), (30, date(2028, 3, 29))],
)
def test_an_invoice_is_due_after_its_term(term: int, due: date) -> None:
    assert due_on(date(2028, 2, 28), net_payment_term_days=term) == due


def test_the_longest_term_is_still_in_the_calendar() -> None:
    assert due_on(date(2100, 1, 1), net_payment_term_days=MAX_NET_PAYMENT_TERM_DAYS).year == 4837


LATE = {
    "is_finalized": True,
    "is_paid": False,
    "is_overdue": False,
    "dispute_is_lost": False,
}
DUE = date(2026, 2, 27)


def test_an_unpaid_invoice_is_late_on_the_day_after_it_was_due() -> None:
    last_moment = datetime(2026, 2, 27, 23, 59, 59, 999_999, tzinfo=UTC)
    assert not becomes_overdue(**LATE, due=DUE, now=last_moment)
    assert becomes_overdue(**LATE, due=DUE, now=last_moment + timedelta(microseconds=1))


def test_late_is_a_matter_of_utc_whatever_zone_the_instant_is_written_in() -> None:
    next_day_in_auckland = datetime(2026, 2, 28, 9, 0, tzinfo=ZoneInfo("Pacific/Auckland"))
    assert not becomes_overdue(**LATE, due=DUE, now=next_day_in_auckland)


@pytest.mark.parametrize(
    "excuse",
    [{"is_finalized": False}, {"is_paid": True}, {"is_overdue": True}, {"dispute_is_lost": True}],
)
def test_what_keeps_an_invoice_from_becoming_late(excuse: dict[str, bool]) -> None:
    assert becomes_overdue(**LATE, due=DUE, now=LATE_EVENING_UTC)
    assert not becomes_overdue(**{**LATE, **excuse}, due=DUE, now=LATE_EVENING_UTC)


def test_an_invoice_without_a_due_date_is_never_late() -> None:
    assert not becomes_overdue(**LATE, due=None, now=LATE_EVENING_UTC)


def test_an_instant_without_a_zone_is_a_bug() -> None:
    with pytest.raises(AssertionError):
        issued_on(now=LATE_EVENING_UTC.replace(tzinfo=None), timezone="UTC")


@pytest.mark.parametrize(
    ("grace_days", "timezone", "ends"),
    [
        (1, "UTC", "2027-03-02T00:00:00+00:00"),
        (3, "Pacific/Auckland", "2027-03-03T11:00:00+00:00"),
        (27, "Europe/Paris", "2027-03-27T23:00:00+00:00"),
        (28, "Europe/Paris", "2027-03-28T22:00:00+00:00"),  # summer time began on the 28th
        (0, "America/New_York", "2027-03-01T05:00:00+00:00"),
    ],
)
def test_a_grace_ends_as_its_last_day_begins_where_the_customer_is(
    grace_days: int, timezone: str, ends: str
) -> None:
    found = grace_ends(date(2027, 3, 1), grace_days=grace_days, timezone=timezone)
    assert found.isoformat() == ends

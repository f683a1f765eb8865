"""When a mail is tried again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from recoup.rules.mail_schedule import WAITS, next_try

NOW = datetime(2027, 3, 1, tzinfo=UTC)


def test_each_wait_is_longer_and_they_end_after_two_days() -> None:
    ats = [next_try(tries, now=NOW) for tries in range(1, len(WAITS) + 2)]
    waits = [at - NOW for at in ats if at is not None]
    assert waits == sorted(set(waits))
    assert ats[-1] is None
    assert timedelta(days=1) < sum(waits, timedelta()) < timedelta(days=3)

"""The days of an invoice: when it is issued, when it is due, and when it is late.

Anybody may ask, with the instant in hand. Sources: contract sections 3.7.2 and 8.1.

What would surprise you: an invoice is issued on its customer's day, but it is late on UTC's. So one
of Auckland can be late while its due date still lasts in Honolulu, and that is how Lago has it.
"""

from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

MAX_NET_PAYMENT_TERM_DAYS: Final = 1_000_000
"""The longest term (2,700 years): far beyond it calendars end, and dates raise."""


def issued_on(*, now: datetime, timezone: str) -> date:
    """Answer today's date where the customer is; `timezone` is an IANA name."""
    assert now.tzinfo is not None, "an instant without a zone is no instant"
    return now.astimezone(ZoneInfo(timezone)).date()


def due_on(issued: date, *, net_payment_term_days: int) -> date:
    """Answer the last day on which an invoice is paid in time; a term of 0 is the same day."""
    assert 0 <= net_payment_term_days <= MAX_NET_PAYMENT_TERM_DAYS, "the parser refuses such terms"
    return issued + timedelta(days=net_payment_term_days)


def grace_ends(created: date, *, grace_days: int, timezone: str) -> datetime:
    """Answer when a draft that was made on that day becomes final: as its last day begins there."""
    assert 0 <= grace_days <= MAX_NET_PAYMENT_TERM_DAYS, "the parser refuses such periods"
    last = created + timedelta(days=grace_days)
    return datetime.combine(last, time(), tzinfo=ZoneInfo(timezone)).astimezone(UTC)


def becomes_overdue(
    *,
    is_finalized: bool,
    is_paid: bool,
    is_overdue: bool,
    dispute_is_lost: bool,
    due: date | None,
    now: datetime,
) -> bool:
    """Say whether an invoice has just become late: once, so never one that is overdue already.

    `is_paid` is `payment_status` succeeded. Without a due date nothing is ever late.
    """
    assert now.tzinfo is not None, "an instant without a zone is no instant"
    if not is_finalized or is_paid or is_overdue or dispute_is_lost or due is None:
        return False
    return due < now.astimezone(UTC).date()

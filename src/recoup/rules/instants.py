"""Read the instants that callers write, in ISO 8601.

What would surprise you: where no zone is named it is UTC, and a date alone is its first moment. An
instant may be well formed and yet lie outside the calendar once it is in UTC: that is none either.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any


def read_instant(said: Any) -> datetime | None:
    """Read an instant, into UTC; None for what is none."""
    if not isinstance(said, str):
        return None
    try:
        return in_utc(datetime.fromisoformat(said))
    except (ValueError, OverflowError):
        return None


def in_utc(at: datetime) -> datetime:
    """The same instant in UTC, which is also what no zone means.

    :raises OverflowError: there it lies before the first or after the last year.
    """
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)

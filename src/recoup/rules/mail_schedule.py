"""When a mail that its server did not take is tried again, and when it is given up."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

# After each failed try: a server that is down for a weekend's night is waited for.
WAITS: Final = (
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=15),
    timedelta(hours=1),
    timedelta(hours=3),
    timedelta(hours=6),
    timedelta(hours=12),
    timedelta(hours=24),
)


def next_try(tries: int, *, now: datetime) -> datetime | None:
    """When to try again after this many tries; None: never, the mail is given up."""
    assert tries > 0, "nothing has failed yet"
    return now + WAITS[tries - 1] if tries <= len(WAITS) else None

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

# For the PDF that goes along, which mostly takes seconds, and wakes its mail.
LOOKS: Final = (timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=30))


def next_look(tries: int, *, now: datetime) -> datetime | None:
    """When to look for the PDF again; None: the mail goes without. Each look counts as a try."""
    return now + LOOKS[tries - 1] if tries <= len(LOOKS) else None


def next_try(tries: int, *, now: datetime) -> datetime | None:
    """When to try again after this many tries; None: never, the mail is given up."""
    assert tries > 0, "nothing has failed yet"
    return now + WAITS[tries - 1] if tries <= len(WAITS) else None

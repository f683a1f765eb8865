"""The one place where the sandbox reads the clock; everything else is given `now` to call.

A sandbox inside a simulation is given the simulated clock instead.
"""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """Tell the time, aware and in UTC."""
    return datetime.now(UTC)  # noqa: TID251  the sandbox may not import recoup.clock

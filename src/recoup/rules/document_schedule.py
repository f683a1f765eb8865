"""When a document that could not be made is tried again, and when it is given up.

A page that cannot be typeset will hardly be typeset tomorrow, so that ends. A store that does not
answer will answer again, so that does not.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

LEASE: Final = timedelta(minutes=2)  # longer than any try takes
STORE_WAITS: Final = timedelta(minutes=1)
TYPESET_WAITS: Final = (
    timedelta(seconds=10),
    timedelta(minutes=1),
    timedelta(minutes=10),
    timedelta(hours=1),
)

# The process that sets pages may be killed for what others did to the machine's memory. Only a
# picture that it dies of once more is what kills it.
DEATHS_BY_CHANCE: Final = 2


def may_be_chance(typeset_tries: int) -> bool:
    """Whether a process that died at a picture, after so many failures, may have died otherwise.

    To wait and see costs the document seconds; a picture that is blamed is never on it.
    """
    return typeset_tries < DEATHS_BY_CHANCE


def after_a_store_failure(*, jitter: float, now: datetime) -> datetime:
    """When a document is tried again whose file could not be kept; `jitter` is from 0 to 1."""
    return now + STORE_WAITS * (0.5 + jitter)


def after_a_page_failure(tries: int, *, jitter: float, now: datetime) -> datetime | None:
    """When a page is tried again that could not be typeset `tries` times; None: never."""
    assert tries > 0, "nothing has failed"
    if tries > len(TYPESET_WAITS):
        return None
    return now + TYPESET_WAITS[tries - 1] * (1 + jitter / 2)

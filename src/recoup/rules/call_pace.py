"""How fast one API key may call: a bucket of calls that fills by the second.

What would surprise you: a call that weighs more than a whole bucket goes out when the bucket is
full, and leaves it that much below zero: whoever asks for a thousand things at once waits for it
afterwards, and is never refused for ever.
"""

from __future__ import annotations

from datetime import datetime
from math import ceil
from typing import Final

import msgspec

_ROUNDING: Final = 1e-9  # whoever has waited as long as was said has waited long enough


class CallLimit(msgspec.Struct, frozen=True):
    """How many calls a key has in hand at most, and how many it gets back each second."""

    per_second: float
    at_once: int


class CallBucket(msgspec.Struct, frozen=True):
    """The calls that a key had in hand at an instant: up to its limit, or below zero."""

    calls: float
    at: datetime


class CallTaken(msgspec.Struct, frozen=True):
    """What became of a call, and what its caller is told about the next.

    `seconds` until this call would be taken, where it was not; else until the bucket is full.
    """

    bucket: CallBucket
    granted: bool
    left: int
    seconds: int


def take_call(
    bucket: CallBucket | None, weight: int, limit: CallLimit, *, now: datetime
) -> CallTaken:
    """Take a call of this weight out of a key's bucket; None: it has not called lately.

    A call that is not granted costs nothing. A clock that goes back fills nothing.
    """
    assert weight >= 1, "every call weighs something"
    full = float(limit.at_once)
    if bucket is None:
        bucket = CallBucket(full, now)
    passed = max((now - bucket.at).total_seconds(), 0.0)
    calls = min(full, bucket.calls + passed * limit.per_second)
    needed = min(float(weight), full)
    granted = calls >= needed - _ROUNDING
    if granted:
        calls -= weight
    # Whole seconds, and never too few: Lago's clients come back after just so many.
    seconds = ceil(((full if granted else needed) - calls) / limit.per_second)
    return CallTaken(
        CallBucket(calls, max(now, bucket.at)), granted, left=max(int(calls), 0), seconds=seconds
    )

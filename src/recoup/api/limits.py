"""How much one caller may ask of this process: calls by the second, and bytes.

What would surprise you: the counts of calls live in this process alone, and are gone with it. They
set a pace and decide nothing, so that no call pays for them with a write; with several processes
behind a balancer each grants what is set (decision 12).
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator
from datetime import datetime
from typing import Final

import msgspec
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from recoup.api.callers import MOST_STRANGERS
from recoup.api.errors import RATE_LEFT, RATE_RESETS_IN
from recoup.rules.call_pace import CallBucket, CallLimit, CallTaken, take_call
from recoup.rules.records.keys import RowKey

MOST_KEYS: Final = 10_000  # some 3 MB; who has not called longest begins with a full bucket again


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of this process, as its operator has set them."""

    calls: CallLimit | None = None  # of each key; None: as many as it likes
    most_body_bytes: int = 1_000_000
    most_webhook_body_bytes: int = 2_000_000  # of a provider's: some send many events in one
    most_strangers: int = MOST_STRANGERS  # keys that nobody knows, asked for at once


class Paces:
    """Every key's bucket of calls."""

    def __init__(self, limit: CallLimit) -> None:
        self.limit = limit
        self._buckets: OrderedDict[RowKey, CallBucket] = OrderedDict()  # who called last is last

    def take(self, key: RowKey, weight: int, *, now: datetime) -> CallTaken:
        """Take a call of this weight out of the key's bucket."""
        taken = take_call(self._buckets.get(key), weight, self.limit, now=now)
        self._buckets[key] = taken.bucket
        self._buckets.move_to_end(key)
        if len(self._buckets) > MOST_KEYS:
            self._buckets.popitem(last=False)
        return taken


RATE: Final = "rate"
STRANGERS: Final = "strangers"
BODY: Final = "body"
HEAD: Final = "head"


class TurnedAway(Collector):
    """How many calls this process has refused by a limit, by which."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter({RATE: 0, STRANGERS: 0, BODY: 0, HEAD: 0})

    def count(self, limit: str) -> None:
        """Count one."""
        self._counts[limit] += 1

    def collect(self) -> Iterator[Metric]:
        """The counts as Prometheus has them."""
        family = CounterMetricFamily(
            "recoup_calls_turned_away",
            "Calls that were refused by a limit: of a key's rate, of unknown keys at once, of the"
            " bytes of a body or of a head.",
            labels=["limit"],
        )
        for limit, count in self._counts.items():
            family.add_metric([limit], count)
        yield family


def pace_headers(limit: CallLimit, taken: CallTaken) -> list[tuple[bytes, bytes]]:
    """What Lago's clients read of every answer; of a refusal, also what all others do."""
    headers = [
        (b"x-ratelimit-limit", str(limit.at_once).encode()),
        (RATE_LEFT.encode(), str(taken.left).encode()),
        (RATE_RESETS_IN.encode(), str(taken.seconds).encode()),
    ]
    if not taken.granted:
        headers.append((b"retry-after", str(taken.seconds).encode()))
    return headers

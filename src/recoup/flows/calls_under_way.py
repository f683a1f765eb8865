"""How many calls each provider account has under way in this process, and may have besides.

A provider that hangs keeps each call for twelve seconds. Without a bound the charges of one such
account are soon in every job slot of a worker, and the others wait for a provider that is not
theirs.

What would surprise you: the bound is no number but a share of what is free. One account alone may
have four slots of five; of several that hang at once each has less as its calls end, and some are
free all the same. The counts live in this process alone: they set the pace, never what is sent.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Final

from recoup.rules.records.keys import RowKey

SLOTS: Final = 500  # the jobs that a worker does at once, webhooks apart
PER_FREE_SLOT: Final = 4  # an account may have so many calls under way for each slot that is free
# How long whoever finds no room waits: most calls have ended by then, and none waits for its turn.
FULL_FOR: Final = timedelta(seconds=2)
SPREAD_BY: Final = timedelta(milliseconds=20)
# A call that has not been ended by then has died with whoever made it: none lasts so long.
FORGOTTEN_AFTER: Final = timedelta(seconds=30)


class CallsUnderWay:
    """The calls of this process that have not ended, by account."""

    def __init__(self, slots: int = SLOTS) -> None:
        self._slots = slots
        self._began: defaultdict[RowKey, dict[object, datetime]] = defaultdict(dict)

    def room(self, account: RowKey, *, now: datetime) -> int:
        """How many more calls this account may begin. One that has none may always have one."""
        self._forget(now - FORGOTTEN_AFTER)
        own = len(self._began.get(account, ()))
        free = self._slots - sum(map(len, self._began.values()))
        # So many that afterwards it has at most its number for each of the slots that are left.
        more = (PER_FREE_SLOT * free - own) // (PER_FREE_SLOT + 1)
        return max(more, 1 if own == 0 else 0)

    def crowded_out(
        self, wanted: Mapping[RowKey, RowKey], *, now: datetime
    ) -> dict[RowKey, datetime]:
        """Which callers (by the account of each) find no room, and when each asks again."""
        left: dict[RowKey, int] = {}
        until: dict[RowKey, datetime] = {}
        for caller, account in wanted.items():
            left.setdefault(account, self.room(account, now=now))
            left[account] -= 1
            if left[account] < 0:
                until[caller] = now + FULL_FOR + SPREAD_BY * len(until)
        return until

    def begin(self, account: RowKey, call: object, *, now: datetime) -> None:
        """A call begins; `call` names what it is made for."""
        self._began[account][call] = now

    def end(self, account: RowKey, call: object) -> None:
        """It has ended, or is not made after all. Saying so twice is harmless."""
        began = self._began.get(account)
        if began is None:
            return
        began.pop(call, None)
        if not began:
            del self._began[account]

    @contextmanager
    def place(self, account: RowKey, call: object, *, now: datetime) -> Iterator[None]:
        """Count one call as under way for as long as the block runs."""
        self.begin(account, call, now=now)
        try:
            yield
        finally:
            self.end(account, call)

    def _forget(self, before: datetime) -> None:
        for account, began in list(self._began.items()):
            for call, at in list(began.items()):
                if at >= before:
                    break  # the others began later
                self.end(account, call)

"""Find out who calls, by the digest of the key that is shown.

The database is asked at every call, so that a key that is revoked or changed is so at the next one,
on every process. What is kept here is which digests were good lately, and that decides one thing:
in which of two queues to ask. A flood of made-up keys waits behind itself, and the callers that we
know never behind it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from recoup.flows.batches import Batches
from recoup.store.api_keys import Caller

MOST_KNOWN: Final = 20_000  # digests, some 3 MB
MOST_STRANGERS: Final = 1_000  # who wait at once: five batches, some ten milliseconds


class TooManyStrangersError(Exception):
    """So many keys that nobody knows are being asked for that this one is not."""


class Callers:
    """Asks who shows a key: known ones together, and all others together."""

    def __init__(
        self,
        find: Callable[[Sequence[str]], Awaitable[Sequence[Caller | None]]],
        *,
        most_strangers: int = MOST_STRANGERS,
        most_known: int = MOST_KNOWN,
    ) -> None:
        self._most_strangers = most_strangers
        self._most_known = most_known
        self._known: Batches[str, Caller | None] = Batches(find)
        self._strangers: Batches[str, Caller | None] = Batches(find)
        self._strangers_waiting = 0
        self._good: OrderedDict[str, None] = OrderedDict()  # who called last is last

    async def ask(self, digest: str) -> Caller | None:
        """Say who shows this key's digest; None: it is nobody's that may call.

        :raises TooManyStrangersError: it was not asked for. Later, it may be.
        """
        if digest in self._good:
            caller = await self._known.ask(digest)
        else:
            caller = await self._ask_for_stranger(digest)
        if caller is None:
            self._good.pop(digest, None)
        else:
            self._good[digest] = None
            self._good.move_to_end(digest)
            if len(self._good) > self._most_known:
                self._good.popitem(last=False)
        return caller

    async def _ask_for_stranger(self, digest: str) -> Caller | None:
        if self._strangers_waiting >= self._most_strangers:
            raise TooManyStrangersError
        self._strangers_waiting += 1
        try:
            return await self._strangers.ask(digest)
        finally:
            self._strangers_waiting -= 1

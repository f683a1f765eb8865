"""Run the calls of a synchronous SDK: each in a thread of its own, so many at once for an account.

Called by the adapters whose SDK is synchronous. Each of them, so each account, has its own places.

What would surprise you:
- There is no pool. Accounts that share one wait for each other: one whose provider hangs has soon
  all its threads. To begin a thread takes a tenth of a millisecond, and a call a thousand times it.
- A thread cannot be cancelled. One whose caller has given up keeps its account's place until it
  ends. The time-outs of its connection see to that, and until then it is in nobody else's way.
- The process does not wait for them at its end: what is cut off is `sent`, and is looked up.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from threading import Thread
from typing import Final, TypeVar

from recoup.providers.protocol import LONGEST_CALL, Lost

Done = TypeVar("Done")

MOST_AT_ONCE: Final = 32  # of one account


class SdkThreads:
    """The places of one account. `name` is what its threads are called."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._places = asyncio.Semaphore(MOST_AT_ONCE)

    async def run(self, work: Callable[[float], Done]) -> Done | Lost:
        """Do `work`, which is given its deadline, and wait for it within `LONGEST_CALL`.

        What finds no place in that time is never begun, and says nothing of the provider.
        """
        seconds = LONGEST_CALL.total_seconds()
        deadline = time.monotonic() + seconds
        has_begun = False
        try:
            async with asyncio.timeout(seconds):
                await self._places.acquire()
                has_begun = True
                return await self._begin(work, deadline)
        except TimeoutError:
            return Lost("TimeoutError", is_outage=True) if has_begun else Lost("no_time_was_left")

    def _begin(self, work: Callable[[float], Done], deadline: float) -> asyncio.Future[Done | Lost]:
        loop = asyncio.get_running_loop()
        told: asyncio.Future[Done | Lost] = loop.create_future()

        def end(tell: Callable[[], None]) -> None:
            self._places.release()
            if not told.done():  # else its caller has given up
                tell()

        def do() -> None:
            try:
                done = work(deadline)
            except BaseException as error:  # noqa: BLE001  its caller's to raise, not the thread's
                tell = partial(told.set_exception, error)
            else:
                tell = partial(told.set_result, done)
            with suppress(RuntimeError):  # the loop is closed: nobody is left to be told
                loop.call_soon_threadsafe(end, tell)

        try:
            Thread(target=do, name=self._name, daemon=True).start()
        except RuntimeError:  # the system gives no more of them
            end(partial(told.set_result, Lost("no_thread")))
        return told

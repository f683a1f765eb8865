"""Everybody asks at once, while somebody kills: what the proofs with real processes share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

import aiohttp

from tests.conftest import eventually
from tests.processes.conftest import Program, Tenant

SETTLED_WITHIN_SECONDS = 120


class Rush:
    """Everybody asks for their retry, and asks again until they are heard."""

    def __init__(self, shop: Tenant, api: Program, invoices: list[str], *, at_once: int) -> None:
        self._shop = shop
        self._api = api
        self._at_once = at_once
        self._waiting = invoices[::-1]
        self.attempts: dict[str, str] = {}  # by invoice, of those that were heard
        self.unheard = 0
        self.first_heard = asyncio.Event()

    @property
    def heard(self) -> int:
        """How many retries were accepted."""
        return len(self.attempts)

    async def run(self) -> None:
        await asyncio.gather(*(self._ask_one_by_one() for _ in range(self._at_once)))

    async def _ask_one_by_one(self) -> None:
        while self._waiting:
            invoice = self._waiting.pop()
            while not await self._is_heard(invoice):
                self.unheard += 1
                async with asyncio.timeout(SETTLED_WITHIN_SECONDS):
                    await self._api.is_up.wait()

    async def _is_heard(self, invoice: str) -> bool:
        """The same key each time, so that it is the same ask."""
        try:
            status, attempt, said = await self._shop.retry(invoice, key=f"once-{invoice}")
        except (aiohttp.ClientError, TimeoutError):
            return False
        if status in {409, 503}:  # the dead one's transaction is being undone, or we come too early
            return False
        assert (status, bool(attempt)) == (200, True), said
        self.attempts[invoice] = str(attempt)
        self.first_heard.set()
        return True


def moments_of(chance: Random, times: int, *, until: int) -> list[int]:
    """Counts at which somebody dies: by chance, but never two at once."""
    apart = until // times
    return [chance.randrange(number * apart + 5, (number + 1) * apart) for number in range(times)]


async def kill_at(
    program: Program,
    moments: list[int],
    count: Callable[[], int],
    *,
    every_second_when: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Kill a program at each of these counts, and start it again at once.

    Every second time it lives on until `every_second_when` returns.
    """
    for kills, moment in enumerate(moments):

        async def has_come(moment: int = moment) -> bool:
            return count() >= moment

        await eventually(
            has_come, within_seconds=SETTLED_WITHIN_SECONDS, what=f"{moment} are done, to kill then"
        )
        if every_second_when and kills % 2:
            async with asyncio.timeout(SETTLED_WITHIN_SECONDS):
                await every_second_when()
        await program.kill_and_start_again()

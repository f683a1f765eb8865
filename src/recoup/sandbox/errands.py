"""What the sandbox does unasked: end processing charges, and send events until they arrive.

Each endpoint is served by a task of its own, so one that is away never delays another. Due times
lie in the books: what was waiting when the sandbox stopped goes on when it starts again.
"""

import asyncio
import hmac
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256
from typing import Final

import aiohttp

from recoup.sandbox.acquirer import Acquirer
from recoup.sandbox.books import Books
from recoup.sandbox.event_book import Delivery, Endpoint

SIGNATURE_HEADER: Final = "Sandbox-Signature"
MOST_TRIES: Final = 12
FIRST_WAIT_SECONDS: Final = 0.2
LONGEST_WAIT_SECONDS: Final = 60.0
PATIENCE: Final = aiohttp.ClientTimeout(total=5.0)
# Due work is looked for this often, instead of sleeping until it is due: the clock that was
# injected may jump, and nothing would wake us.
ROUND_SECONDS: Final = 0.05
log = logging.getLogger(__name__)


class Bell:
    """Rung when there is news, so that it need not wait for the next round."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Say that there is something to do."""
        self._rung.set()

    async def wait(self, seconds: float) -> None:
        """Wait for the bell, but no longer than this."""
        try:
            async with asyncio.timeout(seconds):
                await self._rung.wait()
        except TimeoutError:
            pass
        self._rung.clear()


class Errands:
    """Runs by itself with `run`, or step by step with `run_due`, but not both at once."""

    def __init__(
        self,
        acquirer: Acquirer,
        books: Books,
        *,
        bell: Bell,
        now: Callable[[], datetime],
        sends_at_once: int,
    ) -> None:
        self._acquirer = acquirer
        self._books = books
        self._bell = bell
        self._now = now
        self._sends_at_once = sends_at_once
        self._client: aiohttp.ClientSession | None = None
        self._under_way: dict[int, asyncio.Task[None]] = {}

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """Keep a client for sending as long as this lasts; needed by both ways to run."""
        async with aiohttp.ClientSession(trust_env=False) as self._client:
            yield

    async def run_due(self) -> None:
        """Do once everything that is due now, and return when it is done.

        For simulations, which move the clock themselves and want nothing to happen in between.
        """
        self._acquirer.settle_due()
        for endpoint in self._books.events.endpoints_with_work(self._now()):
            await self._serve(endpoint)

    async def run(self) -> None:
        """Do what is due whenever it is due, until cancelled."""
        try:
            while True:
                self._start_due()
                await self._bell.wait(ROUND_SECONDS)
        finally:
            for task in self._under_way.values():
                task.cancel()  # still waiting in the books, so sent again after a restart
            await asyncio.gather(*self._under_way.values(), return_exceptions=True)

    def _start_due(self) -> None:
        try:
            self._acquirer.settle_due()
            for endpoint in self._books.events.endpoints_with_work(self._now()):
                if endpoint.id not in self._under_way:
                    task = asyncio.create_task(self._serve(endpoint))
                    self._under_way[endpoint.id] = task
                    task.add_done_callback(partial(self._ended, endpoint.id))
        except Exception:  # one bad row, or a full disk, must not end all errands
            log.exception("errands failed, and will be tried again")

    def _ended(self, endpoint_id: int, task: asyncio.Task[None]) -> None:
        del self._under_way[endpoint_id]
        if task.cancelled():
            return
        if error := task.exception():
            log.error("sending events failed, and will be tried again", exc_info=error)
        else:
            self._bell.ring()  # more may be waiting than went at once

    async def _serve(self, endpoint: Endpoint) -> None:
        due = self._books.events.due_deliveries(endpoint.id, self._now(), limit=self._sends_at_once)
        async with asyncio.TaskGroup() as group:
            for delivery in due:
                group.create_task(self._send(endpoint, delivery))

    async def _send(self, endpoint: Endpoint, delivery: Delivery) -> None:
        arrived = False
        for _ in range(delivery.copies):
            arrived = await self._post(endpoint, delivery.body)
        if arrived:
            self._books.events.note_delivered(delivery, self._now())
            return
        tries = delivery.tries + 1
        wait = min(FIRST_WAIT_SECONDS * 2**delivery.tries, LONGEST_WAIT_SECONDS)
        again_at = self._now() + timedelta(seconds=wait) if tries < MOST_TRIES else None
        self._books.events.note_not_delivered(delivery, next_try_at=again_at)

    async def _post(self, endpoint: Endpoint, body: bytes) -> bool:
        assert self._client, "errands run while they are connected"
        headers = {
            "Content-Type": "application/json",
            SIGNATURE_HEADER: signature(endpoint.secret, body, at=self._now()),
        }
        try:
            async with self._client.post(
                endpoint.url, data=body, headers=headers, timeout=PATIENCE, allow_redirects=False
            ) as response:
                return 200 <= response.status < 300
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):  # ValueError: its address
            return False


def signature(secret: str, body: bytes, *, at: datetime) -> str:
    """Sign an event's raw body, with the time, so that an old one cannot be sent again."""
    seconds = int(at.timestamp())
    signed = hmac.new(secret.encode(), f"{seconds}.".encode() + body, sha256)
    return f"t={seconds},v1={signed.hexdigest()}"

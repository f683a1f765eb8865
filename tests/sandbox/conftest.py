"""A sandbox over real HTTP with a clock that tests move, and a receiver for its events."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from recoup.sandbox.books import Books
from recoup.sandbox.errands import Errands
from recoup.sandbox.faults import Faults
from recoup.sandbox.program import ERRANDS, make_app

KEY = "sk_sandbox_tests"
DEADLINE_SECONDS = 10.0


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.time = datetime(2027, 3, 1, 12, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def advance(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


class Sandbox:
    """One sandbox and somebody who calls it."""

    def __init__(self, ledger: Path) -> None:
        self.ledger = ledger
        self.clock = Clock()
        self.slept: list[float] = []  # how slow and hanging calls have spent their time
        self.awake = asyncio.Event()  # until it is set, they go on sleeping
        self.awake.set()
        self.asleep = asyncio.Event()
        self.client = aiohttp.ClientSession()

    async def start(self, *, faults: str = "", seed: int = 1, **options: Any) -> None:
        self.books = Books(self.ledger)
        app = make_app(
            self.books,
            faults=Faults(faults),
            rng=Random(seed),
            now=self.clock.now,
            **{"sleep": self.sleep, "runs_errands": False} | options,
        )
        self.errands: Errands = app[ERRANDS]
        # Far longer than a test's deadline: the sandbox must end its calls, not be cut off.
        self.runner = web.AppRunner(app, shutdown_timeout=6 * DEADLINE_SECONDS)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self.runner.addresses[0][1]}"

    async def stop(self) -> None:
        await self.runner.cleanup()
        self.books.close()

    async def restart(self, **options: Any) -> None:
        await self.stop()
        await self.start(**options)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.asleep.set()
        await self.awake.wait()

    async def call(
        self, method: str, path: str, *, account: str = KEY, **options: Any
    ) -> tuple[int, Any]:
        """Call the API; answer status and parsed JSON."""
        headers = {"Authorization": f"Bearer {account}"} | options.pop("headers", {})
        async with self.client.request(
            method, self.url + path, headers=headers, **options
        ) as response:
            self.headers = response.headers
            return response.status, await response.json()

    async def charge(
        self, method: str = "ok", *, key: str = "key-1", fault: str | None = None, **body: Any
    ) -> tuple[int, Any]:
        """Ask for money with a test token, named without its `pm_sandbox_`."""
        ask = {
            "amount": 1250,
            "currency": "EUR",
            "customer": "cus_1",
            "payment_method": f"pm_sandbox_{method}",
            "off_session": True,
            "reference": "INV-1",
            "metadata": {"lago_invoice_id": "invoice-1"},
        } | body
        headers = {"Idempotency-Key": key} | ({"Sandbox-Fault": fault} if fault else {})
        return await self.call("POST", "/v1/charges", json=ask, headers=headers)

    async def look_up(self, key: str = "key-1", *, account: str = KEY) -> list[Any]:
        """Ask what became of a key."""
        path = f"/v1/charges?idempotency_key={key}"
        status, answer = await self.call("GET", path, account=account)
        assert status == 200
        found: list[Any] = answer["charges"]
        return found

    async def listed(self) -> list[Any]:
        """Read the whole books."""
        async with self.client.get(f"{self.url}/charges") as response:
            charges: list[Any] = (await response.json())["charges"]
            return charges

    async def statuses(self) -> list[str]:
        return [charge["status"] for charge in await self.listed()]

    async def listen(self, receiver: "Receiver", *, account: str = KEY) -> None:
        """Have this account's events sent to a receiver."""
        body = {"url": receiver.url, "secret": receiver.secret}
        answer = await self.call("POST", "/v1/webhook_endpoints", json=body, account=account)
        assert answer == (200, {"webhook_endpoint": {"url": receiver.url}})


class Receiver:
    """Keeps the events that it is sent; answers 200, or what a test wants."""

    secret = "whsec_tests"

    def __init__(self) -> None:
        self.status = 200
        self.headers: dict[str, str] = {}
        self.deaf = False  # takes the event and never answers
        self.got: list[tuple[str, bytes]] = []  # signature and raw body
        self._came: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/events", self._take)
        self.runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self.runner.addresses[0][1]}/events"

    async def next(self) -> dict[str, Any]:
        """Wait for the next event, but not forever."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            return await self._came.get()

    @property
    def types(self) -> list[str]:
        return [json.loads(body)["type"] for _, body in self.got]

    async def _take(self, request: web.Request) -> web.Response:
        self.got.append((request.headers["Sandbox-Signature"], await request.read()))
        self._came.put_nowait(await request.json())
        if self.deaf:
            await asyncio.Event().wait()
        return web.Response(status=self.status, headers=self.headers)


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    """A sandbox without faults, whose errands run only when a test says so."""
    sandbox = Sandbox(tmp_path / "ledger.sqlite")
    await sandbox.start()
    yield sandbox
    await sandbox.client.close()
    await sandbox.stop()


@pytest.fixture
async def start_receiver() -> AsyncIterator[Callable[[], Awaitable[Receiver]]]:
    """Start as many receivers as a test needs."""
    async with AsyncExitStack() as stack:

        async def start() -> Receiver:
            receiver = Receiver()
            await receiver.start()
            stack.push_async_callback(receiver.runner.cleanup)
            return receiver

        yield start


@pytest.fixture
async def receiver(start_receiver: Callable[[], Awaitable[Receiver]]) -> Receiver:
    """Whoever listens to the events of the account that tests use."""
    return await start_receiver()

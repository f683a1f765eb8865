"""The program as somebody starts it: a process of its own, ended by signals."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from recoup.sandbox.faults import FaultsError
from recoup.sandbox.program import serve
from tests.sandbox.conftest import DEADLINE_SECONDS

START = """
import asyncio, sys
from recoup.sandbox.program import serve
asyncio.run(serve("127.0.0.1", 0, sys.argv[1], "", 1))
"""
HEADERS = {"Authorization": "Bearer sk_sandbox_a", "Idempotency-Key": "key-1"}
ASK = {"amount": 100, "currency": "EUR", "customer": "c", "payment_method": "pm_sandbox_"}


class Process:
    """A running sandbox, and where it listens."""

    def __init__(self, process: asyncio.subprocess.Process, ready: str) -> None:
        self.process = process
        self.ready = ready
        self.url = ready.split()[1]

    async def end(self, number: signal.Signals) -> tuple[int | None, str]:
        """End it; answer its exit status and what it had to complain about."""
        self.process.send_signal(number)
        async with asyncio.timeout(DEADLINE_SECONDS):
            _, complaints = await self.process.communicate()
        return self.process.returncode, complaints.decode()


Start = Callable[[], Awaitable[Process]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Start a sandbox on the test's ledger; what a test leaves running is killed."""
    async with AsyncExitStack() as stack:

        async def start() -> Process:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-W", "error", "-c", START, str(tmp_path / "ledger")),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )

            async def kill() -> None:
                if process.returncode is None:
                    process.kill()
                    await process.communicate()

            stack.push_async_callback(kill)
            assert process.stdout
            async with asyncio.timeout(DEADLINE_SECONDS):
                return Process(process, (await process.stdout.readline()).decode())

        yield start


async def listed(url: str) -> list[str]:
    async with aiohttp.ClientSession() as client, client.get(f"{url}/charges") as response:
        return [charge["status"] for charge in (await response.json())["charges"]]


async def charge(url: str, method: str) -> int:
    body = ASK | {"payment_method": f"pm_sandbox_{method}"}
    async with (
        aiohttp.ClientSession() as client,
        client.post(f"{url}/v1/charges", json=body, headers=HEADERS) as response,
    ):
        return response.status


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_says_where_it_is_and_ends_quietly(start: Start, number: signal.Signals) -> None:
    sandbox = await start()
    assert sandbox.ready == f"ready {sandbox.url}\n"
    assert await listed(sandbox.url) == []
    assert await sandbox.end(number) == (0, "")


async def test_it_ends_at_once_while_a_caller_is_kept_waiting(start: Start) -> None:
    sandbox = await start()
    hanging = asyncio.create_task(charge(sandbox.url, "timeout_charged"))
    async with asyncio.timeout(DEADLINE_SECONDS):
        while await listed(sandbox.url) != ["succeeded"]:
            pass
    assert not hanging.done()
    assert await sandbox.end(signal.SIGTERM) == (0, "")
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await hanging


async def test_what_was_answered_is_in_the_books_after_a_kill(start: Start) -> None:
    sandbox = await start()
    assert await charge(sandbox.url, "ok") == 200
    await sandbox.end(signal.SIGKILL)
    again = await start()
    assert await listed(again.url) == ["succeeded"]
    assert await charge(again.url, "ok") == 200
    assert await listed(again.url) == ["succeeded"]


async def test_a_wrong_setting_is_named_before_anything_is_opened(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    with pytest.raises(FaultsError, match="unknown fault 'dropp'"):
        await serve("127.0.0.1", 0, ledger, "dropp=1", 1)
    assert not ledger.exists()


async def test_an_address_that_is_taken_is_an_error_of_the_system(
    start: Start, tmp_path: Path
) -> None:
    sandbox = await start()
    port = int(sandbox.url.rpartition(":")[2])
    with pytest.raises(OSError, match="address already in use"):
        await serve("127.0.0.1", port, tmp_path / "other", "", 1)

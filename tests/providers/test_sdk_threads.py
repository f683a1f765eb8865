"""An account whose provider hangs holds threads of its own, and no other account's."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from recoup.providers import adyen_calls, gocardless_calls
from recoup.providers.adyen import AdyenProvider, AdyenSecrets
from recoup.providers.gocardless import GoCardlessProvider, GoCardlessSecrets
from recoup.providers.protocol import LONGEST_CALL, Lost
from recoup.providers.sdk_threads import MOST_AT_ONCE
from tests.conftest import eventually
from tests.providers.adyen_stub import adyen_stub
from tests.providers.gocardless_stub import TOKEN, gocardless_stub

IN_TIME_SECONDS = 5.0  # less than half of what a call may last
KINDS = ("adyen", "gocardless")


class Silent:
    """A provider that takes calls and answers none; once it is let go it hangs up on everybody."""

    def __init__(self) -> None:
        self.base = ""
        self.hanging = 0
        self.calls = 0
        self.let_go = asyncio.Event()

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.calls += 1
        self.hanging += 1
        try:
            await reader.read(1)
            await self.let_go.wait()
        finally:
            self.hanging -= 1
            writer.close()

    async def hangs(self, how_many: int) -> None:
        async def does() -> bool:
            return self.hanging >= how_many

        await eventually(does, what=f"{how_many} calls to hang")


@asynccontextmanager
async def silent() -> AsyncIterator[Silent]:
    it = Silent()
    server = await asyncio.start_server(it.take, "127.0.0.1", 0)
    it.base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield it
    finally:
        it.let_go.set()
        server.close()
        await server.wait_closed()


class Account:
    """One account at a provider of this kind, and a question that it can be asked."""

    def __init__(self, kind: str, base: str) -> None:
        if kind == "adyen":
            adyen = AdyenProvider(AdyenSecrets(api_key="k", merchant_account="m"), base=base)
            self.ask: Callable[[], object] = lambda: adyen.list_methods("shopper")
        else:
            gocardless = GoCardlessProvider(GoCardlessSecrets(access_token=TOKEN), base=base)
            self.ask = lambda: gocardless.find_method("MD1", None)

    def asks(self, times: int) -> list[asyncio.Task[object]]:
        return [asyncio.create_task(self.ask()) for _ in range(times)]  # type: ignore[arg-type]


@asynccontextmanager
async def answering(kind: str) -> AsyncIterator[str]:
    """The address of a provider of this kind that answers."""
    async with adyen_stub() as adyen, gocardless_stub() as gocardless:
        gocardless.mandate("MD1")
        yield adyen.base if kind == "adyen" else gocardless.base


@pytest.mark.parametrize("kind", KINDS)
async def test_an_account_that_hangs_stops_no_other(kind: str) -> None:
    async with silent() as hung, answering(kind) as base:
        stuck = Account(kind, hung.base).asks(MOST_AT_ONCE + 8)
        await hung.hangs(MOST_AT_ONCE)
        async with asyncio.timeout(IN_TIME_SECONDS):
            told = await asyncio.gather(*Account(kind, base).asks(MOST_AT_ONCE))
        assert not [one for one in told if isinstance(one, Lost)]
        assert hung.hanging == MOST_AT_ONCE
        hung.let_go.set()
        assert {type(one) for one in await asyncio.gather(*stuck)} == {Lost}
        assert hung.calls == MOST_AT_ONCE + 8


@pytest.mark.parametrize("kind", KINDS)
async def test_a_call_that_was_given_up_counts_until_it_ends(kind: str) -> None:
    async with silent() as hung, answering(kind) as base:
        slow = Account(kind, hung.base)
        given_up = slow.asks(MOST_AT_ONCE)
        await hung.hangs(MOST_AT_ONCE)
        for task in given_up:
            task.cancel()
        await asyncio.gather(*given_up, return_exceptions=True)
        [further] = slow.asks(1)
        async with asyncio.timeout(IN_TIME_SECONDS):
            [told] = await asyncio.gather(*Account(kind, base).asks(1))
        assert not isinstance(told, Lost)
        assert (hung.calls, further.done()) == (MOST_AT_ONCE, False)
        hung.let_go.set()
        assert isinstance(await further, Lost)
        assert hung.calls == MOST_AT_ONCE + 1


@pytest.mark.parametrize("kind", KINDS)
async def test_what_was_given_up_ends_by_the_time_outs_of_its_connection(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How long those are is data; that they end a thread which nobody waits for is shown here."""
    for calls in (adyen_calls, gocardless_calls):
        monkeypatch.setattr(calls, "READ_SECONDS", 0.2)
    async with silent() as hung:
        [task] = Account(kind, hung.base).asks(1)
        await hung.hangs(1)
        task.cancel()

        async def no_thread_is_left() -> bool:
            return kind not in {thread.name for thread in threading.enumerate()}

        await eventually(no_thread_is_left, what="the thread to end", within_seconds=5)
        assert not hung.let_go.is_set()


async def test_what_finds_no_place_in_time_says_nothing_of_the_provider(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing was sent, so that a busy account is not left alone as if its provider were down."""
    async with silent() as hung:
        account = Account("adyen", hung.base)
        stuck = account.asks(MOST_AT_ONCE)
        await hung.hangs(MOST_AT_ONCE)
        monkeypatch.setattr("recoup.providers.sdk_threads.LONGEST_CALL", 0 * LONGEST_CALL)
        assert await account.ask() == Lost("no_time_was_left")
        hung.let_go.set()
        await asyncio.gather(*stuck)
        assert hung.calls == MOST_AT_ONCE

"""Who does not send a call whole in time: cut off, told so, and nothing done."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest
import pytest_asyncio
import uvicorn
from uvicorn.server import ServerState

from recoup.wiring.http_protocol import HttpProtocol

ARRIVES_WITHIN_SECONDS: Final = 0.3
WHOLE: Final = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
LATE: Final = {
    "half a line": b"GET /api/v1/inv",
    "half of the headers": b"GET / HTTP/1.1\r\nHost: x\r\n",
    "no body": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n",
    "half a body": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf",
    "no last chunk": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n",
}
REFUSED: Final = (408, {"status": 408, "error": "Request Timeout"})


class Place:
    """An application behind our protocol, on a free port."""

    def __init__(self) -> None:
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.answered = 0
        self.port = 0

    async def __call__(self, _scope: Any, receive: Any, send: Any) -> None:
        """Read a body to its end, as `api/front` does; then answer, once it may."""
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            more = message["more_body"]
        await self.may_answer.wait()
        self.answered += 1
        headers = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"{}"})


@pytest_asyncio.fixture
async def place() -> AsyncIterator[Place]:
    opened = Place()
    config = uvicorn.Config(opened, log_config=None, lifespan="off")
    config.load()
    state = ServerState()

    def connected() -> HttpProtocol:
        return HttpProtocol(
            config=config, server_state=state, app_state={}, arrives_within=ARRIVES_WITHIN_SECONDS
        )

    server = await asyncio.get_running_loop().create_server(connected, "127.0.0.1", 0)
    async with server:
        opened.port = server.sockets[0].getsockname()[1]
        yield opened


class Line:
    """A connection, raw."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def say(self, words: bytes) -> None:
        self.writer.write(words)
        await self.writer.drain()

    async def answer(self) -> tuple[int, Any]:
        async with asyncio.timeout(20):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
            return int(head.split()[1]), json.loads(await self.reader.readexactly(length))

    async def rest(self) -> bytes:
        async with asyncio.timeout(20):
            return await self.reader.read()


@asynccontextmanager
async def connected(place: Place) -> AsyncIterator[Line]:
    reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
    try:
        yield Line(reader, writer)
    finally:
        writer.close()


@pytest.mark.parametrize("is_kept", [False, True])
@pytest.mark.parametrize("said", LATE)
async def test_who_does_not_send_a_call_whole_is_cut_off(
    place: Place, said: str, *, is_kept: bool
) -> None:
    async with connected(place) as line:
        if is_kept:
            await line.say(WHOLE)
            assert await line.answer() == (200, {})
        await line.say(LATE[said])
        assert await line.answer() == REFUSED
        assert await line.rest() == b""
    assert place.answered == is_kept


async def test_a_header_now_and_then_buys_no_time(place: Place) -> None:
    async with connected(place) as line:

        async def go_on() -> None:
            await line.say(LATE["half of the headers"])
            while True:
                await line.say(b"X-More: 1\r\n")
                await asyncio.sleep(ARRIVES_WITHIN_SECONDS / 10)

        going_on = asyncio.create_task(go_on())
        assert await line.answer() == REFUSED
        going_on.cancel()


@pytest.mark.parametrize(
    ("before", "said"), [(b"", b""), (b"", b"\r\n"), (WHOLE, b"\r\n")], ids=repr
)
async def test_who_begins_no_call_is_told_nothing(place: Place, before: bytes, said: bytes) -> None:
    async with connected(place) as line:
        await line.say(before)
        if before:
            assert await line.answer() == (200, {})
        await line.say(said)
        assert await line.rest() == b""


async def test_an_answer_may_take_longer_also_to_one_who_sends_the_next_call_ahead(
    place: Place,
) -> None:
    place.may_answer.clear()
    async with connected(place) as line, connected(place) as ahead, connected(place) as late:
        await line.say(WHOLE)
        await ahead.say(WHOLE + LATE["half of the headers"])
        await late.say(LATE["half a line"])
        assert await late.answer() == REFUSED  # so their time is over as well
        place.may_answer.set()
        assert await line.answer() == (200, {})
        assert await ahead.answer() == (200, {})
        assert await ahead.answer() == REFUSED

"""A wire that breaks: a reverse proxy on raw sockets between an adapter and its stand-in.

It reads one whole request and, where the plan says *done*, lets the stand-in do it and waits for
its whole answer; where it says *not done*, the stand-in hears nothing. Only then is the answer to
the adapter broken, so a test knows what happened and the adapter cannot.

One wire carries one cell of a test: until `mend` each of its answers is broken alike, whichever
call of an adapter it answers, and afterwards none is.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit

import msgspec

RETRY_AFTER_SECONDS: Final = 7
ELSEWHERE: Final = "/elsewhere"  # where the redirect leads
DRIPS_EVERY_SECONDS: Final = 0.2  # well within a read time-out, which therefore never ends it
PAGE: Final = b"<!doctype html><title>Maintenance</title><p>We will be back in a minute.</p>\n"
# Half of it is sent where the stand-in has not been asked and there is no true answer to halve.
MADE_UP: Final = b'{"id": "made_up_1", "status": "succeeded", "resultCode": "Authorised"}'
# An error that Stripe's, Adyen's and GoCardless's SDKs all take for one of their provider's.
ERROR: Final = {
    "error": {"type": "api_error", "code": "trouble", "message": "Trouble.", "errors": []},
    "errorType": "internal",
    "errorCode": "000",
    "message": "Trouble.",
}
JSON: Final = "Content-Type: application/json\r\n"
HTML: Final = "Content-Type: text/html\r\n"


class WireFault(StrEnum):
    """How an answer is broken, after the request has been read to its end."""

    RESET = "reset"  # the connection is torn down (RST): a crash, a firewall
    CLOSED = "closed"  # closed in order (FIN), without one byte: a restart of the provider
    STATUS_LINE_ONLY = "status_line_only"  # "200 OK", then closed before any header
    NO_HTTP = "no_http"  # bytes that are no HTTP: something else has the port
    TRUNCATED = "truncated"  # half of the bytes that Content-Length promises, then closed
    TRUNCATED_CHUNKED = "truncated_chunked"  # closed in the middle of a chunk
    NO_GZIP = "no_gzip"  # plain bytes under Content-Encoding: gzip: a broken middle box
    HANG = "hang"  # silence until the caller gives up: the read time-out
    DRIP = "drip"  # a byte now and then, for ever: only a time-out of the whole call ends it
    HTML = "html"  # 200 with a maintenance page
    EMPTY = "empty"  # 200 with no body
    REDIRECT = "redirect"  # 301 to an address that is not the provider's
    CONFLICT = "conflict"  # 409: somewhere this key is still at work
    RATE_LIMITED = "rate_limited"  # 429 with Retry-After
    SERVER_ERROR = "server_error"  # 500 in the provider's own JSON
    BAD_GATEWAY = "bad_gateway"  # 502 with a page of the provider's own proxy


# Those that leave the caller waiting. Tests run them beside each other, and only once.
SLOW: Final = frozenset({WireFault.HANG, WireFault.DRIP})
# What each says of the provider itself (`Lost.is_outage`). SDKs tell an answer that breaks off from
# one that cannot be read in different ways and nothing depends on it: None, either will do.
IS_OUTAGE: Final[Mapping[WireFault, bool | None]] = {
    WireFault.RESET: True,
    WireFault.CLOSED: True,
    WireFault.STATUS_LINE_ONLY: None,
    WireFault.NO_HTTP: None,
    WireFault.TRUNCATED: None,
    WireFault.TRUNCATED_CHUNKED: None,
    WireFault.NO_GZIP: None,
    WireFault.HANG: True,
    WireFault.DRIP: True,
    WireFault.HTML: False,
    WireFault.EMPTY: False,
    WireFault.REDIRECT: False,
    WireFault.CONFLICT: False,
    WireFault.RATE_LIMITED: False,
    WireFault.SERVER_ERROR: True,
    WireFault.BAD_GATEWAY: True,
}


class Sent(msgspec.Struct, frozen=True):
    """A request as it came over the wire. Names of headers are in small letters."""

    method: str
    target: str  # path and query
    headers: Mapping[str, str]
    body: bytes
    raw: bytes

    @property
    def idempotency_key(self) -> str | None:
        """The header that all three providers use, and the sandbox."""
        return self.headers.get("idempotency-key")

    def to_the_letter(self) -> tuple[str, str, bytes, str | None]:
        """Tell what must not differ between a request and its re-send."""
        return self.method, self.target, self.body, self.idempotency_key


class Wire:
    """One of them; `broken_wire` runs it."""

    def __init__(self, stand_in: str, fault: WireFault, *, is_done: bool) -> None:
        self.base = ""
        self.fault = fault
        self.is_done = is_done
        self.sent: list[Sent] = []  # every request, oldest first
        self.sent_while_broken = 0  # how many of them came before `mend`
        self.told: list[tuple[Sent, tuple[int, bytes]]] = []  # true answers: status and body
        self.was_done = asyncio.Event()  # a request was read, and done where the plan says so
        self._stand_in = stand_in
        self._mended = asyncio.Event()
        self._at_work: set[asyncio.Task[None]] = set()

    def mend(self) -> None:
        """Break no answer from now on, and hang up on callers that are kept waiting."""
        if not self._mended.is_set():
            self.sent_while_broken = len(self.sent)
            self._mended.set()

    async def end(self) -> None:
        """Hang up, and wait until nothing is at work."""
        self.mend()
        if self._at_work:
            await asyncio.wait(self._at_work)

    def writes(self) -> tuple[list[Sent], list[Sent]]:
        """The requests that may change something: those sent before and after `mend`."""
        at = self.sent_while_broken
        return (
            [sent for sent in self.sent[:at] if sent.method != "GET"],
            [sent for sent in self.sent[at:] if sent.method != "GET"],
        )

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection, with one request."""
        task = asyncio.current_task()
        assert task, "a server runs its callbacks in tasks"
        self._at_work.add(task)
        try:
            await self._carry(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the caller, or the stand-in, has hung up
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            self._at_work.discard(task)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sent = await _read_request(reader)
        self.sent.append(sent)
        if sent.target.startswith(ELSEWHERE):
            writer.write(_answer("200 OK", b"{}"))
            await writer.drain()
            return
        is_mended = self._mended.is_set()
        answer = b""
        if self.is_done or is_mended:
            answer = await _ask(self._stand_in, sent)
        head, _, body = answer.partition(b"\r\n\r\n")
        if b"\r\ntransfer-encoding: chunked" in head.lower():
            body = _without_chunks(body)
        self.was_done.set()
        if is_mended:
            self.told.append((sent, (int(head.split(b" ")[1]), body)))
            writer.write(answer)
            await writer.drain()
        else:
            await self._break(body, reader, writer)

    async def _break(
        self, body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        body = body or MADE_UP
        match self.fault:
            case WireFault.HANG:
                await self._until_hung_up(reader)
            case WireFault.DRIP:
                writer.write(_head("200 OK", JSON + "Transfer-Encoding: chunked\r\n"))
                while not await self._until_hung_up(reader, for_seconds=DRIPS_EVERY_SECONDS):
                    writer.write(b"1\r\n \r\n")  # blanks: JSON may yet follow
                    await writer.drain()
            case WireFault.RESET:
                connection = writer.get_extra_info("socket")
                linger = struct.pack("ii", 1, 0)  # close with RST, whatever was not read
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                writer.transport.abort()
            case _:
                writer.write(_broken(self.fault, body, self.base))
                await writer.drain()

    async def _until_hung_up(
        self, reader: asyncio.StreamReader, for_seconds: float | None = None
    ) -> bool:
        """Wait until the caller hangs up or the wire is mended: False, if that takes longer."""
        waits = {asyncio.ensure_future(reader.read(1)), asyncio.ensure_future(self._mended.wait())}
        done, others = await asyncio.wait(
            waits, timeout=for_seconds, return_when=asyncio.FIRST_COMPLETED
        )
        for wait in others:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
        return bool(done)


@asynccontextmanager
async def broken_wire(stand_in: str, fault: WireFault, *, is_done: bool) -> AsyncIterator[Wire]:
    """Run one before the stand-in at this base URL, on a free port of the loopback."""
    wire = Wire(stand_in, fault, is_done=is_done)
    server = await asyncio.start_server(wire.carry, "127.0.0.1", 0)
    wire.base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield wire
    finally:
        server.close()
        await wire.end()
        await server.wait_closed()


async def _read_request(reader: asyncio.StreamReader) -> Sent:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    method, target, _version = first.split(" ")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    if headers.get("transfer-encoding", "").lower() != "chunked":
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        return Sent(method, target, headers, body, head + body)
    body, raw = b"", head
    while True:
        line = await reader.readuntil(b"\r\n")
        size = int(line.split(b";")[0], 16)
        chunk = await reader.readexactly(size + 2)
        body, raw = body + chunk[:-2], raw + line + chunk
        if not size:
            return Sent(method, target, headers, body, raw)


async def _ask(stand_in: str, sent: Sent) -> bytes:
    """Let the stand-in do it, and read its answer until it hangs up."""
    there = urlsplit(stand_in)
    assert there.hostname, f"{stand_in} is no base URL"
    reader, writer = await asyncio.open_connection(there.hostname, there.port or 80)
    head, _, rest = sent.raw.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    kept = [line for line in lines if not line.lower().startswith((b"connection:", b"keep-alive:"))]
    try:
        writer.write(b"\r\n".join([first, *kept, b"Connection: close", b"", rest]))
        await writer.drain()
        return await reader.read()
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def _without_chunks(chunked: bytes) -> bytes:
    body, rest = b"", chunked
    while rest:
        line, _, rest = rest.partition(b"\r\n")
        size = int(line.split(b";")[0], 16)
        body, rest = body + rest[:size], rest[size + 2 :]
    return body


def _broken(fault: WireFault, body: bytes, base: str) -> bytes:
    half, error = body[: len(body) // 2], msgspec.json.encode(ERROR)
    match fault:
        case WireFault.CLOSED:
            return b""
        case WireFault.STATUS_LINE_ONLY:
            return b"HTTP/1.1 200 OK\r\n"
        case WireFault.NO_HTTP:
            return b"\x00\x15\x03\x01\xff\xfe no HTTP\r\n\r\n"
        case WireFault.TRUNCATED:
            return _head("200 OK", JSON + f"Content-Length: {len(body)}\r\n") + half
        case WireFault.TRUNCATED_CHUNKED:
            size = f"{len(body):x}\r\n".encode()
            return _head("200 OK", JSON + "Transfer-Encoding: chunked\r\n") + size + half
        case WireFault.NO_GZIP:
            return _answer("200 OK", body, JSON + "Content-Encoding: gzip\r\n")
        case WireFault.HTML:
            return _answer("200 OK", PAGE, HTML)
        case WireFault.EMPTY:
            return _answer("200 OK", b"")
        case WireFault.REDIRECT:
            return _answer("301 Moved Permanently", b"", f"Location: {base}{ELSEWHERE}\r\n")
        case WireFault.CONFLICT:
            return _answer("409 Conflict", error)
        case WireFault.RATE_LIMITED:
            wait = f"Retry-After: {RETRY_AFTER_SECONDS}\r\n"
            return _answer("429 Too Many Requests", error, JSON + wait)
        case WireFault.SERVER_ERROR:
            return _answer("500 Internal Server Error", error)
        case WireFault.BAD_GATEWAY:
            return _answer("502 Bad Gateway", PAGE, HTML)
        case WireFault.HANG | WireFault.DRIP | WireFault.RESET:
            raise AssertionError(f"{fault} is no matter of bytes")


def _answer(status: str, body: bytes, headers: str = JSON) -> bytes:
    return _head(status, f"{headers}Content-Length: {len(body)}\r\n") + body


def _head(status: str, headers: str) -> bytes:
    return f"HTTP/1.1 {status}\r\n{headers}Connection: close\r\n\r\n".encode()

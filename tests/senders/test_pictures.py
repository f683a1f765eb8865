"""Pictures from real sockets: what a tenant names is fetched where it may be, and bounded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_address, ip_network

import pytest

from recoup.senders.addresses import Address
from recoup.senders.pictures import NotFetched, PictureFetcher

LOOPBACK = [ip_network("127.0.0.0/8")]
MOST = 1_000


class Host:
    """A server that answers each connection with these bytes, and counts them."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.heads: list[str] = []
        self.connections = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
            writer.write(self.answer)
            await writer.drain()
            await reader.read()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def _host(answer: bytes) -> AsyncIterator[Host]:
    host = Host(answer)
    server = await asyncio.start_server(host.serve, "127.0.0.1", 0)
    host.port = server.sockets[0].getsockname()[1]
    async with server:
        yield host


def _ok(body: bytes, length: int | None = None) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Length: {length or len(body)}\r\n\r\n".encode() + body


async def _resolves_to_loopback(_host: str, _port: int) -> Sequence[Address]:
    return [ip_address("127.0.0.1")]


async def test_a_picture_is_fetched_from_where_its_name_points_to() -> None:
    async with (
        _host(_ok(b"picture")) as host,
        PictureFetcher(most_bytes=MOST, allowed=LOOPBACK, resolve=_resolves_to_loopback) as fetcher,
    ):
        assert await fetcher.fetch(f"http://cdn.example:{host.port}/a.png?b=c") == b"picture"
        assert f"Host: cdn.example:{host.port}" in host.heads[0]
        assert host.heads[0].startswith("GET /a.png?b=c ")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/", "http://2130706433:{port}/", "http://0x7f.1:{port}/",
        "http://[::ffff:127.0.0.1]:{port}/", "http://localhost:{port}/",
    ],
)  # fmt: skip
async def test_nobody_makes_us_ask_this_machine(url: str) -> None:
    async with _host(_ok(b"secret")) as host, PictureFetcher(most_bytes=MOST) as fetcher:
        refused = await fetcher.fetch(url.format(port=host.port))
        assert isinstance(refused, NotFetched)
        assert host.connections == 0


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (_ok(b"x" * (MOST + 1)), "more than"),
        (_ok(b"x" * 2_000, length=10**12), "more than"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\n\r\n", "answered 302"),
        (b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", "answered 404"),
        (b"\x16\x03\x01\x02", "no proper answer"),
        (b"", "no answer within"),
        (_ok(b"half", length=400), "no answer within"),
    ],
)
async def test_what_is_no_small_answer_is_none(answer: bytes, why: str) -> None:
    async with (
        _host(answer) as host,
        PictureFetcher(most_bytes=MOST, allowed=LOOPBACK, deadline_seconds=1) as fetcher,
    ):
        refused = await fetcher.fetch(f"http://127.0.0.1:{host.port}/")
        assert isinstance(refused, NotFetched)
        assert why in refused.why


@pytest.mark.parametrize(
    "url", ["", "x", "ftp://a.b/c", "file:///etc/passwd", "http://", "http://a.b:0/", "http://[::"]
)
async def test_what_is_no_address_is_refused_by_name(url: str) -> None:
    async with PictureFetcher(most_bytes=MOST) as fetcher:
        assert isinstance(await fetcher.fetch(url), NotFetched)

"""`recoup serve` from outside: what it says to those who speak no HTTP, and what it logs."""

from __future__ import annotations

import asyncio
import json
import socket
from urllib.parse import urlsplit

import pytest_asyncio

from recoup.wiring.http_protocol import MOST_HEAD_BYTES
from recoup.wiring.http_server import listen
from tests.processes.conftest import Installation, Program

BAD_REQUEST = {"status": 400, "error": "Bad Request"}
NO_HTTP = {
    "a path in raw UTF-8": "GET /api/v1/customers/é HTTP/1.1\r\nHost: x\r\n\r\n",
    "a query of 70 kB": f"GET /api/v1/invoices?search_term={'x' * 70_000} HTTP/1.1\r\n\r\n",
    "a negative length": "POST /api/v1/taxes HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "an unknown method": "FETCH /api/v1/taxes HTTP/1.1\r\nHost: x\r\n\r\n",
    "no HTTP at all": "hello\r\n\r\n",
}
UPGRADE = (
    "GET /api/v1/invoices HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


@pytest_asyncio.fixture
async def server(installation: Installation) -> Program:
    """`recoup serve`, saying all that it has to say."""
    installation.environment["RECOUP_LOG_LEVEL"] = "DEBUG"
    return await installation.start("serve", "--port", "0")


async def said_to(server: Program, words: str) -> tuple[int, dict[str, str], bytes]:
    """What a raw connection gets back: the status, the headers, and the body."""
    where = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    try:
        writer.write(words.encode())
        async with asyncio.timeout(20):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.strip().split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in lines)
            body = await reader.readexactly(int(headers["content-length"]))
    finally:
        writer.close()
        await writer.wait_closed()
    return int(first.split()[1]), headers, body


def test_no_answer_waits_for_its_headers_to_be_acknowledged() -> None:
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


async def test_what_is_no_http_is_refused_in_json(server: Program) -> None:
    for what, words in NO_HTTP.items():
        status, headers, body = await said_to(server, words)
        assert (status, json.loads(body)) == (400, BAD_REQUEST), what
        assert headers["content-type"] == "application/json", what
    status, headers, body = await said_to(server, UPGRADE)
    assert (status, json.loads(body)) == (401, {"status": 401, "error": "Unauthorized"})
    assert headers["content-type"] == "application/json"


async def test_payers_are_spoken_to_in_html(server: Program) -> None:
    status, headers, body = await said_to(
        server, "GET /customer-portal/nonsense HTTP/1.1\r\nHost: x\r\n\r\n"
    )
    assert (status, headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "default-src 'none'" in headers["content-security-policy"]
    assert b"no longer valid" in body


async def test_every_line_of_the_log_is_json(server: Program) -> None:
    await said_to(server, NO_HTTP["no HTTP at all"])
    assert await server.end() == 0
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    said = {line["event"]: line["level"] for line in lines}
    assert said["Invalid HTTP request received."] == "warning"
    assert said["Application shutdown complete."] == "info"
    assert all(line["timestamp"] for line in lines)


async def test_what_uvicorn_is_doing_is_logged_for_debugging_alone(
    installation: Installation,
) -> None:
    server = await installation.start("serve", "--port", "0")
    await said_to(server, NO_HTTP["no HTTP at all"])
    assert await server.end() == 0
    said = [json.loads(line)["event"] for line in server.log.read_text().splitlines()]
    assert "Invalid HTTP request received." in said
    assert "Application shutdown complete." not in said


async def test_a_head_or_a_trailer_without_an_end_is_cut_off(server: Program) -> None:
    """The server gathers these before anybody sees them."""
    without_end = "x" * MOST_HEAD_BYTES
    head = f"GET /api/v1/taxes HTTP/1.1\r\nHost: x\r\nX-Long: {without_end}"
    assert (await said_to(server, head))[0] == 431
    where = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    async with asyncio.timeout(20):
        writer.write(
            b"POST /api/v1/taxes HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        assert b" 100 " in await reader.readuntil(b"\r\n\r\n")
        writer.write(b"0\r\n")
        await writer.drain()
        writer.write(f"X-Long: {without_end * 2}".encode())
        answer = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    assert b" 431 " in answer


async def test_a_body_that_is_too_large_is_refused_before_it_is_sent(server: Program) -> None:
    """Who asks first sends nothing."""
    words = (
        "POST /api/v1/taxes HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
        "Content-Length: 1000001\r\n\r\n"
    )
    status, _, body = await said_to(server, words)
    assert (status, json.loads(body)["code"]) == (413, "request_too_large")

"""A provider that answers at once: the sandbox's wire form, and nothing behind it.

A program of its own (`python -m bench.psp`) on a port of the loopback, which it prints. It keeps
how often it was asked to charge under each idempotency key, so that the run can say that every
attempt was charged once: `GET /counts`.
"""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from typing import Any, Final, cast

import msgspec
import uvloop

MADE_AT: Final = "2027-01-01T00:00:00Z"  # nobody looks at it


class _Order(msgspec.Struct):
    amount: int
    currency: str
    customer: str
    payment_method: str
    reference: str = ""
    metadata: dict[str, str] = {}


class _Books:
    def __init__(self) -> None:
        self.charges: dict[str, dict[str, Any]] = {}
        self.asked: Counter[str] = Counter()

    def charge(self, key: str, body: bytes) -> dict[str, Any]:
        """Charge once per key; the same key again is the same charge."""
        self.asked[key] += 1
        if key not in self.charges:
            order = msgspec.json.decode(body, type=_Order)
            self.charges[key] = msgspec.to_builtins(order) | {
                "id": f"ch_loopback_{len(self.charges)}",
                "status": "succeeded",
                "idempotency_key": key,
                "created_at": MADE_AT,
                "decline": None,
                "next_action": None,
            }
        return {"charge": self.charges[key]}

    def answer(self, method: str, target: str, key: str, body: bytes) -> dict[str, Any] | None:
        """What a call is answered; None: there is no such thing."""
        path, _, query = target.partition("?")
        match method, path:
            case "POST", "/v1/charges":
                return self.charge(key, body)
            case "GET", "/v1/charges":
                found = self.charges.get(query.removeprefix("idempotency_key="))
                return {"charges": [found] if found else []}
            case "POST", "/v1/webhook_endpoints":
                return {}
            case "GET", "/counts":
                return {"charges": len(self.charges), "asked": self.asked.total()}
            case _:
                return None


class _Caller(asyncio.Protocol):
    """One connection: reads requests, answers each at once."""

    def __init__(self, books: _Books) -> None:
        self._books = books
        self._transport: asyncio.WriteTransport | None = None
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's are no subclass

    def data_received(self, data: bytes) -> None:
        self._read += data
        while (end := self._read.find(b"\r\n\r\n")) >= 0:
            start, *lines = self._read[:end].decode("latin-1").split("\r\n")
            headers = {
                name.lower(): value for name, _, value in (one.partition(": ") for one in lines)
            }
            length = int(headers.get("content-length", 0))
            body_end = end + 4 + length
            if len(self._read) < body_end:
                return
            body, self._read = self._read[end + 4 : body_end], self._read[body_end:]
            method, target, _ = start.split(" ")
            self._answer(
                self._books.answer(method, target, headers.get("idempotency-key", ""), body)
            )

    def _answer(self, content: dict[str, Any] | None) -> None:
        assert self._transport is not None, "connected before"
        status = "404 Not Found" if content is None else "200 OK"
        body = msgspec.json.encode(content or {})
        self._transport.write(
            f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    books = _Books()
    server = await loop.create_server(lambda: _Caller(books), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    print(f"ready http://127.0.0.1:{port}", flush=True)
    await stop.wait()
    server.close()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve())

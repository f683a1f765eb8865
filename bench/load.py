"""The load on the API: 32 callers in a closed loop, each on one kept connection.

A program of its own (`python -m bench.load`), made to take little of the processor that it shares
with what it measures: requests are bytes put together once, answers are looked at as bytes. It
reads what to do as JSON from its standard input and prints what it saw as JSON.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import Iterator
from typing import Final, cast

import msgspec
import uvloop

from bench.numbered import Kind, numbered_id

ATTEMPT_HEADER: Final = b"\r\nrecoup-payment-id: "
SLOWEST_ANSWER_SECONDS: Final = 30.0


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """What to do: retry invoices from number `first` on, each once."""

    host: str
    port: int
    api_key: str
    first: int
    end: int  # the number at which there are no more
    clients: int
    warm_up_seconds: float
    seconds: float


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. Latencies are of answers within the measured time, in milliseconds."""

    answered: int  # in all, warm-up included
    measured: int
    seconds: float
    p50_ms: float
    p99_ms: float
    slowest_ms: float

    @property
    def per_second(self) -> float:
        """Answers per second of the measured time."""
        return self.measured / self.seconds


class WrongAnswerError(Exception):
    """An answer that is not 200 with an attempt's id, or none at all."""


class _Run:
    """What the callers share: the numbers to take, the time to stop, the latencies seen."""

    def __init__(self, ask: Ask, done: asyncio.Future[None]) -> None:
        self.numbers: Iterator[int] = itertools.count(ask.first)
        self.end = ask.end
        self.start = f"POST /api/v1/invoices/{'{}'}/retry_payment HTTP/1.1\r\n"
        self.rest = (
            f"Host: {ask.host}:{ask.port}\r\nAuthorization: Bearer {ask.api_key}\r\n"
            "Content-Length: 0\r\n\r\n"
        )
        self.measure_from = time.perf_counter() + ask.warm_up_seconds
        self.stop_at = self.measure_from + ask.seconds
        self.answered = 0
        self.latencies: list[float] = []
        self.busy = ask.clients
        self.done = done

    def request(self) -> bytes | None:
        """The next request, or None when there is nothing more to do."""
        number = next(self.numbers)
        if number >= self.end:
            self.fail("the invoices laid in for this round are used up")
            return None
        return (self.start.format(numbered_id(Kind.INVOICE, number)) + self.rest).encode()

    def fail(self, why: str) -> None:
        """End the run."""
        if not self.done.done():
            self.done.set_exception(WrongAnswerError(why))

    def leave(self) -> None:
        """One caller has come to its end."""
        self.busy -= 1
        if not self.busy and not self.done.done():
            self.done.set_result(None)


class _Caller(asyncio.Protocol):
    """Asks, waits for the answer, asks again."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._transport: asyncio.WriteTransport | None = None
        self._read = b""
        self._asked_at = 0.0
        self._stopped = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's are no subclass
        self._ask()

    def _ask(self) -> None:
        assert self._transport is not None, "connected before"
        request = self._run.request()
        if request is None:
            return
        self._asked_at = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._read += data
        if b"\r\n\r\n" not in self._read:
            return
        answer, self._read = self._read, b""
        now = time.perf_counter()
        head, _, body = answer.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 ") or ATTEMPT_HEADER not in head or body:
            self._run.fail(answer.decode(errors="replace"))
            return
        self._run.answered += 1
        if self._run.measure_from <= now < self._run.stop_at:
            self._run.latencies.append(now - self._asked_at)
        if now < self._run.stop_at:
            self._ask()
        else:
            self._stopped = True
            self._run.leave()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._stopped:
            self._run.fail(f"the connection was lost: {exc}")


async def _load(ask: Ask) -> Seen:
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()
    run = _Run(ask, done)
    transports = [
        (await loop.create_connection(lambda: _Caller(run), ask.host, ask.port))[0]
        for _ in range(ask.clients)
    ]
    async with asyncio.timeout(ask.warm_up_seconds + ask.seconds + SLOWEST_ANSWER_SECONDS):
        await done
    for transport in transports:
        transport.close()
    milliseconds = sorted(latency * 1_000 for latency in run.latencies)
    return Seen(
        answered=run.answered,
        measured=len(milliseconds),
        seconds=ask.seconds,
        p50_ms=milliseconds[len(milliseconds) // 2],
        p99_ms=milliseconds[int(len(milliseconds) * 0.99)],
        slowest_ms=milliseconds[-1],
    )


if __name__ == "__main__":
    asked = msgspec.json.decode(sys.stdin.buffer.read(), type=Ask)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        seen = runner.run(_load(asked))
    print(msgspec.json.encode(seen).decode())

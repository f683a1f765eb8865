"""Answers that nobody can take for one, and true answers with a few bytes changed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from random import Random
from typing import Any, Final

import msgspec
from aiohttp import web

# Bytes that are no answer, whoever the provider is.
NONSENSE: Final = {
    "nothing": b"",
    "null": b"null",
    "a list": b"[]",
    "an empty object": b"{}",
    "a page": b"<!doctype html><title>Maintenance</title>",
    "half a JSON": b'{"charge": {"id": "ch',
    "no UTF-8": b'{"id": "\xff\xfe"}',
    "nested without end": b'{"a":' * 100_000,
    "two megabytes": b'"' + b" " * 2_000_000 + b'"',
    "a NUL": b"\0",
}
STATUSES: Final = (
    *(200, 201, 204, 301, 400, 401, 402, 403, 404, 409, 418, 429, 500, 502, 503, 504),
)
NUL_IN_JSON: Final = b"\\u0000"
# By `store/attempt_news.py` and `store/refunds.py`; keys and metadata are read as ids of ours.
CLEANED: Final = frozenset({
    *("code", "message", "decline_code", "network_decline_code", "advice_code"),
    *("network_advice_code", "status", "next_action", "url", "why", "idempotency_key", "metadata"),
})  # fmt: skip
LARGEST_COLUMN: Final = 2**63 - 1


class Liar:
    """A server that answers every call with the same bytes, or each path with its own."""

    def __init__(self) -> None:
        self.status = 200
        self.body = b""
        self.headers: dict[str, str] = {}
        self.base = ""
        self.by_path: Mapping[str, tuple[int, bytes]] = {}

    async def answer(self, request: web.Request) -> web.Response:
        await request.read()
        said = (self.status, self.body)
        status, body = self.by_path.get(f"{request.method} {request.path}", said)
        return web.Response(
            status=status, body=body, headers=self.headers, content_type="application/json"
        )


@asynccontextmanager
async def liar() -> AsyncIterator[Liar]:
    """Run one on a free port of the loopback."""
    it = Liar()
    app = web.Application()
    app.router.add_route("*", "/{anything:.*}", it.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    it.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield it
    finally:
        await runner.cleanup()


def mutated(body: bytes, chance: Random) -> bytes:
    """Change a few bytes, cut the end off, or say something twice."""
    changed = bytearray(body)
    for _ in range(chance.randint(1, 4)):
        if not changed:
            break
        at = chance.randrange(len(changed))
        match chance.randrange(5):
            case 4:
                changed[at:at] = NUL_IN_JSON
            case 0:
                changed[at] = chance.randrange(256)
            case 1:
                del changed[at:]
            case 2:
                changed[at:at] = bytes([chance.randrange(256)])
            case _:
                changed[at:at] = changed[at : at + 20]
    return bytes(changed)


def can_be_kept(told: Any) -> bool:
    """Tell whether PostgreSQL has columns for it: no text with a NUL, no number beyond bigint.

    Words that are only shown are cleaned where they are stored, and may hold anything.
    """
    match msgspec.to_builtins(told):
        case str() as text:
            return "\0" not in text
        case int() as number:
            return abs(number) <= LARGEST_COLUMN
        case dict() as fields:
            judged = {name: value for name, value in fields.items() if name not in CLEANED}
            return all(can_be_kept(one) for pair in judged.items() for one in pair)
        case list() as values:
            return all(can_be_kept(value) for value in values)
        case _:
            return True

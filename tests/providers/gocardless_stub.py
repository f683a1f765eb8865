"""A GoCardless of the tests' own over HTTP: its books, and lists with filters and cursors.

Where the reference data is at hand, what it is asked and what it answers is held against the
official types.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jsonschema_rs
from aiohttp import web

from tests.providers.gocardless_books import TOKEN as TOKEN
from tests.providers.gocardless_books import Books, RefusedError

FILTERS = {"limit", "after", "created_at[gte]", "created_at[lt]", "mandate", "customer", "payment",
           "refund", "action"}  # fmt: skip
OFFICIAL = {"payments": "Payment", "mandates": "Mandate"}


class Schemas:
    """The official types, and how often something was held against them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[str, Any] = {}
        self.held: list[str] = []

    def hold(self, name: str, value: Any) -> None:
        """Fail where a value is not of this type."""
        if name not in self._read:
            read = (self._folder / "psp" / f"gc-{name}.json").read_text()
            self._read[name] = jsonschema_rs.validator_for(json.loads(read))
        self._read[name].validate(value)
        self.held.append(name)


class Stub(Books):
    """The server of the books."""

    def __init__(self, schemas: Schemas | None = None) -> None:
        super().__init__()
        self.schemas = schemas
        self.base = ""
        self.longest_page = 500
        # drop_before, drop_after: no answer, nothing done or all of it; rate_limited: a 429
        self.fault = ""
        self.retry_after: int | None = None  # seconds, of a 429
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self._bad: list[BaseException] = []

    async def answer(self, request: web.Request) -> web.Response:
        """Do what is asked, and say so, unless nobody is to hear of it."""
        body = await request.read()
        self.requests.append((request.method, request.path_qs, dict(request.headers), body))
        assert self.fault in {"", "drop_before", "drop_after", "rate_limited"}, self.fault
        if self.fault == "drop_before":
            return _hang_up(request)
        try:
            status, told = self._do(request, body)
        except RefusedError as refused:
            status, told = refused.status, refused.body
        except BaseException as error:
            self._bad.append(error)
            raise
        if self.fault == "drop_after":
            return _hang_up(request)
        is_told = status == 429 and self.retry_after is not None
        wait = {"Retry-After": str(self.retry_after)} if is_told else {}
        return web.json_response(told, status=status, headers=wait)

    def _do(self, request: web.Request, body: bytes) -> tuple[int, dict[str, Any]]:
        if self.fault == "rate_limited":
            raise RefusedError(429, "invalid_api_usage", {"reason": "rate_limit_exceeded"})
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise RefusedError(401, "invalid_api_usage", {"reason": "access_token_not_found"})
        if request.headers.get("GoCardless-Version") != "2015-07-06":
            raise RefusedError(400, "invalid_api_usage", {"reason": "missing_version_header"})
        match request.method, request.path.strip("/").split("/"):
            case "GET", [book] if book in self.books:
                return 200, self._list(book, request.query)
            case "GET", [book, thing_id] if book in self.books:
                return 200, {book: self._told(book, self.find(book, thing_id))}
            case "POST", [book] if book in self.books:
                asked, key = json.loads(body), request.headers["Idempotency-Key"]
                if book == "payments" and self.schemas is not None:
                    self.schemas.hold("PaymentCreateRequest", asked[book])
                return 201, {book: self._told(book, self.make(book, key, asked))}
            case "POST", ["payments", payment_id, "actions", "cancel"]:
                return 200, {"payments": self._told("payments", self.cancel(payment_id))}
        raise RefusedError(404, "invalid_api_usage", {"reason": "not_found", "message": "-"})

    def _list(self, book: str, query: Mapping[str, str]) -> dict[str, Any]:
        if not set(query) <= FILTERS:
            raise RefusedError(400, "invalid_api_usage", {"reason": "invalid_filters"})
        found = [one for one in reversed(self.books[book]) if _fits(one, query)]
        start = 0
        if after := query.get("after"):
            start = 1 + [one["id"] for one in found].index(after)
        limit = min(int(query.get("limit", 50)), self.longest_page)
        page = [self._told(book, one) for one in found[start : start + limit]]
        more = page[-1]["id"] if start + limit < len(found) else None
        return {book: page, "meta": {"cursors": {"before": None, "after": more}, "limit": limit}}

    def _told(self, book: str, thing: dict[str, Any]) -> dict[str, Any]:
        if self.schemas is not None and book in OFFICIAL:
            self.schemas.hold(OFFICIAL[book], thing)
        return thing


@asynccontextmanager
async def gocardless_stub(schemas: Schemas | None = None) -> AsyncIterator[Stub]:
    """Run one on a free port of the loopback; what it could not take fails the test at its end."""
    it = Stub(schemas)
    app = web.Application()
    app.router.add_route("*", "/{anything:.*}", it.answer)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    it.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield it
    finally:
        await runner.cleanup()
    assert not it._bad, it._bad


def _hang_up(request: web.Request) -> web.Response:
    assert request.transport is not None, "somebody has asked"
    request.transport.abort()
    return web.Response()


def _fits(thing: Mapping[str, Any], query: Mapping[str, str]) -> bool:
    for name in ("mandate", "customer", "payment", "refund"):
        if name in query and thing["links"].get(name) != query[name]:
            return False
    if "action" in query and thing["action"] != query["action"]:
        return False
    if "created_at[gte]" in query and thing["created_at"] < query["created_at[gte]"]:
        return False
    return "created_at[lt]" not in query or thing["created_at"] < query["created_at[lt]"]

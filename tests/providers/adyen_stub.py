"""Adyen's Checkout as far as the adapter asks for it, over HTTP: keys, faults on demand, its books.

Written for what Adyen's official examples lack: refusals, idempotency, and answers that get lost.
What it is sent, and what it answers, is held against Adyen's own description where that is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import msgspec
from aiohttp import web

from tests.providers.adyen_books import AdyenBooks, Said, refused
from tests.providers.adyen_schema import AdyenSchema

LONGEST_KEY: Final = 64
BEFORE: Final = {
    "unavailable": refused("703", "Required resource temporarily unavailable", status=503),
    "too_many": refused("010", "Not allowed", status=429, kind="security"),
    "in_progress": refused("704", "Request already processed or in progress"),
}


class AdyenStub:
    """Adyen, with the merchant account that each API key may use: each is another company's."""

    def __init__(self, description: Path | None) -> None:
        self.base = ""
        self.fault = ""  # of `BEFORE`, or: error_after, html, drop_after
        self.books = AdyenBooks()
        self.accounts: dict[str, str] = {}  # by API key; a key that is not in it may use any
        self.complaints: list[str] = []  # what Adyen's own description does not know
        self._schema = AdyenSchema(description) if description else None
        self._kept: dict[tuple[str, str], Said] = {}

    @property
    def payments(self) -> list[str]:
        """The keys of the payments in the books, oldest first."""
        return [one.key for one in self.books.payments]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer any request."""
        body = await request.read()
        path = request.rel_url.raw_path
        complaint = self._schema and self._schema.wrong_request(
            request.method, path, request.query, body
        )
        if complaint:
            self.complaints.append(f"{request.method} {path}: {complaint}")
        if self.fault in BEFORE:
            return _response(request, BEFORE[self.fault])
        said = self._once(request, msgspec.json.decode(body) if body else {})
        if self._schema and said[0] < 300:
            encoded = msgspec.json.encode(said[1])
            if wrong := self._schema.wrong_answer(request.method, path, said[0], encoded):
                self.complaints.append(f"answer to {request.method} {path}: {wrong}")
        match self.fault:
            case "error_after":
                return _response(request, refused("000", "Unknown", status=500, kind="internal"))
            case "html":
                return web.Response(text="<html>", content_type="text/html")
            case "drop_after":
                assert request.transport is not None
                request.transport.close()
                await asyncio.sleep(0)
        return _response(request, said)

    def _once(self, request: web.Request, asked: dict[str, Any]) -> Said:
        """Do it once per key: what was done is answered again, what was refused is not kept.

        Keys are a company's own, and of 64 characters at most. Source:
        docs.adyen.com/development-resources/api-idempotency.
        """
        api_key = request.headers.get("x-api-key", "")
        named = asked.get("merchantAccount") or request.query.get("merchantAccount")
        account = self.accounts.get(api_key, named or "")
        if not api_key:
            message = "HTTP Status Response - Unauthorized"
            return refused("000", message, status=401, kind="security")
        if named not in {None, account}:
            return refused("901", "Invalid Merchant Account", status=403, kind="security")
        key = request.headers.get("Idempotency-Key", "") if request.method == "POST" else ""
        if len(key) > LONGEST_KEY:
            return refused("702", "Unexpected input")
        if (api_key, key) in self._kept:
            return self._kept[api_key, key]
        said = self._do(request, account, key, asked)
        if key and said[0] < 300:
            self._kept[api_key, key] = (said[0], dict(said[1]))
        return said

    def _do(self, request: web.Request, account: str, key: str, asked: dict[str, Any]) -> Said:
        folders = request.rel_url.raw_path.strip("/").split("/")
        match request.method, [unquote(folder) for folder in folders]:
            case "POST", ["payments"]:
                return self.books.pay(account, key, asked)
            case "POST", ["payments", payment, ("refunds" | "cancels") as what]:
                return self.books.change(account, key, payment, what, asked)
            case "POST", ["paymentLinks"]:
                return self.books.open_link(account, key, asked)
            case (("GET" | "PATCH"), ["paymentLinks", link]):
                return self.books.link(link, asked)
            case "GET", ["storedPaymentMethods"]:
                return self.books.methods(account, request.query["shopperReference"])
            case _:
                return refused("000", "Not Found.")


def _response(request: web.Request, said: Said) -> web.Response:
    key = request.headers.get("Idempotency-Key")
    return web.json_response(
        said[1], status=said[0], headers={"Idempotency-Key": key} if key else None
    )


@asynccontextmanager
async def adyen_stub(description: Path | None = None) -> AsyncIterator[AdyenStub]:
    """Run one on a free port of the loopback."""
    it = AdyenStub(description)
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

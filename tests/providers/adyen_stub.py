"""Adyen's Checkout as far as the adapter asks for it, with books of its own and faults on demand.

Written for what Adyen's official examples lack: refusals, idempotency, and answers that get lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

RESULTS: Mapping[str, Mapping[str, Any]] = {
    "paid": {"resultCode": "Authorised"},
    "refused": {
        "resultCode": "Refused",
        "refusalReason": "Not enough balance",
        "refusalReasonCode": "12",
        "additionalData": {"refusalReasonRaw": "51 : Insufficient funds"},
    },
    "received": {"resultCode": "Received"},
    "voucher": {
        "resultCode": "PresentToShopper",
        "action": {"type": "voucher", "url": "https://example.com/v"},
    },
    "redirect": {"resultCode": "RedirectShopper", "action": {"type": "redirect"}},
}


class AdyenStub:
    """Answers the same under the same key, for ever."""

    def __init__(self) -> None:
        self.payments: dict[str, dict[str, Any]] = {}
        self.links: dict[str, dict[str, Any]] = {}
        self.fault = ""
        self.base = ""

    async def pay(self, request: web.Request) -> web.StreamResponse:
        asked, key = await request.json(), request.headers["Idempotency-Key"]
        if self.fault == "unavailable":
            return web.json_response({"errorCode": "905"}, status=503)
        if self.fault == "too_many":
            return web.json_response({"errorCode": "010"}, status=429)
        if self.fault == "in_progress":
            return web.json_response({"errorCode": "704"}, status=422)
        method = asked["paymentMethod"]["storedPaymentMethodId"]
        if method not in RESULTS:
            refusal = {"status": 422, "errorCode": "800", "message": "Contract not found"}
            return web.json_response(refusal, status=422)
        answer = self.payments.setdefault(
            key,
            {
                "pspReference": f"PSP{len(self.payments)}",
                "merchantReference": asked["reference"],
                "amount": asked["amount"],
                **RESULTS[method],
            },
        )
        if self.fault == "error_after":
            return web.json_response({"errorCode": "000"}, status=500)
        if self.fault == "html":
            return web.Response(text="<html>", content_type="text/html")
        if self.fault == "drop_after":
            assert request.transport is not None
            request.transport.close()
            await asyncio.sleep(0)
        return web.json_response(answer)

    async def open_link(self, request: web.Request) -> web.Response:
        asked, key = await request.json(), request.headers["Idempotency-Key"]
        link_id = f"PL{len(self.links)}"
        link = {**asked, "id": link_id, "status": "active", "url": f"https://pay/{link_id}"}
        return web.json_response(self.links.setdefault(key, link), status=201)

    async def link(self, request: web.Request) -> web.Response:
        [link] = [one for one in self.links.values() if one["id"] == request.match_info["link"]]
        if request.method == "PATCH":
            link |= await request.json()
        return web.json_response(link)


@asynccontextmanager
async def adyen_stub() -> AsyncIterator[AdyenStub]:
    """Run one on a free port of the loopback."""
    it = AdyenStub()
    app = web.Application()
    app.router.add_post("/payments", it.pay)
    app.router.add_post("/paymentLinks", it.open_link)
    app.router.add_route("*", "/paymentLinks/{link}", it.link)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    it.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield it
    await runner.cleanup()

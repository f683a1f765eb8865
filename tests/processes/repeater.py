"""A provider that repeats the secrets it is shown: in its errors, its pages and its refusals.

It stands for Stripe, Adyen and GoCardless at once. It knows one customer's method, so that somebody
can be charged; what else it is asked comes back wrong, in each of the ways in turn. The first
charge of each is refused for certain: the words of a no are kept, wherever such words are.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

METHODS = {"stripe": "pm_1", "adyen": "TOKEN1", "gocardless": "MD1"}
SHOWN_IN = ("Authorization", "X-API-Key")
CHARGES = ("/v1/payment_intents", "/payments")


class Repeater:
    """The server, and what it was asked."""

    def __init__(self) -> None:
        self.base = ""
        self.seen: dict[str, Counter[str]] = defaultdict(Counter)  # the ways, by kind
        self.refused: set[str] = set()  # the kinds of which a charge was refused
        self.told: list[str] = []  # our webhooks to the organization: headers and body
        self._ways: list[Callable[[str, str], web.Response | None]] = [
            lambda kind, said: _error(kind, 400, said),
            lambda kind, said: _error(kind, 500, said),
            lambda _, said: web.Response(text=f"<h1>{said}</h1>", content_type="text/html"),
            lambda _, said: web.Response(
                text=said[: len(said) // 2], content_type="application/json"
            ),
            lambda _kind, _said: None,  # nobody answers
            lambda kind, said: _error(kind, 401, said),  # the last: it closes the account
        ]

    @classmethod
    @asynccontextmanager
    async def open(cls) -> AsyncIterator[Repeater]:
        """Listen on a free port of the loopback."""
        repeater = cls()
        app = web.Application()
        app.router.add_post("/told", repeater.take)
        app.router.add_get("/stripe/v1/customers/{customer}/payment_methods/pm_1", repeater.card)
        app.router.add_get("/adyen/storedPaymentMethods", repeater.token)
        app.router.add_get("/mandates/MD1", repeater.mandate)
        app.router.add_route("*", "/{kind:stripe|adyen}/{path:.*}", repeater.repeat)
        # GoCardless's SDK asks at the top of its host, whatever the path of its base address.
        app.router.add_route("*", "/{path:.*}", repeater.repeat)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            repeater.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield repeater
        finally:
            await runner.cleanup()

    def was_asked_in_every_way(self) -> bool:
        """Whether each provider has been asked often enough to have answered in every way."""
        return all(len(self.seen[kind]) == len(self._ways) for kind in METHODS)

    async def repeat(self, request: web.Request) -> web.Response:
        """Answer with all that the caller has said."""
        kind = request.match_info.get("kind", "gocardless")
        keys = "; ".join(request.headers.get(name, "") for name in SHOWN_IN)
        said = f"Not with {keys}, {request.url}: {await request.text()}"
        is_charge = request.method == "POST" and request.path.endswith(CHARGES)
        if is_charge and kind not in self.refused:
            self.refused.add(kind)
            return _refusal(kind, said)
        number = self.seen[kind].total() % len(self._ways)
        self.seen[kind][str(number)] += 1
        answer = self._ways[number](kind, said)
        if answer is None:
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        return answer

    async def take(self, request: web.Request) -> web.Response:
        """Keep what the organization is told."""
        self.told.append(f"{request.headers} {await request.text()}")
        return web.Response()

    async def card(self, request: web.Request) -> web.Response:
        """Stripe's card of whoever asks."""
        customer = request.match_info["customer"]
        return web.json_response({"id": "pm_1", "type": "card", "customer": customer})

    async def token(self, request: web.Request) -> web.Response:
        """Adyen's."""
        token = {"id": "TOKEN1", "type": "scheme"}
        shopper = request.query["shopperReference"]
        return web.json_response({"shopperReference": shopper, "storedPaymentMethods": [token]})

    async def mandate(self, _request: web.Request) -> web.Response:
        """GoCardless's."""
        links = {"customer": "CUada"}
        mandate = {"id": "MD1", "status": "active", "scheme": "sepa_core", "links": links}
        return web.json_response({"mandates": mandate})


def _refusal(kind: str, said: str) -> web.Response:
    """A certain no to a charge, in the provider's own words."""
    status, body = {
        "stripe": (400, {"error": {"type": "invalid_request_error", "message": said}}),
        "adyen": (
            422,
            {"status": 422, "errorCode": "132", "errorType": "validation", "message": said},
        ),
        "gocardless": (
            422,
            {
                "error": {
                    "type": "validation_failed", "code": 422, "message": said, "request_id": "1",
                    "errors": [{"field": "amount", "message": said}],
                }
            },
        ),
    }[kind]  # fmt: skip
    return web.json_response(body, status=status)


def _error(kind: str, status: int, said: str) -> web.Response:
    """An error in the provider's own words."""
    bodies = {
        "stripe": {"error": {"type": "invalid_request_error", "message": said}},
        "adyen": {"status": status, "errorCode": "000", "errorType": "security", "message": said},
        "gocardless": {
            "error": {
                "type": "invalid_api_usage", "code": status, "message": said, "request_id": "1",
                "errors": [{"reason": "access_token_not_found", "message": said}],
            }
        },
    }  # fmt: skip
    return web.Response(
        status=status, text=json.dumps(bodies[kind]), content_type="application/json"
    )

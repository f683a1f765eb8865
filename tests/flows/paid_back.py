"""Stripe's refunds, by a Stripe that has forgotten every key: each call that pays back pays."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID

from aiohttp import web

from tests.flows.cards import StripeBooks
from tests.providers.stripe_shapes import missing


class ForgetfulStripe(StripeBooks):
    """Refunds, each under its id; none is ever found again by its idempotency key."""

    def __init__(self) -> None:
        super().__init__()
        self.refunds: list[dict[str, Any]] = []
        self.ends_as = "succeeded"  # each refund that is asked for
        self.during: Callable[[], Awaitable[object]] | None = None  # the next look, and once
        self.silent = False  # every look at the refunds ends in a 500
        self.lacks_payments = False  # it is another account's Stripe by now: it has no such payment

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.method == "GET" and self.during is not None:
            during, self.during = self.during, None
            await during()
        return await super().answer(request)

    def knows(self, refund: UUID, status: str, *, payment: str = "pi_1") -> dict[str, Any]:
        """Have a refund of ours in this state."""
        made = {
            "id": f"re_{len(self.refunds)}", "object": "refund", "amount": 1_000, "currency": "eur",
            "status": status, "payment_intent": payment, "reason": None,
            "metadata": {"lago_refund_id": str(refund)},
        }  # fmt: skip
        self.refunds.append(made)
        return made

    def _do(self, request: web.Request, body: bytes) -> tuple[int, dict[str, Any]]:
        match request.method, request.path.removeprefix("/v1/").split("/"):
            case "GET", ["refunds", *_] if self.silent:
                return 500, {"error": {"type": "api_error", "message": "Try again."}}
            case "GET", ["refunds"] if self.lacks_payments:
                return missing(request.query["payment_intent"], param="payment_intent")
            case "POST", ["refunds"]:
                asked = dict(parse_qsl(body.decode()))
                ours = UUID(asked["metadata[lago_refund_id]"])
                return 200, self.knows(ours, self.ends_as, payment=asked["payment_intent"])
            case "GET", ["refunds"]:
                of = request.query["payment_intent"]
                found = [one for one in self.refunds if one["payment_intent"] == of]
                return 200, {"object": "list", "data": found, "has_more": False}
            case "GET", ["refunds", known_as]:
                return 200, next(one for one in self.refunds if one["id"] == known_as)
            case "GET", ["payment_intents"]:
                return 200, {"object": "list", "data": [], "has_more": False}
        return super()._do(request, body)

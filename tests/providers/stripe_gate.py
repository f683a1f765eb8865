"""Stripe, as far as localstripe is not: a server before it, which makes of the two one Stripe.

It refuses what Stripe's own description does not know, keeps idempotency keys as Stripe does,
turns a charge that needs its payer into the 402 that Stripe answers off-session, lists by customer
and time, and has checkout sessions. Whether money moved is localstripe's to say, in its own books.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

import aiohttp
from aiohttp import web

from tests.providers.stripe_schema import StripeSchema, nested
from tests.providers.stripe_sessions import Sessions
from tests.providers.stripe_shapes import (
    Answer,
    RefusedError,
    card_error,
    missing,
    page_of,
    refused,
)

# What localstripe does not know, and what is therefore not passed on.
NOT_FOR_LOCALSTRIPE = ("description", "return_url", "error_on_requires_action")
SECRET_KEY = "sk_test_gate"


class Gate:
    """One Stripe account, with the customers and methods that a test makes."""

    def __init__(self, localstripe: str, http: aiohttp.ClientSession, schema: StripeSchema | None):
        self.base = ""
        self.complaints: list[str] = []  # what the official description did not know
        self.replayed: list[str] = []  # keys under which an answer was given again
        self.charges_under_key: dict[str, int] = {}
        self.declines: dict[str, Mapping[str, str]] = {}  # by method: what the issuer says
        self.slow: set[str] = set()  # methods whose charges stay in processing until released
        self.by_hand: set[str] = set()  # methods whose charges are captured by the merchant
        self.methods: dict[str, list[str]] = {}  # by customer
        self.sessions = Sessions(self)
        self._localstripe = localstripe
        self._http = http
        self._schema = schema
        self._kept: dict[str, tuple[Any, Answer]] = {}
        self._at_work: set[str] = set()
        self._intents: list[dict[str, Any]] = []  # id, customer, created; oldest first
        self._refunds: list[dict[str, Any]] = []
        self._said: dict[str, dict[str, Any]] = {}  # by intent: what Stripe says otherwise

    def app(self) -> web.Application:
        """The server."""
        app = web.Application()
        app.router.add_route("*", "/v1/{path:.*}", self._answer)
        return app

    async def _answer(self, request: web.Request) -> web.Response:
        body = (await request.read()).decode()
        if request.headers.get("Authorization") != f"Bearer {SECRET_KEY}":
            return web.json_response(
                {"error": {"type": "invalid_request_error", "message": "Invalid API Key"}},
                status=401,
            )
        pairs = parse_qsl(body if request.method == "POST" else request.query_string)
        path = request.path
        if self._schema and (why := self._schema.complaint(request.method, path, pairs)):
            self.complaints.append(f"{request.method} {path}: {why}")
            status, answer = refused("parameter_unknown", message=why)
            return web.json_response(answer, status=status)
        key = request.headers.get("Idempotency-Key") if request.method == "POST" else None
        if key is None:
            status, answer = await self._do(request.method, path, nested(pairs), None)
            return web.json_response(answer, status=status)
        return await self._once(key, path, nested(pairs))

    async def _once(self, key: str, path: str, params: dict[str, Any]) -> web.Response:
        """Do it once per key, as Stripe does: what was answered is answered again."""
        asked = (path, params)
        if key in self._at_work:
            error = {"type": "idempotency_error", "code": "idempotency_key_in_use"}
            return web.json_response({"error": error}, status=409)
        if key in self._kept:
            first, (status, answer) = self._kept[key]
            if first != asked:
                error = {"type": "idempotency_error", "message": "Keys for idempotent requests …"}
                return web.json_response({"error": error}, status=400)
            self.replayed.append(key)
            headers = {"Idempotent-Replayed": "true"}
            return web.json_response(answer, status=status, headers=headers)
        self._at_work.add(key)
        try:
            status, answer = await self._do("POST", path, params, key)
        finally:
            self._at_work.discard(key)
        if status not in {400, 404}:  # what was refused at the door is not kept
            self._kept[key] = (asked, (status, answer))
        return web.json_response(answer, status=status)

    async def _do(self, method: str, path: str, params: dict[str, Any], key: str | None) -> Answer:
        parts = path.removeprefix("/v1/").split("/")
        match method, parts:
            case "POST", ["payment_intents"]:
                return await self._create_intent(params, key)
            case "GET", ["payment_intents"]:
                return await self._list(self._intents, params, self.intent)
            case "GET", ["payment_intents", intent_id]:
                return await self._one(self.intent(intent_id))
            case "POST", ["payment_intents", intent_id, "cancel"]:
                return await self._cancel(intent_id)
            case "POST", ["refunds"]:
                return await self._refund(params)
            case "GET", ["refunds"]:
                return await self._list(self._refunds, params, self._refund_shown)
            case "GET", ["customers", customer_id, "payment_methods"]:
                return await self._methods_of(customer_id)
            case "GET", ["customers", customer_id, "payment_methods", method_id]:
                return await self._method_of(customer_id, method_id)
            case _, ["checkout", "sessions", *rest]:
                return await self.sessions.answer(method, rest, params)
            case _:
                status, answer = await self.ask(method, path, params)
                return missing(parts[-1]) if status == 404 else (status, answer)

    # Payment intents

    async def _create_intent(self, params: dict[str, Any], key: str | None) -> Answer:
        method_id, customer_id = params.get("payment_method"), params.get("customer", "")
        status, method = await self.ask("GET", f"/v1/payment_methods/{method_id}", {})
        if status != 200:
            return missing(str(method_id), param="payment_method", status=400)
        if method["customer"] != customer_id:
            return refused(None, param="payment_method", message="must be attached to the customer")
        if params.get("confirm") == "true" and "return_url" not in params:
            return refused(None, param="return_url", message="return_url is wanted to confirm")
        try:
            intent_id = await self.charge(params, key)
        except RefusedError as no:
            return no.answer
        intent = await self.intent(intent_id)
        no = self._said.get(intent_id, {}).get("last_payment_error")
        return (402, card_error(no, intent)) if no else (200, intent)

    async def charge(self, params: Mapping[str, Any], key: str | None) -> str:
        """Let localstripe charge; answer the intent's id, whatever it came to.

        :raises RefusedError: it does not take the request.
        """
        passed = {name: one for name, one in params.items() if name not in NOT_FOR_LOCALSTRIPE}
        method_id = params["payment_method"]
        if method_id in self.by_hand:
            passed["capture_method"] = "manual"
        status, told = await self.ask("POST", "/v1/payment_intents", passed)
        if status == 402:
            _, charge = await self.ask("GET", f"/v1/charges/{told['error']['charge']}", {})
            intent_id = charge["payment_intent"]
        elif status == 200:
            intent_id = told["id"]
        else:
            raise RefusedError(refused("parameter_invalid", message=str(told)))
        self._intents.append(
            {"id": intent_id, "customer": params["customer"], "created": int(time.time())}
        )
        self.charges_under_key[key or ""] = self.charges_under_key.get(key or "", 0) + 1
        said = self._said.setdefault(intent_id, {})
        said["description"] = params.get("description")
        if status == 402:
            said["last_payment_error"] = self.declines.get(method_id, {"code": "card_declined"})
        elif told["status"] == "requires_action" and params.get("off_session") == "true":
            code = "authentication_required"
            said["status"], said["next_action"] = "requires_payment_method", None
            said["last_payment_error"] = {"code": code, "decline_code": code}
        elif told["status"] == "requires_action":
            link = {"url": f"{self.base}/3ds/{intent_id}", "return_url": params["return_url"]}
            said["next_action"] = {"type": "redirect_to_url", "redirect_to_url": link}
        elif method_id in self.slow:
            said["status"] = "processing"
        return intent_id

    async def intent(self, intent_id: str) -> dict[str, Any]:
        """A payment intent in today's shape.

        :raises RefusedError: there is none.
        """
        status, told = await self.ask("GET", f"/v1/payment_intents/{intent_id}", {})
        if status != 200:
            raise RefusedError(missing(intent_id))
        told = {**told, **self._said.get(intent_id, {})}
        charge = told.pop("charges", {}).get("data", [])
        told["latest_charge"] = charge[0]["id"] if charge else None
        told["amount_received"] = told["amount"] if told["status"] == "succeeded" else 0
        if error := told["last_payment_error"]:
            told["last_payment_error"] = {"type": "card_error", "message": "No.", **error}
        if told["status"] == "requires_action" and "next_action" not in told:
            told["next_action"] = None
        return {**told, "livemode": False}

    async def release(self, intent_id: str) -> None:
        """Let a charge of a slow method be told as what it is."""
        self._said[intent_id].pop("status", None)

    async def authenticate(self, intent_id: str, *, success: bool) -> None:
        """Be the payer at the issuer's page."""
        intent = await self.intent(intent_id)
        body = {"key": "pk_test", "client_secret": intent["client_secret"], "success": success}
        await self.ask("POST", f"/v1/payment_intents/{intent_id}/_authenticate", body)
        self._said[intent_id].pop("next_action", None)

    async def _cancel(self, intent_id: str) -> Answer:
        status, _ = await self.ask("POST", f"/v1/payment_intents/{intent_id}/cancel", {})
        if status == 404:
            return missing(intent_id)
        if status != 200:
            return refused("payment_intent_unexpected_state", message="It cannot be canceled.")
        for name in ("status", "next_action"):
            self._said.get(intent_id, {}).pop(name, None)
        return await self._one(self.intent(intent_id))

    # Refunds, methods, lists

    async def _refund(self, params: dict[str, Any]) -> Answer:
        try:
            intent = await self.intent(params["payment_intent"])
        except RefusedError as no:
            return no.answer
        before = [one for one in self._refunds if one["payment_intent"] == intent["id"]]
        if int(params["amount"]) + sum(one["amount"] for one in before) > intent["amount"]:
            return refused(None, param="amount", message="It is more than was charged.")
        status, told = await self.ask("POST", "/v1/refunds", params)
        if status != 200:
            return refused(None, message="Stripe does not pay that back.")
        self._refunds.append(told)
        return status, told

    async def _refund_shown(self, refund_id: str) -> dict[str, Any]:
        _, told = await self.ask("GET", f"/v1/refunds/{refund_id}", {})
        return told

    async def method(self, method_id: str) -> dict[str, Any]:
        """A payment method, as localstripe has it."""
        _, told = await self.ask("GET", f"/v1/payment_methods/{method_id}", {})
        return told

    async def _methods_of(self, customer_id: str) -> Answer:
        status, _ = await self.ask("GET", f"/v1/customers/{customer_id}", {})
        if status != 200:
            return missing(customer_id, param="customer")
        listed = [await self.method(one) for one in self.methods.get(customer_id, [])]
        attached = [one for one in listed if one["customer"] == customer_id]
        return 200, {"object": "list", "data": attached, "has_more": False, "url": "/v1/…"}

    async def _method_of(self, customer_id: str, method_id: str) -> Answer:
        for path in (f"customers/{customer_id}", f"payment_methods/{method_id}"):
            status, told = await self.ask("GET", f"/v1/{path}", {})
            if status != 200:
                return missing(path)
        if told["customer"] != customer_id:
            return refused(None, message="The customer does not have a payment method with the ID")
        return 200, told

    async def _list(
        self,
        rows: list[dict[str, Any]],
        params: dict[str, Any],
        show: Callable[[str], Awaitable[dict[str, Any]]],
    ) -> Answer:
        return 200, await page_of(rows, params, show)

    async def _one(self, asked: Awaitable[dict[str, Any]]) -> Answer:
        try:
            return 200, await asked
        except RefusedError as no:
            return no.answer

    async def ask(self, method: str, path: str, params: Mapping[str, Any]) -> Answer:
        """Ask localstripe."""
        async with self._http.request(
            method,
            f"{self._localstripe}{path}",
            json=params if method == "POST" else None,
            headers={"Authorization": f"Bearer {SECRET_KEY}"},
        ) as answer:
            return answer.status, await answer.json(content_type=None)

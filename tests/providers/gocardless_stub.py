"""A GoCardless of the tests' own: books, idempotency, lists with cursors, events, and faults.

It is as strict as the real one is said to be: unknown fields and filters, a fourth key of metadata
or a wrong sum of refunds are turned away. Where the reference data is at hand, what it is asked and
what it answers is held against the official types.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema_rs
from aiohttp import web

NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)
TOKEN = "sandbox_canary_5f2b1c9d_of_gocardless"
HTML = "<!doctype html><title>Bad gateway</title>"
FIELDS = {
    "refunds": {"amount", "total_amount_confirmation", "links", "metadata", "reference"},
    "customers": {"company_name", "given_name", "family_name", "email", "country_code", "metadata"},
    "billing_requests": {"mandate_request", "links", "metadata"},
    "billing_request_flows": {"redirect_uri", "exit_uri", "links"},
}
PREFIXES = {
    "payments": "PM",
    "refunds": "RF",
    "customers": "CU",
    "billing_requests": "BRQ",
    "billing_request_flows": "BRF",
}
FILTERS = {"limit", "after", "created_at[gte]", "created_at[lt]", "mandate", "customer", "payment",
           "refund", "action"}  # fmt: skip


class Schemas:
    """The official types, and how often something was held against them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[str, Any] = {}
        self.held: list[str] = []

    def hold(self, name: str, value: Any) -> None:
        if name not in self._read:
            text = (self._folder / "psp" / f"gc-{name}.json").read_text()
            self._read[name] = jsonschema_rs.validator_for(json.loads(text))
        self._read[name].validate(value)
        self.held.append(name)


class RefusedError(Exception):
    """Turned away as GoCardless does."""

    def __init__(self, status: int, kind: str, *errors: Mapping[str, Any]) -> None:
        super().__init__(kind)
        self.status = status
        self.body = {
            "error": {
                "type": kind,
                "code": status,
                "message": f"refused for {TOKEN}",  # as if it repeated what it was sent
                "documentation_url": "https://developer.gocardless.com/api-reference/",
                "request_id": "0AA4000000D1",
                "errors": list(errors),
            }
        }


class Stub:
    """The server and its books."""

    def __init__(self, schemas: Schemas | None = None) -> None:
        self.schemas = schemas
        self.base = ""
        self.now = NOW
        self.longest_page = 500
        self.fault = ""
        self.headers: dict[str, str] = {}  # of a 429
        self.in_order = asyncio.Event()
        self.arrived = asyncio.Event()
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.books: dict[str, list[dict[str, Any]]] = {
            name: [] for name in (*PREFIXES, "mandates", "events")
        }
        self.keys: dict[tuple[str, str], str] = {}
        self.statuses: dict[str, str] = {}  # by mandate: what its payments are at once
        self._bad: list[BaseException] = []

    def mandate(self, mandate_id: str, *, status: str = "active", customer: str = "CU1") -> None:
        """Let a customer have a mandate."""
        if customer not in [one["id"] for one in self.books["customers"]]:
            self.books["customers"].append({"id": customer})
        links = {"customer": customer, "creditor": "CR1", "customer_bank_account": "BA1"}
        self.books["mandates"].append(
            {"id": mandate_id, "created_at": _text(self.now), "status": status, "links": links,
             "scheme": "sepa_core", "reference": None, "metadata": {}}
        )  # fmt: skip

    def become(self, payment_id: str, status: str, **details: str) -> None:
        """Let a payment (or a refund) come to this, with the event that tells of it."""
        book = "refunds" if payment_id.startswith("RF") else "payments"
        thing = self.find(book, payment_id)
        thing["status"] = status
        if status == "paid_out":
            thing["links"]["payout"] = "PO1"
        action = {"bounced": "failed"}.get(status, status)
        self.books["events"].append(
            event(
                f"EV{len(self.books['events'])}",
                book,
                action,
                {book[:-1]: payment_id},
                details=details,
                metadata=thing["metadata"],
            )
        )

    def find(self, book: str, thing_id: str) -> dict[str, Any]:
        for thing in self.books[book]:
            if thing["id"] == thing_id:
                return thing
        raise RefusedError(
            404, "invalid_api_usage", {"reason": "resource_not_found", "message": "-"}
        )

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.requests.append((request.method, request.path_qs, dict(request.headers), body))
        self.arrived.set()
        if self.fault in {"drop_before", "error_before", "rate_limited"}:
            return self._nothing_done(request)
        try:
            status, told = self._do(request, body)
        except RefusedError as refused:
            status, told = refused.status, refused.body
        except BaseException as error:
            self._bad.append(error)
            raise
        return await self._tell(request, status, json.dumps(told).encode())

    def _nothing_done(self, request: web.Request) -> web.Response:
        if self.fault == "drop_before":
            assert request.transport is not None
            request.transport.abort()
        status, kind = (429, "invalid_api_usage") if self.fault == "rate_limited" else (
            500, "gocardless")  # fmt: skip
        refused = RefusedError(status, kind, {"reason": "rate_limit_exceeded", "message": "-"})
        return web.json_response(refused.body, status=status, headers=self.headers)

    async def _tell(self, request: web.Request, status: int, body: bytes) -> web.StreamResponse:
        """Answer, or answer as the fault has it, once all is done."""
        match self.fault:
            case "drop_after":
                assert request.transport is not None
                request.transport.abort()
            case "error_after":
                return web.json_response(RefusedError(500, "gocardless").body, status=500)
            case "gateway_after":
                return web.Response(status=502, text=HTML, content_type="text/html")
            case "html":
                return web.Response(text=HTML, content_type="text/html")
            case "empty":
                return web.Response()
            case "no_content":
                return web.Response(status=204)
            case "list":
                return web.json_response([])
            case "conflict_with_nothing":
                error = {"reason": "idempotent_creation_conflict", "message": "-", "links": {}}
                return web.json_response(RefusedError(409, "invalid_state", error).body, status=409)
            case "state_without_errors":
                bare = {"error": {"type": "invalid_state", "code": 422, "message": "-"}}
                return web.json_response(bare, status=422)
            case "unheard_of":
                error = {"error": {"type": "out_of_cheese", "code": 422, "errors": []}}
                return web.json_response(error, status=422)
            case "truncated":
                half = web.StreamResponse(status=status)
                half.content_length = len(body)
                await half.prepare(request)
                await half.write(body[: len(body) // 2])
                assert request.transport is not None
                request.transport.close()
                return half
            case "hang_after":
                await self.in_order.wait()
            case fault:
                assert not fault, fault
        return web.Response(status=status, body=body, content_type="application/json")

    def _do(self, request: web.Request, body: bytes) -> tuple[int, dict[str, Any]]:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise RefusedError(401, "invalid_api_usage", {"reason": "access_token_not_found"})
        if request.headers.get("GoCardless-Version") != "2015-07-06":
            raise RefusedError(400, "invalid_api_usage", {"reason": "missing_version_header"})
        match request.method, request.path.strip("/").split("/"):
            case "GET", [book]:
                return 200, self._list(book, request.query)
            case "GET", [book, thing_id]:
                return 200, {book: self._told(book, self.find(book, thing_id))}
            case "POST", [book]:
                return 201, {book: self._told(book, self._make(book, request, json.loads(body)))}
            case "POST", ["payments", payment_id, "actions", "cancel"]:
                payment = self.find("payments", payment_id)
                if payment["status"] not in {"pending_submission", "pending_customer_approval"}:
                    raise RefusedError(422, "invalid_state", {"reason": "cancellation_failed"})
                self.become(payment_id, "cancelled", cause="payment_cancelled", origin="api")
                return 200, {"payments": self._told("payments", payment)}
        raise RefusedError(404, "invalid_api_usage", {"reason": "not_found"})

    def _list(self, book: str, query: Mapping[str, str]) -> dict[str, Any]:
        if book not in self.books or not set(query) <= FILTERS:
            raise RefusedError(400, "invalid_api_usage", {"reason": "invalid_filters"})
        found = [one for one in reversed(self.books[book]) if _fits(one, query)]
        start = 0
        if after := query.get("after"):
            start = 1 + [one["id"] for one in found].index(after)
        limit = min(int(query.get("limit", 50)), self.longest_page)
        page = [self._told(book, one) for one in found[start : start + limit]]
        more = page[-1]["id"] if start + limit < len(found) else None
        return {book: page, "meta": {"cursors": {"before": None, "after": more}, "limit": limit}}

    def _make(self, book: str, request: web.Request, body: Any) -> dict[str, Any]:
        if set(body) != {book} or book not in PREFIXES:
            raise RefusedError(400, "invalid_api_usage", {"reason": "invalid_document_structure"})
        asked, key = body[book], request.headers["Idempotency-Key"]
        if book == "payments" and self.schemas is not None:
            self.schemas.hold("PaymentCreateRequest", asked)
        if not set(asked) <= FIELDS.get(book, set(asked)):
            raise RefusedError(422, "validation_failed", {"field": "?", "message": "is not known"})
        _check_metadata(asked.get("metadata", {}))
        if made := self.keys.get((book, key)):
            links = {"conflicting_resource_id": made}
            raise RefusedError(
                409,
                "invalid_state",
                {"reason": "idempotent_creation_conflict", "message": "-", "links": links},
            )
        thing = _MAKERS[book](self, asked)
        thing |= {"id": f"{PREFIXES[book]}{len(self.books[book]) + 1}"}
        self.books[book].append(thing)
        self.keys[book, key] = thing["id"]
        return thing

    def _told(self, book: str, thing: dict[str, Any]) -> dict[str, Any]:
        if self.schemas is not None and book in {"payments", "mandates"}:
            self.schemas.hold({"payments": "Payment", "mandates": "Mandate"}[book], thing)
        return thing

    def payment(self, asked: dict[str, Any]) -> dict[str, Any]:
        mandate = self.find("mandates", asked["links"]["mandate"])
        if mandate["status"] in {"cancelled", "failed", "expired", "consumed", "blocked"}:
            raise RefusedError(
                422, "invalid_state", {"reason": "mandate_is_inactive", "message": "-"}
            )
        return {
            "amount": asked["amount"],
            "amount_refunded": 0,
            "currency": asked["currency"],
            "created_at": _text(self.now),
            "status": self.statuses.get(mandate["id"], "pending_submission"),
            "links": {"mandate": mandate["id"], "creditor": "CR1"},
            "metadata": asked.get("metadata", {}),
            "retry_if_possible": asked.get("retry_if_possible", False),
        }

    def refund(self, asked: dict[str, Any]) -> dict[str, Any]:
        payment = self.find("payments", asked["links"]["payment"])
        if payment["status"] != "paid_out":
            raise RefusedError(422, "invalid_state", {"reason": "refund_payment_invalid_state"})
        before = payment["amount_refunded"]
        if asked["total_amount_confirmation"] != before + asked["amount"]:
            raise RefusedError(
                422, "invalid_state", {"reason": "total_amount_confirmation_invalid"}
            )
        payment["amount_refunded"] = before + asked["amount"]
        return {
            "amount": asked["amount"],
            "currency": payment["currency"],
            "created_at": _text(self.now),
            "status": "pending_submission",
            "links": {"payment": payment["id"], "mandate": payment["links"]["mandate"]},
            "metadata": asked.get("metadata", {}),
        }

    def flow(self, asked: dict[str, Any]) -> dict[str, Any]:
        request = self.find("billing_requests", asked["links"]["billing_request"])
        return {
            "authorisation_url": f"https://pay.gocardless.com/flow/{request['id']}",
            "expires_at": "2027-03-08T12:00:00.000Z",
            "links": asked["links"],
        }

    def billing_request(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.find("customers", asked["links"]["customer"])
        return {"status": "pending", "links": asked["links"], "metadata": asked["metadata"]}

    def customer(self, asked: dict[str, Any]) -> dict[str, Any]:
        if not asked.get("company_name") and not asked.get("family_name"):
            error = {"field": "family_name", "message": f"can't be blank, {TOKEN}"}
            raise RefusedError(422, "validation_failed", error)
        return {**asked, "created_at": _text(self.now)}


_MAKERS: dict[str, Callable[[Stub, dict[str, Any]], dict[str, Any]]] = {
    "payments": Stub.payment,
    "refunds": Stub.refund,
    "customers": Stub.customer,
    "billing_requests": Stub.billing_request,
    "billing_request_flows": Stub.flow,
}


def event(
    event_id: str,
    resource_type: str,
    action: str,
    links: Mapping[str, str],
    *,
    details: Mapping[str, str] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """An event with the fields that GoCardless's have."""
    return {
        "id": event_id,
        "created_at": _text(NOW),
        "resource_type": resource_type,
        "action": action,
        "links": dict(links),
        "details": {"origin": "bank", "description": "-", "scheme": "sepa_core", **(details or {})},
        "metadata": {},
        "resource_metadata": dict(metadata or {}),
    }


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
    yield it
    it.in_order.set()
    await runner.cleanup()
    assert not it._bad, it._bad


def _text(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def _fits(thing: Mapping[str, Any], query: Mapping[str, str]) -> bool:
    for name in ("mandate", "customer", "payment", "refund"):
        if name in query and thing["links"].get(name) != query[name]:
            return False
    if "action" in query and thing["action"] != query["action"]:
        return False
    if "created_at[gte]" in query and thing["created_at"] < query["created_at[gte]"]:
        return False
    return "created_at[lt]" not in query or thing["created_at"] < query["created_at[lt]"]


def _check_metadata(metadata: Mapping[str, Any]) -> None:
    is_fine = len(metadata) <= 3 and all(
        len(name) <= 50 and isinstance(value, str) and len(value) <= 500
        for name, value in metadata.items()
    )
    if not is_fine:
        raise RefusedError(422, "validation_failed", {"field": "metadata", "message": "is invalid"})

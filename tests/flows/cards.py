"""A shop that takes cards, and as much of Stripe as keeps customers and their methods."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID

import aiohttp
import asyncpg
from aiohttp import web

from recoup import clock
from recoup.flows.apply_event import apply_event
from recoup.flows.open_provider import Providers
from recoup.flows.receive_event import receive_event
from recoup.rules.records.keys import RowKey
from recoup.store.db import Pool
from tests.provider_signatures import dated
from tests.providers.stripe_shapes import missing
from tests.shop import BOX, MovableClock, Shop

SECRETS = {"secret_key": "sk_test_cards", "webhook_secret": "whsec_cards"}

REVOKED = (
    401,
    {"error": {"type": "invalid_request_error", "code": "api_key_expired", "message": "Expired"}},
)


class StripeBooks:
    """Customers, each with their methods and the default among these."""

    def __init__(self) -> None:
        self.base = ""
        self.methods: dict[str, list[str]] = {}  # by customer, newest first
        self.defaults: dict[str, str] = {}
        self.made: list[dict[str, str]] = []  # the customers that were asked for
        self.keys: dict[str, tuple[bytes, str]] = {}  # what was asked under each, and whom it made
        self.drops = ""  # "before" or "after": the connection, at each request
        self.refuses = False  # whatever is asked: the secret key was revoked
        self.asked = 0

    def keep(self, customer: str, method: str, *, default: bool = False) -> None:
        """Let a customer have this method."""
        self.methods.setdefault(customer, []).insert(0, method)
        if default:
            self.defaults[customer] = method

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.asked += 1
        if self.drops == "before":
            return self._hang_up(request)
        status, told = REVOKED if self.refuses else self._do(request, body)
        return self._hang_up(request) if self.drops else web.json_response(told, status=status)

    def _hang_up(self, request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    def _do(self, request: web.Request, body: bytes) -> tuple[int, dict[str, Any]]:
        match request.method, request.path.removeprefix("/v1/").split("/"):
            case "POST", ["customers"]:
                return self._make(request.headers["Idempotency-Key"], body)
            case "GET", ["customers", customer] if customer in self.methods:
                default = {"default_payment_method": self.defaults.get(customer)}
                return 200, {"id": customer, "object": "customer", "invoice_settings": default}
            case "GET", ["customers", customer, "payment_methods"] if customer in self.methods:
                data = [_method(one, customer) for one in self.methods[customer]]
                return 200, {"object": "list", "data": data, "has_more": False}
            case "GET", ["customers", customer, "payment_methods", method]:
                if method in self.methods.get(customer, []):
                    return 200, _method(method, customer)
            case "GET", ["payment_methods", method]:
                for customer, kept in self.methods.items():
                    if method in kept:
                        return 200, _method(method, customer)
        return missing(request.path)

    def _make(self, key: str, body: bytes) -> tuple[int, dict[str, Any]]:
        asked, customer = self.keys.setdefault(key, (body, f"cus_{len(self.made)}"))
        if asked != body:
            error = {"type": "idempotency_error", "message": "Keys for idempotent requests can …"}
            return 400, {"error": error}
        if customer not in self.methods:
            self.methods[customer] = []
            self.made.append(dict(parse_qsl(body.decode())))
        return 200, {"id": customer, "object": "customer"}


class Cards:
    """A shop whose account is at Stripe, and Stripe's books."""

    def __init__(self, shop: Shop, books: StripeBooks) -> None:
        self.shop = shop
        self.books = books

    async def customer(self, *methods: str) -> str:
        """A customer with these methods, the first one the default here; answers Stripe's id."""
        customer_id = await self.shop.customer(*methods)
        await self.shop.owner.execute("UPDATE customers SET payment_provider = 'stripe'")
        known_as = f"cus_{customer_id.hex}"
        self.books.methods[known_as] = []
        for method in methods:
            self.books.keep(known_as, method)
        return known_as

    def id_here(self, customer: str) -> UUID:
        """The id of the customer whom Stripe knows as this one."""
        return UUID(customer.removeprefix("cus_"))

    async def kept(self, customer: str) -> dict[str, bool]:
        """The methods that are kept of a customer, and whether each is the default."""
        rows = await self.shop.owner.fetch(
            "SELECT provider_method_id, is_default FROM payment_methods"
            " WHERE customer_id = $1 AND deleted_at IS NULL",
            self.id_here(customer),
        )
        return {row["provider_method_id"]: row["is_default"] for row in rows}

    async def collections(self) -> int:
        """How often it was promised to collect from a customer, and take those promises back."""
        done = await self.shop.owner.execute(
            "DELETE FROM pgqueuer WHERE entrypoint = 'collect_from_customer'"
        )
        return int(done.removeprefix("DELETE "))

    async def receives(self, kind: str, thing: dict[str, Any], **data: Any) -> RowKey:
        """Take an event of Stripe's in, signed."""
        shop, now = self.shop, self.shop.clock.now()
        said = {"id": f"evt_{clock.new_id().hex}", "type": kind, "data": {"object": thing, **data}}
        body = json.dumps(said).encode()
        signature = dated(body, SECRETS["webhook_secret"], at=int(now.timestamp()))
        assert await receive_event(
            shop.pool, shop.providers, shop.organization_id, kind="stripe", code="sandbox",
            body=body, headers={"stripe-signature": signature}, new_id=clock.new_id,
            now=now,
        ) == 1  # fmt: skip
        kept = await shop.owner.fetchval(
            "SELECT id FROM provider_events WHERE provider_event_id = $1", said["id"]
        )
        return RowKey(shop.organization_id, kept)

    async def applies(self, event: RowKey) -> str | None:
        """Apply an event, as the worker does; answers what it did."""
        shop = self.shop
        return await apply_event(
            shop.pool, shop.providers, event, jitter=timedelta(), new_id=clock.new_id,
            now=shop.clock.now(),
        )  # fmt: skip

    async def hears(self, kind: str, thing: dict[str, Any], **data: Any) -> str | None:
        """Take an event in and apply it."""
        return await self.applies(await self.receives(kind, thing, **data))


def _method(method: str, customer: str) -> dict[str, Any]:
    card = {"brand": "visa", "last4": "4242", "exp_month": 12, "exp_year": 2030}
    return {"id": method, "object": "payment_method", "type": "card", "customer": customer,
            "card": card}  # fmt: skip


@asynccontextmanager
async def open_cards(
    pool: Pool, owner: asyncpg.Connection, books: StripeBooks | None = None
) -> AsyncIterator[Cards]:
    """Make the organization and its account, and Stripe's books on a free port of the loopback."""
    books = books or StripeBooks()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", books.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    books.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with aiohttp.ClientSession() as http:
        providers = Providers(http, BOX, sandbox_base="http://127.0.0.1:9", stripe_base=books.base)
        shop = await Shop(pool, owner, providers, MovableClock()).open()
        await shop.moves_to("stripe", SECRETS)
        try:
            yield Cards(shop, books)
        finally:
            await providers.close()
            await runner.cleanup()

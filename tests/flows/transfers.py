"""Stripe's books of bank transfers: intents that wait for money, and what payers have there."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import asyncpg
from aiohttp import web

from recoup.rules.records.keys import RowKey
from recoup.store import db
from recoup.store.db import Pool
from tests.flows.cards import Cards, StripeBooks, open_cards
from tests.providers.stripe_schema import StripeSchema, nested
from tests.providers.stripe_shapes import missing, refused
from tests.shop import Shop

DESCRIPTION = Path(os.environ.get("RECOUP_SHARED", "../shared")) / "psp" / "stripe-trim2.json"
INSTRUCTIONS = "https://payments.stripe.com/bank_transfers/instructions/"


class Transfers(StripeBooks):
    """Customers' balances and their intents. What Stripe's own description has not, it refuses."""

    def __init__(self, schema: StripeSchema | None) -> None:
        super().__init__()
        self.schema = schema
        self.intents: list[dict[str, Any]] = []  # oldest first
        self.balances: dict[str, int] = {}  # by customer: money that pays for nothing yet
        self.by_key: dict[str, str] = {}
        self.asked_for: list[dict[str, Any]] = []  # each new intent, as it was asked for

    def sends(self, intent: dict[str, Any], cents: int) -> None:
        """Be the payer: money comes, which goes to this intent while it waits for any."""
        if intent["status"] != "requires_action":
            customer = intent["customer"]
            self.balances[customer] = self.balances.get(customer, 0) + cents
            return
        told = intent["next_action"]["display_bank_transfer_instructions"]
        told["amount_remaining"] -= cents
        if told["amount_remaining"] <= 0:
            self._pay(intent)

    def _do(self, request: web.Request, body: bytes) -> tuple[int, dict[str, Any]]:
        pairs = parse_qsl(body.decode() if request.method == "POST" else request.query_string)
        if self.schema and (why := self.schema.complaint(request.method, request.path, pairs)):
            return refused("parameter_unknown", message=why)
        match request.method, request.path.removeprefix("/v1/").split("/"):
            case "POST", ["payment_intents"]:
                return self._create(request.headers["Idempotency-Key"], nested(pairs))
            case "GET", ["payment_intents"]:
                wanted = nested(pairs).get("customer")
                data = [one for one in reversed(self.intents) if wanted in {None, one["customer"]}]
                return 200, {"object": "list", "data": data, "has_more": False}
            case "GET", ["payment_intents", intent_id]:
                return 200, self._intent(intent_id)
            case "POST", ["payment_intents", intent_id, "cancel"]:
                intent = self._intent(intent_id)
                if intent["status"] == "succeeded":
                    return refused("payment_intent_unexpected_state", message="It is paid.")
                intent |= {"status": "canceled", "next_action": None}
                return 200, intent
            case _, ["payment_intents", *_]:
                return missing(request.path)
        return super()._do(request, body)

    def _create(self, key: str, params: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if key in self.by_key:
            return 200, self._intent(self.by_key[key])
        self.asked_for.append(params)
        intent = {
            "id": f"pi_{len(self.intents)}",
            "object": "payment_intent",
            "amount": int(params["amount"]),
            "amount_received": 0,
            "currency": params["currency"],
            "customer": params["customer"],
            "metadata": params["metadata"],
            "status": "requires_action",
            "next_action": None,
            "last_payment_error": None,
        }
        self.intents.append(intent)
        self.by_key[key] = intent["id"]
        has = self.balances.get(params["customer"], 0)
        if "payment_method" in params or has >= intent["amount"]:
            self._pay(intent)
            return 200, intent
        if params["off_session"] != "false" or "error_on_requires_action" in params:
            return refused(None, message="Nobody is there to act.")
        options = params["payment_method_options"]["customer_balance"]
        assert params["payment_method_data"] == {"type": "customer_balance"}
        assert options["funding_type"] == "bank_transfer"
        told = {
            "type": options["bank_transfer"]["type"],
            "amount_remaining": intent["amount"],
            "currency": params["currency"],
            "reference": "V6Y2PCVYRQ8U",
            "hosted_instructions_url": f"{INSTRUCTIONS}{intent['id']}",
        }
        kind = "display_bank_transfer_instructions"
        intent["next_action"] = {"type": kind, kind: told}
        return 200, intent

    def _intent(self, intent_id: str) -> dict[str, Any]:
        return next(one for one in self.intents if one["id"] == intent_id)

    def _pay(self, intent: dict[str, Any]) -> None:
        paid = {"status": "succeeded", "next_action": None, "amount_received": intent["amount"]}
        intent |= paid


class Payer:
    """A customer who pays by bank transfer alone, with what Stripe and the shop know of them."""

    def __init__(self, cards: Cards, books: Transfers, customer: str) -> None:
        self.cards = cards
        self.shop: Shop = cards.shop
        self.books = books
        self.customer = customer

    @property
    def customer_key(self) -> RowKey:
        """The customer, here."""
        return RowKey(self.shop.organization_id, self.cards.id_here(self.customer))

    async def owes(self, **fields: Any) -> RowKey:
        """An invoice of theirs."""
        return await self.shop.invoice(self.customer_key.id, **fields)

    async def pays_by(self, *methods: str) -> None:
        """Have them pay otherwise from now on."""
        await self.shop.owner.execute(
            "UPDATE provider_customers SET provider_payment_methods = $1", list(methods)
        )

    async def lives_in(self, country: str | None, *, seller: str | None = None) -> None:
        """Where they are, and where the shop is."""
        await self.shop.owner.execute("UPDATE customers SET country = $1", country)
        await self.shop.owner.execute("UPDATE billing_entities SET country = $1", seller)

    async def is_told(self, kind: str, intent: dict[str, Any]) -> str | None:
        """Have Stripe tell the shop of an intent."""
        return await self.cards.hears(f"payment_intent.{kind}", intent)

    async def in_books(self) -> dict[str, int]:
        """The ledger's sums by account."""
        async with db.transaction(self.shop.pool, tenants=[self.shop.organization_id]) as conn:
            rows = await conn.fetch(
                "SELECT account, sum(amount_cents)::bigint AS cents FROM ledger_entries"
                " GROUP BY account"
            )
        return {row["account"]: row["cents"] for row in rows}


@asynccontextmanager
async def open_payer(pool: Pool, owner: asyncpg.Connection) -> AsyncIterator[Payer]:
    """Somebody in Germany, without any method."""
    books = Transfers(StripeSchema(DESCRIPTION) if DESCRIPTION.is_file() else None)
    async with open_cards(pool, owner, books) as cards:
        payer = Payer(cards, books, await cards.customer())
        await payer.pays_by("customer_balance")
        await payer.lives_in("DE")
        yield payer

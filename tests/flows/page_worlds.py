"""The providers that have hosted payment pages, each with a shop that sells through it.

GoCardless is not among them: a debit is paid on a mandate alone, and there is no page to pay on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import aiohttp
import asyncpg

from recoup import clock
from recoup.flows.apply_event import apply_event
from recoup.flows.open_provider import Providers
from recoup.flows.receive_event import receive_event
from recoup.rules.records.keys import RowKey
from recoup.store.db import Pool
from tests.flows.pages import page_of, pays
from tests.providers.adyen_schema import description as adyen_description
from tests.providers.adyen_stub import AdyenStub, adyen_stub
from tests.providers.adyen_webhooks import ACCOUNT, HMAC_KEY, a_batch, an_item
from tests.providers.stripe_world import Carry, StripeWorld, stripe_world
from tests.shop import BOX, MovableClock, SandboxServer, Shop, sandbox_server

NOWHERE = "http://127.0.0.1:9"


class PageWorld(ABC):
    """A shop, its provider, and what only its payers do there."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop

    @abstractmethod
    async def sell(self) -> RowKey:
        """An invoice of a customer who can be charged, and can pay on a page."""

    @abstractmethod
    async def pays(self, invoice: RowKey) -> None:
        """Be the payer on the last page of this invoice. What comes too late pays nothing."""

    @abstractmethod
    async def taken(self) -> int:
        """How many payments have taken money, by the provider's own books."""

    async def hears(self, invoice: RowKey) -> None:
        """Learn what became of the last page."""
        await self.shop.look_up(await page_of(self.shop, invoice))

    async def address_of_page(self, invoice: RowKey) -> tuple[str, str]:
        """The provider's id of the last page, and where it is."""
        row = await self.shop.row("payments", await page_of(self.shop, invoice))
        return row["provider_payment_id"], row["payer_url"]

    async def is_at(self, kind: str, secrets: dict[str, str]) -> None:
        """Have the shop's account, and its customers, at this provider."""
        await self.shop.moves_to(kind, secrets)
        await self.shop.owner.execute("UPDATE customers SET payment_provider = $1", kind)


class AtTheSandbox(PageWorld):
    """The sandbox."""

    def __init__(self, shop: Shop, psp: SandboxServer) -> None:
        super().__init__(shop)
        self.psp = psp

    async def sell(self) -> RowKey:
        return await self.shop.sell("pm_sandbox_ok")

    async def pays(self, invoice: RowKey) -> None:
        await pays((await self.address_of_page(invoice))[1])

    async def taken(self) -> int:
        return sum(charge["status"] == "succeeded" for charge in await self.psp.charges())


class AtStripe(PageWorld):
    """localstripe behind the gate, whose checkout sessions are the pages."""

    def __init__(self, shop: Shop, stripe: StripeWorld) -> None:
        super().__init__(shop)
        self.stripe = stripe
        self.cards: dict[UUID, str] = {}  # by invoice

    async def sell(self) -> RowKey:
        known_as = await self.stripe.customer()
        card = await self.stripe.card(known_as)
        customer_id = await self.shop.customer(card)
        await self.shop.owner.execute(
            "UPDATE provider_customers SET provider_customer_id = $2 WHERE customer_id = $1",
            customer_id, known_as,
        )  # fmt: skip
        await self.is_at("stripe", {"secret_key": self.stripe.secret_key})
        invoice = await self.shop.invoice(customer_id)
        self.cards[invoice.id] = card
        return invoice

    async def pays(self, invoice: RowKey) -> None:
        session_id, _ = await self.address_of_page(invoice)
        sessions = self.stripe.gate.sessions
        _, session = await sessions.answer("GET", [session_id], {})
        if session["status"] == "open":
            await sessions.pay(session_id, self.cards[invoice.id])

    async def taken(self) -> int:
        return sum(one["status"] == "succeeded" for one in await self.stripe.charges())


class AtAdyen(PageWorld):
    """Adyen's stand-in, whose payment links are the pages: an event alone tells of a payment."""

    def __init__(self, shop: Shop, adyen: AdyenStub) -> None:
        super().__init__(shop)
        self.adyen = adyen

    async def sell(self) -> RowKey:
        invoice = await self.shop.sell("paid")
        secrets = {"api_key": "AQE", "merchant_account": ACCOUNT, "hmac_key": HMAC_KEY}
        await self.is_at("adyen", secrets)
        return invoice

    async def pays(self, invoice: RowKey) -> None:
        link_id, _ = await self.address_of_page(invoice)
        if self.adyen.books.link(link_id, {})[1]["status"] == "active":
            self.adyen.books.pay_on(link_id)

    async def taken(self) -> int:
        paid_links = sum(one.said["status"] == "completed" for one in self.adyen.books.links)
        return paid_links + len(self.adyen.payments)

    async def hears(self, invoice: RowKey) -> None:
        link_id, _ = await self.address_of_page(invoice)
        [link] = [one for one in self.adyen.books.links if one.said["id"] == link_id]
        body = a_batch(an_item(merchantReference=link.said["reference"], pspReference="PSPPAGE"))
        shop, now = self.shop, self.shop.clock.now()
        kept = await receive_event(
            shop.pool, shop.providers, shop.organization_id, kind="adyen", code=None, body=body,
            headers={}, new_id=clock.new_id, now=now,
        )  # fmt: skip
        assert kept == 1, "it is rightly signed, and new"
        event_id = await shop.owner.fetchval("SELECT id FROM provider_events")
        await apply_event(
            shop.pool, shop.providers, RowKey(shop.organization_id, event_id),
            jitter=timedelta(), new_id=clock.new_id, now=now,
        )  # fmt: skip


@asynccontextmanager
async def at_the_sandbox(
    pool: Pool, owner: asyncpg.Connection, folder: Path
) -> AsyncIterator[PageWorld]:
    """A shop at the sandbox."""
    async with sandbox_server(folder, MovableClock()) as psp, aiohttp.ClientSession() as http:
        providers = Providers(http, BOX, sandbox_base=psp.base)
        yield AtTheSandbox(await Shop(pool, owner, providers, psp.clock).open(), psp)


@asynccontextmanager
async def at_stripe(
    pool: Pool, owner: asyncpg.Connection, localstripe_base: str, *, wire: Carry | None = None
) -> AsyncIterator[AtStripe]:
    """A shop at Stripe, by its own time: a session ends within a day of it.

    `wire` carries the calls there and back, and may break them.
    """
    async with (
        stripe_world(localstripe_base, None, wire=wire) as stripe,
        aiohttp.ClientSession() as http,
    ):
        providers = Providers(http, BOX, sandbox_base=NOWHERE, stripe_base=stripe.base)
        shop = await Shop(pool, owner, providers, MovableClock(clock.now())).open()
        try:
            yield AtStripe(shop, stripe)
        finally:
            await providers.close()


@asynccontextmanager
async def at_adyen(pool: Pool, owner: asyncpg.Connection) -> AsyncIterator[PageWorld]:
    """A shop at Adyen."""
    async with adyen_stub(adyen_description()) as adyen, aiohttp.ClientSession() as http:
        providers = Providers(http, BOX, sandbox_base=NOWHERE, adyen_base=adyen.base)
        yield AtAdyen(await Shop(pool, owner, providers, MovableClock()).open(), adyen)

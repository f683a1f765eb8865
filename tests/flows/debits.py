"""A shop that takes direct debits, and GoCardless's books."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import asyncpg

from recoup.flows.open_provider import Providers
from recoup.store.db import Pool
from tests.providers.gocardless_stub import TOKEN, Stub, gocardless_stub
from tests.shop import BOX, MovableClock, Shop

SECRETS = {"access_token": TOKEN, "webhook_secret": "whsec"}


class Debits:
    """A shop whose account is at GoCardless, and GoCardless's books."""

    def __init__(self, shop: Shop, stub: Stub) -> None:
        self.shop = shop
        self.stub = stub


@asynccontextmanager
async def open_debits(pool: Pool, owner: asyncpg.Connection) -> AsyncIterator[Debits]:
    """Make the organization and its account; `MD1` is a mandate there."""
    async with gocardless_stub() as stub, aiohttp.ClientSession() as http:
        providers = Providers(
            http, BOX, sandbox_base="http://127.0.0.1:9", gocardless_base=stub.base
        )
        stub.mandate("MD1")
        shop = await Shop(pool, owner, providers, MovableClock()).open()
        await shop.moves_to("gocardless", SECRETS)
        yield Debits(shop, stub)

"""A shop for a whole test file, where making one for every test would take most of the time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import asyncpg

from recoup.flows.open_provider import Providers
from recoup.store import db
from tests.databases import as_owner, own_database
from tests.shop import BOX, MovableClock, Shop

NOWHERE = "http://127.0.0.1:9"


@asynccontextmanager
async def shop_in(
    dsn: str, *, at: MovableClock, sandbox_base: str = NOWHERE
) -> AsyncIterator[Shop]:
    """Open a shop in a database. By default no provider answers it."""
    pool, owner = await db.connect(dsn, most=4), await asyncpg.connect(as_owner(dsn))
    try:
        async with aiohttp.ClientSession() as http:
            providers = Providers(http, BOX, sandbox_base=sandbox_base)
            yield await Shop(pool, owner, providers, at).open()
    finally:
        await owner.close()
        await pool.close()


@asynccontextmanager
async def own_shop(server_dsn: str, template: str, *, at: MovableClock) -> AsyncIterator[Shop]:
    """A shop in a database of its own; no provider answers it."""
    async with own_database(server_dsn, template) as dsn, shop_in(dsn, at=at) as shop:
        yield shop

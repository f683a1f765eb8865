"""A shop with the sandbox as its provider, for every test of a flow; and others elsewhere."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import asyncpg
import pytest_asyncio

from recoup.flows.open_provider import Providers
from recoup.store.db import Pool
from tests.flows.cards import Cards, open_cards
from tests.flows.debits import Debits, open_debits
from tests.shop import BOX, MovableClock, SandboxServer, Shop, sandbox_server


@pytest_asyncio.fixture
async def psp(tmp_path: Path) -> AsyncIterator[SandboxServer]:
    """The sandbox over HTTP; its clock is the shop's."""
    clock = MovableClock()
    async with sandbox_server(tmp_path, clock) as server:
        yield server


@pytest_asyncio.fixture
async def shop(pool: Pool, owner: asyncpg.Connection, psp: SandboxServer) -> AsyncIterator[Shop]:
    """A tenant that sells through the sandbox."""
    async with aiohttp.ClientSession() as http:
        providers = Providers(http, BOX, sandbox_base=psp.base)
        yield await Shop(pool, owner, providers, psp.clock).open()


@pytest_asyncio.fixture
async def debits(pool: Pool, owner: asyncpg.Connection) -> AsyncIterator[Debits]:
    """A tenant that takes direct debits by GoCardless."""
    async with open_debits(pool, owner) as opened:
        yield opened


@pytest_asyncio.fixture
async def cards(pool: Pool, owner: asyncpg.Connection) -> AsyncIterator[Cards]:
    """A tenant that takes cards by Stripe."""
    async with open_cards(pool, owner) as opened:
        yield opened

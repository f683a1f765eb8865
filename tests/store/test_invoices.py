"""Invoices are read many at once, at the price of one."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import aiohttp
import asyncpg
import pytest_asyncio

from recoup.flows.open_provider import Providers
from recoup.rules.invoice_status import HIDDEN, VISIBLE
from recoup.rules.records.keys import RowKey
from recoup.store import db, invoices, payments
from recoup.store.db import Pool
from tests.shop import BOX, MovableClock, Shop


@pytest_asyncio.fixture
async def shop(pool: Pool, owner: asyncpg.Connection) -> AsyncIterator[Shop]:
    """A tenant that sells; no provider answers it."""
    async with aiohttp.ClientSession() as http:
        providers = Providers(http, BOX, sandbox_base="http://127.0.0.1:9")
        yield await Shop(pool, owner, providers, MovableClock()).open()


async def test_hundreds_are_read_in_as_many_statements_as_one(shop: Shop, pool: Pool) -> None:
    customers = [await shop.customer("pm_sandbox_ok") for _ in range(3)]
    keys = [await shop.invoice(customers[n % 3]) for n in range(12)]
    attempts = [await shop.begun(key) for key in keys]
    statements: list[str] = []
    counts = []
    async with db.transaction(pool, tenants=[shop.organization_id]) as conn:
        with conn.query_logger(lambda record: statements.append(record.query)):
            for few in (1, 12):
                statements.clear()
                found = await invoices.details(conn, keys[:few])
                paid = await payments.details(conn, attempts[:few])
                assert (len(found), len(paid)) == (few, few)
                await asyncio.sleep(0)  # the driver logs a statement in the loop's next round
                counts.append(len(statements))
    assert counts == [11, 11]


async def test_what_does_not_exist_is_left_out_and_other_tenants_are_not_seen(
    shop: Shop, pool: Pool
) -> None:
    other = await Shop(pool, shop.owner, shop.providers, shop.clock).open()
    ours = await shop.invoice(await shop.customer())
    theirs = await other.invoice(await other.customer())
    disguised = RowKey(shop.organization_id, theirs.id)
    async with db.transaction(pool, tenants=[shop.organization_id]) as conn:
        for keys in ([ours, theirs, disguised], []):
            expected = {ours} if keys else set()
            assert set(await invoices.details(conn, keys)) == expected
            assert set(await invoices.lock(conn, keys)) == expected
    both = {shop.organization_id, other.organization_id}
    async with db.transaction(pool, tenants=both) as conn:
        assert set(await invoices.details(conn, [ours, theirs, disguised])) == {ours, theirs}


async def test_each_status_is_shown_or_hidden(owner: asyncpg.Connection) -> None:
    check = await owner.fetchval(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE conrelid = 'invoices'::regclass AND conname = 'invoices_status_check'"
    )
    assert set(re.findall(r"'(\w+)'", check)) == VISIBLE | HIDDEN
    assert not VISIBLE & HIDDEN

"""What tests of hosted payment pages do: open one, be its payer, retry past it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from recoup import clock
from recoup.flows.batches import serve_each
from recoup.flows.close_payment_page import close_payment_page, retry_past_pages
from recoup.flows.open_payment_page import PaymentPage, open_payment_page
from recoup.flows.retry_payment import Ask, retry_payments
from recoup.rules.records.collection import AskedBy
from recoup.rules.records.keys import RowKey
from recoup.store import db
from recoup.store.db import Pool
from tests.shop import SandboxServer, Shop


async def opened(shop: Shop, invoice: RowKey, pool: Pool | None = None) -> PaymentPage:
    return await open_payment_page(
        pool or shop.pool, shop.providers, invoice.organization_id, invoice.id,
        new_id=clock.new_id, now=shop.clock.now,
    )  # fmt: skip


@asynccontextmanager
async def stopped_opening(
    shop: Shop, invoice: RowKey, dsn: str, *, after: int
) -> AsyncIterator[asyncio.Task[PaymentPage]]:
    """Open a page, and have it wait after so many of its transactions until the block ends.

    It has one connection, which goes to whoever has waited longest: to the opening and us by turns.
    """
    narrow = await db.connect(dsn, least=1, most=1)
    try:
        held = await narrow.acquire()
        opening = asyncio.create_task(opened(shop, invoice, narrow))
        for _ in range(after):
            ours = asyncio.ensure_future(narrow.acquire())
            await asyncio.sleep(0)  # both wait now, the opening first
            await narrow.release(held)
            held = await ours
        assert not opening.done()
        yield opening
        await narrow.release(held)
        await asyncio.wait([opening])
    finally:
        narrow.terminate()


async def page_of(shop: Shop, invoice: RowKey) -> RowKey:
    row = await shop.owner.fetchrow(
        "SELECT p.organization_id, p.id FROM payments p JOIN payment_invoices pi"
        " ON pi.payment_id = p.id WHERE pi.invoice_id = $1 AND p.manner = 'page'"
        " ORDER BY p.created_at DESC LIMIT 1",
        invoice.id,
    )
    return RowKey(*row)


async def pays(url: str) -> None:
    """The payer says yes."""
    async with aiohttp.ClientSession() as browser:
        answer = await browser.post(f"{url}/approve", allow_redirects=False)
        assert answer.status == 303


async def nothing() -> None:
    """What happens meanwhile where nothing does."""


async def retry(
    shop: Shop, invoice: RowKey, *, before_closing: Callable[[], Awaitable[None]] = nothing
) -> Any:
    """Ask for a retry as the API does: past a page that is in the way."""
    ask = Ask(invoice, clock.new_id(), AskedBy.API)

    async def retried(asks: Any) -> Any:
        return await serve_each(
            lambda some: retry_payments(shop.pool, some, now=shop.clock.now()), asks
        )

    async def close(page: RowKey) -> bool:
        await before_closing()
        return await close_payment_page(shop.pool, shop.providers, page, now=shop.clock.now)

    return (await retry_past_pages([ask], retry=retried, close=close))[0]


async def paid(psp: SandboxServer) -> int:
    return sum(charge["status"] == "succeeded" for charge in await psp.charges())

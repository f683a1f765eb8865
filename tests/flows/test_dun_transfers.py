"""Who pays by bank transfer is reminded, too: an open transfer has no end to wait for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from recoup.rules.records.keys import RowKey
from recoup.store.db import Pool
from tests.flows.dunning import campaign, counts, look, requests, woken
from tests.flows.requests import attempt_of, overdue
from tests.flows.test_authenticate_attempt import broken
from tests.flows.test_dun_customer import FINISHED
from tests.flows.transfers import Payer, open_payer


@pytest_asyncio.fixture
async def payer(pool: Pool, owner: asyncpg.Connection) -> AsyncIterator[Payer]:
    async with open_payer(pool, owner) as opened:
        yield opened
        assert await broken(opened.shop) == []


async def mails(payer: Payer) -> int:
    count: int = await payer.shop.owner.fetchval("SELECT count(*) FROM mails")
    return count


async def owes_late(payer: Payer) -> RowKey:
    await payer.shop.owner.execute("UPDATE customers SET email = 'ada@example.com'")
    [invoice] = await overdue(payer.shop, payer.customer_key.id, [1_000])
    return invoice


async def looks(payer: Payer, scout: Pool, *, days: int) -> list[int]:
    """How many requests there are after each of these days."""
    seen = []
    for _ in range(days):
        await look(payer.shop, scout)
        seen.append(len(await requests(payer.shop)))
        payer.shop.clock.advance(days=1)
    return seen


@pytest.mark.parametrize("asks_first", ["the invoice", "the campaign"])
async def test_whoever_is_awaited_is_reminded_and_never_charged(
    payer: Payer, scout: Pool, asks_first: str
) -> None:
    shop = payer.shop
    await campaign(shop, max_attempts=3)  # three days apart
    invoice = await owes_late(payer)
    if asks_first == "the invoice":
        attempt = await shop.collect(invoice)
    await woken(shop)
    [made] = await look(shop, scout)
    if asks_first == "the campaign":
        attempt = attempt_of(made)
        await shop.submit(attempt)
    by_transfer = int(asks_first == "the campaign")
    assert await shop.state(attempt) == "customer_needed"
    assert await looks(payer, scout, days=12) == [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3, 3]
    assert await mails(payer) == 3 - by_transfer
    assert len(payer.books.asked_for) == 1  # and this one stays as it is
    assert await shop.state(attempt) == "customer_needed"
    assert [kind for kind, _ in await shop.told()].count(FINISHED) == 1
    payer.books.sends(payer.books.intents[0], 1_000)
    assert await payer.is_told("succeeded", payer.books.intents[0]) == "moved_to_succeeded"
    assert await shop.shown(invoice) == ("succeeded", 0)
    assert await payer.in_books() == {"at_provider": 1_000, "receivable": -1_000}
    assert await looks(payer, scout, days=4) == [3] * 4


async def test_what_is_not_awaited_yet_is_left_alone(payer: Payer, scout: Pool) -> None:
    """Whether its payer was told is not known: nothing is said that may be wrong."""
    shop = payer.shop
    await campaign(shop)
    invoice = await owes_late(payer)
    payer.books.drops = "after"
    attempt = await shop.collect(invoice)
    assert await shop.state(attempt) == "unknown"
    await woken(shop)
    assert await look(shop, scout) == []
    assert await counts(shop) == {}


async def test_what_else_is_late_is_asked_for_apart(payer: Payer, scout: Pool) -> None:
    shop = payer.shop
    await campaign(shop)
    awaited = await owes_late(payer)
    await shop.collect(awaited)
    await overdue(shop, payer.customer_key.id, [70])
    await woken(shop)
    made = await look(shop, scout)
    rows: list[Any] = [await shop.row("payment_requests", one) for one in made]
    assert [row["amount_cents"] for row in rows] == [70, 1_000]
    begun = await shop.owner.fetch("SELECT amount_cents, state FROM payments ORDER BY 1")
    assert [tuple(row) for row in begun] == [(70, "ready"), (1_000, "customer_needed")]

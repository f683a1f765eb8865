"""A page and a retry never both collect, in either order, at each provider that has pages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from recoup.flows.retry_payment import Accepted
from recoup.rules.records.keys import RowKey
from recoup.rules.refusal import Refusal
from recoup.store.db import Pool
from tests.flows.page_worlds import PageWorld, at_adyen, at_stripe, at_the_sandbox
from tests.flows.pages import opened, page_of, retry
from tests.providers.stripe_world import localstripe
from tests.shop import PAID_WORDS

REFUSALS = {"invalid_status", "payment_processor_is_currently_handling_payment"}


@pytest.fixture(scope="module")
def localstripe_base() -> Iterator[str]:
    with localstripe() as base:
        yield base


@pytest_asyncio.fixture(params=["sandbox", "stripe", "adyen"])
async def world(
    request: pytest.FixtureRequest, pool: Pool, owner: asyncpg.Connection, tmp_path: Path
) -> AsyncIterator[PageWorld]:
    match request.param:
        case "sandbox":
            made = at_the_sandbox(pool, owner, tmp_path)
        case "stripe":
            made = at_stripe(pool, owner, request.getfixturevalue("localstripe_base"))
        case _:
            made = at_adyen(pool, owner)
    async with made as it:
        yield it


async def is_paid_once(world: PageWorld, invoice: RowKey) -> None:
    assert await world.shop.shown(invoice) == ("succeeded", 0)
    assert await world.taken() == 1
    assert await world.shop.owner.fetchval("SELECT count(*) FROM contradictions") == 0
    assert sorted(await world.shop.words()) == PAID_WORDS


async def test_a_retry_that_comes_first_closes_the_page(world: PageWorld) -> None:
    invoice = await world.sell()
    await opened(world.shop, invoice)
    answer = await retry(world.shop, invoice)
    assert isinstance(answer, Accepted)
    assert answer.attempt_id
    assert await world.shop.state(await page_of(world.shop, invoice)) == "failed"
    await world.pays(invoice)  # too late
    assert await world.taken() == 0
    await world.shop.submit(RowKey(invoice.organization_id, answer.attempt_id))
    await world.pays(invoice)
    await is_paid_once(world, invoice)


@pytest.mark.parametrize("when", ["before_the_retry", "while_it_closes_the_page"])
async def test_a_payer_who_comes_first_is_not_charged_again(world: PageWorld, when: str) -> None:
    invoice = await world.sell()
    await opened(world.shop, invoice)

    async def payer() -> None:
        await world.pays(invoice)

    if when == "before_the_retry":
        await payer()
        answer = await retry(world.shop, invoice)
    else:
        answer = await retry(world.shop, invoice, before_closing=payer)
    assert isinstance(answer, Refusal), answer
    assert answer.code in REFUSALS
    assert await world.taken() == 1
    if await world.shop.shown(invoice) != ("succeeded", 0):
        again = await retry(world.shop, invoice)  # as long as nothing has told of it
        assert isinstance(again, Refusal)
        await world.hears(invoice)
    await is_paid_once(world, invoice)
    assert isinstance(await retry(world.shop, invoice), Refusal)

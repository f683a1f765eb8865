"""What a customer leaves on a page of the sandbox's: whose it is, and which is their default."""

from __future__ import annotations

import json
from itertools import permutations
from uuid import UUID

import aiohttp
import pytest

from recoup import clock
from recoup.flows.apply_event import apply_event
from recoup.flows.manage_payment_methods import delete_payment_method
from recoup.flows.open_set_up_page import open_set_up_page
from recoup.flows.receive_event import receive_event
from recoup.rules.records.keys import RowKey
from recoup.store import db
from tests.flows.test_provider_events import NO_TIME, signature
from tests.shop import SandboxServer, Shop


async def external_id(shop: Shop, customer: UUID) -> str:
    return await shop.owner.fetchval("SELECT external_id FROM customers WHERE id = $1", customer)


async def leaves(shop: Shop, psp: SandboxServer, customer: UUID, method: str) -> bytes:
    """Be the customer, who is sent to a page and chooses there; answer the event that tells it."""
    page = await open_set_up_page(
        shop.pool, shop.providers, shop.organization_id, await external_id(shop, customer),
        page_id=clock.new_id(), now=shop.clock.now,
    )  # fmt: skip
    async with aiohttp.ClientSession() as browser:
        choice = {"payment_method": method}
        async with browser.post(page.url, data=choice, allow_redirects=False) as answer:
            assert answer.headers["Location"] == "https://example.com/"
    newest = "SELECT body FROM events ORDER BY seq DESC"
    body: bytes = psp.books.file.db.execute(newest).fetchone()[0]
    return body


async def hears(shop: Shop, body: bytes) -> str | None:
    """Take an event in and apply it; answer what that did."""
    now = shop.clock.now()
    await receive_event(
        shop.pool, shop.providers, shop.organization_id, kind="sandbox", code="sandbox",
        body=body, headers=signature(body, at=int(now.timestamp())), new_id=clock.new_id, now=now,
    )  # fmt: skip
    event = await shop.owner.fetchval(
        "SELECT id FROM provider_events WHERE provider_event_id = $1", json.loads(body)["id"]
    )
    return await apply_event(
        shop.pool, shop.providers, RowKey(shop.organization_id, event), jitter=NO_TIME,
        new_id=clock.new_id, now=now,
    )  # fmt: skip


async def kept(shop: Shop, customer: UUID) -> dict[str, bool]:
    """What is kept of a customer's methods, and which is the default."""
    rows = await shop.owner.fetch(
        "SELECT provider_method_id, is_default FROM payment_methods"
        " WHERE customer_id = $1 AND deleted_at IS NULL",
        customer,
    )
    return {row["provider_method_id"]: row["is_default"] for row in rows}


async def collections(shop: Shop) -> int:
    """How often it was promised to collect from a customer."""
    jobs = "SELECT count(*) FROM pgqueuer WHERE entrypoint = 'collect_from_customer'"
    return await shop.owner.fetchval(jobs)


@pytest.mark.parametrize("order", [*permutations(range(3))], ids=str)
async def test_the_last_method_that_was_left_is_the_default_however_it_is_told(
    shop: Shop, psp: SandboxServer, order: tuple[int, ...]
) -> None:
    customer = await shop.customer("pm_sandbox_stolen_card")
    left = ["pm_sandbox_ok", "pm_sandbox_processing_ok", "pm_sandbox_fail_once"]
    events = [await leaves(shop, psp, customer, method) for method in left]
    words = {left[at]: await hears(shop, events[at]) for at in order}
    assert words == dict.fromkeys(left[:2], "no_longer_the_default") | {left[2]: "method_added"}
    assert await kept(shop, customer) == {"pm_sandbox_stolen_card": False, left[2]: True}
    assert await collections(shop) == 1


async def test_an_event_that_comes_twice_adds_one_method(shop: Shop, psp: SandboxServer) -> None:
    customer = await shop.customer("pm_sandbox_stolen_card")
    event = await leaves(shop, psp, customer, "pm_sandbox_ok")
    assert [await hears(shop, event) for _ in range(2)] == ["method_added", None]
    assert await kept(shop, customer) == {"pm_sandbox_stolen_card": False, "pm_sandbox_ok": True}
    assert await collections(shop) == 1


async def test_an_event_that_names_another_customer_adds_nothing(
    shop: Shop, psp: SandboxServer
) -> None:
    """Every test method can be charged for every customer; only who left one has it."""
    ada, bob = [await shop.customer("pm_sandbox_stolen_card") for _ in range(2)]
    event = await leaves(shop, psp, ada, "pm_sandbox_ok")
    wrong = event.replace(f"cus_{ada.hex}".encode(), f"cus_{bob.hex}".encode())
    assert wrong != event
    assert await hears(shop, wrong) == "no_such_method"
    for customer in (ada, bob):
        assert await kept(shop, customer) == {"pm_sandbox_stolen_card": True}
    assert await collections(shop) == 0


async def test_a_method_that_the_merchant_deleted_comes_back_when_it_is_left_anew(
    shop: Shop, psp: SandboxServer
) -> None:
    customer = await shop.customer()
    late = await leaves(shop, psp, customer, "pm_sandbox_ok")
    assert await hears(shop, await leaves(shop, psp, customer, "pm_sandbox_ok")) == "method_added"
    shop.clock.advance(seconds=1)
    async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
        method = await shop.owner.fetchval("SELECT id FROM payment_methods")
        await delete_payment_method(
            conn, shop.organization_id, await external_id(shop, customer), method,
            now=shop.clock.now(),
        )  # fmt: skip
    assert await hears(shop, late) == "deleted_by_the_merchant"
    shop.clock.advance(seconds=1)
    assert await hears(shop, await leaves(shop, psp, customer, "pm_sandbox_ok")) == "method_added"
    assert await kept(shop, customer) == {"pm_sandbox_ok": True}

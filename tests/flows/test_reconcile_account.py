"""What only one side knows is found, mended where it can be, and nobody is charged twice for it."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import aiohttp
import asyncpg
import pytest

from recoup import clock
from recoup.flows.check_books import check_books
from recoup.flows.notice_restore import hold_all_back, notice_restore
from recoup.flows.open_provider import Providers
from recoup.flows.prepare_installation import prepare
from recoup.flows.reconcile_account import ASK_AGAIN_AFTER, reconcile_account
from recoup.flows.sweep import sweep
from recoup.providers.protocol import Charge, Order, Paid
from recoup.rules.records.collection import idempotency_key
from recoup.rules.records.keys import RowKey
from recoup.store import db, provider_accounts, reconciliations
from recoup.store.beat_marker import BeatMarker
from recoup.store.db import Pool
from tests.databases import as_owner, own_database
from tests.shop import BOX, SandboxServer, Shop


def account(shop: Shop) -> RowKey:
    return RowKey(shop.organization_id, shop.account_id)


async def compare(shop: Shop) -> None:
    shop.clock.advance(seconds=ASK_AGAIN_AFTER.total_seconds() + 1)
    await reconcile_account(
        shop.pool, shop.providers, account(shop), new_id=clock.new_id, now=shop.clock.now
    )


async def hold_back(shop: Shop, scout: Pool) -> None:
    now = shop.clock.now()
    await hold_all_back(
        shop.pool, scout, because="another_cluster", by="ann", since=now - timedelta(hours=1),
        new_id=clock.new_id, now=now,
    )  # fmt: skip


async def is_held_back(shop: Shop) -> bool:
    return await shop.owner.fetchval("SELECT count(*) FROM quarantines WHERE released_at IS NULL")


async def findings(shop: Shop) -> list[tuple[str, str, str | None]]:
    rows = await shop.owner.fetch(
        "SELECT what, detail, resolved_because FROM reconciliation_findings ORDER BY found_at, id"
    )
    return [tuple(row) for row in rows]


async def charge_behind_our_back(shop: Shop, invoice: RowKey, **metadata: str) -> str:
    """Charge as an installation did whose rows a restore has lost; answer the attempt's key."""
    async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
        ours = await provider_accounts.by_ids(conn, [account(shop)])
    provider = shop.providers.of(ours[account(shop)])
    key = idempotency_key(clock.new_id())
    request = provider.render(
        Order(
            attempt_id=clock.new_id(), amount_cents=1_000, currency="EUR",
            provider_customer_id="cus", provider_method_id="pm_sandbox_ok", reference="r",
            metadata={
                "lago_invoice_id": str(invoice.id),
                "lago_organization_id": str(shop.organization_id),
            } | metadata,
        )
    )  # fmt: skip
    assert isinstance(request, str)
    assert isinstance(await provider.charge(Charge(key, request)), Paid)
    return key


async def assert_the_books_are_right(shop: Shop, scout: Pool) -> None:
    checked = await check_books(shop.pool, scout, now=shop.clock.now())
    # The shop's invoices are inserted by hand, so that nobody has booked what they were issued for.
    assert set(checked.broken) <= {"receivable_is_what_is_due"}


async def test_a_charge_that_a_restore_has_lost_is_booked_and_not_made_again(
    shop: Shop, scout: Pool, psp: SandboxServer
) -> None:
    invoice = await shop.sell("pm_sandbox_ok")
    key = await charge_behind_our_back(shop, invoice)
    waiting = await shop.begun(invoice)  # somebody asks for it again
    await hold_back(shop, scout)
    await shop.submit(waiting)
    assert await shop.state(waiting) == "ready"
    await compare(shop)
    assert await shop.shown(invoice) == ("succeeded", 0)
    assert await shop.state(RowKey.read(f"{shop.organization_id}/{key[8:]}")) == "succeeded"
    assert await shop.state(waiting) == "withdrawn"
    assert await findings(shop) == [("unknown_here", "", "made_anew")]
    assert not await is_held_back(shop)
    await shop.submit(waiting)
    assert len(await psp.charges()) == 1
    await compare(shop)
    assert len(await findings(shop)) == 1
    await assert_the_books_are_right(shop, scout)


async def test_nothing_is_sent_before_the_list_was_compared_and_then_it_is(
    shop: Shop, scout: Pool, psp: SandboxServer
) -> None:
    invoice = await shop.sell("pm_sandbox_ok")
    await hold_back(shop, scout)
    attempt = await shop.begun(invoice)
    await shop.submit(attempt)
    shop.clock.advance(minutes=2)
    assert await sweep(shop.pool, scout, new_id=clock.new_id, now=shop.clock.now()) == 0
    await assert_the_books_are_right(shop, scout)
    assert await psp.charges() == []
    await compare(shop)
    assert not await is_held_back(shop)
    assert await sweep(shop.pool, scout, new_id=clock.new_id, now=shop.clock.now()) == 1
    await shop.submit(attempt)
    assert await shop.state(attempt) == "succeeded"


async def test_an_attempt_that_was_sent_after_the_backup_is_not_sent_again(
    shop: Shop, scout: Pool, psp: SandboxServer
) -> None:
    invoice = await shop.sell("pm_sandbox_ok")
    attempt = await shop.begun(invoice)
    async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
        ours = await provider_accounts.by_ids(conn, [account(shop)])
    await shop.providers.of(ours[account(shop)]).charge(
        Charge(
            idempotency_key(attempt.id),
            '{"amount":1000,"currency":"EUR","customer":"c","payment_method":"pm_sandbox_ok",'
            '"off_session":true,"reference":"r","metadata":{}}',
        )
    )
    await hold_back(shop, scout)
    await compare(shop)
    assert await shop.state(attempt) == "succeeded"
    assert await shop.shown(invoice) == ("succeeded", 0)
    assert not await is_held_back(shop)
    await assert_the_books_are_right(shop, scout)


async def test_what_cannot_be_explained_keeps_the_account_until_a_person_lets_it_go(
    shop: Shop, scout: Pool
) -> None:
    await charge_behind_our_back(shop, RowKey(shop.organization_id, clock.new_id()))
    await hold_back(shop, scout)
    await compare(shop)
    await compare(shop)
    assert await findings(shop) == [("unknown_here", "invoice_unknown", None)]
    assert await is_held_back(shop)


async def test_another_installations_charges_are_not_ours(shop: Shop, scout: Pool) -> None:
    invoice = await shop.sell("pm_sandbox_ok")
    await charge_behind_our_back(shop, invoice, lago_organization_id=str(clock.new_id()))
    await compare(shop)
    assert await findings(shop) == []
    assert await shop.owner.fetchval("SELECT foreign_charges FROM reconciliations") == 1


async def test_what_we_alone_know_is_found_once(shop: Shop, tmp_path: Path) -> None:
    attempt = await shop.collect(await shop.sell("pm_sandbox_ok"))
    listed = await shop.collect(await shop.sell("pm_sandbox_ok"))
    charge = (await shop.row("payments", attempt))["provider_payment_id"]
    assert (await shop.row("payments", listed))["provider_payment_id"] != charge
    with sqlite3.connect(tmp_path / "sandbox.sqlite") as books:
        books.execute("DELETE FROM charges WHERE id = ?", (charge,))
    shop.clock.advance(hours=1)
    for _ in range(2):
        await compare(shop)
    assert await findings(shop) == [("unknown_there", "", None)]
    found = await shop.owner.fetchval("SELECT charge_known_as FROM reconciliation_findings")
    assert found == charge


async def test_who_takes_over_after_the_last_page_ends_it_and_counts_no_charge_twice(
    shop: Shop,
) -> None:
    await shop.collect(await shop.sell("pm_sandbox_ok"))
    shop.clock.advance(minutes=1)
    now = shop.clock.now()
    async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
        begun = await reconciliations.begin(
            conn, account(shop), id=clock.new_id(), since=now - timedelta(days=3), before=now,
            now=now,
        )  # fmt: skip
        await reconciliations.turn_page(conn, begun, next_page=None, listed=1, foreign=0, ours=[])
    await compare(shop)
    rows = await shop.owner.fetch("SELECT id, state, listed FROM reconciliations")
    assert [tuple(row) for row in rows] == [(begun.id, "complete", 1)]


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[tuple[Pool, Pool]]:
    pool = await db.connect(dsn, most=2)
    scout = await db.connect(dsn, role="recoup_scout", most=2)
    try:
        yield pool, scout
    finally:
        await pool.close()
        await scout.close()


async def test_a_state_that_nobody_had_served_from_is_compared_from_its_beginning(
    shop: Shop, scout: Pool, psp: SandboxServer, tmp_path: Path
) -> None:
    """The last beat tells when it was restored, and not how old what was restored is."""
    await prepare(shop.pool, box=BOX, now=shop.clock.now())
    invoice = await shop.sell("pm_sandbox_ok")
    await charge_behind_our_back(shop, invoice)
    shop.clock.advance(days=10)
    marker = BeatMarker(tmp_path / "last-beat", writer=clock.new_id())
    marker.write(shop.clock.now())
    assert await notice_restore(
        shop.pool, scout, folder="", marker=marker, new_id=clock.new_id, now=shop.clock.now()
    )
    await compare(shop)
    assert await shop.shown(invoice) == ("succeeded", 0)
    assert not await is_held_back(shop)


async def opened(
    dsn: str, providers: Providers, psp: SandboxServer, before: Shop | None
) -> tuple[Shop, list[RowKey]]:
    """The shop on this database: a new one, or the one that it was before."""
    pool = await db.connect(dsn, most=4)
    shop = Shop(pool, await asyncpg.connect(as_owner(dsn)), providers, psp.clock)
    if before is None:
        await shop.open()
    else:
        shop.organization_id, shop.account_id = before.organization_id, before.account_id
        shop.entity_id, shop.numbers = before.entity_id, before.numbers
    return shop, []


async def close(shop: Shop) -> None:
    await shop.pool.close()
    await shop.owner.close()


@pytest.mark.parametrize("seed", range(3))
async def test_after_a_restore_every_later_charge_is_found_before_anything_is_charged(
    seed: int, dsn: str, server_dsn: str, psp: SandboxServer, tmp_path: Path
) -> None:
    """A copy of the database is taken at a random moment; what came after is lost here alone."""
    chance = Random(seed)
    marker = BeatMarker(tmp_path / "last-beat", writer=clock.new_id())
    async with aiohttp.ClientSession() as http:
        providers = Providers(http, BOX, sandbox_base=psp.base)
        shop, invoices = await opened(dsn, providers, psp, None)
        async with connected(dsn) as (pool, scout):
            assert not await notice_restore(
                pool, scout, folder="", marker=marker, new_id=clock.new_id, now=psp.clock.now()
            )
        for _ in range(60):
            invoices.append(await shop.sell("pm_sandbox_ok"))
        asked = [await shop.begun(one) for one in invoices[: chance.randint(1, 59)]]
        for attempt in asked[: chance.randint(0, len(asked))]:
            await shop.submit(attempt)
        await close(shop)
        async with own_database(server_dsn, urlsplit(dsn).path[1:]) as restored:
            shop, _ = await opened(dsn, providers, psp, shop)
            for attempt in asked:
                await shop.submit(attempt)
            for one in invoices[len(asked) : chance.randint(len(asked), 60)]:
                await shop.collect(one)
            await close(shop)
            shop, _ = await opened(restored, providers, psp, shop)
            async with connected(restored) as (pool, scout):
                assert await notice_restore(
                    pool, scout, folder="", marker=marker, new_id=clock.new_id, now=psp.clock.now()
                )
                charged = len(await psp.charges())
                for attempt in asked:
                    await shop.submit(attempt)
                assert len(await psp.charges()) == charged
                await compare(shop)
                assert not await is_held_back(shop)
                for one in invoices:
                    answer = await shop.ask(one)
                    if getattr(answer, "attempt_id", None):
                        await shop.submit(RowKey(one.organization_id, answer.attempt_id))
                for attempt in asked:
                    await shop.submit(attempt)
                await assert_the_books_are_right(shop, scout)
            for one in invoices:
                assert await shop.shown(one) == ("succeeded", 0)
            await close(shop)
    paid = Counter(one["metadata"]["lago_invoice_id"] for one in await psp.charges())
    assert paid == {str(one.id): 1 for one in invoices}

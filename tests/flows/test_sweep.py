"""The schedule asks for what is due, and undoes nothing that others did meanwhile."""

from __future__ import annotations

from datetime import timedelta

import asyncpg

from recoup import clock
from recoup.flows.sweep import AFTER_A_FAILURE, sweep
from recoup.rules.records.keys import RowKey
from recoup.store import db, tries
from recoup.store.db import Pool
from tests.databases import as_owner
from tests.shop import Shop

TOMORROW = timedelta(days=1)


async def due(shop: Shop) -> RowKey:
    """An invoice whose first charge was declined, and whose next try is due."""
    invoice = await shop.sell("pm_sandbox_insufficient_funds")
    await shop.collect(invoice)
    await shop.change("invoices", invoice, next_try_at=shop.clock.now())
    return invoice


async def run(shop: Shop, scout: Pool) -> int:
    return await sweep(shop.pool, scout, new_id=clock.new_id, now=shop.clock.now())


async def next_try(shop: Shop, invoice: RowKey) -> timedelta | None:
    at = (await shop.row("invoices", invoice))["next_try_at"]
    return at - shop.clock.now() if at else None


async def asked_for(shop: Shop) -> list[RowKey]:
    rows = await shop.owner.fetch(
        "SELECT pi.organization_id, pi.invoice_id FROM payments p"
        "  JOIN payment_invoices pi ON pi.payment_id = p.id WHERE p.asked_by = 'schedule'"
    )
    return [RowKey(row["organization_id"], row["invoice_id"]) for row in rows]


async def test_what_is_due_is_asked_for_by_the_schedule(shop: Shop, scout: Pool) -> None:
    invoice, later = await due(shop), await due(shop)
    await shop.change("invoices", later, next_try_at=shop.clock.now() + timedelta(seconds=1))
    await run(shop, scout)
    assert await asked_for(shop) == [invoice]
    assert await next_try(shop, invoice) is None
    assert await next_try(shop, later) == timedelta(seconds=1)


async def test_a_try_that_is_refused_leaves_the_schedule(shop: Shop, scout: Pool) -> None:
    invoice = await due(shop)
    await shop.change("invoices", invoice, payment_status="succeeded")
    await run(shop, scout)
    assert await asked_for(shop) == []
    assert await next_try(shop, invoice) is None


async def test_what_somebody_holds_is_left_to_them_and_the_others_are_asked_for(
    shop: Shop, scout: Pool, dsn: str
) -> None:
    held, free = await due(shop), await due(shop)
    somebody = await asyncpg.connect(as_owner(dsn))
    async with somebody.transaction():
        await somebody.execute("SELECT FROM invoices WHERE id = $1 FOR UPDATE", held.id)
        await run(shop, scout)
    await somebody.close()
    assert await asked_for(shop) == [free]
    assert await next_try(shop, held) == timedelta()
    await run(shop, scout)
    assert sorted(await asked_for(shop)) == sorted([held, free])


async def test_a_try_that_fails_comes_later_so_that_it_does_not_keep_the_others(
    shop: Shop, scout: Pool
) -> None:
    invoice = await due(shop)
    await shop.owner.execute("REVOKE INSERT ON decisions FROM recoup_app")
    await run(shop, scout)
    await shop.owner.execute("GRANT INSERT ON decisions TO recoup_app")
    assert await asked_for(shop) == []
    assert await next_try(shop, invoice) == AFTER_A_FAILURE


async def test_what_was_planned_anew_or_has_ended_meanwhile_is_not_put_off(shop: Shop) -> None:
    """The schedule was refused, or failed; then a caller's retry ended, or the invoice did."""
    planned, ended = await due(shop), await due(shop)
    await shop.change("invoices", planned, next_try_at=shop.clock.now() + TOMORROW)
    await shop.change("invoices", ended, next_try_at=None, status="voided")
    for until in (None, shop.clock.now() + AFTER_A_FAILURE):
        async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
            await tries.put_off_tries(conn, [planned, ended], until=until, now=shop.clock.now())
        assert await next_try(shop, planned) == TOMORROW
        assert await next_try(shop, ended) is None

"""A draft has one end: by the clock, by a person, or deleted; whoever comes at the same moment."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import asyncpg
import pytest

from recoup import clock
from recoup.flows import finalize_draft as flow
from recoup.flows.create_invoice import create_invoice
from recoup.flows.delete_draft import delete_draft
from recoup.flows.finalize_draft import finalize_draft, finalize_due_drafts
from recoup.flows.issue_invoice import Collect
from recoup.flows.refresh_draft import refresh_draft
from recoup.flows.retry_payment import Ask, retry_payments_on
from recoup.rules.one_off_asks import FeeInput, InvoiceInput
from recoup.rules.records.collection import AskedBy
from recoup.rules.records.keys import RowKey
from recoup.rules.refusal import Refused
from recoup.store import db, invoices
from recoup.store.db import Conn, Pool
from tests.shop import Shop


def collecting(shop: Shop) -> Collect:
    """Begin the first charge, as the edge and the worker do."""

    async def collect(conn: Conn, invoice: RowKey) -> None:
        ask = Ask(invoice, clock.new_id(), AskedBy.CREATION)
        await retry_payments_on(conn, [ask], now=shop.clock.now())

    return collect


async def clock_ticks(shop: Shop, scout: Pool) -> int:
    return await finalize_due_drafts(
        shop.pool, scout, collect=collecting(shop), now=shop.clock.now()
    )


async def sells(shop: Shop, *methods: str, grace_days: int = 3) -> None:
    """Have the customer `c` with these methods, and the add-on `setup`."""
    customer = await shop.customer(*methods)
    await shop.owner.execute(
        "UPDATE customers SET external_id = 'c', invoice_grace_period = $2, currency = 'EUR'"
        " WHERE id = $1",
        customer, grace_days,
    )  # fmt: skip
    await shop.owner.execute(
        """INSERT INTO add_ons (organization_id, id, code, name, amount_cents, amount_currency,
                  created_at, updated_at)
           VALUES ($1, $2, 'setup', 'Setup', 1000, 'EUR', $3, $3)""",
        shop.organization_id, clock.new_id(), shop.clock.now(),
    )  # fmt: skip


async def draft(shop: Shop) -> RowKey:
    asked = InvoiceInput(external_customer_id="c", fees=[FeeInput(add_on_code="setup")], draft=True)
    async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
        made = await create_invoice(
            conn, shop.organization_id, asked, invoice_id=clock.new_id(), collect=collecting(shop),
            now=shop.clock.now(),
        )  # fmt: skip
    return made.invoice.key


async def finalize(shop: Shop, key: RowKey) -> str:
    async with db.transaction(shop.pool, tenants=[key.organization_id]) as conn:
        details = await finalize_draft(
            conn, key.organization_id, key.id, collect=collecting(shop), now=shop.clock.now()
        )
    return details.invoice.status


async def delete(shop: Shop, key: RowKey) -> str:
    async with db.transaction(shop.pool, tenants=[key.organization_id]) as conn:
        details = await delete_draft(conn, key.organization_id, key.id, now=shop.clock.now())
    return details.invoice.status


async def outcome(doing: Awaitable[str | int]) -> str | int:
    try:
        return await doing
    except Refused as refused:
        return refused.refusal.code


async def rows(shop: Shop) -> list[asyncpg.Record]:
    return await shop.owner.fetch(
        "SELECT id, status, sequential_id, number, finalize_at FROM invoices ORDER BY sequential_id"
    )


async def events(shop: Shop) -> list[str]:
    found = await shop.owner.fetch(
        "SELECT webhook_type FROM events WHERE webhook_type LIKE 'invoice.%' ORDER BY 1"
    )
    return [row["webhook_type"] for row in found]


async def test_the_clock_finalizes_and_charges_once_when_the_grace_ends(
    shop: Shop, pool: Pool, scout: Pool
) -> None:
    await sells(shop, "pm_sandbox_ok")
    key = await draft(shop)
    shop.clock.advance(days=2)
    assert await clock_ticks(shop, scout) == 0
    assert (await rows(shop))[0]["status"] == "draft"
    shop.clock.advance(days=1)
    assert await clock_ticks(shop, scout) == 1
    [row] = await rows(shop)
    assert (row["status"], row["sequential_id"], row["finalize_at"]) == ("finalized", 1, None)
    assert await events(shop) == ["invoice.created", "invoice.drafted"]
    assert await shop.owner.fetchval("SELECT count(*) FROM payments") == 1
    assert await clock_ticks(shop, scout) == 0
    assert await shop.owner.fetchval("SELECT count(*) FROM payments") == 1
    assert await shop.owner.fetchval("SELECT invoice_id FROM payment_invoices") == key.id


async def test_whoever_comes_at_once_finalizes_once(shop: Shop, pool: Pool, scout: Pool) -> None:
    await sells(shop, "pm_sandbox_ok")
    key = await draft(shop)
    shop.clock.advance(days=4)
    ends = await asyncio.gather(
        outcome(finalize(shop, key)),
        outcome(finalize(shop, key)),
        outcome(clock_ticks(shop, scout)),
        outcome(clock_ticks(shop, scout)),
    )
    assert sum(end in {"finalized", 1} for end in ends) == 1, ends
    [row] = await rows(shop)
    assert (row["status"], row["sequential_id"]) == ("finalized", 1)
    assert await events(shop) == ["invoice.created", "invoice.drafted"]
    assert await shop.owner.fetchval("SELECT count(*) FROM payments") == 1
    assert (
        await shop.owner.fetchval(
            "SELECT sum(amount_cents) FROM ledger_entries WHERE account = 'receivable'"
        )
        == 1000
    )


async def test_finalizing_deleting_and_the_clock_leave_no_gap(
    shop: Shop, pool: Pool, scout: Pool
) -> None:
    await sells(shop, "pm_sandbox_ok")
    keys = [await draft(shop) for _ in range(6)]
    shop.clock.advance(days=4)
    doing: list[Awaitable[str | int]] = []
    for key in keys:
        doing += [outcome(delete(shop, key)), outcome(finalize(shop, key))]
    doing.append(outcome(clock_ticks(shop, scout)))
    await asyncio.gather(*doing)
    found = await rows(shop)
    final = [row["sequential_id"] for row in found if row["status"] == "finalized"]
    gone = [row for row in found if row["status"] == "deleted"]
    assert len(final) + len(gone) == len(keys)
    assert final == [*range(1, len(final) + 1)]
    assert all(row["sequential_id"] is None for row in gone)
    told = await events(shop)
    assert told.count("invoice.created") == len(final)
    assert told.count("invoice.deleted") == len(gone)
    assert await shop.owner.fetchval("SELECT count(*) FROM payments") == len(final)


async def test_a_refresh_beside_a_finalize_keeps_what_was_finalized(shop: Shop) -> None:
    await sells(shop)
    key = await draft(shop)
    now = shop.clock.now()
    async with db.transaction(shop.pool, tenants=[key.organization_id]) as finalizing:
        await finalize_draft(finalizing, key.organization_id, key.id, collect=None, now=now)
        await shop.owner.execute("UPDATE add_ons SET amount_cents = 9999")

        async def refresh() -> int:
            async with db.transaction(shop.pool, tenants=[key.organization_id]) as conn:
                details = await refresh_draft(conn, key.organization_id, key.id, now=now)
            return details.invoice.total_cents

        refreshing = asyncio.create_task(refresh())
        await wait_for_a_waiter(shop)
    assert await refreshing == 1000
    assert await shop.owner.fetchval("SELECT sum(amount_cents) FROM fees") == 1000


async def wait_for_a_waiter(shop: Shop) -> None:
    async with asyncio.timeout(5):
        while not await shop.owner.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            " AND datname = current_database()"
        ):
            await asyncio.sleep(0)


async def test_a_draft_that_cannot_be_finalized_keeps_nobody_else(
    shop: Shop, pool: Pool, scout: Pool
) -> None:
    await sells(shop)
    bad, good = await draft(shop), await draft(shop)
    await shop.owner.execute(
        "UPDATE fees SET unit_amount_cents = $2, priced_by_add_on = false, units = 1000000"
        " WHERE invoice_id = $1",
        bad.id, 2**53,
    )  # fmt: skip
    shop.clock.advance(days=4)
    now = shop.clock.now()
    assert await clock_ticks(shop, scout) == 1
    statuses = {row["id"]: (row["status"], row["finalize_at"]) for row in await rows(shop)}
    assert statuses[good.id] == ("finalized", None)
    assert statuses[bad.id] == ("draft", now + flow.AFTER_A_FAILURE)
    await shop.owner.execute("UPDATE fees SET units = 1, unit_amount_cents = 1")
    shop.clock.at = now + flow.AFTER_A_FAILURE
    assert await clock_ticks(shop, scout) == 1


async def test_a_draft_that_somebody_holds_is_left_and_keeps_nobody_else(
    shop: Shop, scout: Pool
) -> None:
    await sells(shop)
    held, free = await draft(shop), await draft(shop)
    shop.clock.advance(days=4)
    async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
        await invoices.lock(conn, [held])
        assert await clock_ticks(shop, scout) == 1
    statuses = {row["id"]: row["status"] for row in await rows(shop)}
    assert statuses == {held.id: "draft", free.id: "finalized"}
    assert await clock_ticks(shop, scout) == 1


async def test_a_bug_of_ours_with_one_draft_is_heard_of_and_keeps_nobody_else(
    shop: Shop, scout: Pool
) -> None:
    await sells(shop)
    bad, good = await draft(shop), await draft(shop)
    await shop.owner.execute("UPDATE invoices SET issuing_date = NULL WHERE id = $1", bad.id)
    shop.clock.advance(days=4)
    with pytest.raises(AssertionError):
        await clock_ticks(shop, scout)
    statuses = {row["id"]: row["status"] for row in await rows(shop)}
    assert statuses == {bad.id: "draft", good.id: "finalized"}


async def test_more_drafts_than_one_look_finds_are_all_finalized(
    shop: Shop, pool: Pool, scout: Pool
) -> None:
    await sells(shop)
    for _ in range(5):
        await draft(shop)
    shop.clock.advance(days=4)
    now = shop.clock.now()
    assert await finalize_due_drafts(pool, scout, collect=None, now=now, at_once=2) == 5
    assert [row["sequential_id"] for row in await rows(shop)] == [1, 2, 3, 4, 5]

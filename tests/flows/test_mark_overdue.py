"""Invoices become late once, on UTC's day, for all tenants at once."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta

from recoup.flows import mark_overdue as flow
from recoup.flows.mark_overdue import mark_all_overdue, mark_overdue
from recoup.rules.records.keys import RowKey
from recoup.store.db import Pool
from tests.shop import Shop

YESTERDAY = date(2027, 2, 28)  # the shop's clock stands on 1 March 2027


async def overdue(shop: Shop) -> set[RowKey]:
    """Which invoices are marked, of any tenant."""
    rows = await shop.owner.fetch("SELECT organization_id, id FROM invoices WHERE payment_overdue")
    return {RowKey(row["organization_id"], row["id"]) for row in rows}


async def test_a_late_invoice_is_marked_and_told_of_once(
    shop: Shop, pool: Pool, scout: Pool
) -> None:
    other = await Shop(pool, shop.owner, shop.providers, shop.clock).open()
    now = shop.clock.now()
    customer = await shop.customer()
    late = await shop.invoice(customer, payment_due_date=YESTERDAY, payment_status="failed")
    theirs = await other.invoice(await other.customer(), payment_due_date=date(2026, 1, 1))
    for fields in (
        {"payment_due_date": now.date()},
        {"payment_due_date": None},
        {"payment_due_date": YESTERDAY, "payment_status": "succeeded"},
        {"payment_due_date": YESTERDAY, "status": "voided"},
        {"payment_due_date": YESTERDAY, "status": "draft"},
        {"payment_due_date": YESTERDAY, "payment_dispute_lost_at": now},
    ):
        await shop.invoice(customer, **fields)
    assert await mark_all_overdue(pool, scout, now=now) == 2
    assert await overdue(shop) == {late, theirs}
    [(kind, payload)] = await shop.told(late)
    assert kind == "invoice.payment_overdue"
    assert (payload["lago_id"], payload["payment_overdue"]) == (str(late.id), True)
    assert list(payload)[-3:] == ["customer", "fees", "applied_taxes"]
    assert len(await shop.told(theirs)) == 1
    assert await mark_all_overdue(pool, scout, now=now + timedelta(hours=1)) == 0
    assert len(await shop.told()) == 2


async def test_what_was_paid_between_is_not_marked(shop: Shop, pool: Pool) -> None:
    late = await shop.invoice(await shop.customer(), payment_due_date=YESTERDAY)
    await shop.change("invoices", late, payment_status="succeeded")
    assert await mark_overdue(pool, [late], now=shop.clock.now()) == 0
    assert (await overdue(shop), await shop.told()) == (set(), [])


async def test_two_sweeps_at_once_tell_once(shop: Shop, pool: Pool, scout: Pool) -> None:
    await shop.invoice(await shop.customer(), payment_due_date=YESTERDAY)
    now = shop.clock.now()
    marked = await asyncio.gather(*(mark_all_overdue(pool, scout, now=now) for _ in range(3)))
    assert sorted(marked) == [0, 0, 1]
    assert len(await shop.told()) == 1


async def test_an_invoice_that_is_unpaid_again_becomes_late_again(
    shop: Shop, pool: Pool, scout: Pool
) -> None:
    late = await shop.invoice(await shop.customer(), payment_due_date=YESTERDAY)
    await mark_all_overdue(pool, scout, now=shop.clock.now())
    await shop.change("invoices", late, payment_overdue=False)  # it was paid, and then was not
    shop.clock.advance(days=1)
    await mark_all_overdue(pool, scout, now=shop.clock.now())
    assert await shop.words() == ["invoice.payment_overdue"] * 2


async def test_more_than_one_transaction_takes_are_all_marked(
    shop: Shop, pool: Pool, scout: Pool
) -> None:
    customer = await shop.customer()
    many = flow.MOST_AT_ONCE + 1
    first = await shop.invoice(customer, payment_due_date=YESTERDAY)
    await shop.owner.execute(
        """INSERT INTO invoices (organization_id, id, customer_id, billing_entity_id, number,
                  status, payment_status, payment_due_date, currency, created_at, updated_at)
           SELECT i.organization_id, gen_random_uuid(), i.customer_id, i.billing_entity_id, 'n',
                  'finalized', 'pending', i.payment_due_date, 'EUR', i.created_at, i.updated_at
             FROM invoices i, generate_series(2, $1) WHERE i.id = $2""",
        many, first.id,
    )  # fmt: skip
    assert await mark_all_overdue(pool, scout, now=shop.clock.now()) == many
    assert len(await overdue(shop)) == len(await shop.told()) == many

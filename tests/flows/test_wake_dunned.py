"""Whoever changes a campaign, or who applies it, has the late ones looked at: all, and by a job."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import pytest

from recoup import clock
from recoup.flows.manage_billing_entities import (
    BillingEntityChange,
    BillingEntityInput,
    create_billing_entity,
    update_billing_entity,
)
from recoup.flows.mark_overdue import mark_all_overdue
from recoup.flows.sweep import sweep
from recoup.flows.wake_dunned import wake_dunned, wake_forgotten
from recoup.rules.records.keys import RowKey
from recoup.store import db, dunning_wakes, dunnings
from recoup.store.db import Pool
from tests.flows.dunning import (
    campaign,
    changed,
    deleted,
    look,
    said_of_customer,
    wakes_done,
)
from tests.flows.requests import overdue
from tests.flows.test_mark_overdue import YESTERDAY
from tests.flows.test_retry_race import patient
from tests.shop import Shop


async def awake(shop: Shop) -> set[Any]:
    """Whom the clock will look at."""
    return {row["customer_id"] for row in await shop.owner.fetch("SELECT * FROM dunnings")}


async def late_customer(shop: Shop) -> Any:
    customer = await shop.customer(linked=False)
    await overdue(shop, customer, [1_000])
    return customer


async def entity_applies(shop: Shop, code: str | None) -> None:
    entity = await shop.owner.fetchval("SELECT code FROM billing_entities WHERE is_default")
    async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
        await update_billing_entity(
            conn, shop.organization_id, entity,
            BillingEntityChange(applied_dunning_campaign_code=code), now=shop.clock.now(),
        )  # fmt: skip


async def test_a_campaign_that_is_made_as_applied_asks_those_who_are_late_already(
    shop: Shop, scout: Pool
) -> None:
    await late_customer(shop)
    await campaign(shop)
    assert len(await look(shop, scout)) == 1


async def test_an_entity_that_applies_a_campaign_asks_those_who_are_late_already(
    shop: Shop, scout: Pool
) -> None:
    await late_customer(shop)
    await campaign(shop, applied=False)
    assert await look(shop, scout) == []
    await entity_applies(shop, "late")
    assert len(await look(shop, scout)) == 1


async def test_whose_campaign_is_deleted_falls_to_that_of_their_entity(
    shop: Shop, scout: Pool
) -> None:
    customer = await late_customer(shop)
    await campaign(shop, code="own", applied=False, thresholds={"EUR": 5_000})
    await campaign(shop, code="entity's")
    await said_of_customer(shop, customer, applied_dunning_campaign_code="own")
    assert await look(shop, scout) == []  # too little is due for their own
    await deleted(shop, code="own")
    assert len(await look(shop, scout)) == 1


async def test_who_changes_to_an_entity_with_a_campaign_is_asked(shop: Shop, scout: Pool) -> None:
    customer = await late_customer(shop)
    await campaign(shop, applied=False)
    async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
        await create_billing_entity(
            conn, shop.organization_id,
            BillingEntityInput(
                code="strict", name="Strict", applied_dunning_campaign_code="late"
            ),
            entity_id=clock.new_id(), now=shop.clock.now(),
        )  # fmt: skip
    assert await look(shop, scout) == []
    await said_of_customer(shop, customer, billing_entity_code="strict")
    assert len(await look(shop, scout)) == 1


async def test_nobody_is_woken_for_another_name(shop: Shop, scout: Pool) -> None:
    await late_customer(shop)
    await campaign(shop)
    await wakes_done(shop)
    await changed(shop, name="Renamed", bcc_emails=["ann@shop.example"])
    assert await shop.owner.fetchval("SELECT count(*) FROM dunning_wakes") == 0
    await changed(shop, max_attempts=9)
    assert await shop.owner.fetchval("SELECT count(*) FROM dunning_wakes") == 1


async def test_all_are_woken_however_many_at_once(shop: Shop) -> None:
    await campaign(shop)
    customers = {await late_customer(shop) for _ in range(5)}
    await wake_dunned(
        shop.pool, dunning_wakes.job_key(shop.organization_id), most=2, now=shop.clock.now()
    )
    assert await awake(shop) == customers
    assert await shop.owner.fetchval("SELECT count(*) FROM dunning_wakes") == 0


async def test_a_change_meanwhile_begins_with_the_first_again(shop: Shop) -> None:
    """A second promise of a job that runs is none: what it goes by is the row."""
    await campaign(shop)
    customers = {await late_customer(shop) for _ in range(3)}
    await shop.owner.execute(
        "UPDATE dunning_wakes SET after_customer_id = $1, only_missing = true", max(customers)
    )
    await changed(shop, max_attempts=9)
    await wakes_done(shop)
    assert await awake(shop) == customers


async def test_a_job_that_is_lost_is_promised_again(shop: Shop, scout: Pool) -> None:
    await campaign(shop)
    await shop.owner.execute("DELETE FROM pgqueuer")
    shop.clock.advance(seconds=11)
    await sweep(shop.pool, scout, new_id=clock.new_id, now=shop.clock.now())
    promised = await shop.owner.fetchval(
        "SELECT convert_from(payload, 'UTF8') FROM pgqueuer WHERE entrypoint = 'wake_dunned'"
    )
    assert RowKey.read(promised) == dunning_wakes.job_key(shop.organization_id)


async def test_who_becomes_late_while_a_campaign_begins_to_apply_is_found_within_the_hour(
    shop: Shop, scout: Pool, dsn: str
) -> None:
    """Neither side sees what the other has not committed yet."""
    customer = await shop.customer(linked=False)
    await shop.invoice(customer, payment_due_date=YESTERDAY)
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(patient(dsn))
        async with db.transaction(pool, tenants=[shop.organization_id]) as marking:
            await marking.execute("UPDATE invoices SET payment_overdue = true")
            late = [RowKey(shop.organization_id, customer)]
            await dunnings.wake(marking, late, now=shop.clock.now())
            await campaign(shop)
            await wakes_done(shop)
    await mark_all_overdue(shop.pool, scout, now=shop.clock.now())
    assert await look(shop, scout) == []
    await wake_forgotten(shop.pool, scout, now=shop.clock.now())
    assert len(await look(shop, scout)) == 1


async def test_who_is_looked_at_anyway_is_not_hurried_by_the_hour(shop: Shop, scout: Pool) -> None:
    await campaign(shop)
    await late_customer(shop)
    assert len(await look(shop, scout)) == 1
    before = await shop.owner.fetchval("SELECT look_at FROM dunnings")
    await wake_forgotten(shop.pool, scout, now=shop.clock.now())
    await wakes_done(shop)
    assert await shop.owner.fetchval("SELECT look_at FROM dunnings") == before


@pytest.mark.parametrize("gone", ["deleted_at = now()", "exclude_from_dunning_campaign = true"])
async def test_who_is_gone_is_neither_woken_nor_asked(shop: Shop, scout: Pool, gone: str) -> None:
    await campaign(shop)
    await late_customer(shop)
    await wakes_done(shop)
    await shop.owner.execute(f"UPDATE customers SET {gone}")
    assert await look(shop, scout) == []
    assert await awake(shop) == set()
    await changed(shop, max_attempts=9)
    await wakes_done(shop)
    assert await awake(shop) == set()

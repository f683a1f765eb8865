"""A dunning campaign of a shop, and its clock: what the sweep and the worker do together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import asyncpg

from recoup import clock
from recoup.flows.dun_customer import dun_customer
from recoup.flows.manage_dunning_campaigns import (
    create_dunning_campaign,
    delete_dunning_campaign,
    update_dunning_campaign,
)
from recoup.flows.upsert_customer import upsert_customer
from recoup.flows.wake_dunned import wake_dunned
from recoup.rules.customer_changes import CustomerInput
from recoup.rules.dunning_campaigns import DunningCampaignInput, ThresholdInput
from recoup.rules.records.dunning import DunningCampaign
from recoup.rules.records.keys import RowKey
from recoup.store import db, dunnings
from recoup.store.db import Pool
from tests.flows.requests import attempt_of
from tests.shop import Shop


def asked_by(**said: Any) -> DunningCampaignInput:
    """What a caller says of a campaign: three times, three days apart, from 10.00 EUR on."""
    thresholds = said.pop("thresholds", {"EUR": 1_000})
    terms: dict[str, Any] = {"days_between_attempts": 3, "max_attempts": 3}
    return DunningCampaignInput(
        thresholds=[ThresholdInput(currency, cents) for currency, cents in thresholds.items()],
        **terms | said,
    )


async def campaign(
    shop: Shop, *, code: str = "late", applied: bool = True, **said: Any
) -> DunningCampaign:
    """A campaign that the shop's billing entity applies."""
    asked = asked_by(code=code, name="Late", applied_to_organization=applied, **said)
    async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
        return await create_dunning_campaign(
            conn, shop.organization_id, asked, campaign_id=clock.new_id(), now=shop.clock.now()
        )


async def changed(shop: Shop, *, of: str = "late", **said: Any) -> None:
    """Change what is given of a campaign."""
    async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
        await update_dunning_campaign(
            conn, shop.organization_id, of, DunningCampaignInput(**said), now=shop.clock.now()
        )


async def deleted(shop: Shop, *, code: str = "late") -> None:
    """Delete a campaign."""
    async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
        await delete_dunning_campaign(conn, shop.organization_id, code, now=shop.clock.now())


async def said_of_customer(shop: Shop, customer_id: UUID, **said: Any) -> None:
    """Change what is given of a customer, as the API does."""
    external_id = await shop.owner.fetchval(
        "SELECT external_id FROM customers WHERE id = $1", customer_id
    )
    async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
        await upsert_customer(
            conn, shop.organization_id, CustomerInput(external_id=external_id, **said),
            change_id=clock.new_id(), now=shop.clock.now(),
        )  # fmt: skip


async def woken(shop: Shop) -> None:
    """What is late has become so now: `mark_overdue` wakes whom a campaign asks."""
    late = await shop.owner.fetch("SELECT DISTINCT customer_id FROM invoices WHERE payment_overdue")
    keys = [RowKey(shop.organization_id, row["customer_id"]) for row in late]
    async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
        await dunnings.wake(conn, keys, now=shop.clock.now())


async def wakes_done(shop: Shop) -> None:
    """Do what was promised for the shop's late customers, as the worker does."""
    promised = await shop.owner.fetch(
        "DELETE FROM pgqueuer WHERE entrypoint = 'wake_dunned'"
        " RETURNING convert_from(payload, 'UTF8')"
    )
    for (key,) in promised:
        await wake_dunned(shop.pool, RowKey.read(key), now=shop.clock.now())


async def look(shop: Shop, scout: Pool, *, can_mail: bool = True) -> list[RowKey]:
    """Look at everybody who is due, and answer the requests made, by currency and size."""
    await wakes_done(shop)
    before = {one["id"] for one in await requests(shop)}
    async with db.nameless(scout) as conn:
        due = await dunnings.to_look_at(conn, now=shop.clock.now(), most=100)
    for customer in due:
        await dun_customer(
            shop.pool, customer, can_mail=can_mail, new_id=clock.new_id, now=shop.clock.now()
        )
    return [
        RowKey(one["organization_id"], one["id"])
        for one in await requests(shop)
        if one["id"] not in before
    ]


async def requests(shop: Shop) -> Sequence[asyncpg.Record]:
    """All payment requests."""
    return await shop.owner.fetch("SELECT * FROM payment_requests ORDER BY currency, amount_cents")


async def submitted(shop: Shop, made: Sequence[RowKey]) -> None:
    """Send the attempts of these requests, and let no schedule try their invoices again."""
    for request in made:
        await shop.submit(attempt_of(request))
    await shop.owner.execute("UPDATE invoices SET next_try_at = NULL")


async def counts(shop: Shop) -> dict[str, int]:
    """How often each currency was asked for, of the one customer that there is."""
    rows = await shop.owner.fetch("SELECT currency, attempts FROM dunning_counters")
    return {row["currency"]: row["attempts"] for row in rows}

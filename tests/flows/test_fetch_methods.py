"""A customer who is linked by their id at the provider brings along what they have there."""

from __future__ import annotations

from typing import Any

import pytest

from recoup import clock
from recoup.flows.fetch_methods import ASKED_FOR, fetch_methods
from recoup.flows.keep_methods import ProviderSilentError
from recoup.flows.upsert_customer import upsert_customer
from recoup.rules.customer_changes import BillingConfigurationInput, CustomerInput
from recoup.rules.records.keys import RowKey
from recoup.store import db
from tests.flows.cards import Cards
from tests.flows.debits import Debits
from tests.shop import Shop


async def link(shop: Shop, kind: str, known_as: str | None, **fields: Any) -> list[RowKey]:
    """A caller links a customer; answers the links of which the methods are to be fetched."""
    await shop.owner.execute("DELETE FROM pgqueuer")
    billing = {"payment_provider": kind, "provider_customer_id": known_as}
    asked = CustomerInput(
        external_id="c1", billing_configuration=BillingConfigurationInput(**billing), **fields
    )
    async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
        await upsert_customer(
            conn, shop.organization_id, asked, change_id=clock.new_id(), now=shop.clock.now()
        )
    rows = await shop.owner.fetch("SELECT payload FROM pgqueuer WHERE entrypoint = 'fetch_methods'")
    return [RowKey.read(row["payload"].decode()) for row in rows]


async def fetch(shop: Shop, key: RowKey) -> int:
    return await fetch_methods(
        shop.pool, shop.providers, key, new_id=clock.new_id, now=shop.clock.now()
    )


async def kept(shop: Shop) -> dict[str, bool]:
    """The methods that are kept, oldest first, and whether each is the default."""
    rows = await shop.owner.fetch(
        "SELECT provider_method_id, is_default FROM payment_methods WHERE deleted_at IS NULL"
        " ORDER BY created_at, id"
    )
    return {row["provider_method_id"]: row["is_default"] for row in rows}


async def test_what_the_customer_has_at_stripe_is_kept_its_default_first(cards: Cards) -> None:
    for number in (1, 2, 3):
        cards.books.keep("cus_1", f"pm_{number}", default=number == 2)
    [key] = await link(cards.shop, "stripe", "cus_1")
    assert cards.books.asked == 0, "nobody is asked in the caller's transaction"
    assert await fetch(cards.shop, key) == 3
    assert await kept(cards.shop) == {"pm_2": True, "pm_3": False, "pm_1": False}
    row = await cards.shop.owner.fetchval("SELECT details FROM payment_methods LIMIT 1")
    assert "4242" in row
    assert await cards.collections() == 1
    assert await fetch(cards.shop, key) == 0  # the job ran twice
    assert await cards.collections() == 0


async def test_it_is_asked_for_when_the_link_is_made_or_changed_and_then_only(
    cards: Cards,
) -> None:
    shop = cards.shop
    assert len(await link(shop, "stripe", "cus_1")) == 1
    assert await link(shop, "stripe", "cus_1", name="Ada Ltd") == []
    assert await link(shop, "stripe", None, name="Ada and Sons") == []
    assert len(await link(shop, "stripe", "cus_2")) == 1


async def test_of_mandates_only_those_that_can_be_charged_are_kept(debits: Debits) -> None:
    debits.stub.mandate("MD2", customer="CU2")
    debits.stub.mandate("MD3", status="cancelled", customer="CU2")
    debits.stub.mandate("MD4", status="suspended_by_payer", customer="CU2")  # not ended, no use
    [key] = await link(debits.shop, "gocardless", "CU2")
    assert await fetch(debits.shop, key) == 1
    assert await kept(debits.shop) == {"MD2": True}


async def test_silence_comes_back_for_a_day_and_is_not_called_nothing(cards: Cards) -> None:
    shop = cards.shop
    cards.books.keep("cus_1", "pm_1")
    [key] = await link(shop, "stripe", "cus_1")
    cards.books.drops = "after"
    with pytest.raises(ProviderSilentError):
        await fetch(shop, key)
    cards.books.drops = ""
    assert await fetch(shop, key) == 1
    cards.books.methods["cus_2"] = ["pm_2"]
    [key] = await link(shop, "stripe", "cus_2")
    cards.books.refuses = True  # the key has no right to read, perhaps for ever
    with pytest.raises(ProviderSilentError):
        await fetch(shop, key)
    shop.clock.at += ASKED_FOR
    assert await fetch(shop, key) == 0


@pytest.mark.parametrize("by", ["nobody's", "a method", "another link", "a deletion"])
async def test_who_wants_none_any_more_is_left_alone(cards: Cards, by: str) -> None:
    shop = cards.shop
    cards.books.keep("cus_1", "pm_1")
    cards.books.keep("cus_1", "pm_2")
    [key] = await link(shop, "stripe", "cus_of_nobody" if by == "nobody's" else "cus_1")
    left: dict[str, bool] = {}
    if by == "a method":
        await insert(shop, key, "pm_1")
        left = {"pm_1": True}
    elif by == "another link":
        await link(shop, "stripe", "cus_2")
    elif by == "a deletion":
        await shop.owner.execute("UPDATE customers SET deleted_at = now()")
    assert await fetch(shop, key) == 0
    assert await kept(shop) == left


async def test_a_method_that_the_merchant_deleted_does_not_come_along(cards: Cards) -> None:
    shop = cards.shop
    cards.books.keep("cus_1", "pm_1")
    cards.books.keep("cus_1", "pm_2", default=True)
    [key] = await link(shop, "stripe", "cus_1")
    await insert(shop, key, "pm_2")
    await shop.owner.execute("UPDATE payment_methods SET deleted_at = now(), is_default = false")
    assert await fetch(shop, key) == 1
    assert await kept(shop) == {"pm_1": True}


async def test_at_the_sandbox_there_is_nothing_to_ask_for(shop: Shop) -> None:
    assert await link(shop, "sandbox", "cus_1") == []


async def insert(shop: Shop, key: RowKey, method: str) -> None:
    await shop.owner.execute(
        """INSERT INTO payment_methods (organization_id, id, customer_id, provider_customer_id,
                  provider_method_id, is_default, created_at)
           SELECT organization_id, $1, customer_id, id, $2, true, $3
             FROM provider_customers WHERE id = $4""",
        clock.new_id(), method, shop.clock.now(), key.id,
    )  # fmt: skip

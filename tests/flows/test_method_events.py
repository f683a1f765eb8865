"""What a provider says of payment methods: which are kept, which is the default, which is gone."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from recoup import clock
from recoup.flows.apply_event import apply_event
from recoup.flows.attach_payment_method import attach_payment_method
from recoup.flows.manage_payment_methods import delete_payment_method
from recoup.flows.receive_event import receive_event
from recoup.rules.records.keys import RowKey
from recoup.store import db
from tests.flows.cards import Cards
from tests.providers.adyen_webhooks import HMAC_KEY, a_batch, an_item
from tests.shop import Shop


async def kept(shop: Shop) -> list[str]:
    rows = await shop.owner.fetch(
        "SELECT provider_method_id FROM payment_methods WHERE deleted_at IS NULL"
    )
    return [row["provider_method_id"] for row in rows]


async def test_only_news_of_an_end_drops_a_method(cards: Cards) -> None:
    """A hint that finds nothing may name the wrong customer, or none; the method is not gone."""
    customer = await cards.customer("pm_1")
    wrong = {"id": "pm_1", "customer": "cus_of_nobody"}
    assert await cards.hears("payment_method.attached", wrong) == "no_such_method"
    assert await cards.kept(customer) == {"pm_1": True}
    detached = {"id": "pm_1", "customer": None}
    assert await cards.hears("payment_method.detached", detached) == "nothing_new"
    assert await cards.kept(customer) == {"pm_1": True}  # Stripe has it still: old news
    cards.books.methods[customer] = []
    assert await cards.hears("payment_method.detached", detached) == "method_dropped"
    assert await cards.kept(customer) == {}


async def test_a_method_that_was_never_kept_does_not_come_with_news_of_its_end(
    cards: Cards,
) -> None:
    customer = await cards.customer("pm_1")
    cards.books.keep(customer, "pm_2")
    assert await cards.hears("payment_method.detached", {"id": "pm_2"}) == "nothing_new"
    assert await cards.kept(customer) == {"pm_1": True}


async def test_an_adyen_token_without_its_shopper_is_left_as_it_is(cards: Cards) -> None:
    """Adyen tells the shopper where the account has that switched on, and only then."""
    shop = cards.shop
    await shop.moves_to(
        "adyen", {"api_key": "AQE", "merchant_account": "Acme", "hmac_key": HMAC_KEY}
    )
    await shop.customer("8415698462516992")
    item = an_item(eventCode="RECURRING_CONTRACT", pspReference="8415698462516992")
    assert await receive_event(
        shop.pool, shop.providers, shop.organization_id, kind="adyen", code="sandbox",
        body=a_batch(item), headers={}, new_id=clock.new_id,
        now=shop.clock.now(),
    ) == 1  # fmt: skip
    event = await shop.owner.fetchval("SELECT id FROM provider_events")
    word = await apply_event(
        shop.pool, shop.providers, RowKey(shop.organization_id, event), jitter=timedelta(),
        new_id=clock.new_id, now=shop.clock.now(),
    )  # fmt: skip
    assert word == "no_such_method"
    assert await kept(shop) == ["8415698462516992"]


def set_up(customer: str, method: str, at: datetime) -> dict[str, Any]:
    """A set-up that has succeeded."""
    return {
        "id": "seti_1", "customer": customer, "payment_method": method,
        "created": int(at.timestamp()),
    }  # fmt: skip


def switched(customer: str, to: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A customer who has another default than before, and what there was before."""
    now = {"id": customer, "invoice_settings": {"default_payment_method": to}}
    return now, {"invoice_settings": {"default_payment_method": "pm_before"}}


async def test_a_default_that_was_switched_at_the_provider_is_the_default_and_collects(
    cards: Cards,
) -> None:
    customer = await cards.customer("pm_1", "pm_2")
    cards.books.defaults[customer] = "pm_2"
    now, before = switched(customer, "pm_2")
    assert await cards.hears("customer.updated", now, previous_attributes=before) == "made_default"
    assert await cards.kept(customer) == {"pm_1": False, "pm_2": True}
    assert await cards.collections() == 1
    assert await cards.hears("customer.updated", now, previous_attributes=before) == "nothing_new"
    assert await cards.kept(customer) == {"pm_1": False, "pm_2": True}
    assert await cards.collections() == 0


async def test_an_old_switch_of_the_default_undoes_no_newer_one(cards: Cards) -> None:
    """Events come in any order, so the provider is asked which is the default now."""
    customer = await cards.customer("pm_1", "pm_2")
    cards.books.keep(customer, "pm_3")
    cards.books.defaults[customer] = "pm_2"
    for method in ("pm_2", "pm_1", "pm_3"):
        now, before = switched(customer, method)
        await cards.hears("customer.updated", now, previous_attributes=before)
    assert await cards.kept(customer) == {"pm_1": False, "pm_2": True}


async def test_the_provider_is_silent_about_its_default_and_the_event_waits(cards: Cards) -> None:
    customer = await cards.customer("pm_1", "pm_2")
    cards.books.defaults[customer] = "pm_2"
    now, before = switched(customer, "pm_2")
    event = await cards.receives("customer.updated", now, previous_attributes=before)
    cards.books.drops = "before"
    assert await cards.applies(event) is None
    assert await cards.kept(customer) == {"pm_1": True, "pm_2": False}
    cards.books.drops = ""
    assert await cards.applies(event) == "made_default"


async def test_a_provider_that_never_tells_of_a_method_is_not_asked_for_ever(cards: Cards) -> None:
    customer = await cards.customer("pm_1", "pm_2")
    now, before = switched(customer, "pm_2")
    event = await cards.receives("customer.updated", now, previous_attributes=before)
    cards.books.drops = "before"
    cards.shop.clock.advance(days=2)
    assert await cards.applies(event) == "method_not_told"
    assert await cards.kept(customer) == {"pm_1": True, "pm_2": False}


async def test_a_method_that_is_set_up_once_more_is_the_default_and_collects(cards: Cards) -> None:
    customer = await cards.customer("pm_1", "pm_2")
    again = set_up(customer, "pm_2", cards.shop.clock.now())
    words = [await cards.hears("setup_intent.succeeded", again) for _ in range(2)]
    assert words == ["made_default", "nothing_new"]
    assert await cards.kept(customer) == {"pm_1": False, "pm_2": True}
    assert await cards.collections() == 1


async def test_a_kept_method_that_is_merely_named_stays_what_it_is(cards: Cards) -> None:
    customer = await cards.customer("pm_1", "pm_2")
    attached = {"id": "pm_2", "customer": customer}
    assert await cards.hears("payment_method.attached", attached) == "nothing_new"
    assert await cards.kept(customer) == {"pm_1": True, "pm_2": False}
    assert await cards.collections() == 0


async def deletes(cards: Cards, customer: str, method: str) -> None:
    """The merchant deletes a method, by the API."""
    shop = cards.shop
    customer_id = UUID(customer.removeprefix("cus_"))
    row = await shop.owner.fetchrow(
        """SELECT m.id, c.external_id FROM payment_methods m
             JOIN customers c ON c.id = m.customer_id
            WHERE c.id = $1 AND m.provider_method_id = $2 AND m.deleted_at IS NULL""",
        customer_id, method,
    )  # fmt: skip
    async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
        await delete_payment_method(
            conn, shop.organization_id, row["external_id"], row["id"], now=shop.clock.now()
        )


@pytest.mark.parametrize("hint", ["attached", "the default", "set up before"])
async def test_what_the_merchant_deleted_is_not_kept_again_by_an_event(
    cards: Cards, hint: str
) -> None:
    customer = await cards.customer("pm_1", "pm_2")
    began = cards.shop.clock.now()
    cards.shop.clock.advance(minutes=1)
    await deletes(cards, customer, "pm_2")
    cards.books.defaults[customer] = "pm_2"  # Stripe has it still
    cards.shop.clock.advance(minutes=1)
    if hint == "attached":
        word = await cards.hears("payment_method.attached", {"id": "pm_2", "customer": customer})
    elif hint == "the default":
        now, before = switched(customer, "pm_2")
        word = await cards.hears("customer.updated", now, previous_attributes=before)
    else:  # it began before the deletion, and its event comes late
        word = await cards.hears("setup_intent.succeeded", set_up(customer, "pm_2", began))
    assert word == "deleted_by_the_merchant"
    assert await cards.kept(customer) == {"pm_1": True}
    assert await cards.collections() == 0


async def test_the_customer_who_sets_a_deleted_method_up_once_more_has_it_again(
    cards: Cards,
) -> None:
    customer = await cards.customer("pm_1", "pm_2")
    await deletes(cards, customer, "pm_2")
    cards.shop.clock.advance(minutes=1)
    again = set_up(customer, "pm_2", cards.shop.clock.now())
    assert await cards.hears("setup_intent.succeeded", again) == "method_added"
    assert await cards.kept(customer) == {"pm_1": False, "pm_2": True}
    assert await cards.collections() == 1


async def test_the_merchant_attaches_again_what_they_deleted(cards: Cards) -> None:
    customer = await cards.customer("pm_1", "pm_2")
    await deletes(cards, customer, "pm_2")
    shop = cards.shop
    await attach_payment_method(
        shop.pool, shop.providers, shop.organization_id, "customer-1", "pm_2",
        method_id=clock.new_id(), now=shop.clock.now(),
    )  # fmt: skip
    assert await cards.kept(customer) == {"pm_1": True, "pm_2": False}
    attached = {"id": "pm_2", "customer": customer}
    assert await cards.hears("payment_method.attached", attached) == "nothing_new"


async def test_a_method_that_was_gone_at_the_provider_comes_back_with_its_news(
    cards: Cards,
) -> None:
    """A mandate is reinstated; and who deleted it before has attached it again since."""
    customer = await cards.customer("pm_1", "pm_2")
    shop = cards.shop
    await deletes(cards, customer, "pm_2")
    await attach_payment_method(
        shop.pool, shop.providers, shop.organization_id, "customer-1", "pm_2",
        method_id=clock.new_id(), now=shop.clock.now(),
    )  # fmt: skip
    shop.clock.advance(minutes=1)
    cards.books.methods[customer] = ["pm_1"]
    assert await cards.hears("payment_method.detached", {"id": "pm_2"}) == "method_dropped"
    cards.books.keep(customer, "pm_2")
    attached = {"id": "pm_2", "customer": customer}
    assert await cards.hears("payment_method.attached", attached) == "method_added"
    assert await cards.kept(customer) == {"pm_1": False, "pm_2": True}


async def test_another_link_of_the_same_customer_knows_nothing_of_what_was_deleted(
    cards: Cards,
) -> None:
    """Linked anew, by the same id too, the customer begins without any: the merchant said so."""
    customer = await cards.customer("pm_1", "pm_2")
    shop = cards.shop
    await deletes(cards, customer, "pm_2")
    await shop.owner.execute("UPDATE provider_customers SET discarded_at = now()")
    await shop.owner.execute("UPDATE payment_methods SET deleted_at = now(), is_default = false")
    await shop.owner.execute(
        """INSERT INTO provider_customers (organization_id, id, customer_id, provider_account_id,
                  provider_customer_id, created_at)
           SELECT organization_id, $1, customer_id, provider_account_id, provider_customer_id, $2
             FROM provider_customers""",
        clock.new_id(), shop.clock.now(),
    )  # fmt: skip
    attached = {"id": "pm_2", "customer": customer}
    assert await cards.hears("payment_method.attached", attached) == "method_added"

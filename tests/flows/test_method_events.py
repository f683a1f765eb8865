"""What a provider says of payment methods: which are kept, which is the default, which is gone."""

from __future__ import annotations

from datetime import timedelta

from recoup import clock
from recoup.flows.apply_event import apply_event
from recoup.flows.receive_event import receive_event
from recoup.rules.records.keys import RowKey
from tests.flows.cards import Cards
from tests.providers.test_adyen import HMAC_KEY, a_batch, an_item
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

"""`sync_with_provider`: the provider makes the customer, once, and it is told how that ended."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from recoup import clock
from recoup.flows.delete_customer import delete_customer
from recoup.flows.keep_methods import ProviderSilentError
from recoup.flows.make_provider_customer import make_provider_customer
from recoup.flows.upsert_customer import upsert_customer
from recoup.rules.customer_changes import BillingConfigurationInput, CustomerInput
from recoup.rules.records.keys import RowKey
from recoup.store import db
from tests.flows.cards import Cards
from tests.flows.debits import Debits
from tests.providers.gocardless_stub import TOKEN

SYNC = {"payment_provider": "gocardless", "sync_with_provider": True}


async def upsert(debits: Debits, billing: dict[str, Any] | None = None, **fields: Any) -> None:
    shop = debits.shop
    asked = CustomerInput(
        external_id="c1",
        billing_configuration=BillingConfigurationInput(**(SYNC if billing is None else billing)),
        **fields,
    )
    async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
        await upsert_customer(
            conn, shop.organization_id, asked, change_id=clock.new_id(), now=shop.clock.now()
        )


async def promised(debits: Debits) -> list[RowKey]:
    rows = await debits.shop.owner.fetch(
        "SELECT payload FROM pgqueuer WHERE entrypoint = 'make_provider_customer'"
    )
    return [RowKey.read(row["payload"].decode()) for row in rows]


async def make(debits: Debits) -> None:
    [link] = await promised(debits)
    shop = debits.shop
    await make_provider_customer(shop.pool, shop.providers, link, now=shop.clock.now())


async def known_as(debits: Debits) -> list[str | None]:
    rows = await debits.shop.owner.fetch(
        "SELECT provider_customer_id FROM provider_customers WHERE discarded_at IS NULL"
    )
    return [row["provider_customer_id"] for row in rows]


def made(debits: Debits) -> list[dict[str, Any]]:
    """The customers in GoCardless's books that a test did not put there."""
    return [one for one in debits.stub.books["customers"] if "created_at" in one]


async def test_the_provider_makes_the_customer_and_its_id_is_kept_and_told(debits: Debits) -> None:
    await upsert(debits, name="Ada Ltd", email="ada@example.com,two@example.com", country="GB")
    assert await known_as(debits) == [None]
    await make(debits)
    [customer] = made(debits)
    assert customer["company_name"] == "Ada Ltd"
    assert customer["email"] == "ada@example.com"
    assert await known_as(debits) == [customer["id"]]
    [(_, told)] = [one for one in await debits.shop.told() if "provider" in one[0]]
    assert told["billing_configuration"]["provider_customer_id"] == customer["id"]
    await make(debits)  # the job ran twice
    assert len(made(debits)) == 1
    assert (await debits.shop.words()).count("customer.payment_provider_created") == 1


async def test_a_page_to_leave_a_method_on_is_told_of_after_the_customer(debits: Debits) -> None:
    await upsert(debits, name="Ada Ltd")
    await make(debits)
    [request] = debits.stub.books["billing_requests"]
    assert request["links"]["customer"] == made(debits)[0]["id"]
    words = await debits.shop.words()
    assert words.count("customer.checkout_url_generated") == 1
    told = dict(await debits.shop.told())["customer.checkout_url_generated"]
    assert told == {
        "lago_customer_id": request["metadata"]["lago_customer_id"],
        "external_customer_id": "c1",
        "payment_provider": "gocardless",
        "payment_provider_code": told["payment_provider_code"],
        "checkout_url": f"https://pay.gocardless.com/flow/{request['id']}",
    }


async def test_whoever_dies_before_the_customer_is_kept_asks_for_the_same_page(
    debits: Debits,
) -> None:
    await upsert(debits, name="Ada Ltd")
    await make(debits)
    shop = debits.shop
    await shop.owner.execute("UPDATE provider_customers SET provider_customer_id = NULL")
    shop.clock.advance(seconds=20)
    await make(debits)  # as if nothing had been committed
    assert len(debits.stub.books["billing_requests"]) == 1


async def test_a_page_that_does_not_open_keeps_nobody(debits: Debits) -> None:
    await upsert(debits, name="Ada Ltd")
    debits.stub.refuses = {"billing_requests"}
    await make(debits)
    assert await known_as(debits) == [made(debits)[0]["id"]]
    assert "customer.checkout_url_generated" not in await debits.shop.words()
    assert "customer.payment_provider_created" in await debits.shop.words()


async def test_a_lost_answer_makes_no_second_customer(debits: Debits) -> None:
    await upsert(debits, name="Ada Ltd")
    debits.stub.fault = "drop_after"
    with pytest.raises(ProviderSilentError):
        await make(debits)
    debits.stub.fault = ""
    await make(debits)
    [customer] = made(debits)
    assert await known_as(debits) == [customer["id"]]


async def test_a_refusal_is_told_and_the_next_change_asks_again(debits: Debits) -> None:
    await upsert(debits)  # GoCardless wants a name
    await make(debits)
    await make(debits)
    [(_, told)] = [one for one in await debits.shop.told() if one[0].endswith("provider_error")]
    assert told["external_customer_id"] == "c1"
    assert told["payment_provider"] == "gocardless"
    assert told["provider_error"]["error_code"]
    assert TOKEN not in str(told), "GoCardless's own words hold the token here"
    assert await known_as(debits) == [None]
    debits.shop.clock.advance(minutes=1)
    await upsert(debits, name="Ada Ltd")
    await make(debits)
    assert await known_as(debits) == [made(debits)[0]["id"]]


@pytest.mark.parametrize("by", ["an id of the caller's", "being unlinked", "being deleted"])
async def test_who_no_longer_waits_is_left_alone(debits: Debits, by: str) -> None:
    await upsert(debits, name="Ada Ltd")
    [link] = await promised(debits)
    shop = debits.shop
    if by == "an id of the caller's":
        await upsert(debits, {"payment_provider": "gocardless", "provider_customer_id": "CU9"})
    elif by == "being unlinked":
        await upsert(debits, {"payment_provider": None})
    else:
        async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
            await delete_customer(conn, shop.organization_id, "c1", now=shop.clock.now())
    await make_provider_customer(shop.pool, shop.providers, link, now=shop.clock.now())
    assert made(debits) == []
    assert "customer.payment_provider_created" not in await shop.words()


async def asks(cards: Cards, **fields: Any) -> None:
    """A caller of the API wants a customer at Stripe, or changes them."""
    shop = cards.shop
    billing = {"payment_provider": "stripe", "sync_with_provider": True}
    asked = CustomerInput(
        external_id="c1", billing_configuration=BillingConfigurationInput(**billing), **fields
    )
    async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
        await upsert_customer(
            conn, shop.organization_id, asked, change_id=clock.new_id(), now=shop.clock.now()
        )


async def runs(cards: Cards) -> str | None:
    """The job runs; answers as whom Stripe knows the customer then."""
    shop = cards.shop
    link = await shop.owner.fetchval("SELECT id FROM provider_customers WHERE discarded_at IS NULL")
    key = RowKey(shop.organization_id, link)
    with suppress(ProviderSilentError):
        await make_provider_customer(shop.pool, shop.providers, key, now=shop.clock.now())
    return (await shop.row("provider_customers", key))["provider_customer_id"]


async def test_the_same_request_is_sent_again_whatever_the_customer_is_called_by_then(
    cards: Cards,
) -> None:
    await asks(cards, name="Ada Ltd")
    cards.books.drops = "after"
    assert await runs(cards) is None
    cards.books.drops = ""
    cards.shop.clock.advance(hours=1)
    await asks(cards, name="Ada and Sons", email="ada@example.com")
    assert await runs(cards) == "cus_0"
    assert [one["name"] for one in cards.books.made] == ["Ada Ltd"]
    row = await cards.shop.owner.fetchrow("SELECT * FROM provider_customers")
    assert (row["creation_request"], row["creation_sent_at"]) == (None, None)


async def test_no_second_customer_is_made_once_the_provider_may_have_forgotten_the_first(
    cards: Cards,
) -> None:
    await asks(cards, name="Ada Ltd")
    cards.books.drops = "after"
    for _ in range(3):
        assert await runs(cards) is None
        cards.shop.clock.advance(hours=6)
    cards.books.drops = ""
    cards.shop.clock.advance(hours=6)
    cards.books.keys.clear()  # after a day, Stripe forgets them
    for _ in range(2):
        assert await runs(cards) is None
        cards.shop.clock.advance(days=1)
        await asks(cards, name="Ada and Sons")
    assert len(cards.books.made) == 1
    told = [shown for kind, shown in await cards.shop.told() if kind.endswith("provider_error")]
    assert [one["provider_error"]["error_code"] for one in told] == ["customer_creation_unanswered"]


async def test_a_refusal_after_a_lost_answer_does_not_make_the_key_young_again(
    cards: Cards,
) -> None:
    """A revoked key refuses whatever is asked, and says nothing of the call before."""
    await asks(cards, name="Ada Ltd")
    cards.books.drops = "after"
    assert await runs(cards) is None
    cards.books.drops = ""
    cards.books.refuses = True
    cards.shop.clock.advance(hours=19)
    assert await runs(cards) is None
    cards.books.refuses = False
    cards.books.keys.clear()
    cards.shop.clock.advance(hours=19)
    await asks(cards, name="Ada and Sons")
    assert await runs(cards) is None
    assert len(cards.books.made) == 1


async def test_a_refusal_of_the_first_call_leaves_nothing_open(cards: Cards) -> None:
    await asks(cards, name="Ada Ltd")
    cards.books.refuses = True
    assert await runs(cards) is None
    cards.books.refuses = False
    cards.shop.clock.advance(days=3)
    await asks(cards, name="Ada and Sons")
    assert await runs(cards) == "cus_0"
    assert [one["name"] for one in cards.books.made] == ["Ada and Sons"]

"""The stand-in does what Stripe does: else the adapter's tests prove nothing.

Asked through Stripe's own SDK, as any program would.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
import stripe
from msgspec.structs import replace

from recoup import clock
from recoup.providers.protocol import Charge, CustomerNeeded, Declined, Lost, Manner, Paid
from recoup.providers.stripe import StripeProvider, StripeSecrets
from recoup.providers.stripe_http import SaysNothingError, StripeHttp
from tests.providers.stripe_world import WANTS_PAYER, StripeWorld, stripe_world
from tests.providers.test_stripe import description
from tests.providers.test_stripe_requests import ORDER, render_order


class Shop:
    """A customer with a card, and somebody who charges it."""

    def __init__(self, world: StripeWorld, http: httpx.AsyncClient) -> None:
        self.world = world
        self.sdk = stripe.StripeClient(
            world.secret_key,
            base_addresses={"api": world.base},
            http_client=StripeHttp(http),
            max_network_retries=0,
        )
        self.provider = StripeProvider(StripeSecrets(world.secret_key), base=world.base, http=http)

    async def furnish(self) -> None:
        self.customer = await self.world.customer()
        self.card = await self.world.card(self.customer)

    def params(self, **changes: Any) -> Any:
        params = {
            "amount": 1_000, "currency": "eur", "customer": self.customer, "confirm": True,
            "payment_method": self.card, "off_session": True, "return_url": "https://x.example/",
        }  # fmt: skip
        return {**params, **changes}

    async def charge(self, key: str, **changes: Any) -> stripe.PaymentIntent:
        options: Any = {"idempotency_key": key}
        return await self.sdk.v1.payment_intents.create_async(self.params(**changes), options)


@pytest_asyncio.fixture
async def shop(localstripe_base: str) -> AsyncIterator[Shop]:
    async with (
        stripe_world(localstripe_base, description()) as world,
        httpx.AsyncClient() as http,
    ):
        it = Shop(world, http)
        await it.furnish()
        yield it


async def test_a_key_gives_the_same_answer_again_and_charges_once(shop: Shop) -> None:
    first = await shop.charge("key")
    again = await shop.charge("key")
    assert again.last_response
    assert first.last_response
    assert again.last_response.body == first.last_response.body
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    assert len(await shop.world.charges()) == 1


async def test_a_key_with_other_parameters_is_refused(shop: Shop) -> None:
    await shop.charge("key")
    with pytest.raises(stripe.IdempotencyError):
        await shop.charge("key", amount=1_001)
    assert len(await shop.world.charges()) == 1


async def test_a_declined_charge_is_declined_again_under_its_key(shop: Shop) -> None:
    shop.card = await shop.world.card(shop.customer, "4000000000000341")
    bodies = []
    for _ in range(2):
        with pytest.raises(stripe.CardError) as caught:
            await shop.charge("key")
        bodies.append(caught.value.http_body)
    assert bodies[0] == bodies[1]
    assert len(await shop.world.charges()) == 1


async def test_sixteen_at_once_under_one_key_make_one_charge(shop: Shop) -> None:
    ends = await asyncio.gather(*(shop.charge("key") for _ in range(16)), return_exceptions=True)
    charged = {end.id for end in ends if isinstance(end, stripe.PaymentIntent)}
    at_work = [end for end in ends if isinstance(end, SaysNothingError) and end.status == 409]
    assert len(charged) == 1
    assert at_work
    assert len(await shop.world.charges()) == 1
    assert shop.world.gate.charges_under_key == {"key": 1}


async def test_a_misspelt_parameter_is_refused(shop: Shop) -> None:
    if description() is None:
        pytest.skip("without Stripe's own description nobody knows what is misspelt")
    with pytest.raises(stripe.InvalidRequestError):
        await shop.charge("key", misspelt=1)
    assert len(shop.world.gate.complaints) == 1
    assert await shop.world.charges() == []


async def test_another_customers_card_is_refused(shop: Shop) -> None:
    other = await shop.world.customer()
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await shop.charge("key", customer=other)
    assert caught.value.param == "payment_method"
    assert await shop.world.charges() == []


async def test_lists_are_narrowed_down_newest_first_and_paged(shop: Shop) -> None:
    ids = [(await shop.charge(f"key-{number}")).id for number in range(5)]
    other = await shop.world.customer()
    listed: list[str] = []
    params: dict[str, Any] = {"customer": shop.customer, "limit": 2}
    while True:
        page = await shop.sdk.v1.payment_intents.list_async(params)  # type: ignore[arg-type]
        listed += [one.id for one in page.data]
        if not page.has_more:
            break
        params["starting_after"] = listed[-1]
    assert listed == ids[::-1]
    later = int(clock.now().timestamp()) + 60
    for nothing in ({"customer": other}, {"created": {"gte": later}}, {"created": {"lt": 1}}):
        found = await shop.sdk.v1.payment_intents.list_async(nothing)  # type: ignore[arg-type]
        assert found.data == []


async def test_a_long_list_is_read_to_its_end(shop: Shop) -> None:
    """A charge that is on the second page is found there, and one that was never made is not."""
    wanted = a_charge(shop)
    assert isinstance(await shop.provider.charge(wanted), Paid)
    for number in range(101):
        await shop.charge(f"key-{number}")
    assert isinstance(await shop.provider.look_up(wanted), Paid)


async def test_the_issuers_question_is_asked_on_session_only(shop: Shop) -> None:
    """The first attempt is declined; the second, without `off_session`, sends the payer there."""
    shop.card = await shop.world.card(shop.customer, WANTS_PAYER)
    away = await shop.provider.charge(a_charge(shop))
    assert isinstance(away, Declined)
    assert away.code == "authentication_required"
    second = a_charge(shop, number=1, manner=Manner.ON_SESSION)
    needed = await shop.provider.charge(second)
    assert isinstance(needed, CustomerNeeded)
    assert needed.url
    await shop.world.gate.authenticate(needed.provider_payment_id, success=True)
    assert isinstance(await shop.provider.look_up(second), Paid)


async def test_the_payer_who_fails_the_issuers_question_has_not_paid(shop: Shop) -> None:
    shop.card = await shop.world.card(shop.customer, WANTS_PAYER)
    charge = a_charge(shop, manner=Manner.ON_SESSION)
    needed = await shop.provider.charge(charge)
    assert isinstance(needed, CustomerNeeded)
    await shop.world.gate.authenticate(needed.provider_payment_id, success=False)
    told = await shop.provider.look_up(charge)
    assert isinstance(told, Declined)
    assert told.code == "payment_intent_authentication_failure"


async def test_a_detached_card_is_gone(shop: Shop) -> None:
    await shop.world.detach(shop.card)
    told = await shop.provider.charge(a_charge(shop))
    assert isinstance(told, Declined)
    assert told.method_is_gone
    assert await shop.provider.list_methods(shop.customer) == []


async def test_a_key_of_another_account_is_no_end(shop: Shop) -> None:
    async with httpx.AsyncClient() as http:
        provider = StripeProvider(StripeSecrets("sk_wrong"), base=shop.world.base, http=http)
        charge = a_charge(shop)
        for told in (await provider.charge(charge), await provider.look_up(charge)):
            assert isinstance(told, Lost)
            assert told.key_refused


def a_charge(shop: Shop, *, number: int = 0, manner: Manner = Manner.OFF_SESSION) -> Charge:
    order = replace(
        ORDER,
        attempt_id=type(ORDER.attempt_id)(int=ORDER.attempt_id.int + number),
        provider_customer_id=shop.customer,
        provider_method_id=shop.card,
        manner=manner,
    )
    request = render_order(order)
    assert isinstance(request, str)
    return Charge(f"payment-{order.attempt_id}", request)

"""What stands in the way: things that are there only so that a call about them is refused."""

from __future__ import annotations

from typing import Any, Final

from tests.contract import things
from tests.contract.contract import CUSTOMER
from tests.contract.world import Exchange, World
from tests.providers.gocardless_stub import TOKEN

HOOKS: Final = "POST /webhook_endpoints"
CHECKOUT: Final = f"POST {CUSTOMER}/checkout_url"


async def bob_and_setup(world: World) -> None:
    await world.get(things.bob)
    await world.get(things.add_on)


async def two_stripes(world: World) -> Any:
    await world.get(things.stripe)
    asked = {"provider_type": "stripe", "code": "second", "name": "Second",
             "secrets": {"secret_key": "sk_test_2", "webhook_secret": "whsec_2"}}  # fmt: skip
    return await world.do("POST /payment_providers", {"payment_provider": asked})


async def by_transfer(world: World) -> Any:
    """Somebody who pays Stripe by bank transfer alone, for which nothing can be set up."""
    await world.get(things.stripe)
    billing = {"payment_provider": "stripe", "payment_provider_code": "stripe",
               "provider_customer_id": "cus_2",
               "provider_payment_methods": ["customer_balance"]}  # fmt: skip
    return await things.customer(world, billing_configuration=billing)


async def unknown_to_the_bank(world: World) -> Any:
    """Somebody whom GoCardless does not know."""
    billing = {"payment_provider": "gocardless", "payment_provider_code": "debits",
               "provider_customer_id": "CU_OF_NOBODY"}  # fmt: skip
    return await things.customer(world, billing_configuration=billing)


async def _at_gocardless(world: World, code: str, token: str) -> Any:
    """Somebody of an account of its own, since an account remembers how it was answered."""
    asked = {"provider_type": "gocardless", "code": code, "name": code,
             "secrets": {"access_token": token, "webhook_secret": "whsec"}}  # fmt: skip
    await world.do("POST /payment_providers", {"payment_provider": asked})
    billing = {"payment_provider": "gocardless", "payment_provider_code": code,
               "provider_customer_id": "CU1"}  # fmt: skip
    return await things.customer(world, billing_configuration=billing)


async def whose_key_is_refused(world: World) -> Any:
    """Somebody at a provider that does not take our key."""
    return await _at_gocardless(world, "locked", "token_of_nobody")


async def whom_stripe_knows(world: World) -> Any:
    """Somebody at our account at Stripe, where nobody answers."""
    await world.get(things.stripe)
    billing = {"payment_provider": "stripe", "payment_provider_code": "stripe",
               "provider_customer_id": "cus_1"}  # fmt: skip
    return await things.customer(world, billing_configuration=billing)


async def owed_to_a_silent_provider(world: World) -> Any:
    """An invoice of somebody whose provider does not answer."""
    return await things.issue(world, await world.get(whom_stripe_knows), skip_psp=True)


async def asked_too_often(world: World) -> Exchange:
    """Ask for a page of a provider that is called too often."""
    owner = await _at_gocardless(world, world.name("busy"), TOKEN)
    world.served.debits.fault = "rate_limited"
    try:
        return await world.ask(CHECKOUT, external_customer_id=owner["external_id"])
    finally:
        world.served.debits.fault = ""


async def debit(world: World) -> Any:
    """An invoice of somebody whose provider has no page to pay on."""
    return await things.issue(world, await world.get(unknown_to_the_bank), skip_psp=True)


async def unlinked(world: World) -> Any:
    return await things.unpaid(world)


async def forgotten(world: World) -> Any:
    """An invoice of somebody of whom the provider's id is not known."""
    owner = await things.customer(world, "pm_sandbox_ok")
    made = await things.issue(world, owner, skip_psp=True)
    await world.served.owner.execute(
        "UPDATE provider_customers SET provider_customer_id = NULL WHERE customer_id = $1::uuid",
        owner["lago_id"],
    )
    return made


async def accountless(world: World) -> Any:
    """An invoice of somebody whose account at the provider was taken away."""
    asked = {"provider_type": "sandbox", "code": world.name("gone"), "name": "Gone", "secrets": {}}
    account = await world.do("POST /payment_providers", {"payment_provider": asked})
    billing = {"payment_provider": "sandbox", "payment_provider_code": account["code"],
               "provider_customer_id": "cus_gone"}  # fmt: skip
    owner = await things.customer(world, billing_configuration=billing)
    made = await things.issue(world, owner, skip_psp=True)
    await world.do("DELETE /payment_providers/{lago_id}", lago_id=account["lago_id"])
    return made


async def held(world: World) -> Any:
    """A method whose owner somebody else is changing, for as long as the tests run."""
    owner = await things.customer(world, "pm_sandbox_ok", "pm_sandbox_do_not_honor")
    whose = {"external_customer_id": owner["external_id"]}
    listed = await world.do(f"GET {CUSTOMER}/payment_methods", **whose)
    await world.served.hold("customers", owner)
    return listed["payment_methods"][0] | {"external_id": owner["external_id"]}


async def credit_invoice(world: World) -> Any:
    """An invoice for prepaid credits, which nothing here makes."""
    made = await things.unpaid(world)
    await world.served.change("invoices", made, invoice_type="credit")
    return made


async def paid_and_free(world: World) -> Any:
    """Paid in full, and nothing was credited of it."""
    return await things.paid_by_hand(world)


async def partly_paid(world: World) -> Any:
    made = await things.unpaid(world)
    await things.pay(world, made, 300)
    return await things.shown(world, made)


async def two_currencies(world: World) -> Any:
    owner = await things.customer(world)
    return [await things.overdue(world, owner, currency=one) for one in ("EUR", "USD")]


async def of_the_second(world: World) -> Any:
    """An invoice of a billing entity that mails none."""
    await world.get(things.second_entity)
    owner = await things.customer(world, billing_entity_code="second")
    return await things.issue(world, owner, skip_psp=True)


async def of_one_that_mails(world: World) -> Any:
    """An invoice of a billing entity that mails them, where no mail server is set."""
    asked = {"code": "mailing", "name": "Mailing", "email_settings": ["invoice.finalized"]}
    await world.do("POST /billing_entities", {"billing_entity": asked})
    owner = await things.customer(world, billing_entity_code="mailing")
    return await things.issue(world, owner, skip_psp=True)


async def two_entities(world: World) -> Any:
    await world.get(things.second_entity)
    owner = await things.customer(world)
    entities = ("", "second")
    return [
        await things.overdue(world, owner, **({"billing_entity_code": one} if one else {}))
        for one in entities
    ]


async def one_in_flight(world: World) -> Any:
    made = await things.in_flight(world)
    await world.served.fall_due(made)
    return [await things.shown(world, made)]


async def one_that_is_not_late(world: World) -> Any:
    return [await things.unpaid(world)]


async def one_late(world: World) -> Any:
    return [await world.get(things.late)]


async def requested_and_paid(world: World) -> Any:
    """An invoice of a payment request that has succeeded, and of which something is still due.

    Only a provider that tells of less than it was asked for leaves it so: here, the request's
    status is changed behind everybody's back.
    """
    request = await things.request_payment(world, await things.customer(world))
    await world.served.change("payment_requests", request, payment_status="succeeded")
    return await things.shown(world, request["invoices"][0])


async def spent_note(world: World) -> Any:
    """A credit note of which nothing is left to void."""
    return await things.credit(world, await things.unpaid(world), offset_amount_cents=120)


async def one_endpoint_too_many(world: World) -> Exchange:
    """Make endpoints until one is refused, and take them away again."""
    made = []
    while True:
        url = f"https://example.com/{len(made)}"
        asked = {"webhook_endpoint": {"webhook_url": url, "event_types": []}}
        exchange = await world.ask(HOOKS, asked)
        if exchange.status != 200:
            break
        made.append(exchange.body["webhook_endpoint"]["lago_id"])
        assert len(made) <= 10, "there is no limit"
    for lago_id in made:
        await world.do("DELETE /webhook_endpoints/{lago_id}", lago_id=lago_id)
    return exchange

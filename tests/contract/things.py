"""What the tests of the contract need to be there: customers, methods, invoices in every state.

Each is made once (`World.get`). Together they have every key that can hold something filled in.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from demo.processes import ask_recoup
from tests.contract.world import Json, World

ATTACH: Final = "POST /customers/{external_customer_id}/payment_methods"  # ours
RETRY: Final = "POST /invoices/{lago_id}/retry_payment"
ADDRESS: Final = {
    "address_line1": "1 Rue de Rivoli", "address_line2": "Floor 2", "city": "Paris",
    "zipcode": "75001", "state": "Île-de-France", "country": "FR",
}  # fmt: skip
EVERYTHING: Final[Json] = ADDRESS | {
    "name": "Ada", "firstname": "Ada", "lastname": "Lovelace", "customer_type": "company",
    "email": "ada@example.com", "phone": "+33 1", "url": "https://example.com",
    "logo_url": "https://example.com/logo.png", "legal_name": "Ada SARL", "legal_number": "123",
    "tax_identification_number": "FR1", "timezone": "Europe/Paris", "currency": "EUR",
    "net_payment_term": 10, "external_salesforce_id": "sf-1", "shipping_address": ADDRESS,
    "metadata": [{"key": "tier", "value": "gold", "display_in_invoice": True}],
}  # fmt: skip


def linked(customer: str) -> Json:
    """The billing configuration of somebody whom the sandbox knows."""
    return {
        "payment_provider": "sandbox",
        "payment_provider_code": "cards",
        "provider_customer_id": f"cus_{customer}",
    }


def made_by(kind: str, code: str) -> Json:
    """The billing configuration of somebody whom we are to make known to a provider."""
    return {"payment_provider": kind, "payment_provider_code": code, "sync_with_provider": True}


async def tax(world: World) -> Any:
    asked = {"name": "VAT", "code": "vat", "rate": 20, "description": "Value added"}
    return await world.do("POST /taxes", {"tax": asked})


async def add_on(world: World) -> Any:
    await world.get(tax)
    asked = {
        "name": "Setup", "code": "setup", "amount_cents": 1_000, "amount_currency": "EUR",
        "description": "Set up once", "invoice_display_name": "Set-up", "tax_codes": ["vat"],
    }  # fmt: skip
    return await world.do("POST /add_ons", {"add_on": asked})


async def ada(world: World) -> Any:
    """A customer with everything, who pays by card."""
    await world.get(tax)
    billing = linked("ada") | {
        "invoice_grace_period": 3, "document_locale": "fr",
        "subscription_invoice_issuing_date_anchor": "next_period_start",
        "subscription_invoice_issuing_date_adjustment": "keep_anchor",
    }  # fmt: skip
    asked = EVERYTHING | {
        "external_id": "ada", "tax_codes": ["vat"], "billing_configuration": billing,
    }  # fmt: skip
    made = await world.do("POST /customers", {"customer": asked})
    await attach(world, made, "pm_sandbox_ok")
    return made


async def bob(world: World) -> Any:
    """A customer of whom we know nothing at all."""
    return await world.do("POST /customers", {"customer": {"external_id": "bob"}})


async def customer(world: World, *methods: str, **fields: Any) -> Any:
    """A new customer who pays by these methods; without any, nobody charges them."""
    name = world.name("customer")
    asked: Json = {"external_id": name, "name": name, "currency": "EUR"} | fields
    if methods:
        asked["billing_configuration"] = linked(name)
    made = await world.do("POST /customers", {"customer": asked})
    for method in methods:
        await attach(world, made, method)
    return made


async def attach(world: World, owner: Any, method: str) -> Any:
    asked = {"payment_method": {"provider_method_id": method}}
    return await world.do(ATTACH, asked, external_customer_id=owner["external_id"])


async def stripe(world: World) -> Any:
    """Our account at Stripe, where nobody answers."""
    asked = {"provider_type": "stripe", "code": "stripe", "name": "Stripe",
             "secrets": {"secret_key": "sk_test_1", "webhook_secret": "whsec_1"}}  # fmt: skip
    return await world.do("POST /payment_providers", {"payment_provider": asked})


async def issue(world: World, owner: Any, *, cents: int = 1_000, **fields: Any) -> Any:
    """A new invoice with one fee. It is charged unless `skip_psp` is among the fields."""
    await world.get(add_on)
    fee = {"add_on_code": "setup", "unit_amount_cents": cents}
    asked = {"external_customer_id": owner["external_id"], "currency": "EUR", "fees": [fee]}
    return await world.do("POST /invoices", {"invoice": asked | fields})


async def unpaid(world: World, *, cents: int = 1_000) -> Any:
    """A new invoice of a new customer, whom nobody charges."""
    return await issue(world, await customer(world), cents=cents)


async def shown(world: World, invoice: Any) -> Any:
    """The invoice as it is by now."""
    return await world.do("GET /invoices/{lago_id}", lago_id=invoice["lago_id"])


async def paid_by_card(world: World) -> Any:
    """Everything is filled in: metadata, an order number, the dates of its fee."""
    owner = await world.get(ada)
    await world.get(add_on)
    fee = {
        "add_on_code": "setup", "units": 2, "description": "Two of them",
        "from_datetime": "2026-01-01T00:00:00Z", "to_datetime": "2026-01-31T23:59:59Z",
    }  # fmt: skip
    asked = {
        "external_customer_id": owner["external_id"], "currency": "EUR", "fees": [fee],
        "purchase_order_number": "PO-7",
    }  # fmt: skip
    made = await world.do("POST /invoices", {"invoice": asked})
    await world.told("payment.succeeded", lambda told: made["lago_id"] in told["invoice_ids"])
    metadata = {"invoice": {"metadata": [{"key": "order", "value": "17"}]}}
    return await world.do("PUT /invoices/{lago_id}", metadata, lago_id=made["lago_id"])


async def declined(world: World) -> Any:
    made = await issue(world, await customer(world, "pm_sandbox_stolen_card"))
    await world.told(
        "invoice.payment_failure", lambda told: told["lago_invoice_id"] == made["lago_id"]
    )
    return await shown(world, made)


async def in_flight(world: World) -> Any:
    """Its charge waits for the payer."""
    made = await issue(world, await customer(world, "pm_sandbox_authentication_required"))
    await world.told("payment.requires_action", lambda told: made["lago_id"] in told["invoice_ids"])
    return await shown(world, made)


async def paid_by_hand(world: World) -> Any:
    made = await unpaid(world)
    await pay(world, made)
    return await shown(world, made)


async def pay(world: World, invoice: Any, cents: int | None = None) -> Any:
    """Report a payment made by hand, of all that is due unless told otherwise."""
    amount = invoice["total_due_amount_cents"] if cents is None else cents
    asked = {"invoice_id": invoice["lago_id"], "amount_cents": amount, "reference": "wire 7"}
    return await world.do("POST /payments", {"payment": asked})


async def voided(world: World) -> Any:
    made = await unpaid(world)
    return await world.do("POST /invoices/{lago_id}/void", lago_id=made["lago_id"])


async def disputed(world: World) -> Any:
    made = await unpaid(world)
    await pay(world, made)
    return await world.do("POST /invoices/{lago_id}/lose_dispute", lago_id=made["lago_id"])


async def new_draft(world: World) -> Any:
    """An invoice that is not final, with a grace of three days."""
    owner = await customer(world, billing_configuration={"invoice_grace_period": 3})
    return await issue(world, owner, draft=True, skip_psp=True)


async def draft(world: World) -> Any:
    return await new_draft(world)


async def overdue(world: World, owner: Any, *, cents: int = 1_000, **fields: Any) -> Any:
    """A new invoice whose due date has passed."""
    made = await issue(world, owner, cents=cents, skip_psp=True, **fields)
    await world.served.fall_due(made)
    return await shown(world, made)


async def dunned(world: World) -> Any:
    """A customer whom a campaign asks once; and the campaign is over."""
    asked = {
        "code": world.name("campaign"), "name": "Late",
        "thresholds": [{"currency": "EUR", "amount_cents": 1}],
    }  # fmt: skip
    campaign = await world.do("POST /dunning_campaigns", {"dunning_campaign": asked})
    owner = await customer(world, applied_dunning_campaign_code=campaign["code"])
    await overdue(world, owner)
    await world.told(
        "payment_request.created",
        lambda told: told["customer"]["external_id"] == owner["external_id"],
    )
    await world.served.let_dunning_rest(owner)
    return owner


async def late(world: World) -> Any:
    return await overdue(world, await customer(world))


async def fee(world: World) -> Any:
    """The fee of the invoice that was paid by card."""
    (only,) = (await world.get(paid_by_card))["fees"]
    return only


async def card_payment(world: World) -> Any:
    invoice = await world.get(paid_by_card)
    listed = await world.do("GET /payments", query={"invoice_id": invoice["lago_id"]})
    return listed["payments"][0]


async def second_entity(world: World) -> Any:
    """A billing entity besides the default one, with everything."""
    asked = ADDRESS | {
        "code": "second", "name": "Second", "email": "second@example.com", "legal_name": "Second",
        "legal_number": "2", "tax_identification_number": "FR2", "net_payment_term": 3,
        "timezone": "Europe/Paris", "document_locale": "fr", "default_currency": "EUR",
        "phone": "+33 1",
        "logo": "https://example.com/logo.png",
    }  # fmt: skip
    return await world.do("POST /billing_entities", {"billing_entity": asked})


async def powerless_key(world: World) -> str:
    """An API key that may call none of the contract's operations."""
    made = await asyncio.to_thread(
        ask_recoup, "key", "create", "--organization", world.organization.id,
        "--permission", "contradiction:read", environment=world.served.environment,
    )  # fmt: skip
    return str(made["api_key"])


async def endpoint(world: World) -> Any:
    """A webhook endpoint with a filter, to which nothing is sent."""
    asked = {
        "webhook_url": "https://example.com/hook", "signature_algo": "hmac", "name": "Hook",
        "event_types": [],
    }  # fmt: skip
    return await world.do("POST /webhook_endpoints", {"webhook_endpoint": asked})


async def payment_request(world: World) -> Any:
    """Two late invoices of a customer without a card, asked for at once."""
    owner = await customer(world, email="late@example.com")
    return await request_payment(world, owner)


async def request_payment(world: World, owner: Any) -> Any:
    invoices = [await overdue(world, owner, cents=cents) for cents in (1_000, 500)]
    asked = {
        "external_customer_id": owner["external_id"],
        "lago_invoice_ids": [invoice["lago_id"] for invoice in invoices],
    }
    return await world.do("POST /payment_requests", {"payment_request": asked})


async def credit_note(world: World) -> Any:
    """Of an invoice that was paid: a part to be used again, a part to be paid back."""
    invoice = await world.get(paid_by_card)
    return await credit(
        world, invoice, credit_amount_cents=200, refund_amount_cents=280, reason="other",
        description="Half of it", metadata={"case": "42"},
    )  # fmt: skip


async def credit(world: World, invoice: Any, **parts: Any) -> Any:
    """A credit note for a part of an invoice's only fee, on which there is a tax of 20 %."""
    total = sum(cents for name, cents in parts.items() if name.endswith("_amount_cents"))
    item = {"fee_id": invoice["fees"][0]["lago_id"], "amount_cents": round(total / 1.2)}
    asked = {"invoice_id": invoice["lago_id"], "items": [item]} | parts
    return await world.do("POST /credit_notes", {"credit_note": asked})


async def receipt(world: World) -> Any:
    """The receipt of the card's payment."""
    invoice = await world.get(paid_by_card)
    listed = await world.do("GET /payment_receipts", query={"invoice_id": invoice["lago_id"]})
    return listed["payment_receipts"][0]

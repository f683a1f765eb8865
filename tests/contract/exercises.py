"""Calls every operation so that it answers 200, with data that fills what it can show.

One function for an operation, or for some that follow from each other. `EXERCISES` finds it; an
operation without one fails a test.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from tests.contract import things
from tests.contract.contract import CUSTOMER, INVOICE
from tests.contract.world import World

Exercise = Callable[[World], Awaitable[None]]
EXERCISES: Final[dict[str, Exercise]] = {}
NOTE: Final = "/credit_notes/{lago_id}"


def exercises(*operations: str) -> Callable[[Exercise], Exercise]:
    """Say which operations a function calls."""

    def register(function: Exercise) -> Exercise:
        for operation in operations:
            assert operation not in EXERCISES, f"{operation} is exercised twice"
            EXERCISES[operation] = function
        return function

    return register


# Who we are


@exercises("PUT /organizations")
async def organization(world: World) -> None:
    everything = {
        name: value for name, value in things.ADDRESS.items() if name != "shipping_address"
    } | {
        "legal_name": "Acme Ltd", "legal_number": "1", "email": "acme@example.com",
        "tax_identification_number": "GB1", "net_payment_term": 5, "default_currency": "EUR",
        "email_settings": ["invoice.finalized"], "webhook_url": world.receiver.url,
        "billing_configuration": {"invoice_footer": "Thanks", "document_locale": "fr"},
    }  # fmt: skip
    await world.do("PUT /organizations", {"organization": everything})
    await world.get(things.tax)
    tax = {"tax": {"applied_to_organization": True}}
    await world.do("PUT /taxes/{code}", tax, code="vat")
    await world.do("PUT /organizations", {"organization": {"timezone": "Europe/London"}})
    await world.do("PUT /taxes/{code}", {"tax": {"applied_to_organization": False}}, code="vat")


@exercises("GET /billing_entities", "GET /billing_entities/{code}")
async def billing_entities(world: World) -> None:
    await world.get(organization)  # whose values the default one has, too
    (entity,) = (await world.do("GET /billing_entities"))[:1]
    await world.get(things.tax)
    for applied in (True, False):
        asked = {"tax": {"applied_to_organization": applied}}
        await world.do("PUT /taxes/{code}", asked, code="vat")
        await world.do("GET /billing_entities/{code}", code=entity["code"])


@exercises("POST /billing_entities", "PUT /billing_entities/{code}")
async def more_billing_entities(world: World) -> None:
    await world.get(things.second_entity)
    await world.get(things.tax)
    changed = {"phone": "+33 2", "tax_codes": ["vat"], "invoice_footer": "Thanks"}
    await world.do("PUT /billing_entities/{code}", {"billing_entity": changed}, code="second")


# The catalogue


@exercises(
    "POST /taxes", "GET /taxes", "GET /taxes/{code}", "PUT /taxes/{code}", "DELETE /taxes/{code}"
)
async def taxes(world: World) -> None:
    code = world.name("tax")
    await world.do("POST /taxes", {"tax": {"name": "Levy", "code": code, "rate": "7.5"}})
    await world.do("PUT /taxes/{code}", {"tax": {"description": "A levy"}}, code=code)
    await world.do("GET /taxes/{code}", code=code)
    await world.do("GET /taxes", query={"per_page": 1})
    await world.do("GET /taxes", query={"per_page": 1, "page": 2})
    await world.do("DELETE /taxes/{code}", code=code)


@exercises(
    "POST /add_ons", "GET /add_ons", "GET /add_ons/{code}", "PUT /add_ons/{code}",
    "DELETE /add_ons/{code}",
)  # fmt: skip
async def add_ons(world: World) -> None:
    await world.get(things.add_on)
    code = world.name("add on/é")
    asked = {"name": "Bare", "code": code, "amount_cents": 1, "amount_currency": "JPY"}
    await world.do("POST /add_ons", {"add_on": asked})
    filled = {"invoice_display_name": "Full", "description": "Full", "tax_codes": ["vat"]}
    await world.do("PUT /add_ons/{code}", {"add_on": filled}, code=code)
    await world.do("GET /add_ons/{code}", code=code)
    await world.do("GET /add_ons")
    await world.do("DELETE /add_ons/{code}", code=code)


# Customers


@exercises(
    "POST /customers", "GET /customers", f"GET {CUSTOMER}", f"DELETE {CUSTOMER}",
)  # fmt: skip
async def customers(world: World) -> None:
    for make in (things.ada, things.bob):
        made = await world.get(make)
        await world.do(f"GET {CUSTOMER}", external_customer_id=made["external_id"])
    await by_stripe(world)
    await world.do("GET /customers", query={"per_page": 1000})
    made = await things.customer(world)
    await world.do(f"DELETE {CUSTOMER}", external_customer_id=made["external_id"])


async def by_stripe(world: World) -> None:
    """Somebody who pays through Stripe, which alone has the kinds of methods."""
    await world.get(things.stripe)
    billing = {"payment_provider": "stripe", "payment_provider_code": "stripe",
               "provider_customer_id": "cus_1"}  # fmt: skip
    await things.customer(world, billing_configuration=billing)


@exercises(f"GET {CUSTOMER}/invoices")
async def invoices_of_a_customer(world: World) -> None:
    await world.get(things.paid_by_card)
    await world.do(f"GET {CUSTOMER}/invoices", external_customer_id="ada")


@exercises(f"GET {CUSTOMER}/payments")
async def payments_of_a_customer(world: World) -> None:
    await world.get(things.paid_by_card)
    await world.do(f"GET {CUSTOMER}/payments", external_customer_id="ada")


@exercises(f"GET {CUSTOMER}/payment_requests")
async def payment_requests_of_a_customer(world: World) -> None:
    made = await world.get(things.payment_request)
    name = made["customer"]["external_id"]
    await world.do(f"GET {CUSTOMER}/payment_requests", external_customer_id=name)


@exercises(f"GET {CUSTOMER}/credit_notes")
async def credit_notes_of_a_customer(world: World) -> None:
    await world.get(things.credit_note)
    await world.do(f"GET {CUSTOMER}/credit_notes", external_customer_id="ada")


@exercises(f"GET {CUSTOMER}/portal_url")
async def portal_url(world: World) -> None:
    await world.get(things.bob)
    await world.do(f"GET {CUSTOMER}/portal_url", external_customer_id="bob")


@exercises(f"POST {CUSTOMER}/checkout_url")
async def checkout_url(world: World) -> None:
    await world.get(things.ada)
    await world.do(f"POST {CUSTOMER}/checkout_url", external_customer_id="ada")


@exercises(
    f"GET {CUSTOMER}/payment_methods",
    f"PUT {CUSTOMER}/payment_methods/{{lago_id}}/set_as_default",
    f"DELETE {CUSTOMER}/payment_methods/{{lago_id}}",
)
async def payment_methods(world: World) -> None:
    owner = await things.customer(world, "pm_sandbox_ok", "pm_sandbox_do_not_honor")
    whose = {"external_customer_id": owner["external_id"]}
    listed = await world.do(f"GET {CUSTOMER}/payment_methods", **whose)
    for method in listed["payment_methods"]:
        one = whose | {"lago_id": method["lago_id"]}
        await world.do(f"PUT {CUSTOMER}/payment_methods/{{lago_id}}/set_as_default", **one)
        await world.do(f"DELETE {CUSTOMER}/payment_methods/{{lago_id}}", **one)


# Invoices


@exercises("POST /invoices", "GET /invoices", f"GET {INVOICE}", f"PUT {INVOICE}")
async def invoices(world: World) -> None:
    states = (
        things.paid_by_card, things.declined, things.in_flight, things.paid_by_hand, things.voided,
        things.disputed, things.draft, things.late,
    )  # fmt: skip
    for state in states:
        await things.shown(world, await world.get(state))
    await world.do("GET /invoices", query={"per_page": 1000})
    await world.do("GET /invoices", query={"statuses[]": ["voided"], "per_page": 1})


@exercises(f"DELETE {INVOICE}")
async def delete_a_draft(world: World) -> None:
    made = await things.new_draft(world)
    await world.do(f"DELETE {INVOICE}", lago_id=made["lago_id"])


@exercises(f"POST {INVOICE}/download")
async def download_an_invoice(world: World) -> None:
    made = await world.get(things.paid_by_card)
    await download(world, f"POST {INVOICE}/download", "invoice.generated", made)


async def download(world: World, operation: str, kind: str, made: Any) -> None:
    """Ask until the document is there; what is told when it is can be here already."""
    await world.do(operation, lago_id=made["lago_id"])
    await world.told(kind, lambda told: told["lago_id"] == made["lago_id"])
    ready = await world.do(operation, lago_id=made["lago_id"])
    assert ready["file_url"], f"{operation} has no document"


@exercises(f"PUT {INVOICE}/finalize")
async def finalize(world: World) -> None:
    made = await things.new_draft(world)
    await world.do(f"PUT {INVOICE}/finalize", lago_id=made["lago_id"])


@exercises(f"PUT {INVOICE}/refresh")
async def refresh(world: World) -> None:
    made = await things.new_draft(world)
    await world.do(f"PUT {INVOICE}/refresh", lago_id=made["lago_id"])


@exercises(f"POST {INVOICE}/lose_dispute")
async def lose_dispute(world: World) -> None:
    await world.get(things.disputed)


@exercises(f"POST {INVOICE}/payment_url")
async def payment_url(world: World) -> None:
    owner = await things.customer(world, "pm_sandbox_ok")
    made = await things.issue(world, owner, skip_psp=True)
    await world.do(f"POST {INVOICE}/payment_url", lago_id=made["lago_id"])


@exercises(f"POST {INVOICE}/retry_payment")
async def retry_payment(world: World) -> None:
    made = await world.get(things.declined)
    exchange = await world.ask(f"POST {INVOICE}/retry_payment", lago_id=made["lago_id"])
    assert exchange.text == ""


@exercises(f"POST {INVOICE}/void")
async def void(world: World) -> None:
    await world.get(things.voided)


@exercises("GET /fees", "GET /fees/{lago_id}")
async def fees(world: World) -> None:
    made = await world.get(things.fee)
    await world.do("GET /fees/{lago_id}", lago_id=made["lago_id"])
    await things.unpaid(world)
    await world.do("GET /fees", query={"fee_type": "add_on"})


# Payments


@exercises("POST /payments", "GET /payments", "GET /payments/{lago_id}")
async def payments(world: World) -> None:
    for make in (things.paid_by_card, things.declined, things.in_flight, things.paid_by_hand):
        invoice = await world.get(make)
        listed = await world.do("GET /payments", query={"invoice_id": invoice["lago_id"]})
        for payment in listed["payments"]:
            await world.do("GET /payments/{lago_id}", lago_id=payment["lago_id"])


@exercises("POST /payment_requests", "GET /payment_requests", "GET /payment_requests/{lago_id}")
async def payment_requests(world: World) -> None:
    made = await world.get(things.payment_request)
    await world.do("GET /payment_requests/{lago_id}", lago_id=made["lago_id"])
    await world.do("GET /payment_requests")


@exercises("GET /payment_receipts", "GET /payment_receipts/{lago_id}")
async def payment_receipts(world: World) -> None:
    made = await world.get(things.receipt)
    await world.told("payment_receipt.created")
    await world.do("GET /payment_receipts/{lago_id}", lago_id=made["lago_id"])
    await world.do("GET /payment_receipts")


# Credit notes


@exercises("POST /credit_notes", "GET /credit_notes", f"GET {NOTE}", f"PUT {NOTE}")
async def credit_notes(world: World) -> None:
    made = await world.get(things.credit_note)
    await world.do(f"GET {NOTE}", lago_id=made["lago_id"])
    await world.do(
        f"PUT {NOTE}", {"credit_note": {"metadata": {"more": "x"}}}, lago_id=made["lago_id"]
    )
    owed = await things.unpaid(world)
    await things.credit(world, owed, offset_amount_cents=600)
    await world.do("GET /credit_notes")


@exercises("POST /credit_notes/estimate")
async def estimate(world: World) -> None:
    invoice = await world.get(things.paid_by_card)
    item = {"fee_id": invoice["fees"][0]["lago_id"], "amount_cents": 100}
    asked = {"credit_note": {"invoice_id": invoice["lago_id"], "items": [item]}}
    await world.do("POST /credit_notes/estimate", asked)


@exercises(f"POST {NOTE}/download")
async def download_a_credit_note(world: World) -> None:
    made = await world.get(things.credit_note)
    await download(world, f"POST {NOTE}/download", "credit_note.generated", made)


@exercises(f"PUT {NOTE}/void")
async def void_a_credit_note(world: World) -> None:
    invoice = await things.unpaid(world)
    await things.pay(world, invoice)
    made = await things.credit(world, invoice, credit_amount_cents=120)
    await world.do(f"PUT {NOTE}/void", lago_id=made["lago_id"])


@exercises(
    f"POST {NOTE}/metadata", f"PATCH {NOTE}/metadata", f"DELETE {NOTE}/metadata",
    f"DELETE {NOTE}/metadata/{{key}}",
)  # fmt: skip
async def metadata_of_a_credit_note(world: World) -> None:
    invoice = await things.unpaid(world)
    await things.pay(world, invoice)
    made = (await things.credit(world, invoice, credit_amount_cents=120))["lago_id"]
    await world.do(f"POST {NOTE}/metadata", {"metadata": {"a": "1", "b": None}}, lago_id=made)
    await world.do(f"PATCH {NOTE}/metadata", {"metadata": {"c": "3"}}, lago_id=made)
    await world.do(f"DELETE {NOTE}/metadata/{{key}}", lago_id=made, key="a")
    await world.do(f"DELETE {NOTE}/metadata", lago_id=made)


# Being told


@exercises("GET /webhooks/public_key", "GET /webhooks/json_public_key")
async def webhook_keys(world: World) -> None:
    exchange = await world.ask("GET /webhooks/public_key")
    assert exchange.status == 200
    await world.do("GET /webhooks/json_public_key")


@exercises(
    "POST /webhook_endpoints", "GET /webhook_endpoints", "GET /webhook_endpoints/{lago_id}",
    "PUT /webhook_endpoints/{lago_id}", "DELETE /webhook_endpoints/{lago_id}",
)  # fmt: skip
async def webhook_endpoints(world: World) -> None:
    await world.get(things.endpoint)
    asked = {"webhook_endpoint": {"webhook_url": "https://example.com/bare", "event_types": []}}
    one = {"lago_id": (await world.do("POST /webhook_endpoints", asked))["lago_id"]}
    changed = asked["webhook_endpoint"] | {"event_types": ["invoice.voided"]}
    await world.do("PUT /webhook_endpoints/{lago_id}", {"webhook_endpoint": changed}, **one)
    await world.do("GET /webhook_endpoints/{lago_id}", **one)
    await world.do("GET /webhook_endpoints")
    await world.do("DELETE /webhook_endpoints/{lago_id}", **one)

"""One invoice from a declined charge to paid, by Lago's own Python client as it is published."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

import httpx
from lago_python_client import Client
from lago_python_client.exceptions import LagoApiError
from lago_python_client.models import (
    AddOn,
    Customer,
    CustomerBillingConfiguration,
    InvoiceFee,
    InvoiceFeesList,
    OneOffInvoice,
    Tax,
    WebhookEndpoint,
)

from demo.processes import DemoError, ask_recoup
from demo.receiver import Receiver, Webhook
from demo.screen import Screen

CUSTOMER: Final = "ada"
ADD_ON: Final = "lessons"
METHOD: Final = "pm_sandbox_fail_once"


@dataclass(frozen=True)
class Place:
    """Where everything is."""

    api: str
    sandbox: str
    environment: dict[str, str]


def walk(place: Place, receiver: Receiver, screen: Screen) -> tuple[str, str]:
    """Walk one invoice to its end, and return the tenant's API key and the invoice's id.

    :raises DemoError: it was not paid, or not with exactly one successful charge.
    """
    key = _open_shop(place, screen)
    client = Client(api_key=key, api_url=place.api)
    public_key = _listen(client, receiver, screen)
    _stock(place, key, client, screen)
    invoice_id = _sell(client, screen)
    _see_decline(client, receiver, invoice_id, public_key, screen)
    _retry(client, receiver, invoice_id, public_key, screen)
    _ask_once_more(client, invoice_id, screen)
    _look_into_books(place, client, invoice_id, screen)
    return key, invoice_id


def _open_shop(place: Place, screen: Screen) -> str:
    with screen.step("Open an organization, and its account at the provider") as step:
        create = ("organization", "create", "Harbour Music School")
        step.sent("recoup organization create 'Harbour Music School' --json")
        made = ask_recoup(*create, environment=place.environment)
        step.back(f"organization_id {made['organization_id']}, api_key {made['api_key'][:12]}…")
        add = ("provider", "add", "sandbox", "--organization", made["organization_id"])
        step.sent("recoup provider add sandbox --organization … --code cards --json")
        added = ask_recoup(*add, "--code", "cards", environment=place.environment)
        step.back(f"payment_provider_code {added['payment_provider_code']!r}")
    return str(made["api_key"])


def _listen(client: Client, receiver: Receiver, screen: Screen) -> bytes:
    with screen.step("Say where we want to be told what happens") as step:
        step.sent(f"client.webhook_endpoints.create(webhook_url={receiver.url!r})")
        endpoint = client.webhook_endpoints.create(WebhookEndpoint(webhook_url=receiver.url))
        step.back(f"signature_algo {endpoint.signature_algo!r}: each webhook will be signed")
        step.sent("client.webhooks.public_key()")
        public_key: bytes = client.webhooks.public_key()
        step.back(f"{public_key.decode().splitlines()[0]}  to check the signatures with")
    return public_key


def _stock(place: Place, key: str, client: Client, screen: Screen) -> None:
    with screen.step("A tax, something to sell, and a customer who pays by card") as step:
        step.sent("client.taxes.create(code='vat', rate=20)")
        client.taxes.create(Tax(name="VAT", code="vat", rate=20))
        step.sent(f"client.add_ons.create(code={ADD_ON!r}, amount_cents=10000, tax_codes=['vat'])")
        client.add_ons.create(
            AddOn(
                name="Piano lessons",
                code=ADD_ON,
                amount_cents=10_000,
                amount_currency="EUR",
                tax_codes=["vat"],
            )
        )
        step.sent(f"client.customers.create(external_id={CUSTOMER!r}, payment_provider='sandbox')")
        customer = client.customers.create(
            Customer(
                external_id=CUSTOMER,
                name="Ada Lovelace",
                currency="EUR",
                billing_configuration=CustomerBillingConfiguration(
                    payment_provider="sandbox",
                    payment_provider_code="cards",
                    provider_customer_id="cus_ada",
                ),
            )
        )
        step.back(f"lago_id {customer.lago_id}")
        path = f"/api/v1/customers/{CUSTOMER}/payment_methods"
        body = {"payment_method": {"provider_method_id": METHOD}}
        step.sent(f"POST {path} {json.dumps(body)}")
        answer = httpx.post(
            f"{place.api}{path}", json=body, headers={"Authorization": f"Bearer {key}"}
        ).raise_for_status()
        step.back(f"is_default {answer.json()['payment_method']['is_default']}")
        step.so("The sandbox declines the first charge of every invoice on this card.")


def _sell(client: Client, screen: Screen) -> str:
    with screen.step("An invoice: issued at once, and its first charge is on the way") as step:
        step.sent(f"client.invoices.create({CUSTOMER!r}, fees=[{{{ADD_ON!r}, units: 2}}])")
        invoice = client.invoices.create(
            OneOffInvoice(
                external_customer_id=CUSTOMER,
                currency="EUR",
                fees=InvoiceFeesList(__root__=[InvoiceFee(add_on_code=ADD_ON, units=2)]),
            )
        )
        step.back(
            f"{invoice.number}: {_money(invoice.total_amount_cents, invoice.currency)}, of which"
            f" tax {_money(invoice.taxes_amount_cents, invoice.currency)};"
            f" status {invoice.status!r}, payment_status {invoice.payment_status!r}"
        )
    return str(invoice.lago_id)


def _see_decline(
    client: Client, receiver: Receiver, invoice_id: str, public_key: bytes, screen: Screen
) -> None:
    with screen.step("Declined: a webhook says so, and why") as step:
        failure = receiver.wait_for(
            "invoice.payment_failure", lambda thing: thing["lago_invoice_id"] == invoice_id
        )
        why = failure.thing["error_details"]
        step.told(f"{failure.kind}: {failure.thing['provider_error']['message']!r}")
        step.told(
            f"decline_code {why['decline_code']!r}, network_decline_code"
            f" {why['network_decline_code']!r}, advice_code {why['advice_code']!r},"
            f" decline_class {why['decline_class']!r}"
        )
        step.so(_checked(failure, public_key))
        shown = client.invoices.find(invoice_id)
        step.sent("client.invoices.find(…)")
        step.back(f"payment_status {shown.payment_status!r}, due {_due(shown)}")
        if shown.payment_status != "failed":
            raise DemoError(f"The charge was declined, but the invoice is {shown.payment_status}.")


def _retry(
    client: Client, receiver: Receiver, invoice_id: str, public_key: bytes, screen: Screen
) -> None:
    with screen.step("The card has money again: ask for a retry") as step:
        step.sent("client.invoices.retry_payment(…)")
        client.invoices.retry_payment(invoice_id)
        step.back("200, with an empty body: the attempt is kept, and will be made")
        paid = receiver.wait_for(
            "payment.succeeded", lambda thing: invoice_id in thing["invoice_ids"]
        )
        money = _money(paid.thing["amount_cents"], paid.thing["amount_currency"])
        step.told(f"{paid.kind}: {money}, charge {paid.thing['provider_payment_id']}")
        step.so(_checked(paid, public_key))
        updated = receiver.wait_for(
            "invoice.payment_status_updated",
            lambda thing: thing["lago_id"] == invoice_id and thing["payment_status"] == "succeeded",
        )
        step.told(f"{updated.kind}: {updated.thing['payment_status']!r}")
        step.so(_checked(updated, public_key))


def _ask_once_more(client: Client, invoice_id: str, screen: Screen) -> None:
    with screen.step("Ask once more: nobody pays twice here") as step:
        step.sent("client.invoices.retry_payment(…)")
        try:
            client.invoices.retry_payment(invoice_id)
        except LagoApiError as refusal:
            step.back(json.dumps(refusal.response))
            if refusal.status_code == 405:
                return
            raise
        raise DemoError("A retry of a paid invoice was accepted.")


def _look_into_books(place: Place, client: Client, invoice_id: str, screen: Screen) -> None:
    with screen.step("Does the provider agree? Its own books") as step:
        invoice = client.invoices.find(invoice_id)
        step.sent("client.invoices.find(…)")
        step.back(f"payment_status {invoice.payment_status!r}, due {_due(invoice)}")
        step.sent(f"GET {place.sandbox}/charges")
        booked = httpx.get(f"{place.sandbox}/charges").raise_for_status().json()["charges"]
        ours = [one for one in booked if one["metadata"].get("lago_invoice_id") == invoice_id]
        taken = [one for one in ours if one["status"] == "succeeded"]
        step.back(f"{len(ours)} charges of this invoice, {len(taken)} successful")
        step.so("Each attempt has a key of its own, under which nobody is charged twice.")
    screen.charges(
        [
            (_money(one["amount"], one["currency"]), one["status"], one["idempotency_key"])
            for one in ours
        ]
    )
    if invoice.payment_status != "succeeded" or invoice.total_due_amount_cents != 0:
        raise DemoError(f"The invoice is {invoice.payment_status} and owes {_due(invoice)}.")
    if [one["amount"] for one in taken] != [invoice.total_amount_cents]:
        raise DemoError(f"The provider has {len(taken)} successful charges, and not exactly one.")


def _checked(webhook: Webhook, public_key: bytes) -> str:
    return f"Its signature is right: RS256, issued by {webhook.check_signature(public_key)}."


def _due(invoice: Any) -> str:
    return _money(invoice.total_due_amount_cents, invoice.currency)


def _money(cents: int, currency: str) -> str:
    return f"{cents / 100:.2f} {currency}"

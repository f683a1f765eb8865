"""How every method of Lago's clients that belongs to the contract is called, with what is needed.

A method without a line fails a test. `PYTHON` calls it; `JAVASCRIPT` makes its arguments.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from lago_python_client import Client
from lago_python_client.models import (
    AddOn,
    BillingEntity,
    CreditNote,
    CreditNoteEstimate,
    CreditNoteUpdate,
    Customer,
    Fee,
    Invoice,
    InvoiceFee,
    InvoiceFeesList,
    InvoiceMetadata,
    InvoiceMetadataList,
    InvoicePreview,
    Item,
    Items,
    OneOffInvoice,
    Organization,
    Payment,
    PaymentRequest,
    Tax,
    WebhookEndpoint,
)

from tests.contract import exercises, things
from tests.contract.contract import CUSTOMER
from tests.contract.world import World

Make = Callable[[World], Awaitable[Any]]
CallPython = Callable[[Client, Any], Any]
ArgumentsOf = Callable[[Any], list[Any]]


def same(make: Make) -> Make:
    """The thing that all share."""
    return lambda world: world.get(make)


async def name(world: World) -> str:
    """A name that nothing has."""
    return world.name("made-by-a-client")


async def default_entity(world: World) -> Any:
    """The billing entity that every organization has."""
    return (await world.do("GET /billing_entities"))[0]


async def new_tax(world: World) -> Any:
    return await world.do(
        "POST /taxes", {"tax": {"name": "T", "code": await name(world), "rate": 1}}
    )


async def new_add_on(world: World) -> Any:
    asked = {"name": "A", "code": await name(world), "amount_cents": 1, "amount_currency": "EUR"}
    return await world.do("POST /add_ons", {"add_on": asked})


async def new_endpoint(world: World) -> Any:
    asked = {"webhook_url": f"https://example.com/{await name(world)}", "event_types": []}
    return await world.do("POST /webhook_endpoints", {"webhook_endpoint": asked})


async def no_endpoint(world: World) -> str:
    """An address that has none, and room for another."""
    listed = await world.do("GET /webhook_endpoints")
    for one in listed["webhook_endpoints"]:
        if "made-by-a-client" in one["webhook_url"]:
            await world.do("DELETE /webhook_endpoints/{lago_id}", lago_id=one["lago_id"])
    return f"https://example.com/{await name(world)}"


async def second_method(world: World) -> Any:
    """The second of a customer's methods."""
    owner = await things.customer(world, "pm_sandbox_ok", "pm_sandbox_do_not_honor")
    whose = {"external_customer_id": owner["external_id"]}
    listed = await world.do(f"GET {CUSTOMER}/payment_methods", **whose)
    return listed["payment_methods"][-1] | {"owner": owner["external_id"]}


async def with_page(world: World) -> Any:
    owner = await things.customer(world, "pm_sandbox_ok")
    return await things.issue(world, owner, skip_psp=True)


async def new_declined(world: World) -> Any:
    return await things.declined(world)


async def paid(world: World) -> Any:
    return await things.paid_by_hand(world)


async def new_note(world: World) -> Any:
    return await things.credit(
        world, await paid(world), credit_amount_cents=120, metadata={"a": "1"}
    )


async def with_document(world: World) -> Any:
    """An invoice whose document is made."""
    await world.get(exercises.download_an_invoice)
    return await world.get(things.paid_by_card)


async def note_with_document(world: World) -> Any:
    await world.get(exercises.download_a_credit_note)
    return await world.get(things.credit_note)


async def late_and_alone(world: World) -> Any:
    return await things.late(world)


def _items(invoice: Any) -> Items:
    return Items(__root__=[Item(fee_id=invoice["fees"][0]["lago_id"], amount_cents=100)])


def _items_of(invoice: Any) -> list[Any]:
    return [{"fee_id": invoice["fees"][0]["lago_id"], "amount_cents": 100}]


ADA, BOB, TAX = same(things.ada), same(things.bob), same(things.tax)
ADD_ON, PAID, NOTE = same(things.add_on), same(things.paid_by_card), same(things.credit_note)
FEE, PAYMENT, RECEIPT = same(things.fee), same(things.card_payment), same(things.receipt)
REQUEST, HOOK, ENTITY = (
    same(things.payment_request), same(things.endpoint), same(things.second_entity),
)  # fmt: skip
METADATA: Final = InvoiceMetadataList(__root__=[InvoiceMetadata(key="order", value="17")])

PYTHON: Final[Mapping[str, tuple[Make, CallPython]]] = {
    "add_ons.create": (name, lambda c, it: c.add_ons.create(
        AddOn(name="A", code=it, amount_cents=1, amount_currency="EUR"))),
    "add_ons.destroy": (new_add_on, lambda c, it: c.add_ons.destroy(it["code"])),
    "add_ons.find": (ADD_ON, lambda c, it: c.add_ons.find(it["code"])),
    "add_ons.find_all": (ADD_ON, lambda c, _: c.add_ons.find_all()),
    "add_ons.update": (new_add_on, lambda c, it: c.add_ons.update(AddOn(name="B"), it["code"])),
    "billing_entities.create": (name, lambda c, it: c.billing_entities.create(
        BillingEntity(code=it, name="Client"))),
    "billing_entities.find": (default_entity, lambda c, it: c.billing_entities.find(it["code"])),
    "billing_entities.find_all": (BOB, lambda c, _: c.billing_entities.find_all()),
    "billing_entities.update": (ENTITY, lambda c, it: c.billing_entities.update(
        BillingEntity(code=it["code"], name="Second"), it["code"])),
    "credit_notes.create": (paid, lambda c, it: c.credit_notes.create(CreditNote(
        invoice_id=it["lago_id"], credit_amount_cents=120, items=_items(it)))),
    "credit_notes.delete_all_metadata": (
        new_note, lambda c, it: c.credit_notes.delete_all_metadata(it["lago_id"])),
    "credit_notes.delete_metadata_key": (
        new_note, lambda c, it: c.credit_notes.delete_metadata_key(it["lago_id"], "a")),
    "credit_notes.download": (
        note_with_document, lambda c, it: c.credit_notes.download(it["lago_id"])),
    "credit_notes.estimate": (PAID, lambda c, it: c.credit_notes.estimate(
        CreditNoteEstimate(invoice_id=it["lago_id"], items=_items(it)))),
    "credit_notes.find": (NOTE, lambda c, it: c.credit_notes.find(it["lago_id"])),
    "credit_notes.find_all": (NOTE, lambda c, _: c.credit_notes.find_all()),
    "credit_notes.merge_metadata": (
        new_note, lambda c, it: c.credit_notes.merge_metadata(it["lago_id"], {"b": "2"})),
    "credit_notes.replace_metadata": (
        new_note, lambda c, it: c.credit_notes.replace_metadata(it["lago_id"], {"b": "2"})),
    "credit_notes.update": (new_note, lambda c, it: c.credit_notes.update(
        CreditNoteUpdate(metadata={"b": "2"}), it["lago_id"])),
    "credit_notes.void": (new_note, lambda c, it: c.credit_notes.void(it["lago_id"])),
    "customers.checkout_url": (ADA, lambda c, it: c.customers.checkout_url(it["external_id"])),
    "customers.create": (name, lambda c, it: c.customers.create(Customer(external_id=it))),
    "customers.destroy": (
        things.customer, lambda c, it: c.customers.destroy(it["external_id"])),
    "customers.find": (ADA, lambda c, it: c.customers.find(it["external_id"])),
    "customers.find_all": (ADA, lambda c, _: c.customers.find_all({"per_page": 1000})),
    "customers.portal_url": (ADA, lambda c, it: c.customers.portal_url(it["external_id"])),
    "customer_credit_notes.find_all": (ADA, lambda c, _: c.customer_credit_notes.find_all("ada")),
    "customer_invoices.find_all": (ADA, lambda c, _: c.customer_invoices.find_all("ada")),
    "customer_payment_methods.destroy": (second_method, lambda c, it:
        c.customer_payment_methods.destroy(it["owner"], it["lago_id"])),
    "customer_payment_methods.find_all": (
        ADA, lambda c, _: c.customer_payment_methods.find_all("ada")),
    "customer_payment_methods.set_as_default": (second_method, lambda c, it:
        c.customer_payment_methods.set_as_default(it["owner"], it["lago_id"])),
    "customer_payments.find_all": (ADA, lambda c, _: c.customer_payments.find_all("ada")),
    "customer_payment_requests.find_all": (
        ADA, lambda c, _: c.customer_payment_requests.find_all("ada")),
    "fees.destroy": (FEE, lambda c, it: c.fees.destroy(it["lago_id"])),
    "fees.find": (FEE, lambda c, it: c.fees.find(it["lago_id"])),
    "fees.find_all": (FEE, lambda c, _: c.fees.find_all({"fee_type": "add_on"})),
    "fees.update": (
        FEE, lambda c, it: c.fees.update(Fee(payment_status="succeeded"), it["lago_id"])),
    "invoices.create": (same(things.add_on), lambda c, it: c.invoices.create(OneOffInvoice(
        external_customer_id="ada", currency="EUR", fees=InvoiceFeesList(
            __root__=[InvoiceFee(add_on_code=it["code"], units=2)])))),
    "invoices.destroy": (things.new_draft, lambda c, it: c.invoices.destroy(it["lago_id"])),
    "invoices.download": (with_document, lambda c, it: c.invoices.download(it["lago_id"])),
    "invoices.finalize": (things.new_draft, lambda c, it: c.invoices.finalize(it["lago_id"])),
    "invoices.find": (PAID, lambda c, it: c.invoices.find(it["lago_id"])),
    "invoices.find_all": (PAID, lambda c, _: c.invoices.find_all({"statuses[]": ["finalized"]})),
    "invoices.lose_dispute": (paid, lambda c, it: c.invoices.lose_dispute(it["lago_id"])),
    "invoices.payment_url": (with_page, lambda c, it: c.invoices.payment_url(it["lago_id"])),
    "invoices.preview": (BOB, lambda c, it: c.invoices.preview(
        InvoicePreview(customer=Customer(external_id="bob"), plan_code="basic"))),
    "invoices.refresh": (things.new_draft, lambda c, it: c.invoices.refresh(it["lago_id"])),
    "invoices.retry": (things.unpaid, lambda c, it: c.invoices.retry(it["lago_id"])),
    "invoices.retry_payment": (
        new_declined, lambda c, it: c.invoices.retry_payment(it["lago_id"])),
    "invoices.update": (
        PAID, lambda c, it: c.invoices.update(Invoice(metadata=METADATA), it["lago_id"])),
    "invoices.void": (things.unpaid, lambda c, it: c.invoices.void(it["lago_id"])),
    "invoices.void_invoice": (things.unpaid, lambda c, it: c.invoices.void_invoice(it["lago_id"])),
    "organizations.update": (BOB, lambda c, _: c.organizations.update(
        Organization(default_currency="EUR", legal_name="Acme"))),
    "payment_receipts.find": (RECEIPT, lambda c, it: c.payment_receipts.find(it["lago_id"])),
    "payment_receipts.find_all": (RECEIPT, lambda c, _: c.payment_receipts.find_all()),
    "payment_requests.create": (late_and_alone, lambda c, it: c.payment_requests.create(
        PaymentRequest(email="a@example.com", lago_invoice_ids=[it["lago_id"]],
                       external_customer_id=it["customer"]["external_id"]))),
    "payment_requests.find": (REQUEST, lambda c, it: c.payment_requests.find(it["lago_id"])),
    "payment_requests.find_all": (REQUEST, lambda c, _: c.payment_requests.find_all()),
    "payments.create": (things.unpaid, lambda c, it: c.payments.create(Payment(
        invoice_id=it["lago_id"], amount_cents=100, reference="wire"))),
    "payments.find": (PAYMENT, lambda c, it: c.payments.find(it["lago_id"])),
    "payments.find_all": (PAYMENT, lambda c, _: c.payments.find_all()),
    "taxes.create": (name, lambda c, it: c.taxes.create(Tax(name="T", code=it, rate=1))),
    "taxes.destroy": (new_tax, lambda c, it: c.taxes.destroy(it["code"])),
    "taxes.find": (TAX, lambda c, it: c.taxes.find(it["code"])),
    "taxes.find_all": (TAX, lambda c, _: c.taxes.find_all()),
    "taxes.update": (new_tax, lambda c, it: c.taxes.update(Tax(rate=2), it["code"])),
    "webhooks.public_key": (BOB, lambda c, _: c.webhooks.public_key()),
    "webhook_endpoints.create": (no_endpoint, lambda c, it: c.webhook_endpoints.create(
        WebhookEndpoint(webhook_url=it, event_types=[]))),
    "webhook_endpoints.destroy": (
        new_endpoint, lambda c, it: c.webhook_endpoints.destroy(it["lago_id"])),
    "webhook_endpoints.find": (HOOK, lambda c, it: c.webhook_endpoints.find(it["lago_id"])),
    "webhook_endpoints.find_all": (HOOK, lambda c, _: c.webhook_endpoints.find_all()),
    "webhook_endpoints.update": (HOOK, lambda c, it: c.webhook_endpoints.update(
        WebhookEndpoint(webhook_url=it["webhook_url"], event_types=[]), it["lago_id"])),
}  # fmt: skip


def _code(it: Any) -> list[Any]:
    return [it["code"]]


def _id(it: Any) -> list[Any]:
    return [it["lago_id"]]


def _external(it: Any) -> list[Any]:
    return [it["external_id"]]


def _nothing(_: Any) -> list[Any]:
    return []


def _ada(_: Any) -> list[Any]:
    return ["ada"]


JAVASCRIPT: Final[Mapping[str, tuple[Make, ArgumentsOf]]] = {
    "billingEntities.listBillingEntities": (BOB, _nothing),
    "billingEntities.createBillingEntity": (
        name, lambda it: [{"billing_entity": {"code": it, "name": "Client"}}]),
    "billingEntities.getBillingEntity": (default_entity, _code),
    "billingEntities.updateBillingEntity": (
        ENTITY, lambda it: [it["code"], {"billing_entity": {"name": "Second"}}]),
    "addOns.createAddOn": (name, lambda it: [{"add_on": {
        "name": "A", "code": it, "amount_cents": 1, "amount_currency": "EUR"}}]),
    "addOns.findAllAddOns": (ADD_ON, _nothing),
    "addOns.updateAddOn": (new_add_on, lambda it: [it["code"], {"add_on": {"name": "B"}}]),
    "addOns.findAddOn": (ADD_ON, _code),
    "addOns.destroyAddOn": (new_add_on, _code),
    "creditNotes.createCreditNote": (paid, lambda it: [{"credit_note": {
        "invoice_id": it["lago_id"], "credit_amount_cents": 120, "items": _items_of(it)}}]),
    "creditNotes.findAllCreditNotes": (NOTE, _nothing),
    "creditNotes.updateCreditNote": (
        new_note, lambda it: [it["lago_id"], {"credit_note": {"metadata": {"b": "2"}}}]),
    "creditNotes.findCreditNote": (NOTE, _id),
    "creditNotes.downloadCreditNote": (note_with_document, _id),
    "creditNotes.estimateCreditNote": (PAID, lambda it: [{"credit_note": {
        "invoice_id": it["lago_id"], "items": _items_of(it)}}]),
    "creditNotes.voidCreditNote": (new_note, _id),
    "creditNotes.replaceCreditNoteMetadata": (
        new_note, lambda it: [it["lago_id"], {"metadata": {"b": "2"}}]),
    "creditNotes.mergeCreditNoteMetadata": (
        new_note, lambda it: [it["lago_id"], {"metadata": {"b": "2"}}]),
    "creditNotes.deleteAllCreditNoteMetadata": (new_note, _id),
    "creditNotes.deleteCreditNoteMetadataKey": (new_note, lambda it: [it["lago_id"], "a"]),
    "customers.createCustomer": (name, lambda it: [{"customer": {"external_id": it}}]),
    "customers.findAllCustomers": (ADA, lambda _: [{"per_page": 1000}]),
    "customers.findCustomer": (ADA, _external),
    "customers.destroyCustomer": (things.customer, _external),
    "customers.findAllCustomerCreditNotes": (NOTE, _ada),
    "customers.findAllCustomerInvoices": (PAID, _ada),
    "customers.findAllCustomerPayments": (PAID, _ada),
    "customers.findAllCustomerPaymentRequests": (ADA, _ada),
    "customers.getCustomerPortalUrl": (ADA, _ada),
    "customers.generateCustomerCheckoutUrl": (ADA, _ada),
    "customers.findAllCustomersPaymentMethods": (ADA, _ada),
    "customers.paymentMethodSetAsDefault": (
        second_method, lambda it: [it["lago_id"], it["owner"]]),
    "customers.destroyPaymentMethod": (second_method, lambda it: [it["lago_id"], it["owner"]]),
    "fees.findAllFees": (FEE, _nothing),
    "fees.findFee": (FEE, _id),
    "fees.updateFee": (FEE, lambda it: [it["lago_id"], {"fee": {"payment_status": "succeeded"}}]),
    "fees.deleteFee": (FEE, _id),
    "invoices.createInvoice": (same(things.add_on), lambda it: [{"invoice": {
        "external_customer_id": "ada", "currency": "EUR",
        "fees": [{"add_on_code": it["code"], "units": 2}]}}]),
    "invoices.findAllInvoices": (PAID, lambda _: [{"statuses[]": ["finalized"]}]),
    "invoices.updateInvoice": (PAID, lambda it: [
        it["lago_id"], {"invoice": {"metadata": [{"key": "order", "value": "17"}]}}]),
    "invoices.findInvoice": (PAID, _id),
    "invoices.deleteInvoice": (things.new_draft, _id),
    "invoices.downloadInvoice": (with_document, _id),
    "invoices.finalizeInvoice": (things.new_draft, _id),
    "invoices.loseDisputeInvoice": (paid, _id),
    "invoices.refreshInvoice": (things.new_draft, _id),
    "invoices.retryInvoice": (things.unpaid, _id),
    "invoices.invoicePaymentUrl": (with_page, _id),
    "invoices.invoicePreview": (
        BOB, lambda _: [{"customer": {"external_id": "bob"}, "plan_code": "basic"}]),
    "invoices.retryPayment": (new_declined, _id),
    "invoices.voidInvoice": (things.unpaid, _id),
    "organizations.findOrganization": (BOB, _nothing),
    "organizations.updateOrganization": (
        BOB, lambda _: [{"organization": {"legal_name": "Acme"}}]),
    "paymentReceipts.findAllPaymentReceipts": (RECEIPT, _nothing),
    "paymentReceipts.findPaymentReceipt": (RECEIPT, _id),
    "paymentRequests.createPaymentRequest": (late_and_alone, lambda it: [{"payment_request": {
        "email": "a@example.com", "lago_invoice_ids": [it["lago_id"]],
        "external_customer_id": it["customer"]["external_id"]}}]),
    "paymentRequests.findAllPaymentRequests": (REQUEST, _nothing),
    "paymentRequests.findPaymentRequest": (REQUEST, _id),
    "payments.createPayment": (things.unpaid, lambda it: [{"payment": {
        "invoice_id": it["lago_id"], "amount_cents": 100, "reference": "wire"}}]),
    "payments.findAllPayments": (PAYMENT, _nothing),
    "payments.findPayment": (PAYMENT, _id),
    "taxes.createTax": (name, lambda it: [{"tax": {"name": "T", "code": it, "rate": "1"}}]),
    "taxes.findAllTaxes": (TAX, _nothing),
    "taxes.updateTax": (new_tax, lambda it: [it["code"], {"tax": {"rate": "2"}}]),
    "taxes.findTax": (TAX, _code),
    "taxes.destroyTax": (new_tax, _code),
    "webhooks.fetchPublicKey": (BOB, _nothing),
    "webhooks.fetchJsonPublicKey": (BOB, _nothing),
    "webhookEndpoints.createWebhookEndpoint": (
        no_endpoint, lambda it: [{"webhook_endpoint": {"webhook_url": it, "event_types": []}}]),
    "webhookEndpoints.findAllWebhookEndpoints": (HOOK, _nothing),
    "webhookEndpoints.updateWebhookEndpoint": (HOOK, lambda it: [
        it["lago_id"],
        {"webhook_endpoint": {"webhook_url": it["webhook_url"], "event_types": []}}]),
    "webhookEndpoints.findWebhookEndpoint": (HOOK, _id),
    "webhookEndpoints.destroyWebhookEndpoint": (new_endpoint, _id),
}  # fmt: skip

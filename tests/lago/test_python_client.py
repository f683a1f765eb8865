"""Lago's Python client, as published and unmodified, against real processes.

Every method of the resources that this version serves is called, and its answer parsed by the
client's own models, which are strict about what must be there (contract section 2.1).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4  # noqa: TID251  an id that nobody has

import jwt
import pytest
from lago_python_client import Client
from lago_python_client.exceptions import LagoApiError
from lago_python_client.models import (
    AddOn,
    Customer,
    CustomerBillingConfiguration,
    Fee,
    Invoice,
    InvoiceFee,
    InvoiceFeesList,
    InvoiceMetadata,
    InvoiceMetadataList,
    OneOffInvoice,
    Organization,
    Payment,
    Tax,
    WebhookEndpoint,
)
from lago_python_client.models.credit_note import (
    CreditNote,
    CreditNoteEstimate,
    CreditNoteUpdate,
    Item,
    Items,
)
from lago_python_client.models.payment_method import PaymentMethod
from lago_python_client.models.payment_request import PaymentRequest

from tests.lago.conftest import Shop

NewName = Callable[[str], str]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def told(shop: Shop) -> None:
    """The shop is told of everything that happens."""
    shop.client.webhook_endpoints.create(WebhookEndpoint(webhook_url=shop.receiver.url))


@pytest.fixture(scope="module")
def add_on(shop: Shop, told: None) -> str:
    tax = Tax(name="VAT", code="vat", rate=20)
    shop.client.taxes.create(tax)
    made = AddOn(
        name="Lesson", code="lesson", amount_cents=5_000, amount_currency="EUR", tax_codes=["vat"]
    )
    return str(shop.client.add_ons.create(made).code)


def sell(shop: Shop, add_on: str, customer: str, *methods: str, **more: Any) -> Any:
    """An invoice of a customer who has these methods, with a charge on the way if there is one."""
    shop.client.customers.create(
        Customer(
            external_id=customer,
            currency="EUR",
            billing_configuration=CustomerBillingConfiguration(
                payment_provider="sandbox",
                payment_provider_code="cards",
                provider_customer_id=f"cus_{customer}",
            ),
        )
    )
    for method in methods:
        shop.attach(customer, method)
    fees = InvoiceFeesList(__root__=[InvoiceFee(add_on_code=add_on, units=2)])
    asked = OneOffInvoice(external_customer_id=customer, currency="EUR", fees=fees, **more)
    return shop.client.invoices.create(asked)


def wait_for_failure(shop: Shop, invoice: Any) -> dict[str, Any]:
    return shop.receiver.wait_for(
        "invoice.payment_failure", lambda thing: thing["lago_invoice_id"] == invoice.lago_id
    ).thing


def wait_for_success(shop: Shop, invoice: Any) -> dict[str, Any]:
    return shop.receiver.wait_for(
        "payment.succeeded", lambda thing: invoice.lago_id in thing["invoice_ids"]
    ).thing


def refusal(call: Callable[[], Any]) -> tuple[int, str | None]:
    """The status and the code of a refusal, which the client must be able to read."""
    with pytest.raises(LagoApiError) as caught:
        call()
    assert caught.value.response["status"] == caught.value.status_code
    return caught.value.status_code, caught.value.response.get("code")


def test_an_invoice_is_declined_retried_and_paid(
    shop: Shop, add_on: str, new_name: NewName
) -> None:
    invoice = sell(shop, add_on, new_name("ada"), "pm_sandbox_fail_once")
    assert (invoice.status, invoice.payment_status) == ("finalized", "pending")
    assert invoice.total_amount_cents == 12_000
    assert invoice.fees.__root__[0].item.code == add_on
    failure = wait_for_failure(shop, invoice)
    assert failure["error_details"]["decline_code"] == "insufficient_funds"
    assert shop.client.invoices.find(invoice.lago_id).payment_status == "failed"

    assert shop.client.invoices.retry_payment(invoice.lago_id) is None
    paid = wait_for_success(shop, invoice)
    found = shop.client.invoices.find(invoice.lago_id)
    assert (found.payment_status, found.total_due_amount_cents) == ("succeeded", 0)
    assert [one["status"] for one in shop.charges(invoice.lago_id)] == ["failed", "succeeded"]

    payment = shop.client.payments.find(paid["lago_id"])
    assert (payment.payment_status, payment.amount_cents) == ("succeeded", 12_000)
    assert payment.reference == ""  # null, as Lago has it, is what its client cannot parse
    listed = shop.client.payments.find_all({"invoice_id": invoice.lago_id})
    assert [one.payment_status for one in listed["payments"]] == ["succeeded", "failed"]
    again = lambda: shop.client.invoices.retry_payment(invoice.lago_id)  # noqa: E731
    assert refusal(again) == (405, "invalid_status")


def test_a_retry_takes_the_method_it_names(shop: Shop, add_on: str, new_name: NewName) -> None:
    customer = new_name("grace")
    invoice = sell(shop, add_on, customer, "pm_sandbox_stolen_card")
    wait_for_failure(shop, invoice)
    other = shop.attach(customer, "pm_sandbox_ok")
    wish = PaymentMethod(payment_method_type="provider", payment_method_id=other)
    shop.client.invoices.retry_payment(invoice.lago_id, wish)
    wait_for_success(shop, invoice)
    assert shop.charges(invoice.lago_id)[-1]["payment_method"] == "pm_sandbox_ok"


def test_a_retry_is_refused_while_a_charge_is_in_flight(
    shop: Shop, add_on: str, new_name: NewName
) -> None:
    invoice = sell(shop, add_on, new_name("mary"), "pm_sandbox_authentication_required")
    shop.receiver.wait_for(
        "payment.requires_action", lambda thing: invoice.lago_id in thing["invoice_ids"]
    )
    refused = refusal(lambda: shop.client.invoices.retry_payment(invoice.lago_id))
    assert refused == (405, "payment_processor_is_currently_handling_payment")


def test_invoices_are_listed_updated_voided_and_lost(
    shop: Shop, add_on: str, new_name: NewName
) -> None:
    client, customer = shop.client, new_name("emmy")
    first = sell(shop, add_on, customer)
    second = sell(shop, add_on, customer)
    mine = {"external_customer_id": customer}
    listed = client.invoices.find_all({**mine, "per_page": 1, "statuses[]": ["finalized", "draft"]})
    assert [one.lago_id for one in listed["invoices"]] == [second.lago_id]
    assert (listed["meta"]["total_count"], listed["meta"]["next_page"]) == (2, 2)

    metadata = InvoiceMetadataList(__root__=[InvoiceMetadata(key="order", value="17")])
    changed = client.invoices.update(
        Invoice(payment_status="succeeded", metadata=metadata), first.lago_id
    )
    assert changed.payment_status == "succeeded"
    assert [(one.key, one.value) for one in changed.metadata.__root__] == [("order", "17")]
    paid = client.invoices.find_all({**mine, "payment_status": "succeeded"})
    assert [one.lago_id for one in paid["invoices"]] == [first.lago_id]

    assert client.invoices.lose_dispute(first.lago_id).payment_dispute_lost_at  # by PUT
    assert client.invoices.void(second.lago_id).status == "voided"
    assert refusal(lambda: client.invoices.void(second.lago_id)) == (405, "not_voidable")
    assert client.invoices.void_invoice(first.lago_id).status == "voided"


def test_customers_are_made_changed_found_and_deleted(shop: Shop, new_name: NewName) -> None:
    customers, customer = shop.client.customers, new_name("a.b")  # a dot is no format suffix
    made = customers.create(Customer(external_id=customer, name="Sophie", currency="EUR"))
    changed = customers.create(Customer(external_id=customer, email="sophie@example.com"))
    assert (changed.lago_id, changed.name) == (made.lago_id, "Sophie")
    assert customers.find(customer).email == "sophie@example.com"
    listed = customers.find_all({"search_term": "sophie@example.com"})
    assert [one.external_id for one in listed["customers"]] == [customer]
    assert customers.destroy(customer).external_id == customer
    assert refusal(lambda: customers.find(customer)) == (404, "customer_not_found")


def test_payment_methods_become_the_default_and_go(
    shop: Shop, add_on: str, new_name: NewName
) -> None:
    customer = new_name("rosa")
    sell(shop, add_on, customer, "pm_sandbox_ok")
    second = shop.attach(customer, "pm_sandbox_do_not_honor")
    methods = shop.client.customer_payment_methods
    assert methods.set_as_default(customer, second).is_default
    assert methods.destroy(customer, second).provider_method_id == "pm_sandbox_do_not_honor"


def test_lists_below_a_customer_come_without_a_key_and_are_refused(
    shop: Shop, add_on: str, new_name: NewName
) -> None:
    """A defect of the client, which sends no `Authorization` there; the flat lists serve."""
    customer = new_name("lise")
    sell(shop, add_on, customer)
    for below in (
        shop.client.customer_invoices,
        shop.client.customer_payments,
        shop.client.customer_payment_requests,
        shop.client.customer_payment_methods,
        shop.client.customer_credit_notes,
    ):
        assert refusal(lambda below=below: below.find_all(customer)) == (401, None)


def test_a_payment_made_by_hand_pays(shop: Shop, add_on: str, new_name: NewName) -> None:
    invoice = sell(shop, add_on, new_name("olga"))
    paid = shop.client.payments.create(
        Payment(invoice_id=invoice.lago_id, amount_cents=12_000, reference="cheque 7")
    )
    assert (paid.type, paid.payment_status, paid.reference) == ("manual", "succeeded", "cheque 7")
    assert shop.client.invoices.find(invoice.lago_id).payment_status == "succeeded"


def test_credit_notes_are_estimated_made_found_changed_and_voided(
    shop: Shop, add_on: str, new_name: NewName
) -> None:
    customer, notes = new_name("nora"), shop.client.credit_notes
    invoice = sell(shop, add_on, customer)
    items = Items(__root__=[Item(fee_id=invoice.fees.__root__[0].lago_id, amount_cents=1_000)])
    of = {"invoice_id": invoice.lago_id, "items": items}
    estimated = notes.estimate(CreditNoteEstimate(**of))
    assert (estimated.taxes_amount_cents, estimated.max_offsettable_amount_cents) == (200, 1_200)
    made = notes.create(
        CreditNote(**of, credit_amount_cents=700, offset_amount_cents=500, metadata={"a": "b"})
    )
    assert (made.total_amount_cents, made.balance_amount_cents) == (1_200, 700)
    assert (made.number, made.metadata) == (f"{invoice.number}-CN001", {"a": "b"})
    told = shop.receiver.wait_for(
        "credit_note.created", lambda thing: thing["lago_id"] == made.lago_id
    )
    assert told.thing["number"] == made.number
    found = notes.find(made.lago_id)
    assert found.copy(update={"file_url": made.file_url}) == made  # its PDF may have come meanwhile
    listed = notes.find_all({"external_customer_id": customer, "credit_status": "available"})
    assert [one.lago_id for one in listed["credit_notes"]] == [made.lago_id]
    changed = notes.update(CreditNoteUpdate(metadata={"c": "d"}), made.lago_id)
    assert changed.metadata == {"a": "b", "c": "d"}
    assert notes.merge_metadata(made.lago_id, {"a": None}) == {"a": None, "c": "d"}
    assert notes.delete_metadata_key(made.lago_id, "a") == {"c": "d"}
    assert notes.replace_metadata(made.lago_id, {"e": "f"}) == {"e": "f"}
    assert notes.delete_all_metadata(made.lago_id) is None
    assert notes.void(made.lago_id).credit_status == "voided"
    assert refusal(lambda: notes.void(made.lago_id)) == (405, "no_voidable_amount")
    assert shop.client.invoices.find(invoice.lago_id).total_due_amount_cents == 11_500


def test_several_overdue_invoices_are_paid_at_once_and_have_a_receipt(
    shop: Shop, add_on: str, new_name: NewName
) -> None:
    client, customer = shop.client, new_name("maria")
    sell(shop, add_on, customer, "pm_sandbox_ok")
    ids = [shop.owes(customer, add_on) for _ in range(2)]
    asked = PaymentRequest(
        email="maria@example.com", external_customer_id=customer, lago_invoice_ids=ids
    )
    assert refusal(lambda: client.payment_requests.create(asked)) == (405, "invoices_not_overdue")
    shop.let_be_overdue(*ids)
    made = client.payment_requests.create(asked)
    assert (made.amount_cents, made.payment_status) == (12_000, "pending")
    assert {one.lago_id for one in made.invoices.__root__} == set(ids)
    paid = shop.receiver.wait_for(
        "payment.succeeded", lambda thing: thing["lago_payable_id"] == made.lago_id
    ).thing
    assert (paid["payable_type"], paid["lago_payable_id"]) == ("PaymentRequest", made.lago_id)
    told = shop.receiver.wait_for(
        "payment_request.payment_status_updated", lambda thing: thing["lago_id"] == made.lago_id
    )
    assert told.thing["payment_status"] == "succeeded"
    assert client.payment_requests.find(made.lago_id).payment_status == "succeeded"
    mine = {"external_customer_id": customer, "payment_status": "succeeded"}
    listed = client.payment_requests.find_all(mine)["payment_requests"]
    assert [one.lago_id for one in listed] == [made.lago_id]
    for lago_id in ids:
        assert client.invoices.find(lago_id).payment_status == "succeeded"
        [receipt] = client.payment_receipts.find_all({"invoice_id": lago_id})["payment_receipts"]
        assert client.payment_receipts.find(receipt.lago_id).number == receipt.number
        assert receipt.payment.lago_id == paid["lago_id"]
    by_hand = Payment(invoice_id=ids[0], amount_cents=1, reference="cash")
    assert refusal(lambda: client.payments.create(by_hand)) == (422, "validation_errors")


def test_fees_are_found_and_stay_with_their_invoice(
    shop: Shop, add_on: str, new_name: NewName
) -> None:
    invoice = sell(shop, add_on, new_name("irma"))
    fee_id = invoice.fees.__root__[0].lago_id
    fees = shop.client.fees
    assert fees.find(fee_id).total_amount_cents == 12_000
    assert fee_id in [one.lago_id for one in fees.find_all({"fee_type": "add_on"})["fees"]]
    changed = lambda: fees.update(Fee(payment_status="succeeded"), fee_id)  # noqa: E731
    assert refusal(changed) == (405, "invoiced_fee")
    assert refusal(lambda: fees.destroy(fee_id)) == (405, "invoiced_fee")


def test_taxes_are_made_found_changed_and_deleted(shop: Shop, new_name: NewName) -> None:
    taxes, code = shop.client.taxes, new_name("tax")
    assert taxes.create(Tax(name="Levy", code=code, rate=7.5)).rate == 7.5
    assert taxes.update(Tax(rate=8), code).rate == 8
    assert taxes.find(code).name == "Levy"
    assert code in [one.code for one in taxes.find_all()["taxes"]]
    assert taxes.destroy(code).code == code
    assert refusal(lambda: taxes.find(code)) == (404, "tax_not_found")


def test_add_ons_are_made_found_changed_and_deleted(shop: Shop, new_name: NewName) -> None:
    add_ons, code = shop.client.add_ons, new_name("add-on")
    asked = AddOn(name="Set-up", code=code, amount_cents=100, amount_currency="EUR")
    assert add_ons.create(asked).amount_cents == 100
    assert add_ons.update(AddOn(amount_cents=200), code).amount_cents == 200
    assert add_ons.find(code).amount_cents == 200
    assert code in [one.code for one in add_ons.find_all({"per_page": 1000})["add_ons"]]
    assert add_ons.destroy(code).code == code
    assert refusal(lambda: add_ons.find(code)) == (404, "add_on_not_found")


def test_an_organization_says_who_it_is(shop: Shop) -> None:
    changed = shop.client.organizations.update(
        Organization(default_currency="EUR", legal_name="Shop Ltd")
    )
    assert (changed.name, changed.legal_name) == ("Shop", "Shop Ltd")


def test_billing_entities_are_found(shop: Shop) -> None:
    entities = shop.client.billing_entities
    [only] = entities.find_all()["billing_entities"]
    assert only.is_default
    assert entities.find(only.code).lago_id == only.lago_id


def test_webhook_endpoints_are_made_found_changed_and_deleted(shop: Shop) -> None:
    endpoints = shop.client.webhook_endpoints
    asked = WebhookEndpoint(webhook_url="https://example.com/a", signature_algo="hmac")
    made = endpoints.create(asked)
    assert (made.lago_organization_id, made.signature_algo) == (shop.organization_id, "hmac")
    changed = endpoints.update(
        WebhookEndpoint(webhook_url="https://example.com/b", event_types=["payment.succeeded"]),
        made.lago_id,
    )
    assert changed.event_types == ["payment.succeeded"]
    assert endpoints.find(made.lago_id).webhook_url == "https://example.com/b"
    assert made.lago_id in [one.lago_id for one in endpoints.find_all()["webhook_endpoints"]]
    assert endpoints.destroy(made.lago_id).lago_id == made.lago_id
    refused = refusal(lambda: endpoints.find(made.lago_id))
    assert refused == (404, "webhook_endpoint_not_found")


def test_webhooks_are_signed_by_the_public_key(shop: Shop, add_on: str, new_name: NewName) -> None:
    invoice = sell(shop, add_on, new_name("maria"))
    webhook = shop.receiver.wait_for(
        "invoice.one_off_created", lambda thing: thing["lago_id"] == invoice.lago_id
    )
    public_key = shop.client.webhooks.public_key()
    assert webhook.check_signature(public_key) == shop.api
    head, body, _ = webhook.signature.split(".")
    forged = jwt.encode({"data": "{}"}, "x" * 32, algorithm="HS256").split(".")[2]
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(f"{head}.{body}.{forged}", public_key.decode(), algorithms=["RS256"])


def test_refusals_are_the_clients_own_errors(shop: Shop) -> None:
    client, nobody = shop.client, str(uuid4())
    stranger = Client(api_key=nobody, api_url=shop.api)
    assert refusal(stranger.invoices.find_all) == (401, None)
    assert refusal(lambda: client.invoices.find(nobody)) == (404, "invoice_not_found")
    assert refusal(lambda: client.invoices.retry_payment("no-id")) == (404, "invoice_not_found")
    assert refusal(lambda: client.payments.find(nobody)) == (404, "payment_not_found")
    wrong = Customer(external_id="x", currency="XXX")
    assert refusal(lambda: client.customers.create(wrong)) == (422, "validation_errors")

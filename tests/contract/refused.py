"""The table of refusals: which call is refused, with which code, and how that is brought about.

What the contract's JSON implies of every operation by itself is made by `refusals.refused_by`. A
code of the contract's text that is in neither fails a test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from tests.contract import hindrances, things
from tests.contract.contract import CUSTOMER, INVOICE
from tests.contract.exercises import NOTE
from tests.contract.hindrances import CHECKOUT, HOOKS
from tests.contract.refusals import NOBODYS, Refused, Thing
from tests.contract.world import Json

METHOD: Final = f"{CUSTOMER}/payment_methods/{{lago_id}}"
RESEND: Final = f"POST {INVOICE}/resend_email"
NOTES: Final = "POST /credit_notes"
REQUESTS: Final = "POST /payment_requests"
ENTITIES: Final = "POST /billing_entities"
HOOK: Final = {"webhook_url": "https://example.com/twice", "event_types": []}
PAY: Final = "POST /payments"
PAGE: Final = f"POST {INVOICE}/payment_url"


def _invoice(**fields: Any) -> Json:
    """An ask for an invoice of `bob`, changed by these fields."""
    asked = {"external_customer_id": "bob", "currency": "EUR", "fees": [{"add_on_code": "setup"}]}
    return {"invoice": {name: value for name, value in (asked | fields).items() if value != ""}}


def _fee(**fields: Any) -> Json:
    return _invoice(fees=[{"add_on_code": "setup"} | fields])


def _customer(**fields: Any) -> Json:
    return {"customer": {"external_id": "bob"} | fields}


def _payment(**fields: Any) -> Callable[[Any], Json]:
    def made(invoice: Any) -> Json:
        asked = {"invoice_id": invoice["lago_id"], "amount_cents": 1, "reference": "wire"}
        return {"payment": asked | fields}

    return made


def _note(*, item: int | None = 100, **fields: Any) -> Callable[[Any], Json]:
    def made(invoice: Any) -> Json:
        items = [{"fee_id": invoice["fees"][0]["lago_id"], "amount_cents": item}]
        return {"credit_note": {"invoice_id": invoice["lago_id"], "items": items} | fields}

    return made


def _requested(*others: str) -> Callable[[Any], Json]:
    def made(invoices: Any) -> Json:
        asked = {
            "external_customer_id": invoices[0]["customer"]["external_id"],
            "lago_invoice_ids": [*others, *(one["lago_id"] for one in invoices)],
        }
        return {"payment_request": asked}

    return made


def _of(operation: str, status: int, given: Thing | None, **bodies: Any) -> Iterator[Refused]:
    """Refusals of one operation: `field__code=body`, or `code=body`."""
    for code, body in bodies.items():
        yield Refused(operation, status, code.replace("__", "."), body, given=given)


REFUSED: Final[tuple[Refused, ...]] = (
    # Invoices
    *_of("POST /invoices", 404, hindrances.bob_and_setup,
         customer_not_found=_invoice(external_customer_id="nobody"),
         fees_not_found=_invoice(fees=[]),
         add_on_not_found=_invoice(fees=[{"add_on_code": "nobodys"}]),
         billing_entity_not_found=_invoice(billing_entity_code="nobodys")),
    *_of("POST /invoices", 422, hindrances.bob_and_setup,
         payment_method__invalid_payment_method=_invoice(
             payment_method={"payment_method_id": NOBODYS}),
         currency__value_is_mandatory=_invoice(currency=""),
         currency__value_is_invalid=_invoice(currency="XXX"),
         boundaries__values_are_invalid=_fee(from_datetime="2026-01-01T00:00:00Z"),
         units__value_is_out_of_range=_fee(units=-1),
         purchase_order_number__value_is_too_long=_invoice(purchase_order_number="x" * 256)),
    *(Refused(f"GET {where}", 422, "payment_status.must be one of: pending, succeeded, failed or"
              " must be an array", query={"payment_status": "odd"}, given=things.bob,
              names={"external_customer_id": "bob"})
      for where in ("/invoices", f"{CUSTOMER}/invoices")),
    Refused("GET /invoices", 404, "billing_entity_not_found",
            query={"billing_entity_codes[]": "nobodys"}),
    Refused("GET /invoices", 422, "metadata.size cannot be greater than 20",
            query={f"metadata[{n}]": "x" for n in range(21)}),
    *_of("POST /invoices", 422, hindrances.bob_and_setup,
         amount_cents__value_is_out_of_range=_fee(unit_amount_cents=-1)),
    Refused(f"PUT {INVOICE}", 405, "update_on_voided_invoice", {"invoice": {"metadata": []}},
            things.voided),
    Refused(f"PUT {INVOICE}", 405, "metadata_on_draft_invoice", {"invoice": {"metadata": []}},
            things.draft),
    Refused(f"PUT {INVOICE}", 405, "payment_status_update_on_draft_invoice",
            {"invoice": {"payment_status": "succeeded"}}, things.draft),
    Refused(f"PUT {INVOICE}", 422, "payment_status.value_is_invalid",
            {"invoice": {"payment_status": "odd"}}, things.late),
    Refused(f"PUT {INVOICE}", 422, "metadata.invalid_count",
            {"invoice": {"metadata": [{"key": f"{n}", "value": "x"} for n in range(6)]}},
            things.late),
    Refused(f"DELETE {INVOICE}", 405, "not_deletable", about=things.late),
    Refused(f"PUT {INVOICE}/finalize", 404, "invoice_not_found", about=things.late),
    Refused(f"POST {INVOICE}/download", 404, "invoice_not_found", about=things.draft),
    Refused(f"POST {INVOICE}/retry", 405, "invalid_status", about=things.late),
    Refused(f"POST {INVOICE}/lose_dispute", 405, "not_disputable", about=things.draft),
    Refused(f"POST {INVOICE}/void", 405, "not_voidable", about=things.voided),
    Refused(f"POST {INVOICE}/void", 422, "credit_refund_amount.total_amount_exceeds_invoice_amount",
            {"generate_credit_note": True, "credit_amount": 10_000}, hindrances.unlinked),
    *(Refused(f"POST {INVOICE}/retry_payment", 405, "invalid_status", about=about)
      for about in (things.draft, things.voided, things.paid_by_hand)),
    Refused(f"POST {INVOICE}/retry_payment", 405, "payment_processor_is_currently_handling_payment",
            about=things.in_flight),
    Refused(RESEND, 405, "invoice_not_finalized", about=things.draft),
    Refused(RESEND, 405, "email_settings_disabled", about=hindrances.of_the_second),
    Refused(RESEND, 422, "to.invalid_count", {"to": ["ada@example.com"] * 11},
            hindrances.of_one_that_mails),
    Refused(RESEND, 422, "mail_not_configured", {"to": ["ada@example.com"]},
            hindrances.of_one_that_mails),
    Refused(
        "POST /invoices/preview", 403, "feature_unavailable", {"customer": {"external_id": "x"}}
    ),
    *(Refused("POST /invoices/preview", 400, code, {"customer": {"external_id": "x"}} | odd)
      for code, odd in (("coupons_must_be_an_array", {"coupons": "odd"}),
                        ("subscriptions_must_be_an_object", {"subscriptions": "odd"}))),
    # The provider's pages
    Refused(PAGE, 422, "base.no_linked_payment_provider", about=hindrances.unlinked),
    Refused(PAGE, 422, "base.invalid_payment_provider", about=hindrances.debit),
    Refused(PAGE, 422, "base.invalid_invoice_status_or_payment_status", about=things.paid_by_card),
    Refused(PAGE, 422, "base.missing_payment_provider", about=hindrances.accountless),
    Refused(PAGE, 422, "base.missing_payment_provider_customer", about=hindrances.forgotten),
    Refused(PAGE, 422, "base.payment_provider_error", about=hindrances.owed_to_a_silent_provider),
    Refused(PAGE, 405, "payment_processor_is_currently_handling_payment", about=things.in_flight),
    Refused(CHECKOUT, 422, "base.no_linked_payment_provider", about=things.bob),
    Refused(CHECKOUT, 422, "third_party_error", about=hindrances.unknown_to_the_bank),
    Refused(CHECKOUT, 422, "provider_payment_methods.no_payment_methods_to_setup_available",
            about=hindrances.by_transfer),
    Refused(CHECKOUT, 401, "The API key of GoCardless's account locked is refused there.",
            about=hindrances.whose_key_is_refused),
    Refused(CHECKOUT, 422, "provider_error", about=hindrances.whom_stripe_knows),
    Refused(CHECKOUT, 429, "too_many_provider_requests", call=hindrances.asked_too_often),
    # Customers and their methods
    *_of("POST /customers", 404, things.bob,
         billing_entity_not_found=_customer(billing_entity_code="nobodys"),
         tax_not_found=_customer(tax_codes=["nobodys"])),
    *_of("POST /customers", 422, things.bob,
         external_id__value_is_mandatory={"customer": {"name": "Nobody"}},
         metadata__invalid_count=_customer(
             metadata=[{"key": f"{n}", "value": "x"} for n in range(6)]),
         key__value_is_too_long=_customer(metadata=[{"key": "x" * 21, "value": "x"}]),
         key__value_already_exist=_customer(
             metadata=[{"key": "x", "value": "x"}, {"key": "x", "value": "y"}]),
         finalize_zero_amount_invoice__invalid_value=_customer(finalize_zero_amount_invoice="odd"),
         currency__value_is_invalid=_customer(currency="XXX"),
         country__not_a_valid_country_code=_customer(country="XX"),
         email__invalid_email_format=_customer(email="odd"),
         timezone__invalid_timezone=_customer(timezone="Mars"),
         document_locale__not_a_valid_language_code=_customer(
             billing_configuration={"document_locale": "xx"}),
         net_payment_term__value_is_out_of_range=_customer(net_payment_term=-1),
         base__payment_provider_not_found=_customer(billing_configuration={
             "payment_provider": "adyen", "payment_provider_code": "nobodys",
             "provider_customer_id": "x"})),
    *(Refused("POST /customers", 422, "base.payment_provider_not_found",
              _customer(billing_configuration={
                  "payment_provider": kind, "provider_customer_id": "x"}))
      for kind in ("cashfree", "flutterwave", "moneyhash")),
    Refused("POST /customers", 422, "integration_customers.invalid_count_per_integration_type",
            _customer(integration_customers=[{"integration_type": "xero"}] * 2)),
    *(Refused("POST /customers", 422, "provider_payment_methods.value_is_invalid",
              _customer(billing_configuration={
                  "payment_provider": "stripe", "payment_provider_code": "stripe",
                  "provider_customer_id": "x", "provider_payment_methods": methods}),
              given=things.stripe)
      for methods in (["link"], ["card", "customer_balance"], ["cheque"])),
    *_of("POST /customers", 422, hindrances.two_stripes,
         base__payment_provider_code_missing=_customer(billing_configuration={
             "payment_provider": "stripe", "provider_customer_id": "x"})),
    *(Refused(f"{call}", 404, "payment_method_not_found", given=things.bob,
              names={"external_customer_id": "bob", "lago_id": NOBODYS})
      for call in (f"PUT {METHOD}/set_as_default", f"DELETE {METHOD}")),
    Refused(f"PUT {METHOD}/set_as_default", 422, "lock_acquisition_failed", about=hindrances.held),
    # The catalogue
    *_of("POST /taxes", 422, things.tax,
         name__value_is_mandatory={"tax": {"code": "x", "rate": 1}},
         rate__value_is_mandatory={"tax": {"code": "x", "name": "X"}},
         code__value_already_exist={"tax": {"code": "vat", "name": "X", "rate": 1}}),
    Refused("PUT /taxes/{code}", 422, "name.value_is_mandatory", {"tax": {"name": ""}}, things.tax),
    *_of("POST /add_ons", 422, things.add_on,
         code__value_already_exist={"add_on": {"name": "X", "code": "setup", "amount_cents": 1,
                                               "amount_currency": "EUR"}},
         amount_cents__value_is_out_of_range={"add_on": {"name": "X", "code": "x",
                                                         "amount_cents": 0}},
         amount_currency__value_is_invalid={"add_on": {"name": "X", "code": "x", "amount_cents": 1,
                                                       "amount_currency": "XXX"}}),
    Refused("POST /add_ons", 404, "tax_not_found", {"add_on": {
        "name": "X", "code": "x", "amount_cents": 1, "amount_currency": "EUR",
        "tax_codes": ["nobodys"]}}),
    Refused("PUT /add_ons/{code}", 422, "name.value_is_mandatory", {"add_on": {"name": ""}},
            things.add_on),
    # Fees
    Refused("GET /fees", 422, "payment_status.value_is_invalid", query={"payment_status": "odd"}),
    Refused("GET /fees", 422, "created_at_from.invalid_date", query={"created_at_from": "odd"}),
    Refused("PUT /fees/{lago_id}", 405, "invoiced_fee", {"fee": {"payment_status": "succeeded"}},
            things.fee),
    Refused("PUT /fees/{lago_id}", 422, "payment_status.value_is_invalid",
            {"fee": {"payment_status": []}}, things.fee),
    Refused("DELETE /fees/{lago_id}", 405, "invoiced_fee", about=things.fee),
    # Payments
    Refused(PAY, 422, "invoice_id.value_is_mandatory", {"payment": {"amount_cents": 1}}),
    Refused(PAY, 404, "invoice_not_found",
            {"payment": {"invoice_id": NOBODYS, "amount_cents": 1, "reference": "x"}}),
    Refused(PAY, 403, "feature_unavailable", _payment(), things.draft),
    *(Refused(PAY, 422, code, _payment(**fields), hindrances.unlinked) for code, fields in (
        ("amount_cents.invalid_value", {"amount_cents": 0}),
        ("paid_at.invalid_date", {"paid_at": "odd"}),
        ("reference.value_is_mandatory", {"reference": ""}),
        ("reference.value_is_too_long", {"reference": "x" * 41}),
        ("amount_cents.value_is_out_of_range", {"amount_cents": 10_000_000}))),
    Refused(PAY, 422, "amount_cents.invalid_amount", _payment(), hindrances.credit_invoice),
    Refused(PAY, 422, "base.payment_request_is_already_succeeded", _payment(),
            hindrances.requested_and_paid),
    Refused("GET /payments", 422, "invoice_id.is in invalid format", query={"invoice_id": "odd"}),
    # Payment requests and receipts
    Refused(REQUESTS, 404, "customer_not_found", {"payment_request": {
        "external_customer_id": "nobody", "lago_invoice_ids": [NOBODYS]}}),
    Refused(REQUESTS, 404, "invoice_not_found", {"payment_request": {
        "external_customer_id": "bob", "lago_invoice_ids": [NOBODYS]}}, given=things.bob),
    *(Refused(REQUESTS, 405, code, _requested(), about) for code, about in (
        ("invoices_not_overdue", hindrances.one_that_is_not_late),
        ("invoices_have_different_currencies", hindrances.two_currencies),
        ("invoices_have_different_billing_entities", hindrances.two_entities),
        ("invoices_not_ready_for_payment_processing", hindrances.one_in_flight))),
    Refused(REQUESTS, 422, "lago_invoice_ids.invalid_count", {"payment_request": {
        "external_customer_id": "bob", "lago_invoice_ids": [
            f"00000000-0000-7000-8000-{n:012}" for n in range(1_001)]}}, given=things.bob),
    Refused(REQUESTS, 422, "email.invalid_email_format", lambda late: {
        "payment_request": _requested()(late)["payment_request"] | {"email": "odd"}},
        hindrances.one_late),
    # Credit notes
    Refused(NOTES, 404, "invoice_not_found", {"credit_note": {"invoice_id": NOBODYS, "items": []}}),
    Refused(NOTES, 405, "invalid_type_or_status", _note(credit_amount_cents=120), things.draft),
    Refused(NOTES, 422, "items.must_be_an_array", lambda one: {
        "credit_note": {"invoice_id": one["lago_id"], "items": "odd"}}, hindrances.paid_and_free),
    Refused(NOTES, 404, "fee_not_found", lambda one: {"credit_note": {
        "invoice_id": one["lago_id"], "credit_amount_cents": 120,
        "items": [{"fee_id": NOBODYS, "amount_cents": 100}]}}, hindrances.paid_and_free),
    *(Refused(NOTES, 422, code, _note(**fields), about) for code, about, fields in (
        ("amount_cents.invalid_value", hindrances.paid_and_free,
         {"item": -1, "credit_amount_cents": 1}),
        ("amount_cents.higher_than_remaining_fee_amount", hindrances.paid_and_free,
         {"item": 10_000, "credit_amount_cents": 12_000}),
        ("base.does_not_match_item_amounts", hindrances.paid_and_free, {"credit_amount_cents": 10}),
        ("base.total_amount_must_be_positive", hindrances.paid_and_free,
         {"item": 0, "credit_amount_cents": 0}),
        ("base.higher_than_remaining_invoice_amount", hindrances.paid_and_free,
         {"item": 1_000, "credit_amount_cents": 1_201}),
        ("credit_amount_cents.higher_than_remaining_invoice_amount", hindrances.paid_and_free,
         {"item": 1_000, "credit_amount_cents": 1_201}),
        ("offset_amount_cents.higher_than_remaining_invoice_amount", hindrances.partly_paid,
         {"item": 900, "offset_amount_cents": 1_080}),
        ("refund_amount_cents.cannot_refund_unpaid_invoice", hindrances.unlinked,
         {"refund_amount_cents": 120}),
        ("refund_amount_cents.higher_than_remaining_invoice_amount", hindrances.partly_paid,
         {"item": 500, "refund_amount_cents": 600}))),
    Refused("POST /credit_notes/estimate", 404, "invoice_not_found",
            {"credit_note": {"invoice_id": NOBODYS, "items": []}}),
    Refused("POST /credit_notes/estimate", 422, "items.must_be_an_array", lambda one: {
        "credit_note": {"invoice_id": one["lago_id"], "items": "odd"}}, hindrances.paid_and_free),
    Refused(f"PUT {NOTE}", 422, "refund_status.value_is_invalid",
            {"credit_note": {"refund_status": "odd"}}, things.credit_note),
    Refused(f"PUT {NOTE}/void", 405, "no_voidable_amount", about=hindrances.spent_note),
    Refused(f"DELETE {NOTE}/metadata/{{key}}", 404, "metadata_not_found", about=things.credit_note,
            names={"key": "nobodys"}),
    *(Refused(f"{method} {NOTE}/metadata", 422, "validation_errors", {"metadata": {"x" * 300: "x"}},
              things.credit_note)
      for method in ("POST", "PATCH")),
    # Who we are, and who is told
    *_of("PUT /organizations", 422, None,
         email_settings__unsupported_value={"organization": {"email_settings": ["odd"]}},
         document_number_prefix__value_is_too_short={
             "organization": {"document_number_prefix": ""}},
         net_payment_term__value_is_out_of_range={"organization": {"net_payment_term": -1}}),
    Refused("GET /nothing", 404, "resource_not_found"),
    *_of(ENTITIES, 422, None,
         name__value_is_mandatory={"billing_entity": {"code": "x"}},
         code__value_is_mandatory={"billing_entity": {"name": "X"}}),
    Refused("PUT /billing_entities/{code}", 422, "net_payment_term.value_is_out_of_range",
            {"billing_entity": {"net_payment_term": -1}}, things.second_entity),
    *_of(HOOKS, 422, None,
         webhook_url__url_is_invalid={"webhook_endpoint": {"webhook_url": "odd"}},
         **{'event_types__contains invalid types: ["x"]': {
             "webhook_endpoint": HOOK | {"event_types": ["x"]}}},
         event_types__must_be_array={"webhook_endpoint": HOOK | {"event_types": "odd"}}),
    Refused(HOOKS, 422, "base.exceeded_limit", call=hindrances.one_endpoint_too_many),
    Refused(HOOKS, 422, "webhook_url.value_already_exist", lambda there: {
        "webhook_endpoint": {"webhook_url": there["webhook_url"]}}, things.endpoint),
    Refused("PUT /webhook_endpoints/{lago_id}", 422, "webhook_url.url_is_invalid",
            {"webhook_endpoint": {"webhook_url": "odd"}}, things.endpoint),
)  # fmt: skip

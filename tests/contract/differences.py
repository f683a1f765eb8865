"""Where our wire differs from Lago's on purpose, and why: the one list of it.

The contract tests allow these and nothing else, and `docs/lago-compatibility.md` shows them. A
difference that our answers do not show makes a test fail: it is to be taken out.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Any, Final

import msgspec


class Kind(Enum):
    """How a key, or an object, differs from Lago's description."""

    MORE = "sent besides"
    NEVER = "never sent"
    SOMETIMES = "not always there"
    ALSO = "may also hold"
    NULL = "always null"
    FILLED = "never null"


class Difference(msgspec.Struct, frozen=True):
    """One key of an object, which is named by the smallest object that has it."""

    where: str  # `PaymentObject.payment_method_id`
    kind: Kind
    why: str
    schema: dict[str, Any] = {}  # of ALSO and of MORE
    of: str = ""  # of MORE: the contract's name for what it holds; empty: `schema`, or any object


SANDBOX: Final = {"const": "sandbox"}
NO_SUBSCRIPTIONS: Final = "There are no subscriptions and no usage: invoices are one-off."
NO_INTEGRATIONS: Final = "Accounting and tax systems are not connected."
NO_WALLETS: Final = "There are no wallets."
NO_SECTIONS: Final = "There are no custom sections of invoices."
BY_ENDPOINT: Final = "Which keys go along depends on the endpoint, as with Lago (section 3.7.1)."
BY_PLACE: Final = "Shown where Lago shows it (section 3.3)."


def _same(kind: Kind, whose: str, keys: str, why: str) -> Iterator[Difference]:
    """Keys of one object that differ alike."""
    for key in keys.split():
        yield Difference(f"{whose}.{key}", kind, why)


DIFFERENCES: Final = (
    # The provider to play with is a provider like any other.
    *(
        Difference(where, Kind.ALSO, "The sandbox is one of our providers.", SANDBOX)
        for where in (
            "CustomerBillingConfiguration.payment_provider",
            "PaymentObject.payment_provider_type",
            "PaymentMethodObject.payment_provider_type",
            "payment_provider_invoice_payment_error.payment_provider",
            "payment_provider_payment_request_payment_error.payment_provider",
            "credit_note_payment_provider_refund_error.payment_provider",
            "payment_provider_customer_error.payment_provider",
        )
    ),
    Difference(
        "payment_provider_error.source", Kind.ALSO, "Told of an account at any of our providers.",
        {"enum": ["adyen", "gocardless", "sandbox"]},
    ),
    Difference(
        "payment_provider_error.action", Kind.ALSO,
        "Told when the provider begins to refuse our key; webhooks are registered by hand there.",
        {"const": "payment_provider.authenticate"},
    ),
    Difference(
        "PaymentObject.payment_method", Kind.MORE,
        "In `payment.succeeded`, where it is known, as with Lago (section 3.10).",
        of="PaymentMethodObject",
    ),
    *_same(Kind.FILLED, "PaymentObject", "reference",
           "`\"\"` instead: Lago's own clients cannot read null (section 10, row 4)."),
    *_same(Kind.FILLED, "PaymentRequestObject", "email",
           "`\"\"` instead: Lago's own clients cannot read null (section 10, row 4)."),
    Difference(
        "payment_provider_payment_request_payment_error.error_details", Kind.MORE,
        "Ours: why, as `invoice.payment_failure` tells it.",
    ),
    *(
        Difference(
            f"{whose}.applied_dunning_campaign_code", Kind.MORE,
            "Ours: dunning campaigns are a resource here, in GraphQL alone there (section 8.2).",
            {"type": ["string", "null"]},
        )
        for whose in ("BillingEntityObject", "CustomerObjectExtended")
    ),
    Difference(
        "CustomerObjectExtended.exclude_from_dunning_campaign", Kind.MORE,
        "Ours: as Lago's GraphQL has it (section 8.2).", {"type": "boolean"},
    ),
    Difference(
        "dunning_campaign.customer_external_id", Kind.MORE,
        "As Lago's own code sends it: the older name (section 9, row 32).", {"type": "string"},
    ),
    Difference(
        "ApiErrorUnprocessableEntity.provider", Kind.MORE,
        "Of `provider_error`, as Lago's own code sends it (section 1.4).",
        {"type": "object", "properties": {"code": {"type": "string"}}, "required": ["code"],
         "additionalProperties": False},
    ),
    # What is there or not by place.
    *_same(Kind.SOMETIMES, "InvoiceObject", "customer metadata applied_taxes"
           " applied_invoice_custom_sections", BY_ENDPOINT),
    *_same(Kind.SOMETIMES, "InvoiceObjectExtended", "billing_periods credits fees subscriptions"
           " error_details", BY_ENDPOINT),
    *_same(Kind.SOMETIMES, "CustomerObject", "integration_customers", BY_PLACE),
    *_same(Kind.SOMETIMES, "CustomerObjectExtended", "taxes applicable_invoice_custom_sections"
           " error_details", BY_PLACE),
    *_same(Kind.SOMETIMES, "CustomerBillingConfiguration", "provider_customer_id"
           " sync_with_provider provider_payment_methods", BY_PLACE),
    *_same(Kind.SOMETIMES, "FeeObject", "applied_taxes",
           "On the `/fees` endpoints, as with Lago (section 3.8)."),
    *_same(Kind.SOMETIMES, "ApiErrorUnprocessableEntity", "error_details",
           "Not where no field is at fault, as with Lago (section 1.4)."),
    # What Lago describes and does not send, or sends for what is not here.
    *_same(Kind.NEVER, "PaymentObject", "payment_method_id",
           "Lago's own code does not send it (section 9, row 7)."),
    *_same(Kind.NEVER, "CustomerBillingConfiguration", "sync",
           "It is an ask, not a state, and Lago's own code does not send it (section 3.3)."),
    *_same(Kind.NEVER, "FeeObject", "event_transaction_id", NO_SUBSCRIPTIONS),
    *_same(Kind.NEVER, "InvoiceObject", "applied_usage_thresholds", NO_SUBSCRIPTIONS),
    *_same(Kind.NULL, "FeeObject", "lago_charge_id lago_charge_filter_id lago_fixed_charge_id"
           " lago_true_up_fee_id lago_true_up_parent_fee_id lago_original_fee_id"
           " lago_subscription_id external_subscription_id total_aggregated_units events_count"
           " pricing_unit_details", NO_SUBSCRIPTIONS),
    *_same(Kind.NULL, "FeeObject", "lago_customer_id external_customer_id",
           "Lago finds them through a subscription: null for one-off fees, too (section 3.8)."),
    *_same(Kind.NULL, "FeeObject", "succeeded_at failed_at refunded_at",
           "An invoice's payment is copied to its fees without them, as with Lago (section 3.8)."),
    *_same(Kind.NULL, "FeeObject.item", "filters filter_invoice_display_name", NO_SUBSCRIPTIONS),
    *_same(Kind.NULL, "InvoiceBaseObject", "prepaid_granted_credit_amount_cents"
           " prepaid_purchased_credit_amount_cents", NO_WALLETS),
    *(
        Difference(f"{whose}.xml_url", Kind.NULL, "There are no electronic invoices.")
        for whose in ("InvoiceBaseObject", "CreditNoteObject", "PaymentReceiptObject")
    ),
    *_same(Kind.NULL, "InvoiceBaseObject", "web_url", "There is no front end of Lago's."),
)  # fmt: skip

# Lists, and an object, that are there and never hold anything; they may be left out, too, if a
# difference above says so.
ALWAYS_EMPTY: Final = {
    "InvoiceObjectExtended.billing_periods": NO_SUBSCRIPTIONS,
    "InvoiceObjectExtended.subscriptions": NO_SUBSCRIPTIONS,
    "InvoiceObjectExtended.credits": "Neither coupons, wallets nor earlier credit notes pay one-off"
    " invoices.",
    "InvoiceObjectExtended.error_details": NO_INTEGRATIONS,
    "InvoiceObject.applied_invoice_custom_sections": NO_SECTIONS,
    "CreditNoteObject.error_details": NO_INTEGRATIONS,
    "CustomerObject.integration_customers": NO_INTEGRATIONS,
    "CustomerObjectExtended.applicable_invoice_custom_sections": NO_SECTIONS,
    "CustomerObjectExtended.error_details": NO_INTEGRATIONS,
    "BillingEntityObjectExtended.selected_invoice_custom_sections": NO_SECTIONS,
    "FeeObject.amount_details": NO_SUBSCRIPTIONS,
    "FeeObject.presentation_breakdowns": NO_SUBSCRIPTIONS,
    "FeeObject.item.grouped_by": NO_SUBSCRIPTIONS,
}

# Operations whose answer Lago describes bare, and wraps: by what, and the contract's name for what
# is in it.
ANSWERS: Final = {
    "GET /payments/{lago_id}": ("payment", "PaymentObject"),
    "GET /payment_requests/{lago_id}": ("payment_request", "PaymentRequestObject"),
    "POST /billing_entities": ("billing_entity", "BillingEntityObject"),
    "PUT /billing_entities/{code}": ("billing_entity", "BillingEntityObjectExtended"),
}
WRAPPED: Final = (
    "Wrapped in its root, which Lago's description forgets (sections 3.2 and 9, row 3)."
)

# Operations that never answer 200 here, and why. They refuse, in the contract's words.
NEVER_ANSWERED: Final = {
    "PUT /fees/{lago_id}": "Each fee belongs to an invoice: `invoiced_fee` (section 3.8).",
    "DELETE /fees/{lago_id}": "Each fee belongs to an invoice: `invoiced_fee` (section 3.8).",
    "POST /invoices/{lago_id}/retry": f"It works out failed taxes again. {NO_INTEGRATIONS}",
    "POST /invoices/preview": f"It previews a subscription. {NO_SUBSCRIPTIONS}",
}

# Refusals that the contract names and that cannot come here: by operation and status, or by code.
NEVER_REFUSED: Final = {
    ("GET /billing_entities", 422): "Nothing that it is asked can be wrong.",
    ("GET /billing_entities/{code}", 422): "Nothing that it is asked can be wrong.",
    ("POST /invoices/preview", 404): "It is 403 `feature_unavailable` whomever it is for.",
    ("DELETE /webhook_endpoints/{lago_id}", 405): "Lago's own code does not refuse it (section 9,"
    " row 36).",
}
NEVER_SAID: Final = {
    "credit_note_not_deletable": "A draft has no credit notes.",
    "cannot_finalize_with_pending_taxes": NO_INTEGRATIONS,
    "invoice_synced_to_external_system": NO_INTEGRATIONS,
    "premium_license_required": "Everything is on for everybody.",
    "endpoint_not_available": "Every endpoint that is here is here for everybody.",
    "relation_must_exist": "What belongs to nothing is 404 by the name of what is not there.",
    "value_must_be_blank": "No field is forbidden by another one's value.",
    "external_id.value_already_exist": "Of two calls that create a customer at once, the second"
    " changes it.",
}

# Fields of bodies that the contract has and that are not read: of which operation, and why.
NEVER_READ: Final = {
    "POST /customers customer.invoice_custom_section_codes": NO_SECTIONS,
    "POST /invoices invoice.invoice_custom_section": NO_SECTIONS,
    "PUT /billing_entities/{code} invoice_custom_section_codes": NO_SECTIONS,
    "POST /invoices invoice.fees[].skip_psp": "It is `invoice.skip_psp` in Lago's own code (section"
    " 9, row 10).",
    "POST /payment_requests payment_request.payment_method": "Lago's own code does not read it"
    " (section 9, row 8).",
}

# Refusals of ours that the contract does not name, and why: each is provoked.
OURS_REFUSED: Final = {
    ("POST /customers", 422, "base.payment_provider_not_found"): "Also for Cashfree, Flutterwave"
    " and MoneyHash: we have no adapter for them, so nobody is linked to one.",
    ("POST /invoices", 422, "amount_cents.value_is_out_of_range"): "An invoice is never a debt of"
    " ours: rebates may not outweigh the rest.",
    ("GET /invoices", 422, "metadata.size cannot be greater than 20"): "A call asks for 20 keys of"
    " metadata at most.",
    (
        "POST /invoices/{lago_id}/payment_url",
        405,
        "payment_processor_is_currently_handling_payment",
    ): "While a charge is on its way. Lago opens a page besides, and both may be paid.",
    ("POST /invoices/{lago_id}/resend_email", 422, "mail_not_configured"): "Where no mail server is"
    " set.",
    ("POST /invoices/{lago_id}/resend_email", 422, "to.invalid_count"): "One mail has ten addresses"
    " of a kind at most.",
    ("POST /payment_requests", 422, "lago_invoice_ids.invalid_count"): "One request holds 1,000"
    " invoices at most.",
    ("DELETE /credit_notes/{lago_id}/metadata/{key}", 404, "metadata_not_found"): "Of a key that"
    " the note has not.",
}

# Events that are never told, and why.
NEVER_TOLD: Final = {
    "wallet_transaction.payment_failure": NO_WALLETS,
}
NESTED_WHY: Final = "As Lago's own code sends it (section 7.4): the invoice, and the reason."
# What an event tells of that Lago describes otherwise than it sends it: by the payload's key, the
# keys and what they hold (section 7.4); empty: text.
NESTED: Final = {
    "payment_dispute_lost": {"invoice": "InvoiceObjectExtended", "provider_error": ""},
}

# Calls of Lago's own clients that cannot do what they are for, whatever the server does: how they
# are refused, and why (section 2.1).
CLIENT_REFUSED: Final = {
    f"python {group}.find_all": (
        "401", f"The client sends no API key here, to Lago neither (section 2.1). {instead}",
    )
    for group, instead in (
        ("customer_credit_notes", "`credit_notes.find_all` takes `external_customer_id`."),
        ("customer_invoices", "`invoices.find_all` takes `external_customer_id`."),
        ("customer_payment_methods", "There is no other list of them in this client."),
        ("customer_payments", "`payments.find_all` takes `external_customer_id`."),
        ("customer_payment_requests", "`payment_requests.find_all` takes `external_customer_id`."),
    )
}  # fmt: skip
# What is to be said of a method that works.
CLIENT_NOTES: Final = {
    "python invoices.lose_dispute": "The client sends PUT, which Lago does not know: both verbs"
    " are taken (section 10, row 3).",
    "python invoices.retry_payment": "The body is empty, as with Lago; the attempt's id is the"
    " header `Recoup-Payment-Id` (section 10, row 1).",
    "javascript invoices.retryPayment": "The body is empty, as with Lago; the attempt's id is the"
    " header `Recoup-Payment-Id` (section 10, row 1).",
    "python payments.find": '`reference` is `""` rather than null, which the client cannot parse'
    " (section 10, row 4).",
    "python payments.find_all": '`reference` is `""` rather than null, which the client cannot'
    " parse (section 10, row 4).",
    "python customer_payment_methods.destroy": "The oldest method that is left becomes the default;"
    " with Lago there is none then.",
    "javascript customers.destroyPaymentMethod": "The oldest method that is left becomes the"
    " default; with Lago there is none then.",
    "javascript organizations.findOrganization": "Lago serves this GET, and does not describe it"
    " (section 9, row 28).",
}

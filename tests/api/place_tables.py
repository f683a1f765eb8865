"""For each place of the API that names a row: whose word it takes, in a call that gets that far.

What is new in the OpenAPI document is missed here by `test_tenants_apart`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

# A body that gets past all that is looked at before the row that the path names.
FIT: Final[Mapping[str, Any]] = {
    "PUT /add_ons/{code}": {"add_on": {"name": "Mine"}},
    "PUT /credit_notes/{lago_id}": {"credit_note": {"refund_status": "succeeded"}},
    "POST /credit_notes/{lago_id}/metadata": {"metadata": {"k": "v"}},
    "PUT /credit_notes/{lago_id}/metadata": {"metadata": {"k": "v"}},
    "POST /customers/{external_id}/payment_methods": {
        "payment_method": {"provider_method_id": "pm_sandbox_ok"}
    },
    "PUT /billing_entities/{code}": {"billing_entity": {"name": "Mine"}},
    "PUT /dunning_campaigns/{code}": {"dunning_campaign": {"name": "Mine"}},
    "PUT /fees/{lago_id}": {"fee": {"payment_status": "succeeded"}},
    "PUT /invoices/{lago_id}": {"invoice": {"payment_status": "succeeded"}},
    "PUT /payment_providers/{lago_id}": {"payment_provider": {"name": "Mine"}},
    "POST /payments/{lago_id}/settle": {
        "payment": {"outcome": "paid", "by": "ann", "reason": "x", "provider_payment_id": "ch"}
    },
    "POST /reconciliation_findings/{lago_id}/resolve": {
        "reconciliation_finding": {"by": "ann", "reason": "x"}
    },
    "POST /refunds/{lago_id}/settle": {
        "refund": {"outcome": "refunded", "by": "ann", "reason": "x", "provider_refund_id": "re"}
    },
    "PUT /taxes/{code}": {"tax": {"name": "Mine"}},
    "PUT /webhook_endpoints/{lago_id}": {"webhook_endpoint": {"name": "Mine"}},
}
# The filters, and whose ids or codes they take.
FILTERS: Final[Mapping[str, str]] = {
    "GET /credit_notes external_customer_id": "customers",
    "GET /credit_notes billing_entity_codes[]": "billing_entities",
    "GET /credit_notes search_term": "credit_notes",
    "GET /credit_notes invoice_number": "invoice_numbers",
    "GET /credit_notes purchase_order_number": "order_numbers",
    "GET /customers external_id": "customers",
    "GET /customers billing_entity_codes[]": "billing_entities",
    "GET /customers search_term": "customers",
    "GET /customers/{external_id}/credit_notes billing_entity_codes[]": "billing_entities",
    "GET /customers/{external_id}/credit_notes search_term": "credit_notes",
    "GET /customers/{external_id}/credit_notes invoice_number": "invoice_numbers",
    "GET /customers/{external_id}/credit_notes purchase_order_number": "order_numbers",
    "GET /customers/{external_id}/invoices external_customer_id": "customers",
    "GET /customers/{external_id}/invoices customer_external_id": "customers",
    "GET /customers/{external_id}/invoices billing_entity_codes[]": "billing_entities",
    "GET /customers/{external_id}/invoices search_term": "invoices",
    "GET /customers/{external_id}/invoices purchase_order_number": "order_numbers",
    "GET /customers/{external_id}/payments invoice_id": "invoices",
    "GET /fees external_customer_id": "customers",
    "GET /invoices external_customer_id": "customers",
    "GET /invoices customer_external_id": "customers",
    "GET /invoices billing_entity_codes[]": "billing_entities",
    "GET /invoices search_term": "invoices",
    "GET /invoices purchase_order_number": "order_numbers",
    "GET /customers/{external_id}/payment_requests billing_entity_codes[]": "billing_entities",
    "GET /payment_receipts invoice_id": "invoices",
    "GET /payment_requests external_customer_id": "customers",
    "GET /payment_requests billing_entity_codes[]": "billing_entities",
    "GET /payments external_customer_id": "customers",
    "GET /payments invoice_id": "invoices",
    "GET /webhook_deliveries webhook_endpoint_id": "webhook_endpoints",
    "GET /webhook_deliveries object_id": "events",
}
OUTRANKED: Final = {  # the path names the customer, whatever the query says
    f"GET /customers/{{external_id}}/invoices {name}"
    for name in ("external_customer_id", "customer_external_id")
}
# The fields that take another row's id or code, and whose. In the body, `?` is that word, and
# `$customers` is the caller's own customer.
TAXED: Final = {
    "name": "X", "code": "new", "amount_cents": 1, "amount_currency": "EUR", "tax_codes": ["?"],
}  # fmt: skip
LINKED: Final = {"payment_provider": "sandbox", "payment_provider_code": "?"}
LINE: Final = {"add_on_code": "$add_ons"}
ASKED_FROM: Final = {"currency": "EUR", "amount_cents": 1}
BILLED: Final = {"external_customer_id": "$customers", "fees": [LINE], "skip_psp": True}
PAID_BY: Final = {"payment_method_type": "provider", "payment_method_id": "?"}
NOTE_OF_INVOICE: Final = {
    "credit_note": {
        "invoice_id": "?", "items": [{"fee_id": "$fees", "amount_cents": 1}],
        "credit_amount_cents": 1,
    }
}  # fmt: skip
NOTE_OF_FEE: Final = {
    "credit_note": {
        "invoice_id": "$invoices", "items": [{"fee_id": "?", "amount_cents": 1}],
        "credit_amount_cents": 1,
    }
}  # fmt: skip
NOTED: Final = [{"id": "?", "key": "k", "value": "v"}]
FIELDS: Final[Mapping[str, tuple[str, Any]]] = {
    "POST /add_ons add_on.tax_codes": ("taxes", {"add_on": TAXED}),
    "PUT /add_ons/{code} add_on.tax_codes": ("taxes", {"add_on": {"tax_codes": ["?"]}}),
    "POST /billing_entities billing_entity.tax_codes": (
        "taxes",
        {"billing_entity": {"code": "new", "name": "X", "tax_codes": ["?"]}},
    ),
    "PUT /billing_entities/{code} billing_entity.tax_codes": (
        "taxes",
        {"billing_entity": {"tax_codes": ["?"]}},
    ),
    "PUT /billing_entities/{code} tax_codes": ("taxes", {"tax_codes": ["?"]}),
    "POST /billing_entities billing_entity.applied_dunning_campaign_code": (
        "dunning_campaigns",
        {"billing_entity": {"code": "new", "name": "X", "applied_dunning_campaign_code": "?"}},
    ),
    "PUT /billing_entities/{code} billing_entity.applied_dunning_campaign_code": (
        "dunning_campaigns",
        {"billing_entity": {"applied_dunning_campaign_code": "?"}},
    ),
    "PUT /billing_entities/{code} applied_dunning_campaign_code": (
        "dunning_campaigns",
        {"applied_dunning_campaign_code": "?"},
    ),
    "POST /customers customer.applied_dunning_campaign_code": (
        "dunning_campaigns",
        {"customer": {"external_id": "$customers", "applied_dunning_campaign_code": "?"}},
    ),
    "POST /credit_notes credit_note.invoice_id": ("invoices", NOTE_OF_INVOICE),
    "POST /credit_notes credit_note.items.fee_id": ("fees", NOTE_OF_FEE),
    "POST /credit_notes/estimate credit_note.invoice_id": ("invoices", NOTE_OF_INVOICE),
    "POST /credit_notes/estimate credit_note.items.fee_id": ("fees", NOTE_OF_FEE),
    "POST /customers customer.billing_entity_code": (
        "billing_entities",
        {"customer": {"external_id": "new", "billing_entity_code": "?"}},
    ),
    "POST /customers customer.tax_codes": (
        "taxes",
        {"customer": {"external_id": "$customers", "tax_codes": ["?"]}},
    ),
    "POST /customers customer.metadata.id": (
        "customer_metadata",
        {"customer": {"external_id": "$customers", "metadata": NOTED}},
    ),
    "POST /customers customer.billing_configuration.payment_provider_code": (
        "provider_accounts",
        {"customer": {"external_id": "$customers", "billing_configuration": LINKED}},
    ),
    "POST /invoices invoice.external_customer_id": (
        "customers",
        {"invoice": {**BILLED, "external_customer_id": "?"}},
    ),
    "POST /invoices invoice.billing_entity_code": (
        "billing_entities",
        {"invoice": {**BILLED, "billing_entity_code": "?"}},
    ),
    "POST /invoices invoice.fees.add_on_code": (
        "add_ons",
        {"invoice": {**BILLED, "fees": [{"add_on_code": "?"}]}},
    ),
    "POST /invoices invoice.fees.tax_codes": (
        "taxes",
        {"invoice": {**BILLED, "fees": [{**LINE, "tax_codes": ["?"]}]}},
    ),
    "POST /invoices invoice.payment_method": (
        "payment_methods",
        {"invoice": {**BILLED, "payment_method": PAID_BY}},
    ),
    "PUT /invoices/{lago_id} invoice.metadata.id": (
        "invoice_metadata",
        {"invoice": {"metadata": NOTED}},
    ),
    "POST /invoices/retry_payments invoice_ids": ("invoices", {"invoice_ids": ["?"]}),
    "POST /invoices/{lago_id}/retry_payment payment_method": (
        "payment_methods",
        {"payment_method": PAID_BY},
    ),
    "PUT /payment_providers/{lago_id} payment_provider.code": (
        "provider_accounts",
        {"payment_provider": {"code": "?"}},
    ),
    "POST /payment_requests payment_request.external_customer_id": (
        "customers",
        {"payment_request": {"external_customer_id": "?", "lago_invoice_ids": ["$invoices"]}},
    ),
    "POST /payment_requests payment_request.lago_invoice_ids": (
        "invoices",
        {"payment_request": {"external_customer_id": "$customers", "lago_invoice_ids": ["?"]}},
    ),
    "POST /payments payment.invoice_id": (
        "invoices",
        {"payment": {"invoice_id": "?", "amount_cents": 1, "reference": "wire"}},
    ),
    "POST /webhook_deliveries/replay webhook_deliveries.webhook_endpoint_id": (
        "webhook_endpoints",
        {"webhook_deliveries": {"webhook_endpoint_id": "?"}},
    ),
    "POST /webhook_deliveries/replay webhook_deliveries.object_id": (
        "events",
        {"webhook_deliveries": {"object_id": "?"}},
    ),
}
# The fields by which a caller names what is its own: another tenant's word is as free as any.
OWN_NAMES: Final[Mapping[str, tuple[str, Any]]] = {
    "POST /billing_entities billing_entity.code": (
        "billing_entities",
        {"billing_entity": {"code": "?", "name": "X"}},
    ),
    "POST /add_ons add_on.code": ("add_ons", {"add_on": {**TAXED, "code": "?", "tax_codes": []}}),
    "PUT /add_ons/{code} add_on.code": ("add_ons", {"add_on": {"code": "?"}}),
    "POST /customers customer.external_id": ("customers", {"customer": {"external_id": "?"}}),
    "POST /payment_providers payment_provider.code": (
        "provider_accounts",
        {"payment_provider": {"provider_type": "sandbox", "code": "?"}},
    ),
    "POST /dunning_campaigns dunning_campaign.code": (
        "dunning_campaigns",
        {"dunning_campaign": {"name": "X", "code": "?", "thresholds": [ASKED_FROM]}},
    ),
    "PUT /dunning_campaigns/{code} dunning_campaign.code": (
        "dunning_campaigns",
        {"dunning_campaign": {"code": "?"}},
    ),
    "POST /taxes tax.code": ("taxes", {"tax": {"name": "X", "code": "?", "rate": 1}}),
    "PUT /taxes/{code} tax.code": ("taxes", {"tax": {"code": "?"}}),
}

"""What of the contract is not here yet. Each of these lists is to shrink until it is empty.

Tests fail when something on them has come: then it is taken off, and held to the contract.
"""

from __future__ import annotations

from typing import Final

OPERATIONS: Final = frozenset(
    {
        "POST /billing_entities",
        "PUT /billing_entities/{code}",
        "GET /credit_notes",
        "POST /credit_notes",
        "GET /credit_notes/{lago_id}",
        "PUT /credit_notes/{lago_id}",
        "POST /credit_notes/{lago_id}/download",
        "POST /credit_notes/estimate",
        "PUT /credit_notes/{lago_id}/void",
        "POST /credit_notes/{lago_id}/metadata",
        "PATCH /credit_notes/{lago_id}/metadata",
        "DELETE /credit_notes/{lago_id}/metadata",
        "DELETE /credit_notes/{lago_id}/metadata/{key}",
        "GET /customers/{external_customer_id}/credit_notes",
        "GET /customers/{external_customer_id}/payment_requests",
        "GET /customers/{external_customer_id}/portal_url",
        "DELETE /invoices/{lago_id}",
        "POST /invoices/{lago_id}/download",
        "PUT /invoices/{lago_id}/finalize",
        "PUT /invoices/{lago_id}/refresh",
        "POST /invoices/{lago_id}/retry",
        "POST /invoices/preview",
        "GET /payment_receipts",
        "GET /payment_receipts/{lago_id}",
        "GET /payment_requests",
        "POST /payment_requests",
        "GET /payment_requests/{lago_id}",
        "POST /invoices/{lago_id}/resend_email",  # of the text alone (section 3.7.15)
    }
)
PERMISSIONS: Final = "permissions"
FEATURES: Final = frozenset({PERMISSIONS})  # API keys that may not do everything (section 1.3)
# Keys of what is served that are null whatever one does.
KEYS: Final = frozenset(
    {
        "BillingEntityObject.logo_url",
        "BillingEntityObject.phone",
        "CreditNoteObject.file_url",
        "InvoiceBaseObject.file_url",
        "PaymentReceiptObject.file_url",
    }
)
EVENTS: Final = frozenset(
    {
        "credit_note.created",
        "credit_note.generated",
        "credit_note.refund_failure",
        "invoice.created",
        "invoice.deleted",
        "invoice.drafted",
        "invoice.generated",
        "payment_receipt.created",
        "payment_receipt.generated",
        "payment_request.created",
        "payment_request.payment_failure",
        "payment_request.payment_status_updated",
    }
)

"""A payment request on Lago's wire (contract sections 3.11 and 10)."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from recoup.rules.lago.customers import CustomerObject, customer_object
from recoup.rules.lago.instants import seconds
from recoup.rules.lago.invoices import Include, InvoiceObject, invoice_object
from recoup.rules.records.payment_requests import PaymentRequestDetails


class PaymentRequestObject(msgspec.Struct, frozen=True, kw_only=True):
    """`payment_request` in Lago's words. `email` is `""` rather than null, as clients declare."""

    lago_id: UUID
    amount_cents: int
    amount_currency: str
    email: str
    payment_status: str
    created_at: datetime
    customer: CustomerObject
    invoices: list[InvoiceObject]


def payment_request_object(details: PaymentRequestDetails) -> PaymentRequestObject:
    """Render a payment request, with its customer and its invoices as they are now."""
    request = details.request
    return PaymentRequestObject(
        lago_id=request.id,
        amount_cents=request.amount_cents,
        amount_currency=request.currency,
        email=request.email or "",
        payment_status=request.payment_status,
        created_at=seconds(request.created_at),
        customer=customer_object(details.customer),
        invoices=[invoice_object(invoice, Include.NOTHING) for invoice in details.invoices],
    )

"""What somebody owes: an invoice, and everything that is shown of it."""

from __future__ import annotations

from datetime import date, datetime
from uuid import UUID

import msgspec

from recoup.rules.records.customers import CustomerDetails
from recoup.rules.records.fees import AppliedTax, FeeDetails
from recoup.rules.records.keys import RowKey


class Invoice(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `invoices`. `due_cents` is the database's own sum: 0 once it is voided."""

    organization_id: UUID
    id: UUID
    customer_id: UUID
    billing_entity_id: UUID
    sequential_id: int | None  # within customer and billing entity
    entity_sequential_id: int | None  # within the billing entity, where it numbers so
    number: str
    purchase_order_number: str | None
    invoice_type: str
    status: str
    payment_status: str
    issuing_date: date | None
    payment_due_date: date | None
    net_payment_term: int  # days
    payment_overdue: bool
    payment_dispute_lost_at: datetime | None
    currency: str
    fees_amount_cents: int
    taxes_amount_cents: int
    sub_total_excluding_taxes_amount_cents: int
    sub_total_including_taxes_amount_cents: int
    total_cents: int
    paid_cents: int
    offset_cents: int  # by credit notes
    due_cents: int
    skip_psp: bool
    payment_method_type: str | None
    payment_method_id: UUID | None
    self_billed: bool
    created_at: datetime
    updated_at: datetime
    voided_at: datetime | None
    finalize_at: datetime | None = None  # when a draft's grace ends; None: a person finalizes it

    @property
    def key(self) -> RowKey:
        """Which invoice this is."""
        return RowKey(self.organization_id, self.id)

    @property
    def customer_key(self) -> RowKey:
        """Who owes it."""
        return RowKey(self.organization_id, self.customer_id)


class InvoiceMetadatum(msgspec.Struct, frozen=True):
    """A row of `invoice_metadata`: a word of the caller's own."""

    organization_id: UUID
    id: UUID
    invoice_id: UUID
    key: str
    value: str
    created_at: datetime

    @property
    def invoice_key(self) -> RowKey:
        """Of which invoice it is."""
        return RowKey(self.organization_id, self.invoice_id)


class InvoiceDetails(msgspec.Struct, frozen=True):
    """An invoice and everything that its rendering needs besides."""

    invoice: Invoice
    billing_entity_code: str
    customer: CustomerDetails
    fees: tuple[FeeDetails, ...]
    applied_taxes: tuple[AppliedTax, ...]
    metadata: tuple[InvoiceMetadatum, ...]
    document_id: UUID | None = None  # of its PDF, where that can be opened

"""What is taken off an invoice again: a credit note, its lines, and the taxes of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

import msgspec

from recoup.rules.records.customers import CustomerDetails
from recoup.rules.records.fees import FeeDetails
from recoup.rules.records.keys import RowKey

Metadata = Mapping[str, str | None]


class CreditNote(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `credit_notes`. Its total is the sum of its three parts, in minor units."""

    organization_id: UUID
    id: UUID
    invoice_id: UUID
    customer_id: UUID
    billing_entity_id: UUID  # these two: its invoice's, so that a list has an index
    self_billed: bool
    sequential_id: int  # within its invoice
    number: str
    issuing_date: date
    credit_status: str | None  # None: it has no credit part
    refund_status: str | None  # None: it has no refund part
    reason: str
    description: str | None
    currency: str
    total_cents: int
    sub_total_excluding_taxes_amount_cents: int
    taxes_amount_cents: int
    precise_total_cents: Decimal
    precise_taxes_cents: Decimal
    taxes_rate: float
    credit_cents: int  # for later invoices
    refund_cents: int  # goes back to the payer
    offset_cents: int  # off what is due
    balance_cents: int  # what is left of the credit
    created_at: datetime
    updated_at: datetime
    refunded_at: datetime | None
    voided_at: datetime | None

    @property
    def key(self) -> RowKey:
        """Which credit note this is."""
        return RowKey(self.organization_id, self.id)

    @property
    def invoice_key(self) -> RowKey:
        """Off which invoice it takes."""
        return RowKey(self.organization_id, self.invoice_id)

    @property
    def customer_key(self) -> RowKey:
        """Whose it is."""
        return RowKey(self.organization_id, self.customer_id)


class CreditNoteItem(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `credit_note_items`: what is taken off one fee, before taxes."""

    organization_id: UUID
    id: UUID
    credit_note_id: UUID
    fee_id: UUID
    position: int  # as asked, from 0
    amount_cents: int
    precise_amount_cents: Decimal
    amount_currency: str
    created_at: datetime

    @property
    def note_key(self) -> RowKey:
        """Whose line this is."""
        return RowKey(self.organization_id, self.credit_note_id)


class CreditNoteTax(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `credit_note_applied_taxes`: what of a tax is taken off with the lines."""

    organization_id: UUID
    id: UUID
    credit_note_id: UUID
    tax_id: UUID
    tax_name: str  # these four: the tax as it was when the invoice was made
    tax_code: str
    tax_rate: float
    tax_description: str | None
    base_amount_cents: int
    amount_cents: int
    amount_currency: str
    created_at: datetime

    @property
    def note_key(self) -> RowKey:
        """Of which credit note it is."""
        return RowKey(self.organization_id, self.credit_note_id)


class CreditNoteDetails(msgspec.Struct, frozen=True, kw_only=True):
    """A credit note and everything that its rendering needs besides."""

    note: CreditNote
    billing_entity_code: str
    invoice_number: str
    purchase_order_number: str | None  # these two: its invoice's
    customer: CustomerDetails
    items: tuple[tuple[CreditNoteItem, FeeDetails], ...]
    applied_taxes: tuple[CreditNoteTax, ...]
    metadata: Metadata | None  # None: none was ever given, or all of it was taken away
    document_id: UUID | None = None  # of its PDF, where that can be opened

    @property
    def self_billed(self) -> bool:
        """Whether its invoice is a partner's."""
        return self.note.self_billed

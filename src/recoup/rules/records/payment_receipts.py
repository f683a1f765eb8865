"""Receipts: what a payer is given for a payment that has succeeded, numbered by customer."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from uuid import UUID

import msgspec

from recoup.rules.records.keys import RowKey
from recoup.rules.records.payments import PaymentDetails


class PaymentReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `payment_receipts`: one per payment that has succeeded."""

    organization_id: UUID
    id: UUID
    payment_id: UUID
    customer_id: UUID
    sequential_id: int
    number: str
    created_at: datetime

    @property
    def key(self) -> RowKey:
        """Which receipt this is."""
        return RowKey(self.organization_id, self.id)

    @property
    def payment_key(self) -> RowKey:
        """The payment that it is for."""
        return RowKey(self.organization_id, self.payment_id)


class PaymentReceiptDetails(msgspec.Struct, frozen=True):
    """A receipt and the payment that it shows."""

    receipt: PaymentReceipt
    payment: PaymentDetails
    document_id: UUID | None = None  # of its PDF, where that can be opened


class PaidShare(msgspec.Struct, frozen=True, kw_only=True):
    """An invoice that a payment was for, and how much of the payment it took."""

    number: str
    issued_on: date | None
    total_cents: int
    applied_cents: int


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """A payment that has succeeded, as its receipt tells of it."""

    payment: RowKey
    customer: RowKey
    entity: RowKey  # in whose name the oldest of its invoices was issued
    amount_cents: int
    currency: str
    paid_at: datetime
    reference: str | None  # the payer's own word; None: a provider took it
    method: Mapping[str, object] | None  # brand, last four digits, as far as the provider told
    invoices: tuple[PaidShare, ...]  # the oldest first
    self_billed: bool  # we have paid, and the customer was

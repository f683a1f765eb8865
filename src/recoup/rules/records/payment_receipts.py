"""Receipts: what a payer is given for a payment that has succeeded, numbered by customer."""

from __future__ import annotations

from datetime import datetime
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
    def payment_key(self) -> RowKey:
        """The payment that it is for."""
        return RowKey(self.organization_id, self.payment_id)


class PaymentReceiptDetails(msgspec.Struct, frozen=True):
    """A receipt and the payment that it shows."""

    receipt: PaymentReceipt
    payment: PaymentDetails

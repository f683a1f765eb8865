"""A payment's receipt on Lago's wire (contract section 3.12)."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from recoup.rules.lago.instants import seconds
from recoup.rules.lago.payments import PaymentObject, payment_object
from recoup.rules.records.payment_receipts import PaymentReceiptDetails


class PaymentReceiptObject(msgspec.Struct, frozen=True, kw_only=True):
    """`payment_receipt` in Lago's words."""

    lago_id: UUID
    number: str
    file_url: str | None
    xml_url: str | None
    payment: PaymentObject
    created_at: datetime


def payment_receipt_object(
    details: PaymentReceiptDetails, *, file_url: str | None = None
) -> PaymentReceiptObject:
    """Render a receipt. `file_url`: where its PDF is."""
    receipt = details.receipt
    return PaymentReceiptObject(
        lago_id=receipt.id,
        number=receipt.number,
        file_url=file_url,
        xml_url=None,
        payment=payment_object(details.payment),
        created_at=seconds(receipt.created_at),
    )

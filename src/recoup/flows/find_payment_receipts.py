"""Read one receipt for a caller."""

from __future__ import annotations

from uuid import UUID

from recoup.rules.records.payment_receipts import PaymentReceiptDetails
from recoup.rules.refusal import Refused, not_found
from recoup.store import payment_receipts
from recoup.store.db import Conn
from recoup.store.listing import BY_ID
from recoup.store.payment_receipts import ReceiptFilter


async def find_payment_receipt(
    conn: Conn, organization_id: UUID, receipt_id: UUID | None
) -> PaymentReceiptDetails:
    """Read a receipt with the payment that it is for.

    :raises Refused: `payment_receipt_not_found`; so is what is no id (None).
    """
    if receipt_id is not None:
        wanted = ReceiptFilter(id=receipt_id)
        found, _ = await payment_receipts.page(conn, organization_id, wanted, BY_ID)
        if found:
            return found[0]
    raise Refused(not_found("payment_receipt"))

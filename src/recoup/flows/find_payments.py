"""Read one payment for a caller. What no list shows is not found."""

from __future__ import annotations

from uuid import UUID

from recoup.rules.records.payments import PaymentDetails
from recoup.rules.refusal import Refused, not_found
from recoup.store import payments
from recoup.store.db import Conn
from recoup.store.listing import BY_ID
from recoup.store.payments import PaymentFilter


async def find_payment(
    conn: Conn, organization_id: UUID, payment_id: UUID | None
) -> PaymentDetails:
    """Read a payment with all that is shown of it.

    :raises Refused: `payment_not_found`; so are withdrawn attempts, and what is no id (None).
    """
    if payment_id is not None:
        wanted = PaymentFilter(id=payment_id)
        found, _ = await payments.page(conn, organization_id, wanted, BY_ID)
        if found:
            return found[0]
    raise Refused(not_found("payment"))

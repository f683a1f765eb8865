"""Read one fee for a caller. Those of invoices that are not visible are not found."""

from __future__ import annotations

from uuid import UUID

from recoup.rules.records.fees import FeeDetails
from recoup.rules.refusal import Refused, not_found
from recoup.store import fees
from recoup.store.db import Conn
from recoup.store.fees import FeeFilter
from recoup.store.listing import BY_ID


async def find_fee(conn: Conn, organization_id: UUID, fee_id: UUID | None) -> FeeDetails:
    """Read a fee with all that is shown of it.

    :raises Refused: `fee_not_found`; so is what is no id (None).
    """
    if fee_id is not None:
        found, _ = await fees.page(conn, organization_id, FeeFilter(id=fee_id), BY_ID)
        if found:
            return found[0]
    raise Refused(not_found("fee"))

"""Find the customer that a path names by its external id."""

from __future__ import annotations

from uuid import UUID

from recoup.rules.records.customers import CustomerDetails
from recoup.rules.records.keys import RowKey
from recoup.rules.refusal import Refused, not_found
from recoup.store import customers
from recoup.store.db import Conn


async def find_customer(conn: Conn, organization_id: UUID, external_id: str) -> RowKey:
    """Which live customer has this external id.

    :raises Refused: `customer_not_found`.
    """
    found = await customers.by_external_ids(conn, organization_id, [external_id])
    if external_id not in found:
        raise Refused(not_found("customer"))
    return found[external_id]


async def find_customer_details(
    conn: Conn, organization_id: UUID, external_id: str
) -> CustomerDetails:
    """The live customer with this external id, and all that is shown of it.

    :raises Refused: `customer_not_found`.
    """
    key = await find_customer(conn, organization_id, external_id)
    return (await customers.details(conn, [key]))[key]

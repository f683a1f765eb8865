"""Delete a customer: it is hidden, unlinked from its provider, and its external id is free again.

Its invoices go on showing it. What is being charged at this moment is still settled.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from recoup.rules.records.customers import CustomerDetails
from recoup.rules.refusal import Refused, not_found
from recoup.store import customers, payment_methods
from recoup.store.db import Conn


async def delete_customer(
    conn: Conn, organization_id: UUID, external_id: str, *, now: datetime
) -> CustomerDetails:
    """Delete the live customer with this external id, and answer what it was.

    :raises Refused: `customer_not_found`.
    """
    customer = await customers.lock_by_external_id(conn, organization_id, external_id)
    if customer is None:
        raise Refused(not_found("customer"))
    before = (await customers.details(conn, [customer.key]))[customer.key]
    await payment_methods.delete_of_customer(conn, customer.key, now=now)
    if before.link:
        await customers.write_link(conn, msgspec.structs.replace(before.link, discarded_at=now))
    await customers.write(conn, msgspec.structs.replace(customer, deleted_at=now, updated_at=now))
    return before

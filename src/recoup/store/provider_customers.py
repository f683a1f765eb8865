"""Rows of `provider_customers` by the provider's own ids: whose customer or method is meant.

The link that a customer has now is read in `store/customers.py`, with the customer.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

from recoup.rules.records.customers import ProviderCustomer
from recoup.rules.records.keys import RowKey
from recoup.store.db import Conn
from recoup.store.rows import columns

_FIND: Final = f"""
    SELECT {columns(ProviderCustomer)} FROM provider_customers
     WHERE organization_id = $1 AND id = $2
"""

_FIND_CREATION: Final = """
    SELECT creation_request, creation_sent_at FROM provider_customers
     WHERE organization_id = $1 AND id = $2
"""

_WRITE_CREATION: Final = """
    UPDATE provider_customers SET creation_request = $3, creation_sent_at = $4
     WHERE organization_id = $1 AND id = $2
"""

_CUSTOMER_OF: Final = """
    SELECT organization_id, customer_id FROM provider_customers
     WHERE organization_id = $1 AND provider_account_id = $2 AND provider_customer_id = $3
       AND discarded_at IS NULL
     ORDER BY created_at, id LIMIT 1
"""

_CUSTOMER_OF_METHOD: Final = """
    SELECT m.organization_id, m.customer_id
      FROM payment_methods m
      JOIN provider_customers pc
        ON (pc.organization_id, pc.id) = (m.organization_id, m.provider_customer_id)
     WHERE m.organization_id = $1 AND pc.provider_account_id = $2 AND m.provider_method_id = $3
       AND m.deleted_at IS NULL
     ORDER BY m.created_at, m.id LIMIT 1
"""


class Creation(msgspec.Struct, frozen=True):
    """How far the making of a customer at its provider has come."""

    request: str | None = None  # as it was sent; None: none was, or it was answered
    sent_at: datetime | None = None  # of the first call that was never answered


async def find(conn: Conn, key: RowKey) -> ProviderCustomer:
    """This link, a discarded one too. It exists: rows that name it are kept by a foreign key."""
    row = await conn.fetchrow(_FIND, key.organization_id, key.id)
    assert row is not None, "a foreign key keeps it"
    methods = tuple(row["provider_payment_methods"])
    return ProviderCustomer(**dict(row) | {"provider_payment_methods": methods})


async def find_creation(conn: Conn, key: RowKey) -> Creation:
    """How far the making of this link's customer has come."""
    row = await conn.fetchrow(_FIND_CREATION, key.organization_id, key.id)
    return Creation(*row) if row else Creation()


async def write_creation(conn: Conn, key: RowKey, creation: Creation) -> None:
    """Write how far the making of this link's customer has come."""
    await conn.execute(
        _WRITE_CREATION, key.organization_id, key.id, creation.request, creation.sent_at
    )


async def customer_of(conn: Conn, account: RowKey, provider_customer_id: str) -> RowKey | None:
    """The customer that this account knows by this id of its own, if it is linked now."""
    row = await conn.fetchrow(
        _CUSTOMER_OF, account.organization_id, account.id, provider_customer_id
    )
    return RowKey(row["organization_id"], row["customer_id"]) if row else None


async def customer_of_method(conn: Conn, account: RowKey, provider_method_id: str) -> RowKey | None:
    """The customer for whom this method of the account's is kept."""
    row = await conn.fetchrow(
        _CUSTOMER_OF_METHOD, account.organization_id, account.id, provider_method_id
    )
    return RowKey(row["organization_id"], row["customer_id"]) if row else None

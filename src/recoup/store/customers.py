"""Rows of `customers`, their metadata, their taxes, and the link to a payment provider.

Who lists them: `store/customer_lists.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec

from recoup.rules.records.customers import (
    Customer,
    CustomerDetails,
    Metadatum,
    ProviderCustomer,
    ShippingAddress,
)
from recoup.rules.records.keys import RowKey
from recoup.rules.records.provider_accounts import ProviderKind
from recoup.rules.records.taxes import Tax
from recoup.store import taxes
from recoup.store.db import Conn
from recoup.store.rows import columns, insertion, key_arrays, update, values

_DETAILS: Final = f"""
    SELECT {columns(Customer, "c")},
           b.code AS billing_entity_code, b.timezone AS billing_entity_timezone,
           b.net_payment_term AS billing_entity_net_payment_term,
           d.code AS dunning_campaign_code
      FROM unnest($1::uuid[], $2::uuid[]) AS asked (organization_id, id)
      JOIN customers c USING (organization_id, id)
      JOIN billing_entities b
        ON (b.organization_id, b.id) = (c.organization_id, c.billing_entity_id)
      LEFT JOIN dunning_campaigns d
        ON (d.organization_id, d.id) = (c.organization_id, c.applied_dunning_campaign_id)
"""

_FIND: Final = f"""
    SELECT {columns(Customer, "c")}
      FROM unnest($1::uuid[], $2::uuid[]) AS asked (organization_id, id)
      JOIN customers c USING (organization_id, id)
"""

_METADATA: Final = f"""
    SELECT m.organization_id, m.customer_id, {columns(Metadatum, "m")}
      FROM unnest($1::uuid[], $2::uuid[]) AS asked (organization_id, customer_id)
      JOIN customer_metadata m USING (organization_id, customer_id)
     ORDER BY m.created_at, m.key
"""

_LIVE_LINKS: Final = f"""
    SELECT {columns(ProviderCustomer, "pc")}
      FROM unnest($1::uuid[], $2::uuid[]) AS asked (organization_id, customer_id)
      JOIN provider_customers pc USING (organization_id, customer_id)
     WHERE pc.discarded_at IS NULL
"""

_BY_EXTERNAL_IDS: Final = """
    SELECT organization_id, id, external_id FROM customers
     WHERE organization_id = $1 AND external_id = ANY ($2::text[]) AND deleted_at IS NULL
"""

_LOCK_BY_EXTERNAL_ID: Final = f"""
    SELECT {columns(Customer)} FROM customers
     WHERE organization_id = $1 AND external_id = $2 AND deleted_at IS NULL
       FOR NO KEY UPDATE
"""

_LOCK: Final = f"""
    SELECT {columns(Customer)} FROM customers
     WHERE organization_id = $1 AND id = $2 AND deleted_at IS NULL
       FOR NO KEY UPDATE
"""

_LOCK_NUMBERING: Final = """
    SELECT document_number_prefix FROM organizations WHERE id = $1 FOR NO KEY UPDATE
"""

# A statement of its own after the lock: a sub-select of it would see the time before the wait.
# Deleted customers count, too: a number is never given again.
_NEXT_SEQUENTIAL_ID: Final = """
    SELECT coalesce(max(sequential_id), 0) + 1 FROM customers WHERE organization_id = $1
"""

_INSERT: Final = insertion("customers", Customer)
_UPDATE: Final = update("customers", Customer, key=("organization_id", "id"))

_DELETE_METADATA: Final = """
    DELETE FROM customer_metadata
     WHERE organization_id = $1 AND customer_id = $2 AND id <> ALL ($3::uuid[])
"""

_WRITE_METADATA: Final = """
    INSERT INTO customer_metadata
           (organization_id, customer_id, id, key, value, display_in_invoice, created_at)
    SELECT $1, $2, u.* FROM unnest($3::uuid[], $4::text[], $5::text[], $6::bool[],
                                   $7::timestamptz[]) AS u
        ON CONFLICT (organization_id, id) DO UPDATE
       SET key = excluded.key, value = excluded.value,
           display_in_invoice = excluded.display_in_invoice
"""

_UNAPPLY_TAXES: Final = "DELETE FROM customer_taxes WHERE organization_id = $1 AND customer_id = $2"

_APPLY_TAXES: Final = """
    INSERT INTO customer_taxes (organization_id, customer_id, tax_id)
    SELECT $1, $2, tax_id FROM unnest($3::uuid[]) AS tax_id
"""

_INSERT_LINK: Final = insertion("provider_customers", ProviderCustomer)
_UPDATE_LINK: Final = update("provider_customers", ProviderCustomer, key=("organization_id", "id"))


async def find(conn: Conn, keys: Collection[RowKey]) -> dict[RowKey, Customer]:
    """These customers' own rows, deleted ones too: one statement, for who needs no more."""
    found = map(_customer, await conn.fetch(_FIND, *key_arrays(keys)))
    return {customer.key: customer for customer in found}


async def details(conn: Conn, keys: Collection[RowKey]) -> dict[RowKey, CustomerDetails]:
    """These customers with all that is shown of them, deleted ones too.

    Four statements, however many there are; those that do not exist are left out.
    """
    if not keys:
        return {}
    rows = await conn.fetch(_DETAILS, *key_arrays(keys))
    metadata = await _metadata(conn, keys)
    applied = await taxes.of_customers(conn, keys)
    links = await live_links(conn, keys)
    found: dict[RowKey, CustomerDetails] = {}
    for row in rows:
        customer = _customer(row)
        found[customer.key] = CustomerDetails(
            customer=customer,
            billing_entity_code=row["billing_entity_code"],
            billing_entity_timezone=row["billing_entity_timezone"],
            billing_entity_net_payment_term=row["billing_entity_net_payment_term"],
            dunning_campaign_code=row["dunning_campaign_code"],
            metadata=metadata.get(customer.key, ()),
            taxes=applied.get(customer.key, ()),
            link=links.get(customer.key),
        )
    return found


async def live_links(conn: Conn, keys: Collection[RowKey]) -> dict[RowKey, ProviderCustomer]:
    """The live link of each of these customers; those without one are left out."""
    return {
        RowKey(row["organization_id"], row["customer_id"]): ProviderCustomer(
            **dict(row) | {"provider_payment_methods": tuple(row["provider_payment_methods"])}
        )
        for row in await conn.fetch(_LIVE_LINKS, *key_arrays(keys))
    }


async def by_external_ids(
    conn: Conn, organization_id: UUID, external_ids: Collection[str]
) -> dict[str, RowKey]:
    """The organization's live customers with these external ids; unknown ones are left out."""
    rows = await conn.fetch(_BY_EXTERNAL_IDS, organization_id, _storable(external_ids))
    return {row["external_id"]: RowKey(row["organization_id"], row["id"]) for row in rows}


async def lock_by_external_id(
    conn: Conn, organization_id: UUID, external_id: str
) -> Customer | None:
    """Lock the live customer with this external id until the transaction ends."""
    if not _storable([external_id]):
        return None
    row = await conn.fetchrow(_LOCK_BY_EXTERNAL_ID, organization_id, external_id)
    return row and _customer(row)


async def lock(conn: Conn, key: RowKey) -> Customer | None:
    """Lock this customer until the transaction ends; None where it is deleted."""
    row = await conn.fetchrow(_LOCK, key.organization_id, key.id)
    return row and _customer(row)


async def lock_numbering(conn: Conn, organization_id: UUID) -> str:
    """Let nobody else number a customer of this organization until the transaction ends.

    Answers the prefix of its documents.
    """
    prefix: str = await conn.fetchval(_LOCK_NUMBERING, organization_id)
    return prefix


async def next_sequential_id(conn: Conn, organization_id: UUID) -> int:
    """The number of the organization's next customer; called under `lock_numbering`."""
    number: int = await conn.fetchval(_NEXT_SEQUENTIAL_ID, organization_id)
    return number


async def insert(conn: Conn, customer: Customer) -> None:
    """Add a customer.

    :raises asyncpg.UniqueViolationError: a live one has this external id, or its number is taken.
    """
    await conn.execute(_INSERT, *_values(customer))


async def write(conn: Conn, customer: Customer) -> None:
    """Write every field of a customer that exists."""
    await conn.execute(_UPDATE, *_values(customer))


async def replace_metadata(conn: Conn, customer: RowKey, metadata: Sequence[Metadatum]) -> None:
    """Make these the customer's metadata: known ids are written, others added, the rest removed."""
    whose = (customer.organization_id, customer.id)
    await conn.execute(_DELETE_METADATA, *whose, [one.id for one in metadata])
    await conn.execute(
        _WRITE_METADATA,
        *whose,
        [one.id for one in metadata],
        [one.key for one in metadata],
        [one.value for one in metadata],
        [one.display_in_invoice for one in metadata],
        [one.created_at for one in metadata],
    )


async def replace_taxes(conn: Conn, customer: RowKey, applied: Collection[Tax]) -> None:
    """Make these the customer's own taxes."""
    whose = (customer.organization_id, customer.id)
    await conn.execute(_UNAPPLY_TAXES, *whose)
    await conn.execute(_APPLY_TAXES, *whose, [tax.id for tax in applied])


async def insert_link(conn: Conn, link: ProviderCustomer) -> None:
    """Link a customer to a provider account.

    :raises asyncpg.UniqueViolationError: the customer has a live link.
    """
    await conn.execute(_INSERT_LINK, *values(link))


async def write_link(conn: Conn, link: ProviderCustomer) -> None:
    """Write every field of a link that exists; with `discarded_at` it is live no more."""
    await conn.execute(_UPDATE_LINK, *values(link))


async def _metadata(conn: Conn, keys: Collection[RowKey]) -> dict[RowKey, tuple[Metadatum, ...]]:
    found: dict[RowKey, tuple[Metadatum, ...]] = {}
    for row in await conn.fetch(_METADATA, *key_arrays(keys)):
        fields: dict[str, Any] = dict(row)
        key = RowKey(fields.pop("organization_id"), fields.pop("customer_id"))
        found[key] = (*found.get(key, ()), Metadatum(**fields))
    return found


def _customer(row: asyncpg.Record) -> Customer:
    fields: dict[str, Any] = {name: row[name] for name in Customer.__struct_fields__}
    fields["shipping_address"] = msgspec.json.decode(
        fields["shipping_address"], type=ShippingAddress
    )
    if fields["payment_provider"] is not None:
        fields["payment_provider"] = ProviderKind(fields["payment_provider"])
    return Customer(**fields)


def _values(customer: Customer) -> list[object]:
    shipping_address = msgspec.json.encode(customer.shipping_address).decode()
    return [
        shipping_address if field == "shipping_address" else getattr(customer, field)
        for field in Customer.__struct_fields__
    ]


def _storable(texts: Collection[str]) -> list[str]:
    """Leave out what no column can hold: PostgreSQL's text has no NUL."""
    return [text for text in texts if "\0" not in text]

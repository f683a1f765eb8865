"""Rows of `invoices` and `invoice_metadata`: read with everything shown, locked, changed.

Who lists them: `store/invoice_lists.py`. Who collects them: `store/collection.py`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import date, datetime
from typing import Final
from uuid import UUID

from recoup.rules.records.invoices import Invoice, InvoiceDetails, InvoiceMetadatum
from recoup.rules.records.keys import RowKey
from recoup.store import customers, fees
from recoup.store.db import Conn
from recoup.store.rows import columns, key_arrays

_DETAILS: Final = f"""
    SELECT {columns(Invoice, "i")}, b.code AS billing_entity_code
      FROM unnest($1::uuid[], $2::uuid[]) AS asked (organization_id, id)
      JOIN invoices i USING (organization_id, id)
      JOIN billing_entities b
        ON (b.organization_id, b.id) = (i.organization_id, i.billing_entity_id)
"""

_METADATA: Final = f"""
    SELECT {columns(InvoiceMetadatum, "m")}
      FROM unnest($1::uuid[], $2::uuid[]) AS asked (organization_id, invoice_id)
      JOIN invoice_metadata m USING (organization_id, invoice_id)
     ORDER BY m.organization_id, m.invoice_id, m.created_at, m.key
"""

_LOCK: Final = f"""
    SELECT {columns(Invoice, "i")}
      FROM unnest($1::uuid[], $2::uuid[]) AS asked (organization_id, id)
      JOIN invoices i USING (organization_id, id)
     ORDER BY i.organization_id, i.id  -- everybody locks in this order, so batches cannot deadlock
       FOR NO KEY UPDATE OF i
"""

_WRITTEN: Final = tuple(
    field
    for field in Invoice.__struct_fields__
    if field != "due_cents"  # the database's own sum
)
_INSERT: Final = f"""
    INSERT INTO invoices ({", ".join(_WRITTEN)})
    VALUES ({", ".join(f"${number}" for number in range(1, len(_WRITTEN) + 1))})
"""

# Whoever draws a number waits for the others of its customer, longer than a lock is waited for
# otherwise: the holder only writes an invoice.
_WAIT_FOR_NUMBERS: Final = "SET LOCAL lock_timeout = '10s'"
_LOCK_CUSTOMER: Final = """
    SELECT FROM customers WHERE organization_id = $1 AND id = $2 FOR NO KEY UPDATE
"""
_LOCK_ENTITY: Final = """
    SELECT FROM billing_entities WHERE organization_id = $1 AND id = $2 FOR NO KEY UPDATE
"""
_LAST_OF_CUSTOMER: Final = """
    SELECT coalesce(max(sequential_id), 0) FROM invoices
     WHERE organization_id = $1 AND customer_id = $2 AND billing_entity_id = $3
"""
_LAST_OF_ENTITY: Final = """
    SELECT coalesce(max(entity_sequential_id), 0) FROM invoices
     WHERE organization_id = $1 AND billing_entity_id = $2 AND entity_sequential_id IS NOT NULL
"""

_SHOW_STATUS: Final = """
    UPDATE invoices
       SET payment_status = $3, updated_at = $4,
           payment_overdue = payment_overdue AND $3 <> 'succeeded',
           next_try_at = CASE WHEN $3 <> 'succeeded' THEN next_try_at END
     WHERE organization_id = $1 AND id = $2
"""

_VOID: Final = """
    UPDATE invoices
       SET status = 'voided', voided_at = $3, updated_at = $3, payment_overdue = false,
           next_try_at = NULL
     WHERE organization_id = $1 AND id = $2
"""

_LOSE_DISPUTE: Final = """
    UPDATE invoices
       SET payment_dispute_lost_at = coalesce(payment_dispute_lost_at, $3), updated_at = $3,
           payment_overdue = false
     WHERE organization_id = $1 AND id = $2
"""

_ADD_PAID: Final = """
    UPDATE invoices SET paid_cents = paid_cents + $3, updated_at = $4
     WHERE organization_id = $1 AND id = $2
"""

_BECOME_OVERDUE: Final = """
    UPDATE invoices i SET payment_overdue = true, updated_at = $3
      FROM unnest($1::uuid[], $2::uuid[]) AS late (organization_id, id)
     WHERE (i.organization_id, i.id) = (late.organization_id, late.id)
"""

_NEWLY_OVERDUE: Final = """
    SELECT organization_id, id FROM invoices
     WHERE status = 'finalized' AND payment_status <> 'succeeded' AND NOT payment_overdue
       AND payment_dispute_lost_at IS NULL AND payment_due_date < $1
     ORDER BY payment_due_date LIMIT $2
"""

_DROP_METADATA: Final = """
    DELETE FROM invoice_metadata
     WHERE organization_id = $1 AND invoice_id = $2 AND id <> ALL ($3::uuid[])
"""

_KEEP_METADATA: Final = """
    INSERT INTO invoice_metadata (organization_id, id, invoice_id, key, value, created_at)
    VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (organization_id, id) DO UPDATE SET key = excluded.key, value = excluded.value
"""


async def details(
    conn: Conn, keys: Collection[RowKey], *, with_fees: bool = True
) -> dict[RowKey, InvoiceDetails]:
    """These invoices with all that is shown of them; those that do not exist are left out.

    The same few statements for one invoice and for hundreds. A list shows no fees.
    """
    asked = key_arrays(keys)
    rows = await conn.fetch(_DETAILS, *asked)
    found: dict[RowKey, tuple[Invoice, str]] = {}
    for row in rows:
        shown = dict(row)
        code = shown.pop("billing_entity_code")
        invoice = Invoice(**shown)
        found[invoice.key] = (invoice, code)
    if not found:
        return {}
    whose = await customers.details(conn, {invoice.customer_key for invoice, _ in found.values()})
    lines, taxes = await fees.of_invoices(conn, found.keys(), with_fees=with_fees)
    metadata: dict[RowKey, list[InvoiceMetadatum]] = defaultdict(list)
    for row in await conn.fetch(_METADATA, *asked):
        metadatum = InvoiceMetadatum(**dict(row))
        metadata[metadatum.invoice_key].append(metadatum)
    return {
        key: InvoiceDetails(
            invoice=invoice,
            billing_entity_code=code,
            customer=whose[invoice.customer_key],
            fees=tuple(lines.get(key, ())),
            applied_taxes=tuple(taxes.get(key, ())),
            metadata=tuple(metadata.get(key, ())),
        )
        for key, (invoice, code) in found.items()
    }


async def lock(conn: Conn, keys: Collection[RowKey]) -> dict[RowKey, Invoice]:
    """Lock these invoices until the transaction ends; those that do not exist are left out."""
    rows = await conn.fetch(_LOCK, *key_arrays(keys))
    return {invoice.key: invoice for invoice in (Invoice(**dict(row)) for row in rows)}


async def next_of_customer(conn: Conn, customer: RowKey, billing_entity_id: UUID) -> int:
    """Draw the next number of a customer's invoices of an entity; others wait until we commit."""
    await conn.execute(_WAIT_FOR_NUMBERS)
    await conn.execute(_LOCK_CUSTOMER, customer.organization_id, customer.id)
    # Not a sub-select of the lock: a statement that waited still sees the time before its wait.
    last: int = await conn.fetchval(
        _LAST_OF_CUSTOMER, customer.organization_id, customer.id, billing_entity_id
    )
    return last + 1


async def next_of_entity(conn: Conn, organization_id: UUID, billing_entity_id: UUID) -> int:
    """Draw the next number of a billing entity's invoices, as of a customer's, and after it."""
    await conn.execute(_WAIT_FOR_NUMBERS)
    await conn.execute(_LOCK_ENTITY, organization_id, billing_entity_id)
    last: int = await conn.fetchval(_LAST_OF_ENTITY, organization_id, billing_entity_id)
    return last + 1


async def insert(conn: Conn, invoice: Invoice) -> None:
    """Add an invoice, without its fees. What is due the database works out."""
    await conn.execute(_INSERT, *(getattr(invoice, field) for field in _WRITTEN))


async def show_payment_status(
    conn: Conn, key: RowKey, payment_status: str, *, now: datetime
) -> None:
    """Set what an invoice shows. A paid one is not overdue, and is tried no more."""
    await conn.execute(_SHOW_STATUS, key.organization_id, key.id, payment_status, now)


async def add_paid(conn: Conn, key: RowKey, amount_cents: int, *, now: datetime) -> None:
    """Take an amount off what is due."""
    await conn.execute(_ADD_PAID, key.organization_id, key.id, amount_cents, now)


async def void(conn: Conn, key: RowKey, *, now: datetime) -> None:
    """Void an invoice: nothing of it is due any more."""
    await conn.execute(_VOID, key.organization_id, key.id, now)


async def lose_dispute(conn: Conn, key: RowKey, *, now: datetime) -> None:
    """Mark an invoice's dispute as lost, at the first time that this was told."""
    await conn.execute(_LOSE_DISPUTE, key.organization_id, key.id, now)


async def become_overdue(conn: Conn, keys: Collection[RowKey], *, now: datetime) -> None:
    """Mark these invoices as late."""
    await conn.execute(_BECOME_OVERDUE, *key_arrays(keys), now)


async def find_newly_overdue(scout: Conn, *, today: date, limit: int) -> list[RowKey]:
    """Invoices of all tenants that have just become late, longest due first.

    `today` is the day in UTC; `scout` is a connection of `recoup_scout`.
    """
    rows = await scout.fetch(_NEWLY_OVERDUE, today, limit)
    return [RowKey(row["organization_id"], row["id"]) for row in rows]


async def replace_metadata(
    conn: Conn, invoice: RowKey, metadata: Sequence[InvoiceMetadatum]
) -> None:
    """Make these the invoice's metadata, and no others.

    A key that is there twice is refused when the transaction ends: check before.
    """
    await conn.execute(
        _DROP_METADATA, invoice.organization_id, invoice.id, [one.id for one in metadata]
    )
    await conn.executemany(
        _KEEP_METADATA,
        [(one.organization_id, one.id, one.invoice_id, one.key, one.value, one.created_at)
         for one in metadata],
    )  # fmt: skip

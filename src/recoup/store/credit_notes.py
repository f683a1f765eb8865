"""Rows of `credit_notes`, their items and taxes: added, read with everything shown, ended.

Lock the invoice before: what notes have left of it is read under that lock, and so are the numbers
drawn. Lists of them: `credit_note_lists`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from recoup.rules.credit_note_totals import Parts
from recoup.rules.records.credit_notes import (
    CreditNote,
    CreditNoteDetails,
    CreditNoteItem,
    CreditNoteTax,
    Metadata,
)
from recoup.rules.records.document_pages import DocumentKind
from recoup.rules.records.keys import RowKey
from recoup.rules.refund_split import PaidBy
from recoup.store import customers, documents, fees
from recoup.store.db import Conn
from recoup.store.rows import columns, insertion, key_arrays, values

_INSERT: Final = insertion("credit_notes", CreditNote)
_INSERT_ITEM: Final = insertion("credit_note_items", CreditNoteItem)
_INSERT_TAX: Final = insertion("credit_note_applied_taxes", CreditNoteTax)

_FIND: Final = f"""
    SELECT {columns(CreditNote, "n")}
      FROM unnest($1::uuid[], $2::uuid[]) AS asked (organization_id, id)
      JOIN credit_notes n USING (organization_id, id)
"""

_LOCK: Final = f"""{_FIND}
     ORDER BY n.organization_id, n.id
       FOR NO KEY UPDATE OF n
"""

_DETAILS: Final = f"""
    SELECT {columns(CreditNote, "n")}, n.metadata, i.number AS invoice_number,
           i.purchase_order_number, b.code AS billing_entity_code
      FROM unnest($1::uuid[], $2::uuid[]) AS asked (organization_id, id)
      JOIN credit_notes n USING (organization_id, id)
      JOIN invoices i ON (i.organization_id, i.id) = (n.organization_id, n.invoice_id)
      JOIN billing_entities b
        ON (b.organization_id, b.id) = (n.organization_id, n.billing_entity_id)
"""

_ITEMS: Final = f"""
    SELECT {columns(CreditNoteItem, "t")}
      FROM unnest($1::uuid[], $2::uuid[]) AS asked (organization_id, credit_note_id)
      JOIN credit_note_items t USING (organization_id, credit_note_id)
     ORDER BY t.organization_id, t.credit_note_id, t.position
"""

_TAXES: Final = f"""
    SELECT {columns(CreditNoteTax, "t")}
      FROM unnest($1::uuid[], $2::uuid[]) AS asked (organization_id, credit_note_id)
      JOIN credit_note_applied_taxes t USING (organization_id, credit_note_id)
     ORDER BY t.organization_id, t.credit_note_id, t.tax_code, t.id
"""

_CREDITED: Final = """
    SELECT coalesce(sum(credit_cents), 0)::bigint AS credit_cents,
           coalesce(sum(refund_cents), 0)::bigint AS refund_cents,
           coalesce(sum(offset_cents), 0)::bigint AS offset_cents
      FROM credit_notes WHERE organization_id = $1 AND invoice_id = $2
"""

_CREDITED_OF_FEES: Final = """
    SELECT t.fee_id, sum(t.amount_cents)::bigint AS cents
      FROM credit_notes n
      JOIN credit_note_items t ON (t.organization_id, t.credit_note_id) = (n.organization_id, n.id)
     WHERE n.organization_id = $1 AND n.invoice_id = $2
     GROUP BY t.fee_id
"""

_LAST_NUMBER: Final = """
    SELECT coalesce(max(sequential_id), 0) FROM credit_notes
     WHERE organization_id = $1 AND invoice_id = $2
"""

# Whatever became of a refund, its part of the charge is used up: one that failed may go back yet.
_PAID_BY: Final = """
    SELECT p.id AS payment_id, p.provider_account_id AS account_id, p.provider_payment_id,
           (pi.applied_cents - coalesce((
               SELECT sum(r.amount_cents)
                 FROM refunds r
                 JOIN credit_notes n
                   ON (n.organization_id, n.id) = (r.organization_id, r.credit_note_id)
                WHERE r.organization_id = pi.organization_id AND r.payment_id = pi.payment_id
                  AND n.invoice_id = pi.invoice_id), 0))::bigint AS refundable_cents
      FROM payment_invoices pi
      JOIN payments p ON (p.organization_id, p.id) = (pi.organization_id, pi.payment_id)
     WHERE pi.organization_id = $1 AND pi.invoice_id = $2 AND pi.applied_cents > 0
       AND p.state = 'succeeded' AND p.payment_type = 'provider'
       AND p.provider_payment_id IS NOT NULL
       AND (SELECT coalesce(sum(CASE told WHEN 'reversed' THEN amount_cents
                                          ELSE -amount_cents END), 0)
              FROM contradictions c
             WHERE c.organization_id = p.organization_id AND c.payment_id = p.id
               AND c.provider_payment_id = p.provider_payment_id
               AND c.told IN ('reversed', 'given_back')) <= 0  -- else the payer has it already
     ORDER BY p.ended_at DESC, p.id DESC
"""

_ADD_OFFSET: Final = """
    UPDATE invoices SET offset_cents = offset_cents + $3, updated_at = $4
     WHERE organization_id = $1 AND id = $2
"""

_VOID: Final = """
    UPDATE credit_notes
       SET credit_status = 'voided', balance_cents = 0, voided_at = $3, updated_at = $3
     WHERE organization_id = $1 AND id = $2
"""

_SHOW_REFUND_STATUS: Final = """
    UPDATE credit_notes
       SET refund_status = $3, updated_at = $4,
           refunded_at = CASE WHEN $3 = 'succeeded' THEN $4::timestamptz END
     WHERE organization_id = $1 AND id = $2
"""

_READ_METADATA: Final = """
    SELECT metadata FROM credit_notes WHERE organization_id = $1 AND id = $2
"""

_WRITE_METADATA: Final = """
    UPDATE credit_notes SET metadata = $3, updated_at = $4 WHERE organization_id = $1 AND id = $2
"""

_IS_REFUND_MOOT: Final = """
    SELECT n.refund_status = 'succeeded' AS went_back_otherwise,
           i.payment_dispute_lost_at IS NOT NULL AS dispute_was_lost
      FROM credit_notes n
      JOIN invoices i ON (i.organization_id, i.id) = (n.organization_id, n.invoice_id)
     WHERE n.organization_id = $1 AND n.id = $2
"""


class Credited(msgspec.Struct, frozen=True):
    """What the notes of an invoice have taken off it, voided ones too."""

    parts: Parts
    of_fees: dict[UUID, int]  # before taxes
    last_number: int  # 0: there is none


class Moot(msgspec.Struct, frozen=True):
    """Why the refund of a note is not to be sent any more; neither: it is."""

    went_back_otherwise: bool
    dispute_was_lost: bool


async def find(conn: Conn, keys: Collection[RowKey]) -> dict[RowKey, CreditNote]:
    """Read these notes; those that do not exist are left out."""
    return _by_key(await conn.fetch(_FIND, *key_arrays(keys)))


async def lock(conn: Conn, keys: Collection[RowKey]) -> dict[RowKey, CreditNote]:
    """Lock these notes until the transaction ends. Lock their invoices before."""
    return _by_key(await conn.fetch(_LOCK, *key_arrays(keys)))


async def details(conn: Conn, keys: Collection[RowKey]) -> dict[RowKey, CreditNoteDetails]:
    """These notes with all that is shown of them; those that do not exist are left out.

    The same few statements for one note and for hundreds.
    """
    asked = key_arrays(keys)
    rows = [dict(row) for row in await conn.fetch(_DETAILS, *asked)]
    if not rows:
        return {}
    extras = [
        {name: row.pop(name) for name in ("invoice_number", "purchase_order_number",
                                          "billing_entity_code", "metadata")}
        for row in rows
    ]  # fmt: skip
    notes = [CreditNote(**row) for row in rows]
    whose = await customers.details(conn, {note.customer_key for note in notes})
    of_invoices, _ = await fees.of_invoices(conn, {note.invoice_key for note in notes})
    by_fee = {one.fee.id: one for lines in of_invoices.values() for one in lines}
    items: dict[RowKey, list[CreditNoteItem]] = defaultdict(list)
    for row in await conn.fetch(_ITEMS, *asked):
        item = CreditNoteItem(**dict(row))
        items[item.note_key].append(item)
    taxes: dict[RowKey, list[CreditNoteTax]] = defaultdict(list)
    for row in await conn.fetch(_TAXES, *asked):
        tax = CreditNoteTax(**dict(row))
        taxes[tax.note_key].append(tax)
    opened = await documents.shown(conn, DocumentKind.CREDIT_NOTE, {note.key for note in notes})
    return {
        note.key: CreditNoteDetails(
            note=note,
            customer=whose[note.customer_key],
            items=tuple((item, by_fee[item.fee_id]) for item in items.get(note.key, ())),
            applied_taxes=tuple(taxes.get(note.key, ())),
            document_id=opened.get(note.key),
            **extra | {"metadata": _metadata(extra["metadata"])},
        )
        for note, extra in zip(notes, extras, strict=True)
    }


async def credited(conn: Conn, invoice: RowKey) -> Credited:
    """What the notes of this locked invoice have taken off it."""
    asked = (invoice.organization_id, invoice.id)
    of_fees = await conn.fetch(_CREDITED_OF_FEES, *asked)
    parts = await conn.fetchrow(_CREDITED, *asked)
    assert parts is not None, "a sum is a row, also of nothing"
    return Credited(
        Parts(**dict(parts)),
        {row["fee_id"]: row["cents"] for row in of_fees},
        await conn.fetchval(_LAST_NUMBER, *asked),
    )


async def paid_by(conn: Conn, invoice: RowKey) -> list[PaidBy]:
    """The charges that paid for this locked invoice and may go back, the newest first."""
    rows = await conn.fetch(_PAID_BY, invoice.organization_id, invoice.id)
    return [PaidBy(**dict(row)) for row in rows]


async def insert(
    conn: Conn,
    note: CreditNote,
    items: Sequence[CreditNoteItem],
    taxes: Sequence[CreditNoteTax],
    metadata: Metadata | None,
) -> None:
    """Add a note with its lines and their taxes."""
    await conn.execute(_INSERT, *values(note))
    await conn.executemany(_INSERT_ITEM, [values(item) for item in items])
    await conn.executemany(_INSERT_TAX, [values(tax) for tax in taxes])
    if metadata is not None:
        await write_metadata(conn, note.key, metadata, now=note.created_at)


async def add_offset(conn: Conn, invoice: RowKey, cents: int, *, now: datetime) -> None:
    """Take an amount off what is due of this locked invoice."""
    await conn.execute(_ADD_OFFSET, invoice.organization_id, invoice.id, cents, now)


async def void(conn: Conn, key: RowKey, *, now: datetime) -> None:
    """Let the credit of a note lapse: nothing of it is left."""
    await conn.execute(_VOID, key.organization_id, key.id, now)


async def show_refund_status(conn: Conn, key: RowKey, refund_status: str, *, now: datetime) -> None:
    """Set what a note shows of its refund, and when it went back."""
    await conn.execute(_SHOW_REFUND_STATUS, key.organization_id, key.id, refund_status, now)


async def read_metadata(conn: Conn, key: RowKey) -> Metadata | None:
    """The metadata of this locked note; None: it has none."""
    return _metadata(await conn.fetchval(_READ_METADATA, key.organization_id, key.id))


async def write_metadata(
    conn: Conn, key: RowKey, metadata: Metadata | None, *, now: datetime
) -> None:
    """Make this the note's metadata, and no other."""
    written = None if metadata is None else msgspec.json.encode(metadata).decode()
    await conn.execute(_WRITE_METADATA, key.organization_id, key.id, written, now)


async def why_moot(conn: Conn, key: RowKey) -> Moot:
    """Say whether what a note gives back has come back to the payer in another way."""
    row = await conn.fetchrow(_IS_REFUND_MOOT, key.organization_id, key.id)
    assert row is not None, "a refund's note exists"
    return Moot(**dict(row))


def _metadata(read: str | None) -> Metadata | None:
    return None if read is None else msgspec.json.decode(read, type=dict[str, str | None])


def _by_key(rows: Sequence[Any]) -> dict[RowKey, CreditNote]:
    return {note.key: note for note in (CreditNote(**dict(row)) for row in rows)}

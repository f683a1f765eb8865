"""Change what a caller may change of a credit note: its refund status, its metadata, its credit.

What would surprise you: a refund status that is set here moves no money and no ledger entry, as
with an invoice's payment status. A refund that was not sent yet is not sent any more once somebody
has said that the money went back (`submit_refund`); one that was sent goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID, uuid5

from msgspec import UNSET

from recoup.flows.find_credit_notes import find_credit_note, lock_credit_note
from recoup.flows.issue_document import void_document
from recoup.rules.credit_note_asks import (
    CreditNoteChange,
    merged,
    read_metadata,
    read_refund_status,
)
from recoup.rules.records.credit_notes import CreditNote, CreditNoteDetails, Metadata
from recoup.rules.records.document_pages import DocumentKind
from recoup.rules.refusal import Refused, not_allowed, not_found
from recoup.store import credit_notes, ledger
from recoup.store.db import Conn


async def update_credit_note(
    conn: Conn,
    organization_id: UUID,
    note_id: UUID | None,
    asked: CreditNoteChange,
    *,
    now: datetime,
) -> CreditNoteDetails:
    """Set what is known of its refund, and add to its metadata; answer it as it is then.

    :raises Refused: `credit_note_not_found`; 422 for broken rules.
    """
    note = await lock_credit_note(conn, organization_id, note_id)
    status = None if asked.refund_status is UNSET else read_refund_status(asked.refund_status)
    if asked.metadata is not None:
        await _merge(conn, note, read_metadata(asked.metadata), now=now)
    if status is not None and status != note.refund_status:
        await credit_notes.show_refund_status(conn, note.key, status, now=now)
    return await find_credit_note(conn, organization_id, note.id)


async def void_credit_note(
    conn: Conn, organization_id: UUID, note_id: UUID | None, *, now: datetime
) -> CreditNoteDetails:
    """Let what is left of a note's credit lapse, and answer the note.

    :raises Refused: `credit_note_not_found`; 405 `no_voidable_amount`, there is nothing left of it.
    """
    note = await lock_credit_note(conn, organization_id, note_id)
    if note.balance_cents <= 0:
        raise Refused(not_allowed("no_voidable_amount"))
    await let_lapse(conn, note, now=now)
    return await find_credit_note(conn, organization_id, note.id)


async def let_lapse(conn: Conn, note: CreditNote, *, now: datetime) -> None:
    """Void a locked note that has credit left: nobody can use it any more.

    Its document is marked as void where that was all of it. One that also paid back, or took off
    what was due, did so: its page stays what it was.
    """
    lapsed = ledger.transfer(
        note.invoice_key, uuid5(note.id, "void"), note.balance_cents, note.currency,
        debit="customer_credit", credit="revenue",
    )  # fmt: skip
    await ledger.write(conn, lapsed, now=now)
    await credit_notes.void(conn, note.key, now=now)
    if note.balance_cents == note.total_cents:
        await void_document(conn, DocumentKind.CREDIT_NOTE, note.key, now=now)


async def replace_metadata(
    conn: Conn, organization_id: UUID, note_id: UUID | None, metadata: object, *, now: datetime
) -> Metadata | None:
    """Make this the note's metadata, and no other; null takes all of it away.

    :raises Refused: `credit_note_not_found`; 422 for broken rules.
    """
    note = await lock_credit_note(conn, organization_id, note_id)
    wanted = None if metadata is None else read_metadata(metadata)
    await credit_notes.write_metadata(conn, note.key, wanted, now=now)
    return wanted


async def merge_metadata(
    conn: Conn, organization_id: UUID, note_id: UUID | None, metadata: object, *, now: datetime
) -> Metadata | None:
    """Add to the note's metadata; null adds nothing. Answers all that it has then.

    :raises Refused: as for replacing it.
    """
    note = await lock_credit_note(conn, organization_id, note_id)
    if metadata is None:
        return await credit_notes.read_metadata(conn, note.key)
    return await _merge(conn, note, read_metadata(metadata), now=now)


async def delete_metadata_key(
    conn: Conn, organization_id: UUID, note_id: UUID | None, key: str, *, now: datetime
) -> Metadata | None:
    """Take one pair away, and answer what is left.

    :raises Refused: `credit_note_not_found`; `metadata_not_found`, it has no such key.
    """
    note = await lock_credit_note(conn, organization_id, note_id)
    before = await credit_notes.read_metadata(conn, note.key)
    if before is None or key not in before:
        raise Refused(not_found("metadata"))
    left = {name: value for name, value in before.items() if name != key}
    await credit_notes.write_metadata(conn, note.key, left, now=now)
    return left


async def _merge(
    conn: Conn, note: CreditNote, added: Mapping[str, str | None], *, now: datetime
) -> Metadata:
    after = merged(await credit_notes.read_metadata(conn, note.key), added)
    await credit_notes.write_metadata(conn, note.key, after, now=now)
    return after

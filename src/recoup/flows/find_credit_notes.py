"""Read credit notes for a caller: one, or a list; and lock one to change it."""

from __future__ import annotations

from uuid import UUID

from recoup.rules.lago.pages import Page
from recoup.rules.records.credit_notes import CreditNote, CreditNoteDetails
from recoup.rules.records.keys import RowKey
from recoup.rules.refusal import Refused, not_found
from recoup.store import credit_note_lists, credit_notes, invoices, organizations
from recoup.store.credit_note_lists import CreditNoteFilter
from recoup.store.db import Conn


async def find_credit_note(
    conn: Conn, organization_id: UUID, note_id: UUID | None
) -> CreditNoteDetails:
    """Read a note with all that is shown of it.

    :raises Refused: `credit_note_not_found`; so is what is no id (None).
    """
    if note_id is not None:
        key = RowKey(organization_id, note_id)
        if found := (await credit_notes.details(conn, [key])).get(key):
            return found
    raise Refused(not_found("credit_note"))


async def lock_credit_note(conn: Conn, organization_id: UUID, note_id: UUID | None) -> CreditNote:
    """Lock a note until the transaction ends, and before it, as everywhere, its invoice.

    :raises Refused: as for reading.
    """
    if note_id is not None:
        key = RowKey(organization_id, note_id)
        if found := (await credit_notes.find(conn, [key])).get(key):
            await invoices.lock(conn, [found.invoice_key])
            return (await credit_notes.lock(conn, [key]))[key]
    raise Refused(not_found("credit_note"))


async def list_credit_notes(
    conn: Conn, organization_id: UUID, wanted: CreditNoteFilter, page: Page
) -> tuple[list[CreditNoteDetails], int]:
    """One page of the notes wanted, and how many there are in all.

    :raises Refused: `billing_entity_not_found`, for a code that no entity has.
    """
    if wanted.billing_entity_codes is not None:
        entities = await organizations.billing_entities(conn, organization_id)
        if not set(wanted.billing_entity_codes) <= {entity.code for entity in entities}:
            raise Refused(not_found("billing_entity"))
    return await credit_note_lists.page(conn, organization_id, wanted, page)

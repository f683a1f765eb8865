"""Open a document by its signed address, without an API key; and ask for one that has no file.

What would surprise you: a file that is not where it was (a folder restored, a bucket emptied) is
noticed here and made again. Whoever asked comes back a little later.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
import structlog

from recoup.documents.storage import DocumentStorage, StorageError, file_of
from recoup.flows.find_credit_notes import find_credit_note
from recoup.flows.find_invoices import find_invoice
from recoup.flows.issue_document import (
    issue_document,
    issue_invoice_document,
    void_document,
)
from recoup.rules.document_address import DocumentAddresses, Opens
from recoup.rules.document_pages import credit_note_page
from recoup.rules.records.credit_notes import CreditNoteDetails
from recoup.rules.records.document_pages import DocumentKind, read
from recoup.rules.records.documents import Document
from recoup.rules.records.invoices import InvoiceDetails
from recoup.rules.records.keys import RowKey
from recoup.rules.refusal import Refusal, RefusalKind, Refused, not_found
from recoup.store import db, documents, invoices, jobs, organizations
from recoup.store.db import Conn, Pool
from recoup.store.jobs import Job

log = structlog.get_logger()

NOT_FOUND: Final = not_found("document")
EXPIRED: Final = Refusal(RefusalKind.GONE, "document_address_expired")
REPLACED: Final = Refusal(RefusalKind.GONE, "document_replaced")
NOT_YET: Final = Refusal(RefusalKind.NOT_YET, "document_is_being_made")
UNAVAILABLE: Final = Refusal(RefusalKind.NOT_YET, "documents_unavailable")


class OpenedDocument(msgspec.Struct, frozen=True):
    """A PDF, and a name to save it under."""

    content: bytes
    name: str


async def open_document(
    pool: Pool,
    storage: DocumentStorage,
    addresses: DocumentAddresses,
    key: RowKey,
    *,
    expires: str | None,
    signature: str | None,
    now: datetime,
) -> OpenedDocument:
    """Read the file behind an address.

    :raises Refused: `document_not_found` for an address that is none of ours; 410 for one that is
        good no more, by time or since another version has taken its place; 503
        `document_is_being_made`, or `documents_unavailable` where the store does not answer.
    """
    match addresses.check(key, expires=expires, signature=signature, now=now):
        case Opens.NO:
            raise Refused(NOT_FOUND)
        case Opens.EXPIRED:
            raise Refused(EXPIRED)
        case Opens.YES:
            pass
    async with db.transaction(pool, tenants=[key.organization_id]) as conn:
        document = await documents.one(conn, key)
    if document is None:
        raise Refused(NOT_FOUND)
    if document.replaced_at is not None:
        raise Refused(REPLACED)
    content = await _content(storage, document) if document.has_file else None
    if content is None:
        log.warning("document_has_no_file", document=str(key))
        async with db.transaction(pool, tenants=[key.organization_id]) as conn:
            await make_again(conn, key, now=now)
        raise Refused(NOT_YET)
    return OpenedDocument(content, f"{read(document.page).number}.pdf")


async def _content(storage: DocumentStorage, document: Document) -> bytes | None:
    try:
        return await storage.read(file_of(document.organization_id, document.id))
    except StorageError as error:
        log.error("document_not_read", document=str(document.key), why=str(error))
        raise Refused(UNAVAILABLE) from None


async def make_again(conn: Conn, key: RowKey, *, now: datetime) -> None:
    """Let a document be made that has no file, unless somebody is at it."""
    if await documents.make_again(conn, key, now=now):
        await jobs.promise(conn, Job.MAKE_DOCUMENT, [key])


async def download_invoice(
    conn: Conn, organization_id: UUID, invoice_id: UUID | None, *, now: datetime
) -> InvoiceDetails | None:
    """The invoice whose document can be opened; None: it is being made, from now on if need be.

    :raises Refused: `invoice_not_found`, also for one that is not final (contract section 3.7.10).
    """
    details = await find_invoice(conn, organization_id, invoice_id)
    if details.invoice.status != "finalized":
        raise Refused(not_found("invoice"))
    if details.document_id is not None:
        return details
    current = await documents.lock_current(conn, DocumentKind.INVOICE, details.invoice.key)
    if current is not None and current.has_file:  # made between the look and the lock
        return await find_invoice(conn, organization_id, invoice_id)
    if current is not None:
        await make_again(conn, current.key, now=now)
        return None
    for entity in await organizations.billing_entities(conn, organization_id):
        if entity.id == details.invoice.billing_entity_id:
            await issue_invoice_document(conn, details, entity, now=now)
    return None


async def download_credit_note(
    conn: Conn, organization_id: UUID, note_id: UUID | None, *, now: datetime
) -> CreditNoteDetails | None:
    """The note whose document can be opened; None: it is being made, from now on if need be.

    :raises Refused: `credit_note_not_found` (contract section 3.9). Every note is final.
    """
    details = await find_credit_note(conn, organization_id, note_id)
    if details.document_id is not None:
        return details
    note = details.note
    invoice = (await invoices.lock(conn, [note.invoice_key]))[note.invoice_key]  # asked for at once
    current = await documents.lock_current(conn, DocumentKind.CREDIT_NOTE, note.key)
    if current is not None and current.has_file:  # made between the look and the lock
        return await find_credit_note(conn, organization_id, note_id)
    if current is not None:
        await make_again(conn, current.key, now=now)
        return None
    key = RowKey(organization_id, invoice.billing_entity_id)
    entity = (await organizations.entities(conn, [key]))[key]
    await issue_document(conn, note.key, credit_note_page(details, entity), now=now)
    if note.credit_status == "voided" and note.credit_cents == note.total_cents:
        await void_document(conn, DocumentKind.CREDIT_NOTE, note.key, now=now)
    return None

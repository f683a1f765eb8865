"""Freeze what stands on a document, in the transaction that issues what it is about.

The file is made after, by `make_document`. A flow that issues calls this with its page, one that
issues many does so once (`issue_documents`); one that voids calls `void_document`.

What would surprise you: a void makes another version, with an address of its own. The old address
is good no more from that moment on, whether or not the new file is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import uuid5

from recoup.rules.document_pages import invoice_page, voided
from recoup.rules.document_schedule import LEASE
from recoup.rules.invoice_dates import issued_on
from recoup.rules.records.document_pages import DocumentKind, Page, kind_of, read, written
from recoup.rules.records.invoices import InvoiceDetails
from recoup.rules.records.keys import RowKey
from recoup.rules.records.organizations import BillingEntity
from recoup.store import documents, jobs
from recoup.store.db import Conn
from recoup.store.documents import NewDocument
from recoup.store.jobs import Job


async def issue_invoice_document(
    conn: Conn, details: InvoiceDetails, entity: BillingEntity, *, now: datetime
) -> None:
    """Freeze an invoice's page: `details` as they are at this moment, in the name of `entity`."""
    await issue_document(conn, details.invoice.key, invoice_page(details, entity), now=now)


async def issue_document(conn: Conn, of: RowKey, page: Page, *, now: datetime) -> None:
    """Keep a page as the first version of what this row's document is, and promise its file."""
    await issue_documents(conn, [(of, page)], now=now)


async def issue_documents(
    conn: Conn, pages: Sequence[tuple[RowKey, Page]], *, now: datetime
) -> None:
    """Keep pages of one kind, each of its row: two statements, however many there are."""
    if not pages:
        return
    added = [NewDocument(id=_version(of, 1).id, of=of, page=written(page)) for of, page in pages]
    await documents.insert(conn, kind_of(pages[0][1]), added, now=now)
    await jobs.promise(conn, Job.MAKE_DOCUMENT, [_version(of, 1) for of, _ in pages])


async def void_document(conn: Conn, kind: DocumentKind, of: RowKey, *, now: datetime) -> None:
    """Put a version that is marked as void in the current one's place, if there is one."""
    current = await documents.lock_current(conn, kind, of)
    if current is None:
        return  # it was issued before there were documents, and nobody has asked for its own
    page = read(current.page)
    page = voided(page, on=issued_on(now=now, timezone=page.timezone))
    # Whoever is making the old one now may write its file until their lease ends.
    await documents.replace(conn, current.key, remove_at=now + LEASE, now=now)
    key = _version(of, current.version + 1)
    marked = NewDocument(
        id=key.id,
        of=of,
        version=current.version + 1,
        page=written(page),
        logo_id=current.logo_id,
    )
    await documents.insert(conn, kind, [marked], now=now)
    await jobs.promise(conn, Job.MAKE_DOCUMENT, [key])


def _version(of: RowKey, number: int) -> RowKey:
    return RowKey(of.organization_id, uuid5(of.id, f"document/{number}"))

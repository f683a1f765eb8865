"""Make a document's file, or remove one that another version has replaced.

Called by the worker for every new document, and again for each that the sweep finds due. The row is
leased before: whoever dies with it has lost it two minutes later. Nothing slow (a logo's host,
the typesetting, the store) happens in a transaction.

What surprises:
- The page was frozen when the document was issued, so making it again, however late, gives the same
  file under the same name. Two who make it at once leave one file, and one event.
- A page that cannot be typeset is given up after some tries, and waits for a person
  (`recoup document`); a store that does not answer is waited for.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import assert_never

import msgspec
import structlog

from recoup.documents.storage import DocumentStorage, StorageError, file_of
from recoup.documents.typesetter import NotTypeset, Typesetter
from recoup.flows.find_logo import Logo, Logos
from recoup.flows.tell import News, tell
from recoup.rules.document_address import DocumentAddresses
from recoup.rules.document_schedule import (
    LEASE,
    after_a_page_failure,
    after_a_store_failure,
    may_be_chance,
)
from recoup.rules.lago.credit_notes import credit_note_object
from recoup.rules.lago.invoices import Include, invoice_object
from recoup.rules.lago.payment_receipts import payment_receipt_object
from recoup.rules.records.document_pages import DocumentKind, Page, read
from recoup.rules.records.documents import Document
from recoup.rules.records.keys import RowKey
from recoup.store import credit_notes, db, documents, invoices, jobs, mails, payment_receipts
from recoup.store.db import Conn, Pool
from recoup.store.jobs import Job

log = structlog.get_logger()


class DocumentTools(msgspec.Struct, frozen=True):
    """What documents are made with: those of this process."""

    storage: DocumentStorage
    typesetter: Typesetter
    logos: Logos
    addresses: DocumentAddresses


class NothingToDo(msgspec.Struct, frozen=True):
    """It is made, given up, not due, or somebody else's."""


class Made(msgspec.Struct, frozen=True):
    """The file is there."""


class Removed(msgspec.Struct, frozen=True):
    """The file of a version that was replaced is there no more."""


class Replaced(msgspec.Struct, frozen=True):
    """Another version took its place while it was being made: its file was removed again."""


class WillRetry(msgspec.Struct, frozen=True):
    """It could not be made, and is tried again."""

    at: datetime
    why: str


class GivenUp(msgspec.Struct, frozen=True):
    """It could not be made, and waits for a person."""

    why: str


Result = NothingToDo | Made | Removed | Replaced | WillRetry | GivenUp


async def make_document(
    pool: Pool,
    key: RowKey,
    *,
    tools: DocumentTools,
    jitter: float,
    now: Callable[[], datetime],
) -> Result:
    """Make one try, if one is due, and write down what came of it.

    :param jitter: from 0 to 1; spreads what failed together.
    :param now: the edge's clock, and not its reading: a try may take a while.
    """
    async with db.transaction(pool, tenants=[key.organization_id]) as conn:
        claimed_at = now()
        document = await documents.lock_due(conn, key, now=claimed_at)
        if document is None:
            return NothingToDo()
        leased_until = claimed_at + LEASE
        await documents.put_off(conn, key, until=leased_until)
        kept = await _kept_logo(conn, document)
    if document.replaced_at is not None:
        return await _remove(pool, document, tools, jitter=jitter, now=now)
    page = read(document.page)
    logo = kept or await _new_logo(document, page, tools, now=now())
    pdf, shown = await _typeset(page, logo, tools, tries=document.typeset_tries)
    if logo is not None and shown is None and kept is None and page.logo_url is not None:
        tools.logos.leave_out(key.organization_id, page.logo_url, now=now())
    try:
        if not isinstance(pdf, NotTypeset):
            await tools.storage.write(file_of(key.organization_id, key.id), pdf)
            return await _note_made(pool, document, shown, tools, now=now())
        at = after_a_page_failure(document.typeset_tries + 1, jitter=jitter, now=now())
        why, is_pages_fault = f"not typeset: {pdf.why}", True
    except StorageError as error:
        at = after_a_store_failure(jitter=jitter, now=now())
        why, is_pages_fault = f"not kept: {error}", False
    log.warning("document_not_made", document=str(key), why=why, again_at=at and at.isoformat())
    async with db.transaction(pool, tenants=[key.organization_id]) as conn:
        await documents.failed(
            conn,
            key,
            leased_until=leased_until,
            next_make_at=at,
            why=why.replace("\0", " "),
            is_pages_fault=is_pages_fault,
            now=now(),
        )
    return GivenUp(why) if at is None else WillRetry(at, why)


async def _kept_logo(conn: Conn, document: Document) -> Logo | None:
    if document.logo_id is None:
        return None
    svg = await documents.logo(conn, RowKey(document.organization_id, document.logo_id))
    return Logo(document.logo_id, svg) if svg is not None else None


async def _new_logo(
    document: Document, page: Page, tools: DocumentTools, *, now: datetime
) -> Logo | None:
    """A logo for a document that is made for the first time; later ones are as the first was."""
    if page.logo_url is None or document.made_at is not None:
        return None
    return await tools.logos.find(document.organization_id, page.logo_url, now=now)


async def _typeset(
    page: Page, logo: Logo | None, tools: DocumentTools, *, tries: int
) -> tuple[bytes | NotTypeset, Logo | None]:
    """Set the page, and answer the logo that stands on it: none, if it is what was in the way.

    `tries` are those before, at which it could not be set.
    """
    pdf = await tools.typesetter.typeset(page, logo=logo.svg if logo else None)
    if not isinstance(pdf, NotTypeset) or logo is None:
        return pdf, logo
    if pdf.process_died and may_be_chance(tries):
        return pdf, logo
    plain = await tools.typesetter.typeset(page)
    if isinstance(plain, NotTypeset):
        return plain, logo  # it was not the logo
    log.warning("logo_left_out", logo=str(logo.id), why=pdf.why)
    return plain, None


async def _note_made(
    pool: Pool, document: Document, logo: Logo | None, tools: DocumentTools, *, now: datetime
) -> Made | Replaced:
    """Commit that the file is there, tell of it once, and wake the mails that wait for it."""
    key = document.key
    async with db.transaction(pool, tenants=[key.organization_id]) as conn:
        if logo is not None:
            await documents.keep_logo(conn, RowKey(key.organization_id, logo.id), logo.svg, now=now)
        is_first = await documents.made(conn, key, logo_id=logo.id if logo else None, now=now)
        if is_first:
            url = tools.addresses.of(key, now=now)
            await tell(conn, [await _generated(conn, document, url)], now=now)
        if is_first is not None:
            await jobs.promise(conn, Job.SEND_MAIL, await mails.wake(conn, document.of, now=now))
    if is_first is None:
        await tools.storage.remove(file_of(key.organization_id, key.id))
        return Replaced()
    return Made()


async def _generated(conn: Conn, document: Document, url: str) -> News:
    """`invoice.generated` and its like (contract section 7.4): the object, with its address."""
    payload: msgspec.Struct
    match document.kind:
        case DocumentKind.INVOICE:
            invoice = (await invoices.details(conn, [document.of]))[document.of]
            payload = invoice_object(invoice, Include.CUSTOMER, file_url=url)
        case DocumentKind.CREDIT_NOTE:
            note = (await credit_notes.details(conn, [document.of]))[document.of]
            payload = credit_note_object(note, file_url=url)
        case DocumentKind.PAYMENT_RECEIPT:
            receipt = (await payment_receipts.details(conn, [document.of]))[document.of]
            payload = payment_receipt_object(receipt, file_url=url)
        case _:
            assert_never(document.kind)
    return News(
        organization_id=document.organization_id,
        webhook_type=f"{document.kind.value}.generated",
        object_type=document.kind.value,
        payload=payload,
        object_id=document.of_id,
        cause=document.id,  # each version is told of once
    )


async def _remove(
    pool: Pool,
    document: Document,
    tools: DocumentTools,
    *,
    jitter: float,
    now: Callable[[], datetime],
) -> Removed | WillRetry:
    key = document.key
    try:
        await tools.storage.remove(file_of(key.organization_id, key.id))
    except StorageError as error:
        at = after_a_store_failure(jitter=jitter, now=now())
        async with db.transaction(pool, tenants=[key.organization_id]) as conn:
            await documents.put_off(conn, key, until=at)
        return WillRetry(at, str(error))
    async with db.transaction(pool, tenants=[key.organization_id]) as conn:
        await documents.removed(conn, key)
    return Removed()

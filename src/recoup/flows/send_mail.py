"""Write one mail and hand it to the mail server, and plan what follows.

Called by the worker for every new mail, and again for each that the sweep finds due.

The PDF goes along. One that is not made yet is waited for, until `make_document` wakes the mail, or
the waits are over: then the mail goes without it, as it does where the PDF was given up, or is so
large that mail servers would refuse it.

What would surprise you:
- A server that takes the mail for some and puts others off is asked again for these alone, with the
  same mail: whoever has it is in its headers, and does not get it twice. Each recipient ends as
  taken, or refused, or as not reached when the tries are over.
- The row is leased before the call. Whoever dies with it has lost it some minutes later, and the
  mail is tried again: a server that had taken it sends it twice, both under one Message-ID. It is
  the one case, beside an answer that is lost, in which that happens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Final

import msgspec
import structlog

from recoup.documents.storage import DocumentStorage, StorageError, file_of
from recoup.flows.portal_links import PortalLinks
from recoup.flows.write_letter import write_letter
from recoup.rules.mail_schedule import next_look, next_try
from recoup.rules.records.document_pages import DocumentKind, read
from recoup.rules.records.documents import Document
from recoup.rules.records.keys import RowKey
from recoup.rules.records.mails import Mail, MailKind
from recoup.senders.mail import (
    Accepted,
    AnswerLost,
    Attachment,
    Letter,
    MailSender,
    NotTaken,
    Rejected,
    asked_for,
)
from recoup.store import db, documents, mails
from recoup.store.db import Conn, Pool

log = structlog.get_logger()

LEASE: Final = timedelta(minutes=5)  # longer than a call takes, and the write that follows it
NOT_CONFIGURED: Final = "mail_not_configured"
NOTHING_TO_TELL: Final = "nothing_to_tell"  # what it is about is gone
PARTLY_REFUSED: Final = "some_recipients_refused"
SOME_LATER: Final = "some_recipients_put_off"
MOST_ATTACHED: Final = 5_000_000  # bytes; a mail server takes ten million and more, a third is wrap
_DOCUMENTS: Final[Mapping[str, DocumentKind]] = {
    MailKind.INVOICE_FINALIZED: DocumentKind.INVOICE,
    MailKind.CREDIT_NOTE_CREATED: DocumentKind.CREDIT_NOTE,
    MailKind.PAYMENT_RECEIPT_CREATED: DocumentKind.PAYMENT_RECEIPT,
}


async def send_mail(
    pool: Pool,
    key: RowKey,
    *,
    sender: MailSender | None,
    links: PortalLinks,
    storage: DocumentStorage | None = None,
    now: Callable[[], datetime],
) -> None:
    """Try one mail once, if it is due. `sender` is None where no mail server was named.

    :param storage: where PDFs are; None: mails go without.
    """
    leased_at = now()
    async with db.transaction(pool, tenants=[key.organization_id]) as conn:
        mail = await mails.lease(conn, key, now=leased_at, until=leased_at + LEASE)
    if mail is None:
        return
    # On its own: a mail that cannot be written stays leased, and is not due at every sweep.
    async with db.transaction(pool, tenants=[key.organization_id]) as conn:
        letter = await write_letter(conn, mail, links=links, now=leased_at)
        document = await _document(conn, mail) if letter and sender and storage else None
    if letter and storage and document and document.given_up_at is None:
        pdf = await _pdf(storage, document)
        if pdf is None and (again := next_look(mail.tries, now=now())) is not None:
            async with db.transaction(pool, tenants=[key.organization_id]) as conn:
                await mails.put_off(conn, mail, error=mails.NO_DOCUMENT_YET, until=again)
            return
        if pdf is not None and len(pdf.content) <= MOST_ATTACHED:
            letter = msgspec.structs.replace(letter, attachments=[pdf])
    if letter is None:
        outcome: Accepted | Rejected | NotTaken | AnswerLost = Rejected(NOTHING_TO_TELL)
    elif sender is None:
        outcome = NotTaken(NOT_CONFIGURED)
    else:
        outcome = await sender.send(letter)
    async with db.transaction(pool, tenants=[key.organization_id]) as conn:
        match outcome:
            case Accepted():
                assert letter is not None, "the server has taken something"
                answered = _answered(mail, letter, outcome)
                if outcome.later:
                    await _try_again(conn, answered, why=SOME_LATER, now=now())
                else:
                    await _end(conn, answered, now=now())
            case Rejected(why=why):
                await _give_up(conn, mail, why=why, now=now())
            case NotTaken(why=why) | AnswerLost(why=why):
                await _try_again(conn, mail, why=why, now=now())


def _answered(mail: Mail, letter: Letter, outcome: Accepted) -> Mail:
    """The mail, with who of its recipients has it now, and who never will."""
    put_off = {*outcome.refused, *outcome.later}
    taken = [one for one in asked_for(letter) if one not in put_off]
    return msgspec.structs.replace(
        mail,
        taken_for=[*mail.taken_for, *taken],
        refused_for=[*mail.refused_for, *outcome.refused],
    )


async def _try_again(conn: Conn, mail: Mail, *, why: str, now: datetime) -> None:
    """Plan the next try, for whoever has no answer yet; or give up, where there is none."""
    if (again := next_try(mail.tries, now=now)) is None:
        await _give_up(conn, mail, why=why, now=now)
    else:
        log.warning("mail_not_sent", mail=str(mail.key), why=why, again_at=again.isoformat())
        await mails.put_off(conn, mail, error=why, until=again)


async def _end(conn: Conn, mail: Mail, *, now: datetime) -> None:
    """The mail is sent: to everybody, or to whoever would be sent it."""
    is_for_all = {*mail.recipients, *mail.copies, *mail.blind_copies} == {*mail.taken_for}
    error = None if is_for_all else PARTLY_REFUSED
    if error:
        log.warning("mail_not_sent_to_all", mail=str(mail.key), why=error)
    await mails.end(conn, mail, state="sent", error=error, now=now)


async def _give_up(conn: Conn, mail: Mail, *, why: str, now: datetime) -> None:
    if mail.taken_for:  # an earlier try got it to somebody
        await _end(conn, mail, now=now)
        return
    log.warning(
        "mail_given_up",
        mail=str(mail.key),
        why=why,
        do="see `recoup mail list`",
    )
    await mails.end(conn, mail, state="given_up", error=why, now=now)


async def _document(conn: Conn, mail: Mail) -> Document | None:
    kind = _DOCUMENTS.get(mail.kind)
    of = RowKey(mail.organization_id, mail.object_id)
    return await documents.current(conn, kind, of) if kind else None


async def _pdf(storage: DocumentStorage, document: Document) -> Attachment | None:
    """The document's file; None: it is not to be had now."""
    if not document.has_file:
        return None
    try:
        content = await storage.read(file_of(document.organization_id, document.id))
    except StorageError as error:
        log.warning("document_not_read", document=str(document.key), why=str(error))
        return None
    return None if content is None else Attachment(f"{read(document.page).number}.pdf", content)

"""Write one mail and hand it to the mail server, and plan what follows.

Called by the worker for every new mail, and again for each that the sweep finds due.

What would surprise you: the row is leased before the call. Whoever dies with it has lost it some
minutes later, and the mail is tried again: a server that had taken it sends it twice, both under
one Message-ID. It is the one case, beside an answer that is lost, in which that happens.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Final

import structlog

from recoup.flows.portal_links import FROM_A_MAIL, PortalLinks
from recoup.rules.invoice_status import VISIBLE
from recoup.rules.mail_schedule import next_try
from recoup.rules.payer_words import amount_text, words_for
from recoup.rules.records.invoices import InvoiceDetails
from recoup.rules.records.keys import RowKey
from recoup.rules.records.mails import Mail, MailKind
from recoup.rules.records.organizations import BillingEntity
from recoup.senders.mail import Accepted, AnswerLost, Letter, MailSender, NotTaken, Rejected
from recoup.store import db, invoices, mails, organizations
from recoup.store.db import Conn, Pool

log = structlog.get_logger()

LEASE: Final = timedelta(minutes=5)  # longer than a call takes, and the write that follows it
NOT_CONFIGURED: Final = "mail_not_configured"
NOTHING_TO_TELL: Final = "nothing_to_tell"  # what it is about is gone
PARTLY_REFUSED: Final = "some_recipients_refused"


async def send_mail(
    pool: Pool,
    key: RowKey,
    *,
    sender: MailSender | None,
    links: PortalLinks,
    now: Callable[[], datetime],
) -> None:
    """Try one mail once, if it is due. `sender` is None where no mail server was named."""
    leased_at = now()
    async with db.transaction(pool, tenants=[key.organization_id]) as conn:
        mail = await mails.lease(conn, key, now=leased_at, until=leased_at + LEASE)
        letter = await _letter(conn, mail, links=links, now=leased_at) if mail else None
    if mail is None:
        return
    if letter is None:
        outcome: Accepted | Rejected | NotTaken | AnswerLost = Rejected(NOTHING_TO_TELL)
    elif sender is None:
        outcome = NotTaken(NOT_CONFIGURED)
    else:
        outcome = await sender.send(letter)
    async with db.transaction(pool, tenants=[key.organization_id]) as conn:
        match outcome:
            case Accepted(refused=refused):
                error = PARTLY_REFUSED if refused else None
                await mails.end(conn, mail, state="sent", error=error, now=now())
            case Rejected(why=why):
                await _give_up(conn, mail, why=why, now=now())
            case NotTaken(why=why) | AnswerLost(why=why):
                if (again := next_try(mail.tries, now=now())) is None:
                    await _give_up(conn, mail, why=why, now=now())
                else:
                    log.warning("mail_not_sent", mail=str(key), why=why, again_at=again.isoformat())
                    await mails.put_off(conn, mail, error=why, until=again)


async def _give_up(conn: Conn, mail: Mail, *, why: str, now: datetime) -> None:
    log.warning(
        "mail_given_up",
        mail=str(mail.key),
        why=why,
        do="see `recoup mail list`",
    )
    await mails.end(conn, mail, state="given_up", error=why, now=now)


async def _letter(conn: Conn, mail: Mail, *, links: PortalLinks, now: datetime) -> Letter | None:
    """What the mail says, as things stand; None where there is nothing to say any more."""
    write = _WRITERS.get(mail.kind)
    return await write(conn, mail, links, now) if write else None


async def _of_invoice(conn: Conn, mail: Mail, links: PortalLinks, now: datetime) -> Letter | None:
    """The mail of a final invoice."""
    key = RowKey(mail.organization_id, mail.object_id)
    details = (await invoices.details(conn, [key])).get(key)
    if details is None or details.invoice.status not in VISIBLE:
        return None
    for entity in await organizations.billing_entities(conn, mail.organization_id):
        if entity.id == details.invoice.billing_entity_id:
            is_gone = details.customer.customer.deleted_at is not None  # and its page with it
            key = details.invoice.customer_key
            url = None if is_gone else links.url(key, until=now + FROM_A_MAIL)
            return _invoice_letter(mail, details, entity, url=url, now=now)
    return None


# By kind, who writes it; each answers None where what it is about is gone.
_WRITERS: Final[
    Mapping[str, Callable[[Conn, Mail, PortalLinks, datetime], Awaitable[Letter | None]]]
] = {MailKind.INVOICE_FINALIZED: _of_invoice}


def _invoice_letter(
    mail: Mail, details: InvoiceDetails, entity: BillingEntity, *, url: str | None, now: datetime
) -> Letter:
    invoice = details.invoice
    words = words_for(details.customer.customer.document_locale, entity.document_locale)
    seller = entity.legal_name or entity.name
    named = {"number": invoice.number, "seller": seller}
    lines = [
        words.mail_greeting,
        "",
        words.mail_opening.format(**named),
        "",
        f"{words.issued}: {invoice.issuing_date}",
        f"{words.due}: {invoice.payment_due_date}",
        f"{words.total}: {amount_text(invoice.total_cents, invoice.currency, words)}",
        f"{words.to_pay}: {amount_text(invoice.due_cents, invoice.currency, words)}",
        "",
        *((words.mail_link, url, "") if url else ()),
        seller,
    ]
    return Letter(
        id=str(mail.id),
        sender_name=seller,
        reply_to=entity.email,
        recipients=mail.recipients,
        copies=mail.copies,
        blind_copies=mail.blind_copies,
        subject=words.mail_subject.format(**named),
        text="\n".join(lines) + "\n",
        at=now,
    )

"""Write what a mail says, as things stand when it is sent, in the words of whoever reads it.

Called by `send_mail`, in its transaction. The PDF is added there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Final

from recoup.flows.portal_links import FROM_A_MAIL, PortalLinks
from recoup.rules.invoice_status import VISIBLE
from recoup.rules.payer_words import Words, amount_text, words_for
from recoup.rules.records.customers import Customer
from recoup.rules.records.invoices import InvoiceDetails
from recoup.rules.records.keys import RowKey
from recoup.rules.records.mails import Mail, MailKind
from recoup.rules.records.organizations import BillingEntity
from recoup.senders.mail import Letter
from recoup.store import (
    credit_notes,
    customers,
    invoices,
    organizations,
    payment_receipts,
    payment_requests,
)
from recoup.store.db import Conn

MOST_NAMED: Final = 10  # invoices, in a reminder


async def write_letter(
    conn: Conn, mail: Mail, *, links: PortalLinks, now: datetime
) -> Letter | None:
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
            url = _page_of(details.customer.customer, links, now)
            return _invoice_letter(mail, details, entity, url=url, now=now)
    return None


async def _of_credit_note(
    conn: Conn, mail: Mail, links: PortalLinks, now: datetime
) -> Letter | None:
    """The mail of a credit note."""
    key = RowKey(mail.organization_id, mail.object_id)
    details = (await credit_notes.details(conn, [key])).get(key)
    if details is None:
        return None
    note, customer = details.note, details.customer.customer
    for entity in await organizations.billing_entities(conn, mail.organization_id):
        if entity.code == details.billing_entity_code:
            words = words_for(customer.document_locale, entity.document_locale)
            said = [
                f"{words.issued}: {note.issuing_date}",
                f"{words.total}: {amount_text(note.total_cents, note.currency, words)}",
            ]
            subject, opening = words.note_subject, words.note_opening
            url = _page_of(customer, links, now)
            return _letter(mail, entity, words, note.number, subject, opening, said, url, now)
    return None


async def _of_receipt(conn: Conn, mail: Mail, links: PortalLinks, now: datetime) -> Letter | None:
    """The mail of a payment's receipt."""
    key = RowKey(mail.organization_id, mail.object_id)
    details = (await payment_receipts.details(conn, [key])).get(key)
    if details is None:
        return None
    payment = details.receipt.payment_key
    received = (await payment_receipts.received(conn, [payment]))[payment]
    customer = (await customers.find(conn, [received.customer]))[received.customer]
    entity = (await organizations.entities(conn, [received.entity]))[received.entity]
    words = words_for(customer.document_locale, entity.document_locale)
    said = [f"{words.total}: {amount_text(received.amount_cents, received.currency, words)}"]
    number, url = details.receipt.number, _page_of(customer, links, now)
    subject, opening = words.receipt_subject, words.receipt_opening
    return _letter(mail, entity, words, number, subject, opening, said, url, now)


async def _of_request(conn: Conn, mail: Mail, links: PortalLinks, now: datetime) -> Letter | None:
    """The mail that reminds of what is overdue: of what is still due when it is sent."""
    key = RowKey(mail.organization_id, mail.object_id)
    details = (await payment_requests.details(conn, [key])).get(key)
    if details is None or details.request.payment_status == "succeeded":
        return None
    asked = [one.invoice for one in details.invoices]
    owed = [one for one in asked if one.status == "finalized" and one.due_cents > 0]
    url = _page_of(details.customer.customer, links, now)
    if not owed or url is None:
        return None
    entity_key = RowKey(mail.organization_id, details.request.billing_entity_id)
    entity = (await organizations.entities(conn, [entity_key]))[entity_key]
    words = words_for(details.customer.customer.document_locale, entity.document_locale)
    due = amount_text(sum(one.due_cents for one in owed), details.request.currency, words)
    shown = ", ".join(one.number for one in owed[:MOST_NAMED])
    numbers = shown if len(owed) <= MOST_NAMED else f"{shown}, …"
    said = [f"{words.to_pay}: {due}"]
    subject, opening = words.reminder_subject, words.reminder_opening
    return _letter(mail, entity, words, numbers, subject, opening, said, url, now)


def _page_of(customer: Customer, links: PortalLinks, now: datetime) -> str | None:
    """The address of the customer's page; None: it is deleted, and its page with it."""
    is_gone = customer.deleted_at is not None
    return None if is_gone else links.url(customer.key, until=now + FROM_A_MAIL)


# By kind, who writes it; each answers None where what it is about is gone.
_WRITERS: Final[
    Mapping[str, Callable[[Conn, Mail, PortalLinks, datetime], Awaitable[Letter | None]]]
] = {
    MailKind.INVOICE_FINALIZED: _of_invoice,
    MailKind.CREDIT_NOTE_CREATED: _of_credit_note,
    MailKind.PAYMENT_RECEIPT_CREATED: _of_receipt,
    MailKind.PAYMENT_REQUEST_CREATED: _of_request,
}


def _invoice_letter(
    mail: Mail, details: InvoiceDetails, entity: BillingEntity, *, url: str | None, now: datetime
) -> Letter:
    invoice = details.invoice
    words = words_for(details.customer.customer.document_locale, entity.document_locale)
    said = [
        f"{words.issued}: {invoice.issuing_date}",
        f"{words.due}: {invoice.payment_due_date}",
        f"{words.total}: {amount_text(invoice.total_cents, invoice.currency, words)}",
        f"{words.to_pay}: {amount_text(invoice.due_cents, invoice.currency, words)}",
    ]
    subject, opening = words.mail_subject, words.mail_opening
    return _letter(mail, entity, words, invoice.number, subject, opening, said, url, now)


def _letter(
    mail: Mail,
    entity: BillingEntity,
    words: Words,
    number: str,
    subject: str,
    opening: str,
    said: list[str],
    url: str | None,
    now: datetime,
) -> Letter:
    """What all mails have: whom they are from, how they begin, and the way to the page."""
    seller = entity.legal_name or entity.name
    named = {"number": number, "seller": seller}
    lines = [
        words.mail_greeting,
        "",
        opening.format(**named),
        "",
        *said,
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
        answered={*mail.taken_for, *mail.refused_for},
        subject=subject.format(**named),
        text="\n".join(lines) + "\n",
        at=now,
    )

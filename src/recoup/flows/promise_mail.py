"""Promise a mail to a customer, in the transaction that made it necessary.

Called by whoever issues an invoice, a credit note or receipts, and for `resend_email`. The mail is
a row and a job; what it says is written when it is sent (`flows/write_letter.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import uuid5

import msgspec

from recoup.rules.email_addresses import addresses_in
from recoup.rules.records.credit_notes import CreditNoteDetails
from recoup.rules.records.invoices import InvoiceDetails
from recoup.rules.records.keys import RowKey
from recoup.rules.records.mails import Mail, MailKind
from recoup.rules.records.organizations import BillingEntity
from recoup.rules.records.payment_requests import PaymentRequest
from recoup.store import jobs, mails
from recoup.store.db import Conn
from recoup.store.jobs import Job


async def promise_mails(conn: Conn, promised: Sequence[Mail]) -> None:
    """Keep these mails, and promise that each is sent."""
    if not promised:
        return
    await mails.insert(conn, promised)
    await jobs.promise(conn, Job.SEND_MAIL, [mail.key for mail in promised])


async def promise_invoice_mail(
    conn: Conn, details: InvoiceDetails, entity: BillingEntity, *, now: datetime
) -> None:
    """Promise the mail of a final invoice, if its entity wants one and its customer has an address.

    Never for a self-billed one: that is what we owe.
    """
    invoice, kind = details.invoice, MailKind.INVOICE_FINALIZED
    if not invoice.self_billed:
        to = details.customer.customer.email
        await promise_mails(conn, wanted_mails(kind, invoice.key, entity, to, now=now))


async def promise_credit_note_mail(
    conn: Conn, details: CreditNoteDetails, entity: BillingEntity, *, now: datetime
) -> None:
    """Promise the mail of a credit note, as that of an invoice."""
    if not details.self_billed:
        to, kind = details.customer.customer.email, MailKind.CREDIT_NOTE_CREATED
        await promise_mails(conn, wanted_mails(kind, details.note.key, entity, to, now=now))


async def promise_reminder(conn: Conn, request: PaymentRequest, *, now: datetime) -> None:
    """Promise the mail of a payment request that no charge pays, if it has an address.

    A request has one reminder, whoever promises it how often.
    """
    if recipients := addresses_in(request.email):
        mail = _mail(MailKind.PAYMENT_REQUEST_CREATED, request.key, recipients, now)
        copies = [one for one in request.reminder_copies or () if one not in recipients]
        await promise_mails(conn, [msgspec.structs.replace(mail, blind_copies=copies)])


def wanted_mails(
    kind: MailKind, of: RowKey, entity: BillingEntity, email: str | None, *, now: datetime
) -> list[Mail]:
    """The mail about a row that is new: none, where nobody wants or can get it."""
    recipients = addresses_in(email)
    if kind not in entity.email_settings or not recipients:
        return []
    return [_mail(kind, of, recipients, now)]


def _mail(kind: MailKind, of: RowKey, recipients: Sequence[str], now: datetime) -> Mail:
    return Mail(
        organization_id=of.organization_id,
        id=uuid5(of.id, kind),
        kind=kind,
        object_id=of.id,
        recipients=recipients,
        send_at=now,
        created_at=now,
    )

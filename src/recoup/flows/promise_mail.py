"""Promise a mail to a customer, in the transaction that made it necessary.

Called by whoever issues an invoice, and for `resend_email`. The mail is a row and a job; what it
says is written when it is sent (`flows/send_mail.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import uuid5

from recoup.rules.email_addresses import addresses_in
from recoup.rules.records.invoices import InvoiceDetails
from recoup.rules.records.mails import Mail, MailKind
from recoup.rules.records.organizations import BillingEntity
from recoup.store import jobs, mails
from recoup.store.db import Conn
from recoup.store.jobs import Job


async def promise_mails(conn: Conn, promised: Sequence[Mail]) -> None:
    """Keep these mails, and promise that each is sent."""
    await mails.insert(conn, promised)
    await jobs.promise(conn, Job.SEND_MAIL, [mail.key for mail in promised])


async def promise_invoice_mail(
    conn: Conn, details: InvoiceDetails, entity: BillingEntity, *, now: datetime
) -> None:
    """Promise the mail of a final invoice, if its entity wants one and its customer has an address.

    Never for a self-billed one: that is what we owe.
    """
    invoice = details.invoice
    recipients = addresses_in(details.customer.customer.email)
    is_wanted = MailKind.INVOICE_FINALIZED in entity.email_settings
    if not is_wanted or not recipients or invoice.self_billed:
        return
    mail = Mail(
        organization_id=invoice.organization_id,
        id=uuid5(invoice.id, MailKind.INVOICE_FINALIZED),
        kind=MailKind.INVOICE_FINALIZED,
        object_id=invoice.id,
        recipients=recipients,
        send_at=now,
        created_at=now,
    )
    await promise_mails(conn, [mail])

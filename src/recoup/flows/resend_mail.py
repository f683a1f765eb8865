"""Mail an invoice, a credit note or a receipt again, to whom a caller names.

Contract sections 3.7.15 and 3.12. The mail goes where the billing entity mails such things at all.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from recoup.flows.find_credit_notes import find_credit_note
from recoup.flows.find_invoices import find_invoice
from recoup.flows.find_payment_receipts import find_payment_receipt
from recoup.flows.promise_mail import promise_mails
from recoup.rules.mail_addressing import NOT_CONFIGURED, read_addresses
from recoup.rules.records.keys import RowKey
from recoup.rules.records.mails import Mail, MailKind
from recoup.rules.refusal import Refused, not_allowed
from recoup.store import customers, organizations, payment_receipts
from recoup.store.db import Conn


class Resend(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller asks for, and under which id the mail is kept."""

    asked: Any  # has `to`, `cc` and `bcc` as they were sent
    mail_id: UUID
    can_send: bool  # a mail server was named


async def resend_invoice_mail(
    conn: Conn, organization_id: UUID, invoice_id: UUID | None, resend: Resend, *, now: datetime
) -> None:
    """Promise the mail of a finalized invoice, to `to` or else to the customer.

    :raises Refused: `invoice_not_found`; 405 `invoice_not_finalized`, `email_settings_disabled`;
        422 for wrong addresses or none, and `mail_not_configured`.
    """
    details = await find_invoice(conn, organization_id, invoice_id)
    invoice = details.invoice
    if invoice.status != "finalized":
        raise Refused(not_allowed("invoice_not_finalized"))
    entity = RowKey(organization_id, invoice.billing_entity_id)
    to = details.customer.customer.email
    await _promise(conn, MailKind.INVOICE_FINALIZED, invoice.key, entity, to, resend, now=now)


async def resend_credit_note_mail(
    conn: Conn, organization_id: UUID, note_id: UUID | None, resend: Resend, *, now: datetime
) -> None:
    """Promise the mail of a credit note, to `to` or else to the customer.

    :raises Refused: `credit_note_not_found`; else as for an invoice.
    """
    details = await find_credit_note(conn, organization_id, note_id)
    invoice = await find_invoice(conn, organization_id, details.note.invoice_id)
    entity = RowKey(organization_id, invoice.invoice.billing_entity_id)
    to, of = details.customer.customer.email, details.note.key
    await _promise(conn, MailKind.CREDIT_NOTE_CREATED, of, entity, to, resend, now=now)


async def resend_receipt_mail(
    conn: Conn, organization_id: UUID, receipt_id: UUID | None, resend: Resend, *, now: datetime
) -> None:
    """Promise the mail of a receipt, to `to` or else to the customer.

    :raises Refused: `payment_receipt_not_found`; else as for an invoice.
    """
    receipt = (await find_payment_receipt(conn, organization_id, receipt_id)).receipt
    payment = receipt.payment_key
    received = (await payment_receipts.received(conn, [payment]))[payment]
    customer = (await customers.find(conn, [received.customer]))[received.customer]
    kind = MailKind.PAYMENT_RECEIPT_CREATED
    await _promise(conn, kind, receipt.key, received.entity, customer.email, resend, now=now)


async def _promise(
    conn: Conn,
    kind: MailKind,
    of: RowKey,
    entity: RowKey,
    to: str | None,
    resend: Resend,
    *,
    now: datetime,
) -> None:
    entities = await organizations.entities(conn, [entity])
    if kind not in entities[entity].email_settings:
        raise Refused(not_allowed("email_settings_disabled"))
    addressed = read_addresses(resend.asked, otherwise=to)
    if not resend.can_send:
        raise Refused(NOT_CONFIGURED)
    mail = Mail(
        organization_id=of.organization_id,
        id=resend.mail_id,
        kind=kind,
        object_id=of.id,
        recipients=addressed.to,
        copies=addressed.cc,
        blind_copies=addressed.bcc,
        send_at=now,
        created_at=now,
    )
    await promise_mails(conn, [mail])

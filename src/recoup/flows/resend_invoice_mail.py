"""Mail an invoice again, to whom a caller names (contract section 3.7.15)."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from recoup.flows.find_invoices import find_invoice
from recoup.flows.promise_mail import promise_mails
from recoup.rules.mail_addressing import NOT_CONFIGURED, read_addresses
from recoup.rules.records.mails import Mail, MailKind
from recoup.rules.refusal import Refused, not_allowed
from recoup.store import organizations
from recoup.store.db import Conn


async def resend_invoice_mail(
    conn: Conn,
    organization_id: UUID,
    invoice_id: UUID | None,
    asked: Any,
    *,
    mail_id: UUID,
    can_send: bool,
    now: datetime,
) -> None:
    """Promise the mail of a finalized invoice, to `asked.to` or else to the customer.

    :param asked: has `to`, `cc` and `bcc` as they were sent.
    :param can_send: whether a mail server was named.
    :raises Refused: `invoice_not_found`; 405 `invoice_not_finalized`, `email_settings_disabled`;
        422 for wrong addresses or none, and `mail_not_configured`.
    """
    details = await find_invoice(conn, organization_id, invoice_id)
    invoice = details.invoice
    if invoice.status != "finalized":
        raise Refused(not_allowed("invoice_not_finalized"))
    entities = await organizations.billing_entities(conn, organization_id)
    entity = next(one for one in entities if one.id == invoice.billing_entity_id)
    if MailKind.INVOICE_FINALIZED not in entity.email_settings:
        raise Refused(not_allowed("email_settings_disabled"))
    addressed = read_addresses(asked, otherwise=details.customer.customer.email)
    if not can_send:
        raise Refused(NOT_CONFIGURED)
    mail = Mail(
        organization_id=organization_id,
        id=mail_id,
        kind=MailKind.INVOICE_FINALIZED,
        object_id=invoice.id,
        recipients=addressed.to,
        copies=addressed.cc,
        blind_copies=addressed.bcc,
        send_at=now,
        created_at=now,
    )
    await promise_mails(conn, [mail])

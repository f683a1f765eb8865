"""Void an invoice: nothing of it is owed any more, whatever was paid of it before.

What would surprise you: an attempt that is on its way goes on. Its success is then raised as a
contradiction, never dropped. One that was not sent yet is withdrawn when its turn comes. And what a
void gives back is a credit note like any other, made of what the invoice was before it.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID, uuid5

from recoup.flows.create_credit_note import standings
from recoup.flows.credit_voided_invoice import AskedBack, credit_voided_invoice, decide_parts
from recoup.flows.find_invoices import find_invoice, lock_invoice
from recoup.flows.issue_document import void_document
from recoup.flows.tell import News, tell
from recoup.rules.lago.invoices import Include, invoice_object
from recoup.rules.records.document_pages import DocumentKind
from recoup.rules.records.invoices import InvoiceDetails
from recoup.rules.refusal import Refused, not_allowed
from recoup.store import attempts, invoices, ledger
from recoup.store.db import Conn


async def void_invoice(
    conn: Conn,
    organization_id: UUID,
    invoice_id: UUID | None,
    *,
    asked_back: AskedBack | None = None,
    now: datetime,
) -> InvoiceDetails:
    """Void a finalized invoice, and answer it.

    `asked_back` is what goes back to the customer, by credit notes; None: there are none.

    :raises Refused: `invoice_not_found`; 405 `not_voidable` for anything that is not finalized; 422
        where more is to go back than the invoice has left.
    """
    invoice = await lock_invoice(conn, organization_id, invoice_id)
    if invoice.status != "finalized":
        raise Refused(not_allowed("not_voidable"))
    parts = None
    if asked_back is not None:
        held = await standings(conn, organization_id, invoice.id)
        parts = decide_parts(asked_back, held)
    await invoices.void(conn, invoice.key, now=now)
    await attempts.close_pages(conn, [invoice.key], now=now)
    reversal = ledger.transfer(
        invoice.key, uuid5(invoice.id, "void"), invoice.due_cents, invoice.currency,
        debit="revenue", credit="receivable",
    )  # fmt: skip
    await ledger.write(conn, reversal, now=now)
    if parts is not None:
        held = await standings(conn, organization_id, invoice.id)
        await credit_voided_invoice(conn, held, parts, now=now)
    await void_document(conn, DocumentKind.INVOICE, invoice.key, now=now)
    details = await find_invoice(conn, organization_id, invoice.id)
    voided = News(
        organization_id=organization_id,
        webhook_type="invoice.voided",
        object_type="invoice",
        payload=invoice_object(details, Include.CUSTOMER_FEES_AND_TAXES),
        object_id=invoice.id,
        cause=invoice.id,
    )
    await tell(conn, [voided], now=now)
    return details

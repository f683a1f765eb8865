"""Void an invoice: nothing of it is owed any more, whatever was paid of it before.

What would surprise you: an attempt that is on its way goes on. Its success is then raised as a
contradiction, never dropped. One that was not sent yet is withdrawn when its turn comes.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID, uuid5

from recoup.flows.find_invoices import find_invoice, lock_invoice
from recoup.flows.issue_document import void_document
from recoup.flows.tell import News, tell
from recoup.rules.lago.invoices import Include, invoice_object
from recoup.rules.records.document_pages import DocumentKind
from recoup.rules.records.invoices import InvoiceDetails
from recoup.rules.refusal import Refusal, RefusalKind, Refused, not_allowed
from recoup.store import attempts, invoices, ledger
from recoup.store.db import Conn


async def void_invoice(
    conn: Conn,
    organization_id: UUID,
    invoice_id: UUID | None,
    *,
    with_credit_note: bool,
    now: datetime,
) -> InvoiceDetails:
    """Void a finalized invoice, and answer it.

    :raises Refused: `invoice_not_found`; 403 for credit notes, which are not offered; 405
        `not_voidable` for anything that is not finalized.
    """
    invoice = await lock_invoice(conn, organization_id, invoice_id)
    if with_credit_note:
        raise Refused(Refusal(RefusalKind.FORBIDDEN, "feature_unavailable"))
    if invoice.status != "finalized":
        raise Refused(not_allowed("not_voidable"))
    await invoices.void(conn, invoice.key, now=now)
    await attempts.close_pages(conn, [invoice.key], now=now)
    reversal = ledger.transfer(
        invoice.key, uuid5(invoice.id, "void"), invoice.due_cents, invoice.currency,
        debit="revenue", credit="receivable",
    )  # fmt: skip
    await ledger.write(conn, reversal, now=now)
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

"""Make an invoice final: its number and its days, and then what follows from its being owed.

Called by whoever creates an invoice that is no draft, and by whoever finalizes one that was.

What would surprise you: an invoice of nothing may be `closed` instead. It has no number then,
nobody is told, and no route shows it again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeAlias

import msgspec

from recoup.flows.issue_document import issue_invoice_document
from recoup.flows.promise_mail import promise_invoice_mail
from recoup.flows.tell import News, tell
from recoup.rules.invoice_dates import due_on, issued_on
from recoup.rules.lago.invoices import Include, invoice_object
from recoup.rules.numbering import (
    Numbering,
    number_per_billing_entity,
    number_per_customer,
    numbering_of,
)
from recoup.rules.records.customers import Customer, CustomerDetails
from recoup.rules.records.invoices import Invoice, InvoiceDetails
from recoup.rules.records.keys import RowKey
from recoup.rules.records.organizations import BillingEntity
from recoup.store import invoices, ledger
from recoup.store.db import Conn

Collect: TypeAlias = Callable[[Conn, RowKey], Awaitable[None]]


async def made_final(
    conn: Conn, invoice: Invoice, customer: CustomerDetails, entity: BillingEntity, *, now: datetime
) -> Invoice:
    """The invoice as it is from now on: finalized and numbered, or `closed`. Nothing is stored."""
    issued = issued_on(now=now, timezone=customer.timezone)
    final: Invoice = msgspec.structs.replace(
        invoice,
        issuing_date=issued,
        net_payment_term=customer.net_payment_term,
        payment_due_date=due_on(issued, net_payment_term_days=customer.net_payment_term),
        payment_status="succeeded" if invoice.total_cents == 0 else "pending",
        finalize_at=None,
        updated_at=now,
    )
    if invoice.fees_amount_cents == 0 and not _finalizes_zero(customer.customer, entity):
        return msgspec.structs.replace(final, status="closed")
    return await _numbered(conn, final, customer, entity, now=now)


async def follow_up(
    conn: Conn,
    details: InvoiceDetails,
    entity: BillingEntity,
    *,
    webhook_type: str,
    include: Include,
    collect: Collect | None,
    now: datetime,
) -> None:
    """Book what is owed, tell of it, freeze its document, promise its mail, and begin to collect.

    `collect` begins the first attempt in the same transaction, so an invoice that is to be charged
    never exists without it; None: nobody does.
    """
    invoice = details.invoice
    if invoice.status != "finalized":
        return
    booked = ledger.transfer(
        invoice.key, invoice.id, invoice.total_cents, invoice.currency,
        debit="receivable", credit="revenue",
    )  # fmt: skip
    await ledger.write(conn, booked, now=now)
    news = News(
        organization_id=invoice.organization_id,
        webhook_type=webhook_type,
        object_type="invoice",
        payload=invoice_object(details, include),
        object_id=invoice.id,
        cause=invoice.id,
    )
    await tell(conn, [news], now=now)
    await issue_invoice_document(conn, details, entity, now=now)
    await promise_invoice_mail(conn, details, entity, now=now)
    is_to_be_charged = invoice.total_cents > 0 and not invoice.skip_psp and not invoice.self_billed
    if collect is not None and is_to_be_charged:
        await collect(conn, invoice.key)


def _finalizes_zero(customer: Customer, entity: BillingEntity) -> bool:
    """Say whether an invoice of nothing is shown: the customer's word, else the entity's."""
    match customer.finalize_zero_amount_invoice:
        case "finalize":
            return True
        case "skip":
            return False
        case _:
            return entity.finalize_zero_amount_invoice


async def _numbered(
    conn: Conn, invoice: Invoice, customer: CustomerDetails, entity: BillingEntity, *, now: datetime
) -> Invoice:
    """Draw the next number: under a lock, and rolled back with us, so that no number is missing."""
    sequence = await invoices.next_of_customer(conn, customer.key, entity.id)
    numbering = numbering_of(Numbering(entity.document_numbering), self_billed=invoice.self_billed)
    final = msgspec.structs.replace(invoice, status="finalized", sequential_id=sequence)
    if numbering is Numbering.PER_CUSTOMER:
        number = number_per_customer(
            entity.document_number_prefix,
            customer_sequence=customer.customer.sequential_id,
            invoice_sequence=sequence,
        )
        return msgspec.structs.replace(final, number=number)
    entity_sequence = await invoices.next_of_entity(conn, entity.organization_id, entity.id)
    number = number_per_billing_entity(
        entity.document_number_prefix,
        entity_sequence=entity_sequence,
        finalized_at=now,
        timezone=entity.timezone,
    )
    return msgspec.structs.replace(final, number=number, entity_sequential_id=entity_sequence)

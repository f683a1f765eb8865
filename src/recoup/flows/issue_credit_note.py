"""Issue a credit note whose lines and parts are decided: number it, book it, do what it says, tell.

Called by `create_credit_note`, and by `void_invoice` for what a void gives back. The invoice is
locked, and what is asked is within what its notes have left of it.

What would surprise you: nothing is looked at that is on its way. An attempt that is ready sees the
smaller amount due before it is sent; money of one that is sent, and is too much then, is raised as
a contradiction, as it is after a payment by hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID, uuid5

import msgspec

from recoup.flows.begin_note_refunds import begin_note_refunds
from recoup.flows.issue_document import issue_document
from recoup.flows.promise_mail import promise_credit_note_mail
from recoup.flows.tell import News, tell
from recoup.flows.tell_invoices import StatusChange, payment_status_updated
from recoup.rules.credit_note_totals import Line, NoteTotals, Parts, total_lines
from recoup.rules.document_pages import credit_note_page
from recoup.rules.invoice_dates import issued_on
from recoup.rules.lago.credit_notes import credit_note_object
from recoup.rules.numbering import credit_note_number
from recoup.rules.records.credit_notes import (
    CreditNote,
    CreditNoteDetails,
    CreditNoteItem,
    CreditNoteTax,
    Metadata,
)
from recoup.rules.records.invoices import InvoiceDetails
from recoup.rules.records.keys import RowKey
from recoup.store import attempts, credit_notes, invoices, ledger, organizations
from recoup.store.db import Conn


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """A note with everything decided; `number` counts within the invoice."""

    id: UUID
    number: int
    lines: Sequence[Line]
    parts: Parts
    reason: str
    description: str | None = None
    metadata: Metadata | None = None


async def issue_credit_note(
    conn: Conn, of: InvoiceDetails, decided: Decided, *, now: datetime
) -> CreditNoteDetails:
    """Issue the note, and answer it as it is then.

    :raises Refused: 422, a provider cannot express what is to go back.
    """
    totals = total_lines(decided.lines)
    note = _note(of, decided, totals, now=now)
    items, taxes = _items(note, decided.lines), _taxes(note, totals)
    await credit_notes.insert(conn, note, items, taxes, decided.metadata)
    await _book(conn, note, now=now)
    if note.refund_cents:
        await begin_note_refunds(conn, note, of.invoice, now=now)
    if note.offset_cents:
        await _offset(conn, of, note, now=now)
    details = (await credit_notes.details(conn, [note.key]))[note.key]
    await tell(conn, [_created(details)], now=now)
    key = RowKey(note.organization_id, of.invoice.billing_entity_id)
    entity = (await organizations.entities(conn, [key]))[key]
    await issue_document(conn, note.key, credit_note_page(details, entity), now=now)
    await promise_credit_note_mail(conn, details, entity, now=now)
    return details


async def _book(conn: Conn, note: CreditNote, *, now: datetime) -> None:
    """Enter what is earned no more, and what becomes of it: a transaction for each part."""
    becomes = [
        ("offset", note.offset_cents, "receivable"),
        ("credit", note.credit_cents, "customer_credit"),
        ("refund", note.refund_cents, "to_refund"),
    ]
    entries = [
        entry
        for part, cents, account in becomes
        for entry in ledger.transfer(
            note.invoice_key, uuid5(note.id, part), cents, note.currency,
            debit="revenue", credit=account,
        )
    ]  # fmt: skip
    await ledger.write(conn, entries, now=now)


async def _offset(conn: Conn, of: InvoiceDetails, note: CreditNote, *, now: datetime) -> None:
    """Take the part off what is due; nothing due any more makes the invoice `succeeded`."""
    invoice = of.invoice
    await credit_notes.add_offset(conn, invoice.key, note.offset_cents, now=now)
    await attempts.close_pages(conn, [invoice.key], now=now)  # it was for what was due before
    if note.offset_cents < invoice.due_cents or invoice.payment_status == "succeeded":
        return
    await invoices.show_payment_status(conn, invoice.key, "succeeded", now=now)
    change = StatusChange(invoice.key, cause=note.id)
    await tell(conn, await payment_status_updated(conn, [change]), now=now)


def _note(of: InvoiceDetails, decided: Decided, totals: NoteTotals, *, now: datetime) -> CreditNote:
    invoice, parts = of.invoice, decided.parts
    return CreditNote(
        organization_id=invoice.organization_id,
        id=decided.id,
        invoice_id=invoice.id,
        customer_id=invoice.customer_id,
        billing_entity_id=invoice.billing_entity_id,
        self_billed=invoice.self_billed,
        sequential_id=decided.number,
        number=credit_note_number(invoice.number, sequence=decided.number),
        issuing_date=issued_on(now=now, timezone=of.customer.timezone),
        credit_status="available" if parts.credit_cents else None,
        refund_status="pending" if parts.refund_cents else None,
        reason=decided.reason,
        description=decided.description,
        currency=invoice.currency,
        total_cents=parts.total_cents,
        sub_total_excluding_taxes_amount_cents=totals.items_cents,
        taxes_amount_cents=totals.taxes_cents,
        precise_total_cents=totals.precise_total_cents,
        precise_taxes_cents=totals.precise_taxes_cents,
        taxes_rate=totals.taxes_rate,
        credit_cents=parts.credit_cents,
        refund_cents=parts.refund_cents,
        offset_cents=parts.offset_cents,
        balance_cents=parts.credit_cents,
        created_at=now,
        updated_at=now,
        refunded_at=None,
        voided_at=None,
    )


def _items(note: CreditNote, lines: Sequence[Line]) -> list[CreditNoteItem]:
    return [
        CreditNoteItem(
            organization_id=note.organization_id,
            id=uuid5(note.id, f"item/{position}"),
            credit_note_id=note.id,
            fee_id=line.fee.id,
            position=position,
            amount_cents=line.cents,
            precise_amount_cents=line.precise_cents,
            amount_currency=note.currency,
            created_at=note.created_at,
        )
        for position, line in enumerate(lines)
    ]


def _taxes(note: CreditNote, totals: NoteTotals) -> list[CreditNoteTax]:
    return [
        CreditNoteTax(
            organization_id=note.organization_id,
            id=uuid5(note.id, f"tax/{one.tax.tax_id}"),
            credit_note_id=note.id,
            tax_id=one.tax.tax_id,
            tax_name=one.tax.tax_name,
            tax_code=one.tax.tax_code,
            tax_rate=one.tax.tax_rate,
            tax_description=one.tax.tax_description,
            base_amount_cents=one.base_cents,
            amount_cents=one.cents,
            amount_currency=note.currency,
            created_at=note.created_at,
        )
        for one in totals.taxes
    ]


def _created(details: CreditNoteDetails) -> News:
    note = details.note
    return News(
        organization_id=note.organization_id,
        webhook_type="credit_note.created",
        object_type="credit_note",
        payload=credit_note_object(details),
        object_id=note.id,
        cause=note.id,
    )

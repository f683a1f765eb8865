"""Make a credit note of an invoice, or say what one would come to.

What would surprise you: the invoice is locked first, also against other notes. Of two at once the
second sees what the first has left, so together they never take off more than there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from recoup.flows.find_invoices import find_invoice, lock_invoice
from recoup.flows.issue_credit_note import Decided, issue_credit_note
from recoup.rules.credit_note_asks import (
    CreditNoteInput,
    ReadId,
    read_lines,
    read_metadata,
    read_parts,
    read_reason,
)
from recoup.rules.credit_note_totals import (
    CreditableFee,
    Line,
    NoteTotals,
    Standing,
    remaining_of,
    total_lines,
    why_not,
)
from recoup.rules.one_off_asks import read_text
from recoup.rules.records.credit_notes import CreditNoteDetails
from recoup.rules.records.invoices import InvoiceDetails
from recoup.rules.refusal import Refused, invalid, not_allowed
from recoup.rules.scalars import text
from recoup.store import credit_notes
from recoup.store.db import Conn

CREDITABLE: Final = frozenset({"finalized", "voided"})
LONGEST_DESCRIPTION: Final = 600


class Standings(msgspec.Struct, frozen=True):
    """An invoice, and what its notes have left of it and of its fees."""

    details: InvoiceDetails
    standing: Standing
    fees: tuple[CreditableFee, ...]
    next_number: int


class Estimate(msgspec.Struct, frozen=True):
    """What a note of these lines would come to, and what could be done with that."""

    details: InvoiceDetails
    lines: Sequence[Line]
    totals: NoteTotals
    creditable_cents: int
    refundable_cents: int
    offsettable_cents: int


async def create_credit_note(
    conn: Conn,
    organization_id: UUID,
    asked: CreditNoteInput,
    *,
    read_id: ReadId,
    note_id: UUID,
    now: datetime,
) -> CreditNoteDetails:
    """Make a note, do what it says, and answer it. `read_id` reads the ids that a caller names.

    :raises Refused: 404, 405 and 422 in the contract's order (section 3.9).
    """
    invoice = await lock_invoice(conn, organization_id, _id(asked, read_id))
    _refuse_uncreditable(invoice.status, invoice.invoice_type, invoice.payment_status)
    held = await standings(conn, organization_id, invoice.id)
    lines = read_lines(asked.items, {fee.id: fee for fee in held.fees}, read_id=read_id)
    parts, reason = read_parts(asked), read_reason(asked.reason)
    description = read_text(asked.description, "description")
    if len(description or "") > LONGEST_DESCRIPTION:
        raise Refused(invalid({"description": ["value_is_too_long"]}))
    metadata = None if asked.metadata is None else read_metadata(asked.metadata)
    if refusal := why_not(parts, total_lines(lines), held.standing):
        raise Refused(refusal)
    decided = Decided(
        id=note_id,
        number=held.next_number,
        lines=lines,
        parts=parts,
        reason=reason,
        description=description,
        metadata=metadata,
    )
    return await issue_credit_note(conn, held.details, decided, now=now)


async def estimate_credit_note(
    conn: Conn, organization_id: UUID, asked: CreditNoteInput, *, read_id: ReadId
) -> Estimate:
    """Say what a note of these lines would come to; nothing is kept.

    :raises Refused: as for making one, but for what is said of its parts.
    """
    details = await find_invoice(conn, organization_id, _id(asked, read_id))
    invoice = details.invoice
    _refuse_uncreditable(invoice.status, invoice.invoice_type, invoice.payment_status)
    held = await standings(conn, organization_id, invoice.id)
    lines = read_lines(asked.items, {fee.id: fee for fee in held.fees}, read_id=read_id)
    totals = total_lines(lines)
    creditable = min(totals.total_cents, held.standing.remaining_cents)
    return Estimate(
        details=held.details,
        lines=lines,
        totals=totals,
        creditable_cents=creditable,
        refundable_cents=min(creditable, held.standing.refundable_cents),
        offsettable_cents=min(creditable, held.standing.offsettable_cents),
    )


async def standings(conn: Conn, organization_id: UUID, invoice_id: UUID) -> Standings:
    """What notes have left of an invoice: under its lock, what is true until the end."""
    details = await find_invoice(conn, organization_id, invoice_id)
    invoice = details.invoice
    credited = await credit_notes.credited(conn, invoice.key)
    return Standings(
        details=details,
        standing=Standing(
            total_cents=invoice.total_cents,
            due_cents=invoice.due_cents,
            paid_cents=invoice.paid_cents,
            credited=credited.parts,
        ),
        fees=tuple(
            CreditableFee(
                id=one.fee.id,
                remaining_cents=remaining_of(one.fee.amount_cents, one.fee.id, credited.of_fees),
                taxes=one.applied_taxes,
            )
            for one in details.fees
        ),
        next_number=credited.last_number + 1,
    )


def _refuse_uncreditable(status: str, invoice_type: str, payment_status: str) -> None:
    """Nothing is taken off what is not final, nor off credits that nobody has paid for."""
    is_unpaid_credit = invoice_type == "credit" and payment_status != "succeeded"
    if status not in CREDITABLE or is_unpaid_credit:
        raise Refused(not_allowed("invalid_type_or_status"))


def _id(asked: CreditNoteInput, read_id: ReadId) -> UUID | None:
    return read_id(text(asked.invoice_id) or "")

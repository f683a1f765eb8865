"""Make the credit notes of a void: one for what is given back, and one for all the rest, voided.

Called by `void_invoice` alone, in its transaction (contract section 3.7.8). The second note leaves
nothing of the invoice that a later one could take off.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import uuid5

import msgspec

from recoup.flows.create_credit_note import Standings
from recoup.flows.issue_credit_note import Decided, issue_credit_note
from recoup.flows.update_credit_note import let_lapse
from recoup.rules.credit_note_asks import USUAL_REASON, read_cents
from recoup.rules.credit_note_totals import (
    CreditableFee,
    Parts,
    creditable_cents,
    split,
    taken_off,
    whole_line,
)
from recoup.rules.refusal import Refused, invalid
from recoup.store.db import Conn

DESCRIPTION: Final = "Issued when the invoice was voided."
TOO_MUCH: Final = invalid({"credit_refund_amount": ["total_amount_exceeds_invoice_amount"]})


class AskedBack(msgspec.Struct, frozen=True):
    """What a void is asked to give back, as a caller says it; None: nothing."""

    refund_amount: object = None
    credit_amount: object = None


def decide_parts(asked: AskedBack, held: Standings) -> Parts:
    """What the void gives back, of what the invoice was before it.

    :raises Refused: 422 `invalid_value` for what is no amount, or
        `total_amount_exceeds_invoice_amount`.
    """
    parts = Parts(
        credit_cents=read_cents(asked.credit_amount, "credit_amount", otherwise=0),
        refund_cents=read_cents(asked.refund_amount, "refund_amount", otherwise=0),
    )
    is_too_much = parts.total_cents > creditable_cents(held.standing, held.fees)
    if is_too_much or parts.refund_cents > held.standing.refundable_cents:
        raise Refused(TOO_MUCH)
    return parts


async def credit_voided_invoice(
    conn: Conn, held: Standings, parts: Parts, *, now: datetime
) -> None:
    """Issue both notes; one for nothing is none. `held` is the invoice, voided, and its fees.

    :raises Refused: 422, a provider cannot express what is to go back.
    """
    invoice_id = held.details.invoice.id  # it is voided once, so its notes are named after it
    number, fees = held.next_number, list(held.fees)
    rest = creditable_cents(held.standing, fees) - parts.total_cents
    if parts.total_cents:
        lines = split(parts.total_cents, fees)
        given_back = Decided(
            id=uuid5(invoice_id, "given_back"),
            number=number,
            lines=lines,
            parts=parts,
            reason=USUAL_REASON,
            description=DESCRIPTION,
        )
        await issue_credit_note(conn, held.details, given_back, now=now)
        number, fees = number + 1, taken_off(lines, fees)
    if rest:
        lapsed = Decided(
            id=uuid5(invoice_id, "lapsed"),
            number=number,
            lines=[whole_line(fee, fee.remaining_cents) for fee in fees if _has_left(fee)],
            parts=Parts(credit_cents=rest),
            reason=USUAL_REASON,
            description=DESCRIPTION,
        )
        details = await issue_credit_note(conn, held.details, lapsed, now=now)
        await let_lapse(conn, details.note, now=now)


def _has_left(fee: CreditableFee) -> bool:
    return fee.remaining_cents > 0

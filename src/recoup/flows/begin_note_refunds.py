"""Begin to pay back what a credit note says, out of the charges that paid its invoice.

Called by `issue_credit_note`, under the lock of the invoice. It pays nothing: it keeps a refund for
each charge, and promises the work; sending them goes the way of every refund (`submit_refund`).

What would surprise you: what was paid by hand, or taken back by a bank, no provider can return; so
the note may have no refund at all, and stays `pending` until a person says what became of it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import uuid5

from recoup.rules.provider_money import NotTaken, refundable
from recoup.rules.records.credit_notes import CreditNote
from recoup.rules.records.invoices import Invoice
from recoup.rules.records.keys import RowKey
from recoup.rules.records.refunds import RefundRow
from recoup.rules.refund_split import Portion, split_refund
from recoup.rules.refund_state import RefundState
from recoup.rules.refusal import Refused, invalid
from recoup.store import credit_notes, jobs, provider_accounts, refunds
from recoup.store.db import Conn
from recoup.store.jobs import Job

BY_CREDIT_NOTE: Final = "credit_note"
NOT_REPRESENTABLE: Final = invalid({"refund_amount_cents": [NotTaken.NOT_REPRESENTABLE.value]})


async def begin_note_refunds(
    conn: Conn, note: CreditNote, invoice: Invoice, *, now: datetime
) -> None:
    """Keep what goes back of each charge, the newest first, and promise it.

    :raises Refused: 422, a provider cannot express its portion.
    """
    if invoice.payment_dispute_lost_at is not None:
        return  # the payer's bank has given them the money already
    portions = split_refund(note.refund_cents, await credit_notes.paid_by(conn, invoice.key))
    keys = {RowKey(note.organization_id, one.charge.account_id) for one in portions}
    accounts = await provider_accounts.by_ids(conn, keys)
    begun = []
    for portion in portions:
        account = accounts[RowKey(note.organization_id, portion.charge.account_id)]
        if refundable(account.kind, note.currency, portion.cents) is None:
            raise Refused(NOT_REPRESENTABLE)
        refund = _refund(note, portion, now=now)
        if await refunds.insert(conn, refund):
            begun.append(refund.key)
    await jobs.promise(conn, Job.SUBMIT_REFUND, begun)


def _refund(note: CreditNote, portion: Portion, *, now: datetime) -> RefundRow:
    charge = portion.charge
    return RefundRow(
        organization_id=note.organization_id,
        id=uuid5(note.id, f"refund/{charge.payment_id}"),
        payment_id=charge.payment_id,
        contradiction_id=None,
        credit_note_id=note.id,
        state=RefundState.READY,
        amount_cents=portion.cents,
        currency=note.currency,
        asked_by=BY_CREDIT_NOTE,
        provider_account_id=charge.account_id,
        provider_payment_id=charge.provider_payment_id,
        request=None,
        provider_refund_id=None,
        provider_status="",
        error_code=None,
        error_message=None,
        look_ups_unanswered=0,
        created_at=now,
        sent_at=None,
        ended_at=None,
    )

"""Pay back money that belongs to no invoice: a second charge, more than was due, a voided invoice.

Asked for by `settle_attempt`, where the account's setting says so, or by a person. It pays nothing:
it keeps the refund, and promises the work. Sending it, and finding out what became of it, go the
same way as a charge: committed before it is sent, one key, no answer is a state.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID, uuid5

from recoup.rules.provider_money import NotTaken, refundable
from recoup.rules.records.keys import RowKey
from recoup.rules.records.refunds import RefundRow
from recoup.rules.refund_state import RefundState
from recoup.rules.refusal import Refusal, Refused, invalid, not_allowed, not_found
from recoup.store import attempts, contradictions, jobs, provider_accounts, refunds
from recoup.store.contradictions import Contradiction
from recoup.store.db import Conn
from recoup.store.jobs import Job

BY_SETTING: Final = "setting"  # of the account; its id comes out of the contradiction's
NOTHING_TO_REFUND: Final = not_allowed("nothing_to_refund")
NOT_REPRESENTABLE: Final = invalid({"unapplied_amount_cents": [NotTaken.NOT_REPRESENTABLE.value]})


async def refund_surprises(
    conn: Conn, surprises: Sequence[tuple[Contradiction, UUID]], *, now: datetime
) -> None:
    """Pay back what these contradictions brought in, each once. Each goes with its account's id.

    What cannot be paid back stays a contradiction with money that belongs to nothing: a person's.
    """
    for contradiction, account_id in surprises:
        await begin_refund(
            conn,
            contradiction,
            account_id,
            refund_id=uuid5(contradiction.id, "refund"),
            asked_by=BY_SETTING,
            now=now,
        )


async def refund_contradiction(
    conn: Conn,
    organization_id: UUID,
    contradiction_id: UUID | None,
    *,
    refund_id: UUID,
    now: datetime,
) -> RefundRow:
    """Pay back what a contradiction brought in, since a person says so.

    :raises Refused: `contradiction_not_found`; 405 `nothing_to_refund` where it brought in no money
        that belongs to nothing, or none through a provider, or that is on its way back already, or
        was taken back; 422 where the provider cannot express the amount.
    """
    key = RowKey(organization_id, contradiction_id) if contradiction_id else None
    told = (await contradictions.find(conn, [key])).get(key) if key else None
    if told is None:
        raise Refused(not_found("contradiction"))
    payment = (await attempts.find(conn, [told.contradiction.payment]))[told.contradiction.payment]
    if payment.provider_account_id is None:  # reported by hand: no provider can send it back
        raise Refused(NOTHING_TO_REFUND)
    refund = await begin_refund(
        conn,
        told.contradiction,
        payment.account_key.id,
        refund_id=refund_id,
        asked_by="api",
        now=now,
    )
    if isinstance(refund, Refusal):
        raise Refused(refund)
    return refund


async def begin_refund(
    conn: Conn,
    contradiction: Contradiction,
    account_id: UUID,
    *,
    refund_id: UUID,
    asked_by: str,
    now: datetime,
) -> RefundRow | Refusal:
    """Keep a refund of what this contradiction brought in, and promise it; or say why not."""
    if contradiction.unapplied_cents <= 0 or contradiction.provider_payment_id is None:
        return NOTHING_TO_REFUND
    if await refunds.went_back_after_all(conn, contradiction):
        return NOTHING_TO_REFUND
    charge = contradiction.provider_payment_id
    if await contradictions.was_taken_back(conn, contradiction.payment, charge):
        return NOTHING_TO_REFUND
    account = RowKey(contradiction.payment.organization_id, account_id)
    kind = (await provider_accounts.by_ids(conn, [account]))[account].kind
    if refundable(kind, contradiction.currency, contradiction.unapplied_cents) is None:
        return NOT_REPRESENTABLE
    refund = RefundRow(
        organization_id=contradiction.payment.organization_id,
        id=refund_id,
        payment_id=contradiction.payment.id,
        contradiction_id=contradiction.id,
        credit_note_id=None,
        state=RefundState.READY,
        amount_cents=contradiction.unapplied_cents,
        currency=contradiction.currency,
        asked_by=asked_by,
        provider_account_id=account_id,
        provider_payment_id=contradiction.provider_payment_id,
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
    if not await refunds.insert(conn, refund):
        return NOTHING_TO_REFUND
    await jobs.promise(conn, Job.SUBMIT_REFUND, [refund.key])
    return refund

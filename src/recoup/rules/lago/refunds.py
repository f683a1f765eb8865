"""Contradictions and refunds on the wire: ours, in the manner of Lago's objects."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from recoup.rules.lago.instants import seconds
from recoup.rules.records.refunds import RefundRow


class RefundObject(msgspec.Struct, frozen=True, kw_only=True):
    """Money on its way back to its payer. `status` is one of seven words of ours."""

    lago_id: UUID
    lago_payment_id: UUID
    lago_contradiction_id: UUID | None  # one of these two says why it goes back
    lago_credit_note_id: UUID | None
    amount_cents: int
    amount_currency: str
    status: str  # ready, sent, unknown, processing, needs_review, succeeded, failed
    provider_status: str  # the provider's own word
    provider_payment_id: str
    provider_refund_id: str | None
    error_code: str | None
    created_at: datetime
    ended_at: datetime | None


class ContradictionObject(msgspec.Struct, frozen=True, kw_only=True):
    """News of a payment, or a refund of it, that did not fit what was known: `reason` says how."""

    lago_id: UUID
    lago_payment_id: UUID
    reason: str
    was: str
    told: str
    amount_cents: int
    amount_currency: str
    unapplied_amount_cents: int  # of it, money that belongs to no invoice
    provider_payment_id: str | None
    lago_refund_id: UUID | None  # where it is news of a refund
    provider_refund_id: str | None
    created_at: datetime


def refund_object(refund: RefundRow) -> RefundObject:
    """Render a refund."""
    return RefundObject(
        lago_id=refund.id,
        lago_payment_id=refund.payment_id,
        lago_contradiction_id=refund.contradiction_id,
        lago_credit_note_id=refund.credit_note_id,
        amount_cents=refund.amount_cents,
        amount_currency=refund.currency,
        status=refund.state.value,
        provider_status=refund.provider_status,
        provider_payment_id=refund.provider_payment_id,
        provider_refund_id=refund.provider_refund_id,
        error_code=refund.error_code,
        created_at=seconds(refund.created_at),
        ended_at=seconds(refund.ended_at),
    )

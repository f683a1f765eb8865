"""A refund as its provider has it: rendered, put together to ask about it, or taken for sent.

What would surprise you: a refund that looks as if nobody had sent it may have been sent. A restore,
or a standby that was behind, has lost the commit before the call. Sent once more, where the
provider has forgotten its key, it would pay the same money back twice.
"""

from __future__ import annotations

from datetime import datetime

from recoup.flows.count_as_sent import LONG_AGO
from recoup.flows.settle_refund import lock_refund
from recoup.providers.protocol import Provider, Refund, RefundOrder
from recoup.rules.records.keys import RowKey
from recoup.rules.records.refunds import RefundRow, refund_key
from recoup.rules.refund_state import RefundState
from recoup.store import attempts, credit_notes, refunds
from recoup.store.db import Conn


async def render_refund(conn: Conn, provider: Provider, held: RefundRow) -> str:
    """Render the request of a refund that is ready."""
    payment_key = RowKey(held.organization_id, held.payment_id)
    payment = (await attempts.find(conn, [payment_key]))[payment_key]
    note = None
    if held.credit_note_id is not None:
        note_key = RowKey(held.organization_id, held.credit_note_id)
        note = (await credit_notes.find(conn, [note_key]))[note_key]
    of_note = {"lago_credit_note_id": str(note.id)} if note else {}
    return provider.render_refund(
        RefundOrder(
            refund_id=held.id,
            provider_payment_id=held.provider_payment_id,
            amount_cents=held.amount_cents,
            currency=held.currency,
            refunded_before_cents=await refunds.refunded_before(conn, held),
            charged_cents=max(payment.amount_cents, held.amount_cents),
            reference=refund_key(held.id),
            metadata={
                "lago_refund_id": str(held.id),
                "lago_payment_id": str(held.payment_id),
                "lago_organization_id": str(held.organization_id),
                **of_note,
            },
            reason=note.reason if note else None,
        )
    )


def refund_as_sent(held: RefundRow) -> Refund:
    """What was sent of this refund."""
    assert held.request is not None, "what was sent has its request"
    assert held.sent_at is not None, "what was sent has its time"
    return Refund(
        refund_key(held.id),
        held.request,
        sent_before=True,
        provider_refund_id=held.provider_refund_id,
        sent_at=held.sent_at,
    )


def refund_as_perhaps_sent(held: RefundRow, request: str) -> Refund:
    """What was sent of a refund that is ready, if it was: nobody knows when."""
    return Refund(refund_key(held.id), request, sent_before=True)


async def count_refund_as_sent(conn: Conn, key: RowKey, request: str, *, now: datetime) -> None:
    """Move a refund that is ready to `sent`, before any key's life: it is never sent again.

    One that is ready no more stays as it is.
    """
    found = await lock_refund(conn, key)
    if found is not None and found[0].state is RefundState.READY:
        await refunds.send(conn, key, request, look_up_at=now, now=now - LONG_AGO)

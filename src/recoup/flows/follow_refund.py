"""Show on a credit note how one of its refunds has ended, and tell where it did not go back.

Called by `settle_refund` alone, in the transaction that settles and under the locks that it took.

What would surprise you: where a person has said that the money went back, a refund that fails does
not unsay it; and one that was not sent for that reason is told to nobody. But one that succeeded
may fail days later, as everywhere, and then the note has failed.
"""

from __future__ import annotations

from datetime import datetime

from recoup.flows.tell import News, tell
from recoup.rules import refund_state
from recoup.rules.lago.credit_notes import REFUND_FAILURE_OBJECT, RefundFailureObject
from recoup.rules.lago.event_types import CREDIT_NOTE_REFUND_FAILURE
from recoup.rules.lago.failures import ProviderError
from recoup.rules.records.keys import RowKey
from recoup.rules.records.refunds import RefundRow
from recoup.rules.refund_state import RefundState
from recoup.store import attempts, credit_notes, provider_accounts, refunds
from recoup.store.db import Conn


async def follow_refund(conn: Conn, refund: RefundRow, *, came_back: bool, now: datetime) -> None:
    """Take the end of a refund over to its credit note, if it is one's.

    `came_back`: it had succeeded before.
    """
    if refund.credit_note_id is None or refund.error_code == refund_state.PAID_OTHERWISE:
        return
    key = RowKey(refund.organization_id, refund.credit_note_id)
    note = (await credit_notes.lock(conn, [key]))[key]
    ends = await refunds.of_credit_note(conn, key)
    status = refund_state.status_of_note(note.refund_cents, ends)
    # Before all of them have succeeded, nobody but a person says so of the note.
    is_a_persons = note.refund_status == "succeeded" and not came_back
    if status is not None and not is_a_persons and status != note.refund_status:
        await credit_notes.show_refund_status(conn, key, status, now=now)
    if refund.state is RefundState.FAILED:
        await tell(conn, [await _failure(conn, refund, key)], now=now)


async def _failure(conn: Conn, refund: RefundRow, key: RowKey) -> News:
    details = (await credit_notes.details(conn, [key]))[key]
    account = (await provider_accounts.by_ids(conn, [refund.account_key]))[refund.account_key]
    payment_key = RowKey(refund.organization_id, refund.payment_id)
    payment = (await attempts.find(conn, [payment_key]))[payment_key]
    return News(
        organization_id=refund.organization_id,
        webhook_type=CREDIT_NOTE_REFUND_FAILURE,
        object_type=REFUND_FAILURE_OBJECT,
        payload=RefundFailureObject(
            lago_credit_note_id=key.id,
            lago_customer_id=details.note.customer_id,
            external_customer_id=details.customer.customer.external_id,
            provider_customer_id=payment.provider_customer_id,
            payment_provider=account.kind.value,
            payment_provider_code=account.code,
            provider_error=ProviderError(
                message=refund.error_message or "", error_code=refund.error_code or ""
            ),
        ),
        object_id=key.id,
        cause=refund.id,
    )

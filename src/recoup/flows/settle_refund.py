"""Apply what a provider said to a refund, and to the books.

The one door for money that goes back: `submit_refund`, `look_up_refund`, `apply_event` and a
person's decision end here.

What would surprise you: money can go back by a refund that had failed, or twice: that is kept and
raised (`contradict_refund`), not dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import uuid5

import msgspec

from recoup.flows.contradict_refund import book_paid_back, contradict_refund, own_id
from recoup.flows.follow_refund import follow_refund
from recoup.flows.reports import Source
from recoup.flows.tell import News, tell
from recoup.providers.protocol import (
    Declined,
    Lost,
    NotKnown,
    Refunded,
    RefundOutcome,
    RefundProcessing,
)
from recoup.rules import look_up_schedule, refund_state
from recoup.rules.lago.event_types import REFUND_FAILED, REFUNDED
from recoup.rules.lago.refunds import refund_object
from recoup.rules.persons_word import BY_HAND
from recoup.rules.records.collection import Covered
from recoup.rules.records.keys import RowKey
from recoup.rules.records.refunds import RefundRow
from recoup.rules.refund_state import RefundState
from recoup.store import collection, db, refunds
from recoup.store.db import Conn, Pool
from recoup.store.refunds import RefundNews

_STATES: Final = {
    Refunded: RefundState.SUCCEEDED,
    RefundProcessing: RefundState.PROCESSING,
    Declined: RefundState.FAILED,
    Lost: RefundState.UNKNOWN,
    NotKnown: RefundState.UNKNOWN,
}


class RefundReport(msgspec.Struct, frozen=True):
    """News of one refund."""

    refund: RowKey
    outcome: RefundOutcome | NotKnown
    source: Source


class RefundSettled(msgspec.Struct, frozen=True):
    """What the news did, in a word."""

    word: str
    moved_to: RefundState | None = None


async def settle_refund(pool: Pool, report: RefundReport, *, now: datetime) -> RefundSettled:
    """Apply one report in a transaction of its own."""
    async with db.transaction(pool, tenants=[report.refund.organization_id]) as conn:
        return await settle_refund_on(conn, report, now=now)


async def settle_refund_on(conn: Conn, report: RefundReport, *, now: datetime) -> RefundSettled:
    """The same within the caller's transaction."""
    found = await lock_refund(conn, report.refund)
    if found is None:
        return RefundSettled("no_such_refund")
    held, covered = found
    if await contradict_refund(conn, held, covered, report.outcome, now=now):
        return RefundSettled(f"contradicts_{held.state}")
    told = _STATES[type(report.outcome)]
    if refund_state.moves(held.state, told):
        await _move(conn, held, covered, told, report, now=now)
        return RefundSettled(f"refund_moved_to_{told}", told)
    if report.source is Source.LOOK_UP and held.state in refund_state.ASKED_ABOUT:
        await _wait_on(conn, held, report.outcome, now=now)
    if isinstance(report.outcome, Declined) and held.state is RefundState.FAILED:
        await _name_failure(conn, held, covered, report.outcome, now=now)
    return RefundSettled("nothing_new")


async def lock_refund(conn: Conn, key: RowKey) -> tuple[RefundRow, Sequence[Covered]] | None:
    """Lock a refund, and before it, as everywhere, the invoices of its payment."""
    found = (await refunds.find(conn, [key])).get(key)
    if found is None:
        return None
    payment = RowKey(key.organization_id, found.payment_id)
    covered = await collection.lock_covered(conn, [payment])
    return (await refunds.lock(conn, [key]))[key], covered[payment]


async def _move(
    conn: Conn,
    held: RefundRow,
    covered: Sequence[Covered],
    told: RefundState,
    report: RefundReport,
    *,
    now: datetime,
) -> None:
    outcome = report.outcome
    if isinstance(outcome, Lost | NotKnown):
        await _wait_on(conn, held, outcome, now=now)
        return
    declined = outcome if isinstance(outcome, Declined) else None
    known_as = outcome.provider_refund_id
    if declined and held.provider_refund_id:
        known_as = None  # the failure says which one failed; the refund stays known as it was
    await refunds.write(
        conn,
        RefundNews(
            key=held.key,
            state=told,
            provider_refund_id=await own_id(conn, held, covered, told, known_as, now=now),
            provider_status=outcome.status,
            error_code=declined.code if declined else None,
            error_message=declined.message if declined else None,
            look_up_at=_next(held, now=now) if told is RefundState.PROCESSING else None,
        ),
        now=now,
    )
    if told is RefundState.SUCCEEDED:
        await book_paid_back(conn, held, held.id, held.amount_cents, held.currency, now=now)
    elif held.state is RefundState.SUCCEEDED:  # it came back: it belongs to no invoice again
        bounced = uuid5(held.id, "bounced")
        await book_paid_back(conn, held, bounced, -held.amount_cents, held.currency, now=now)
    if told in refund_state.ENDINGS:
        ended = (await refunds.find(conn, [held.key]))[held.key]
        await _tell(conn, ended, now=now)
        came_back = held.state is RefundState.SUCCEEDED
        await follow_refund(conn, ended, came_back=came_back, now=now)


async def _tell(conn: Conn, refund: RefundRow, *, now: datetime) -> None:
    """Tell that a refund has ended, once for each end: one that succeeded may still fail."""
    ended = News(
        organization_id=refund.organization_id,
        webhook_type=REFUNDED if refund.state is RefundState.SUCCEEDED else REFUND_FAILED,
        object_type="refund",
        payload=refund_object(refund),
        object_id=refund.id,
        cause=refund.id,
    )
    await tell(conn, [ended], now=now)


async def _name_failure(
    conn: Conn, held: RefundRow, covered: Sequence[Covered], told: Declined, *, now: datetime
) -> None:
    """The provider says too that the refund failed: so its success, told late, is old news."""
    if held.error_code != BY_HAND and held.provider_refund_id is not None:
        return
    known_as = told.provider_refund_id
    await refunds.name_failure(
        conn,
        RefundNews(
            key=held.key,
            state=held.state,
            provider_refund_id=await own_id(conn, held, covered, held.state, known_as, now=now),
            provider_status=told.status,
            error_code=told.code,
            error_message=told.message,
        ),
    )


async def _wait_on(
    conn: Conn, held: RefundRow, outcome: RefundOutcome | NotKnown, *, now: datetime
) -> None:
    """Nothing new, or no answer: when to ask next, or a person where the steps are used up."""
    state, unanswered = held.state, 0
    at: datetime | None
    if isinstance(outcome, Lost):
        unanswered = held.look_ups_unanswered + 1
        at = look_up_schedule.after_no_answer(unanswered, now=now)
        if outcome.retry_after_seconds is not None:
            asked = look_up_schedule.after_being_asked_to_wait(outcome.retry_after_seconds, now=now)
            at = max(at, asked)
        state = RefundState.UNKNOWN if state is RefundState.SENT else state
    elif state is RefundState.PROCESSING:
        at = _next(held, now=now)
    else:
        assert held.sent_at is not None, "what is asked about was sent"
        at = look_up_schedule.next_step(sent_at=held.sent_at, now=now)
        state = RefundState.UNKNOWN if at or state is RefundState.SENT else RefundState.NEEDS_REVIEW
        if state is RefundState.UNKNOWN and at is None:
            at = now
    news = RefundNews(key=held.key, state=state, look_up_at=at, look_ups_unanswered=unanswered)
    await refunds.write(conn, news, now=now)


def _next(held: RefundRow, *, now: datetime) -> datetime:
    assert held.sent_at is not None, "what is asked about was sent"
    step = look_up_schedule.next_step(sent_at=held.sent_at, now=now)
    return step or now + look_up_schedule.AFTERWARDS

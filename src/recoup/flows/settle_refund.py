"""Apply what a provider said to a refund, and to the books.

The one door for money that goes back: `submit_refund`, `look_up_refund` and `apply_event` end here.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID, uuid5

import msgspec

from recoup.flows.reports import Source
from recoup.providers.protocol import (
    Declined,
    Lost,
    NotKnown,
    Refunded,
    RefundOutcome,
    RefundProcessing,
)
from recoup.rules import look_up_schedule, refund_state
from recoup.rules.records.keys import RowKey
from recoup.rules.records.refunds import RefundRow
from recoup.rules.refund_state import RefundState
from recoup.rules.settlement import Line, paid_back
from recoup.store import db, ledger, refunds
from recoup.store.db import Conn, Pool
from recoup.store.ledger import LedgerEntry
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


async def settle_refund(pool: Pool, report: RefundReport, *, now: datetime) -> RefundSettled:
    """Apply one report in a transaction of its own."""
    async with db.transaction(pool, tenants=[report.refund.organization_id]) as conn:
        return await settle_refund_on(conn, report, now=now)


async def settle_refund_on(conn: Conn, report: RefundReport, *, now: datetime) -> RefundSettled:
    """The same within the caller's transaction."""
    held = (await refunds.lock(conn, [report.refund])).get(report.refund)
    if held is None:
        return RefundSettled("no_such_refund")
    told = _STATES[type(report.outcome)]
    if refund_state.moves(held.state, told):
        await _move(conn, held, told, report, now=now)
        return RefundSettled(f"refund_moved_to_{told}")
    if report.source is Source.LOOK_UP and held.state in refund_state.ASKED_ABOUT:
        await _wait_on(conn, held, report.outcome, now=now)
    return RefundSettled("nothing_new")


async def _move(
    conn: Conn, held: RefundRow, told: RefundState, report: RefundReport, *, now: datetime
) -> None:
    outcome = report.outcome
    if isinstance(outcome, Lost | NotKnown):
        await _wait_on(conn, held, outcome, now=now)
        return
    declined = outcome if isinstance(outcome, Declined) else None
    known_as = None if isinstance(outcome, Declined) else outcome.provider_refund_id
    await refunds.write(
        conn,
        RefundNews(
            key=held.key,
            state=told,
            provider_refund_id=known_as,
            provider_status=outcome.status,
            error_code=declined.code if declined else None,
            error_message=declined.message if declined else None,
            look_up_at=_next(held, now=now) if told is RefundState.PROCESSING else None,
        ),
        now=now,
    )
    if told is RefundState.SUCCEEDED:
        await _enter(conn, held, held.id, paid_back(held.amount_cents), now=now)
    elif held.state is RefundState.SUCCEEDED:  # it came back: it belongs to no invoice again
        bounced = uuid5(held.id, "bounced")
        await _enter(conn, held, bounced, paid_back(-held.amount_cents), now=now)


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


async def _enter(
    conn: Conn, held: RefundRow, transaction_id: UUID, lines: tuple[Line, ...], *, now: datetime
) -> None:
    entries = [
        LedgerEntry(
            organization_id=held.organization_id,
            transaction_id=transaction_id,
            position=position,
            account=line.account,
            amount_cents=line.amount_cents,
            currency=held.currency,
            invoice_id=None,
            payment_id=held.payment_id,
        )
        for position, line in enumerate(lines)
    ]
    await ledger.write(conn, entries, now=now)

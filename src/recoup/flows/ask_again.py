"""What is written of an attempt that has not ended: where it stands, and when it is asked about.

Called by `settlement_book`. The steps are those of `rules/look_up_schedule`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from recoup.flows.reports import Report, Source
from recoup.providers.protocol import CustomerNeeded, Lost, NotKnown, Processing
from recoup.rules import look_up_schedule
from recoup.rules.attempt_state import State
from recoup.rules.records.collection import Attempt
from recoup.store.attempt_news import NewsRow

OUR_QUESTIONS: Final = frozenset({Source.LOOK_UP, Source.EXPIRY})


def waits(
    attempt: Attempt, state: State, outcome: Processing | CustomerNeeded, *, now: datetime
) -> NewsRow:
    """The provider is at it, or the payer is to act: within a day, but for a bank's transfer."""
    payer = outcome if isinstance(outcome, CustomerNeeded) else None
    is_timed = payer is not None and not payer.takes_days
    expires_at = look_up_schedule.payer_has_until(now=now) if is_timed else None
    return NewsRow(
        key=attempt.key,
        state=state,
        provider_payment_id=outcome.provider_payment_id,
        provider_status=outcome.status,
        next_action=payer.next_action if payer else None,
        payer_url=payer.url if payer else None,
        expires_at=expires_at,
        look_up_at=_next_look_up(attempt, attempt.expires_at or expires_at, now=now),
    )


def unanswered(report: Report, attempt: Attempt, state: State, *, now: datetime) -> NewsRow:
    """No answer uses up no step: ask again soon, or when the provider said it may be asked."""
    assert isinstance(report.outcome, Lost | NotKnown)
    times = attempt.look_ups_unanswered
    wait = report.outcome.retry_after_seconds if isinstance(report.outcome, Lost) else None
    if report.source in OUR_QUESTIONS:
        times += 1
        at = look_up_schedule.after_no_answer(times, now=now)
        if wait is not None:  # a provider that is asked too much is not asked every second
            at = max(at, look_up_schedule.after_being_asked_to_wait(wait, now=now))
    elif wait is not None:
        at = look_up_schedule.after_being_asked_to_wait(wait, now=now)
    else:  # soon also when it took long to say so: whoever sent it may have slept for hours
        at = min(_next_step(attempt, now=now) or now, now + look_up_schedule.STEPS[0])
    return NewsRow(key=attempt.key, state=state, look_up_at=at, look_ups_unanswered=times)


def answered(attempt: Attempt, *, now: datetime) -> NewsRow:
    """Nothing new: the next step, or a person where the steps of an unknown are used up."""
    if attempt.state is State.UNKNOWN and _next_step(attempt, now=now) is None:
        return NewsRow(key=attempt.key, state=State.NEEDS_REVIEW)
    at = _next_look_up(attempt, attempt.expires_at, now=now)
    return NewsRow(key=attempt.key, state=attempt.state, look_up_at=at)


def _next_look_up(attempt: Attempt, expires_at: datetime | None, *, now: datetime) -> datetime:
    """The next step, or the end of the payer's time where that is sooner."""
    at = _next_step(attempt, now=now) or now + look_up_schedule.AFTERWARDS
    if expires_at is None:
        return at
    if expires_at > now:
        return min(at, expires_at)
    return min(at, now + look_up_schedule.ASK_AGAIN_FOR_AN_END)


def _next_step(attempt: Attempt, *, now: datetime) -> datetime | None:
    assert attempt.sent_at is not None, "what waits for an answer was sent"
    return look_up_schedule.next_step(sent_at=attempt.sent_at, now=now)

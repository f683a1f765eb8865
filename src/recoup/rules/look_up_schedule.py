"""When to ask the provider about an attempt whose end is not known (DESIGN section 7).

The steps count from `sent`. One that gets no answer uses up no step. An unknown outcome whose steps
are used up goes to a person; the passing of time never makes it failed.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from recoup.rules import refund_state
from recoup.rules.attempt_state import ASKED_ABOUT, State
from recoup.rules.refund_state import RefundState

STEPS: Final = (
    timedelta(seconds=30),
    timedelta(minutes=2),
    timedelta(minutes=5),
    timedelta(minutes=15),
    timedelta(hours=1),
    timedelta(hours=6),
    timedelta(hours=24),
)
AFTERWARDS: Final = timedelta(hours=24)  # direct debits stay in processing for days
UNANSWERED: Final = timedelta(seconds=15)
UNANSWERED_AT_MOST: Final = timedelta(seconds=60)
ASKED_TO_WAIT_AT_MOST: Final = timedelta(hours=1)  # by a Retry-After
PAYER_HAS: Final = timedelta(hours=24)  # to authenticate a charge, or to pay on a page
ASK_AGAIN_FOR_AN_END: Final = timedelta(hours=1)  # where the provider did not end it when asked to
# Within the shortest life of a provider's idempotency key (Stripe prunes after 24 h).
RE_SEND_WITHIN: Final = timedelta(hours=20)
# A call that begins in time has ended before the first look-up: see LONGEST_CALL of the providers.
SEND_WITHIN: Final = timedelta(seconds=15)


def next_step(*, sent_at: datetime, now: datetime) -> datetime | None:
    """When to look up next after a look-up that was answered; None: the steps are used up."""
    return next((sent_at + after for after in STEPS if sent_at + after > now), None)


def after_no_answer(unanswered: int, *, now: datetime) -> datetime:
    """The next look-up after `unanswered` of them in a row (at least 1) got no answer."""
    assert unanswered >= 1, "the first one that gets no answer is number 1"
    doubled = UNANSWERED * int(2 ** min(unanswered - 1, 8))
    return now + min(doubled, UNANSWERED_AT_MOST)


def after_being_asked_to_wait(seconds: float, *, now: datetime) -> datetime:
    """The next look-up where the provider named a time: a second at least, an hour at most."""
    longest = ASKED_TO_WAIT_AT_MOST.total_seconds()
    return now + timedelta(seconds=min(max(seconds, 1.0), longest))


def payer_has_until(*, now: datetime) -> datetime:
    """How long we wait for a payer who has just been asked to act."""
    return now + PAYER_HAS


def payer_is_late(state: State, expires_at: datetime | None, *, now: datetime) -> bool:
    """Say whether the payer's time to act is up, so that the provider is asked for an end."""
    return state is State.CUSTOMER_NEEDED and expires_at is not None and now >= expires_at


def person_may_decide(state: State, *, sent_at: datetime | None, now: datetime) -> bool:
    """Say whether a person may settle an attempt in this state.

    A provider that refuses every look-up (a revoked key) never lets an attempt come to the end of
    its steps: past the last of them the door is open all the same, and the look-ups go on.
    """
    if state is State.NEEDS_REVIEW:
        return True
    return state in ASKED_ABOUT and sent_at is not None and sent_at <= silent_since(now=now)


def person_may_decide_refund(
    state: RefundState, *, sent_at: datetime | None, now: datetime
) -> bool:
    """Say whether a person may settle a refund in this state.

    Some providers never say what became of a refund (Adyen, where the webhook is lost), and it is
    `processing` for ever: past the last step the door is open, as with an attempt.
    """
    if state is RefundState.NEEDS_REVIEW:
        return True
    asked_about = state in refund_state.ASKED_ABOUT
    return asked_about and sent_at is not None and sent_at <= silent_since(now=now)


def silent_since(*, now: datetime) -> datetime:
    """What was sent by then, and has not ended, is past the last of its steps."""
    return now - STEPS[-1]


def may_still_send(*, sent_at: datetime, now: datetime) -> bool:
    """Say whether whoever has committed `sent` is still the only one who may have sent it."""
    return now < sent_at + SEND_WITHIN


def may_re_send(*, sent_at: datetime, now: datetime) -> bool:
    """Say whether the same key still makes at most one charge at the provider."""
    return now < sent_at + RE_SEND_WITHIN

"""Which states a refund may go through, and what news of it means.

The trigger `refuse_unlisted_refund_move` holds the same table, and a test compares the two.

What would surprise you: a refund that succeeded may still fail, days later: the payer's bank sends
the money back. So *failed* is the last word in whatever order the two are told, where the provider
says both of one refund of its own. A person's *failed* is not: the provider's success outranks it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final

from recoup.rules.settlement import Surprise


class RefundState(StrEnum):
    """Where a refund stands."""

    READY = "ready"  # asked for, not yet sent
    SENT = "sent"  # committed before the provider is called
    UNKNOWN = "unknown"  # no answer: it may be under way
    PROCESSING = "processing"  # the provider is at it
    NEEDS_REVIEW = "needs_review"  # past the provider's key life: a person decides
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class RefundVerdict(StrEnum):
    """How a person may say that a refund has ended."""

    REFUNDED = "refunded"  # the payer has the money
    FAILED = "failed"  # they have not, and will not


_ANSWERS: Final = frozenset({RefundState.PROCESSING, RefundState.SUCCEEDED, RefundState.FAILED})
ENDINGS: Final = frozenset({RefundState.SUCCEEDED, RefundState.FAILED})
ASKED_ABOUT: Final = frozenset({RefundState.SENT, RefundState.UNKNOWN, RefundState.PROCESSING})
NEXT: Final[Mapping[RefundState, frozenset[RefundState]]] = {
    RefundState.READY: frozenset({RefundState.SENT}),
    # Back to `ready` only where the one call that was made did nothing: our key was refused.
    RefundState.SENT: _ANSWERS | {RefundState.UNKNOWN, RefundState.READY},
    RefundState.UNKNOWN: _ANSWERS | {RefundState.NEEDS_REVIEW},
    RefundState.PROCESSING: ENDINGS,
    RefundState.NEEDS_REVIEW: ENDINGS,
    RefundState.SUCCEEDED: frozenset({RefundState.FAILED}),
    RefundState.FAILED: frozenset(),
}


# Our own word for a refund that is not sent any more, since a person said that it went back.
PAID_OTHERWISE: Final = "refunded_otherwise"


def status_of_note(refund_cents: int, ends: Sequence[tuple[RefundState, int]]) -> str | None:
    """What a credit note shows once its refunds stand so; None: what it shows already.

    `ends` are its refunds with their amounts. Less than the note gives back leaves a rest that no
    provider can return, and that only a person can say the end of.
    """
    if any(state is RefundState.FAILED for state, _ in ends):
        return "failed"
    succeeded = sum(cents for state, cents in ends if state is RefundState.SUCCEEDED)
    return "succeeded" if succeeded >= refund_cents else None


def moves(current: RefundState, told: RefundState) -> bool:
    """Say whether hearing `told` is news; anything else is the same again, or old."""
    return told in NEXT[current]


def surprise(
    current: RefundState, *, known_as: str | None, told_as: str, failed_by_hand: bool
) -> Surprise | None:
    """Say what money that went back means where no move takes it in; None: it is old news.

    The ids are the provider's: what the refund is known as, and what the money went back under.
    """
    if current is RefundState.SUCCEEDED:
        is_another = known_as is not None and told_as != known_as
        return Surprise.SECOND_REFUND if is_another else None
    if current is RefundState.FAILED:
        came_back_since = told_as == known_as and not failed_by_hand
        return None if came_back_since else Surprise.REFUND_HAD_FAILED
    return None

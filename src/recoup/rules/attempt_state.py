"""Which states a payment attempt may go through: the table of moves, and what news means.

The trigger `refuse_unlisted_move` holds the same table, and a test compares the two. *No answer*
is a state of its own (`unknown`): it never becomes `failed` by the passing of time.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import msgspec


class State(StrEnum):
    """Where an attempt stands (DESIGN section 3)."""

    READY = "ready"  # asked for, not yet sent
    SENT = "sent"  # committed before the provider is called
    UNKNOWN = "unknown"  # no answer: the money may have moved
    PROCESSING = "processing"  # the provider is still at it
    CUSTOMER_NEEDED = "customer_needed"  # the payer must act, 3DS for instance
    NEEDS_REVIEW = "needs_review"  # past the provider's key life: a person decides
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    WITHDRAWN = "withdrawn"  # never sent: there was nothing left to charge


ENDINGS: Final = frozenset({State.SUCCEEDED, State.FAILED})
ANSWERS: Final = ENDINGS | {State.PROCESSING, State.CUSTOMER_NEEDED}
FINAL: Final = ENDINGS | {State.WITHDRAWN}
# Whose end the provider knows, and can be asked for.
ASKED_ABOUT: Final = frozenset({State.SENT, State.UNKNOWN, State.PROCESSING, State.CUSTOMER_NEEDED})
NEXT: Final[Mapping[State, frozenset[State]]] = {
    State.READY: frozenset({State.SENT, State.WITHDRAWN}),
    # Back to `ready` only where the one call that was made did nothing: our key was refused.
    State.SENT: ANSWERS | {State.UNKNOWN, State.READY},
    State.UNKNOWN: ANSWERS | {State.NEEDS_REVIEW},
    State.PROCESSING: ENDINGS | {State.CUSTOMER_NEEDED},
    State.CUSTOMER_NEEDED: ENDINGS | {State.PROCESSING},
    State.NEEDS_REVIEW: ENDINGS,
    State.SUCCEEDED: frozenset(),
    State.FAILED: frozenset(),
    State.WITHDRAWN: frozenset(),
}


class Verdict(StrEnum):
    """What a person may say of an attempt that waits for one (`person_may_decide`)."""

    PAID = "paid"
    FAILED = "failed"


class Moved(msgspec.Struct, frozen=True):
    """The news is new: the attempt goes to this state."""

    to: State


class Repeated(msgspec.Struct, frozen=True):
    """The same again, or old news: webhooks come in any order, and more than once."""


class Contradicted(msgspec.Struct, frozen=True):
    """The news cannot be true beside what we hold: recorded and raised, never dropped."""

    was: State
    told: State


def move(current: State, told: State) -> Moved | Repeated | Contradicted:
    """Say what hearing `told` means for an attempt that is `current`."""
    if told in NEXT[current]:
        return Moved(told)
    if told in ENDINGS and told is not current:
        return Contradicted(was=current, told=told)
    return Repeated()


def lago_payment_status(state: State) -> str:
    """Lago's word for an attempt's state: `pending|processing|succeeded|failed`.

    A withdrawn attempt is not on Lago's wire, and has none.
    """
    assert state is not State.WITHDRAWN, "a withdrawn attempt is never shown"
    if state in ENDINGS:
        return state.value
    return "pending" if state in {State.READY, State.SENT} else "processing"

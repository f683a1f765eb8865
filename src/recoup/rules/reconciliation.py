"""Compare one charge of a provider's list with what we hold of it.

Pure: who lists and asks is `flows/reconcile_account.py`, who mends `flows/mend_from_list.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

import msgspec

from recoup.rules.attempt_state import FINAL, State
from recoup.rules.records.collection import attempt_of

# A provider's clock and ours differ: what was sent near the ends of a window may be on either side.
CLOCKS_DIFFER: Final = timedelta(minutes=10)
DAILY_WINDOW: Final = timedelta(days=3)


class What(StrEnum):
    """What a comparison found."""

    UNKNOWN_HERE = "unknown_here"  # the provider has a charge under our key, and we do not
    UNKNOWN_THERE = "unknown_there"  # we hold a charge that the provider does not know
    UNREADABLE = "unreadable"  # under our key, in a state that the adapter cannot read
    DIFFERS = "differs"  # both know it, and do not say the same of it
    REFUND_UNKNOWN_THERE = "refund_unknown_there"
    CANNOT_LIST = "cannot_list"  # nothing was compared, since the provider has no list


# While one of these is open, a restored account is not charged: money may have moved unseen.
HOLDS_BACK: Final = frozenset({What.UNKNOWN_HERE, What.UNREADABLE, What.CANNOT_LIST})
OF_REFUNDS: Final = "refund-"  # how the keys of findings about refunds begin


class There(StrEnum):
    """What a provider says of a charge, in a word."""

    PAID = "paid"
    PROCESSING = "processing"
    CUSTOMER_NEEDED = "customer_needed"
    DECLINED = "declined"
    TAKEN_BACK = "taken_back"  # it had been paid
    UNREADABLE = "unreadable"


_ENDS_AS: Final[Mapping[There, frozenset[State]]] = {
    There.PAID: frozenset({State.SUCCEEDED}),
    There.TAKEN_BACK: frozenset({State.SUCCEEDED}),
    There.DECLINED: frozenset({State.FAILED, State.WITHDRAWN}),
}


class Judged(StrEnum):
    """What to do about one listed charge."""

    FOREIGN = "foreign"  # made by somebody else through the same account: counted, no more
    KNOWN = "known"  # to be told through the door for money, which knows what is news
    LOST = "lost"  # ours by its key and its metadata, and no attempt here knows it: made anew
    UNEXPLAINED = "unexplained"  # under a key like ours, and whose it is cannot be told
    NOTHING = "nothing"  # no money moved, and none will
    UNREADABLE = "unreadable"


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider's list says of one charge, as far as the comparison looks at it."""

    idempotency_key: str | None
    metadata: Mapping[str, str]
    is_readable: bool = True  # its state is one that the adapter knows
    is_declined: bool = False  # no money moved, and none will


def judge(charge: Listed, *, is_known: bool, organization_id: UUID) -> Judged:
    """Say what a listed charge means; `is_known`: an attempt of ours has its key.

    Other installations, and Lago itself, write keys like ours: the metadata tell whose it is.
    """
    if is_known:
        return Judged.KNOWN if charge.is_readable else Judged.UNREADABLE
    if charge.idempotency_key is None or attempt_of(charge.idempotency_key) is None:
        return Judged.FOREIGN
    owner = charge.metadata.get("lago_organization_id")
    if owner is not None and owner != str(organization_id):
        return Judged.FOREIGN
    if charge.is_declined:
        return Judged.NOTHING
    if not charge.is_readable:
        return Judged.UNREADABLE
    return Judged.LOST if invoice_of(charge.metadata) is not None else Judged.UNEXPLAINED


def states_differ(here: State, there: There) -> bool:
    """Say whether an attempt that has ended here has ended otherwise there, or not at all.

    One that has not ended here is no difference: its own look-ups go on.
    """
    return here in FINAL and here not in _ENDS_AS.get(there, frozenset())


def invoice_of(metadata: Mapping[str, str]) -> UUID | None:
    """The invoice that a charge was for, by what was sent beside it."""
    try:
        return UUID(metadata.get("lago_invoice_id", ""))
    except ValueError:
        return None

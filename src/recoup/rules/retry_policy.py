"""When do we try a failed invoice again, and when do we stop? All of it is on this page.

Called by whoever settles a failure, and by the console to say what will happen next.

What would surprise you:
- The last failure decides, but all of them count: three declines for lack of funds leave no try
  for a technical fault after them.
- Whoever replaces a payment method begins a new history: the failures are those of one method. A
  `Stop` is about what has failed so far.
- The card networks' own caps (Visa: 20 tries in 30 days, Mastercard: 10 in 24 hours and 35 in 30
  days, per card and amount) are several times above what any policy here should allow.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final, Literal, assert_never

import msgspec

from recoup.rules.declines import VOCABULARIES, Decline, DeclineClass


class Policy(msgspec.Struct, frozen=True):
    """How patient we are: the wait after the first, second, … failure of a class, and until when.

    A class without waits is not tried again. `window` counts from the first failure. No wait is
    negative, nor is the window: whoever reads a policy from a file or a form refuses such a one.
    """

    waits: Mapping[DeclineClass, tuple[timedelta, ...]]
    window: timedelta

    def __post_init__(self) -> None:
        assert self.window >= timedelta(), "a window that closes before it opens"
        assert all(wait >= timedelta() for waits in self.waits.values() for wait in waits), (
            "a retry before its failure"
        )


class Failure(msgspec.Struct, frozen=True):
    """One attempt that failed. No retry before `not_before`, which the function below answers."""

    at: datetime
    decline_class: DeclineClass
    not_before: datetime


class RetryAt(msgspec.Struct, frozen=True):
    """Try again at `at`, because the last failure was of this class."""

    at: datetime
    because: DeclineClass


class Stop(msgspec.Struct, frozen=True):
    """Do not try again by ourselves; a class is a reason where trying would be no use at all."""

    because: DeclineClass | Literal["tries_used_up", "window_closed"]


# Sources: what Stripe, Recurly, Polar and Kill Bill do by default; fewer tries than any of them.
# The classes left out have no waits because `decide` never waits for them.
DEFAULT_POLICY: Final = Policy(
    waits=MappingProxyType(
        {
            DeclineClass.TECHNICAL: (
                timedelta(minutes=10),
                timedelta(hours=1),
                timedelta(hours=6),
            ),
            DeclineClass.SOFT: (timedelta(days=1), timedelta(days=3), timedelta(days=7)),
            DeclineClass.CUSTOMER: (timedelta(days=3),),
        }
    ),
    window=timedelta(days=30),
)


def decide(policy: Policy, failures: Sequence[Failure], *, jitter: timedelta) -> RetryAt | Stop:
    """Decide what follows one invoice's `failures` on one method, oldest first, never empty.

    `jitter`, zero or more, is drawn by the caller. Classes and their sources: `rules/declines.py`.
    """
    assert failures, "nothing has failed, so there is nothing to try again"
    assert jitter >= timedelta(), "jitter delays, it never hurries"
    last, tries = failures[-1], len(failures)
    match last.decline_class:
        case (
            DeclineClass.NEVER
            | DeclineClass.NEW_METHOD
            | DeclineClass.AUTHENTICATION
            | DeclineClass.OURS
        ):
            return Stop(because=last.decline_class)
        case DeclineClass.SOFT | DeclineClass.TECHNICAL | DeclineClass.CUSTOMER:
            waits = policy.waits.get(last.decline_class, ())
        case _:
            assert_never(last.decline_class)  # a new class fails the type check until it is placed
    if tries > len(waits):
        return Stop(because="tries_used_up")
    at = max(last.at + waits[tries - 1] + jitter, last.not_before)  # advice outranks policy
    if at > failures[0].at + policy.window:
        return Stop(because="window_closed")
    return RetryAt(at, because=last.decline_class)


def not_before(decline: Decline, *, failed_at: datetime) -> datetime:
    """Answer the earliest instant at which a decline's own advice allows another try.

    That is `failed_at` where there is none. With several, the longest counts.
    """
    words = VOCABULARIES[decline.provider]
    waits = (
        words.network_advice_waits.get(decline.network_advice_code or "", timedelta()),
        words.decline_waits.get(decline.decline_code or "", timedelta()),
    )
    return failed_at + max(waits)

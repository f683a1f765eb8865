"""When an account is called whose provider refuses our key: one call now and then, to try it again.

A revoked key is nobody's decline. Whoever would be charged waits, as while the provider is down,
until the key is taken again: since it was changed there, or here (`recoup provider update`).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import msgspec

# Soon enough for a person who has just changed it, and no burden on a provider that counts.
TRY_EVERY: Final = timedelta(minutes=2)


class KeyRefusal(msgspec.Struct, frozen=True):
    """Since when a key is refused, and when one call tries it again. As it is made: it is taken."""

    since: datetime | None = None
    try_at: datetime | None = None

    def waits_until(self, *, now: datetime) -> datetime | None:
        """Until when nobody calls; None: somebody may, and if it is refused only one."""
        return self.try_at if self.try_at is not None and now < self.try_at else None


def after_refusal(before: KeyRefusal, *, now: datetime) -> KeyRefusal:
    """What is known after a call was refused for its key."""
    return KeyRefusal(before.since or now, now + TRY_EVERY)


def trying(refusal: KeyRefusal, *, now: datetime) -> KeyRefusal:
    """What is known while one call tries the key; should its process die, another one does."""
    assert refusal.since is not None, "a key that is taken needs no trying"
    return KeyRefusal(refusal.since, now + TRY_EVERY)


def without_trial(refusal: KeyRefusal, try_at: datetime | None, *, now: datetime) -> KeyRefusal:
    """What is known after the call that tried the key until `try_at` asked nobody: another may."""
    if refusal.since is None or try_at is None or refusal.try_at != try_at:
        return refusal
    return KeyRefusal(refusal.since, now)

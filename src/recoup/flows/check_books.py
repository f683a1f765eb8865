"""Check that the books are right: every invariant, over every tenant.

Called by `recoup check`, also while the service runs. It changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import msgspec

from recoup.store import db, invariants
from recoup.store.db import Pool
from recoup.store.invariant import Invariant
from recoup.store.invariants import INVARIANTS, MOST_EXAMPLES, Offenders
from recoup.store.reported import REPORTED

TENANTS_AT_ONCE: Final = 200  # bounds how long one query runs


class Finding(msgspec.Struct, frozen=True):
    """An invariant, and what breaks it; or something reported, and how much of it there is."""

    name: str
    says: str
    offenders: Offenders


class Checked(msgspec.Struct, frozen=True):
    """What a check found. `broken` names the invariants that do not hold."""

    organizations: int
    invariants: tuple[Finding, ...]
    reported: tuple[Finding, ...]

    @property
    def broken(self) -> tuple[str, ...]:
        """The names of the invariants that do not hold, in order."""
        return tuple(finding.name for finding in self.invariants if finding.offenders.count)


async def check_books(
    pool: Pool, scout: Pool, *, tenants_at_once: int = TENANTS_AT_ONCE, now: datetime
) -> Checked:
    """Run every invariant over every tenant."""
    async with db.nameless(scout) as conn:
        tenants = await invariants.organizations(conn)
    found: dict[str, Offenders] = {}
    for first in range(0, len(tenants), tenants_at_once):
        some = tenants[first : first + tenants_at_once]
        async with db.transaction(pool, tenants=some) as conn:
            for one in (*INVARIANTS, *REPORTED):
                more = await invariants.offenders(conn, one, some, now=now)
                found[one.name] = _both(found.get(one.name, Offenders()), more)
    return Checked(len(tenants), _findings(INVARIANTS, found), _findings(REPORTED, found))


def _both(before: Offenders, more: Offenders) -> Offenders:
    examples = (*before.examples, *more.examples)[:MOST_EXAMPLES]
    return Offenders(before.count + more.count, examples)


def _findings(asked: tuple[Invariant, ...], found: Mapping[str, Offenders]) -> tuple[Finding, ...]:
    return tuple(Finding(one.name, one.says, found.get(one.name, Offenders())) for one in asked)

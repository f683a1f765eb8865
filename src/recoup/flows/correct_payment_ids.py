"""Let a provider's word correct under which id a charge is known, where a person was wrong.

Called by `settlement_book` alone. Who settles an attempt by hand types its charge's id, and may
have read it off the charge of another attempt of which nothing had been told yet. Two attempts
cannot have one id, and the provider names the attempt by our own key: so its word counts.

What would surprise you: what the person has settled stays settled, and is known by no id. Whether
there is such a charge nobody can say now, so it is raised; until the provider tells its id, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from recoup.rules.records.collection import Attempt, Covered
from recoup.rules.records.keys import RowKey
from recoup.store import attempts, collection
from recoup.store.db import Conn


class Mistaken(msgspec.Struct, frozen=True):
    """An attempt that was known by the id of another's charge."""

    attempt: Attempt
    covered: Sequence[Covered]
    known_as: str


async def take_from_others(conn: Conn, told: Mapping[RowKey, str]) -> list[Mistaken]:
    """Take ids, told by the provider of these locked attempts, from whichever others have them."""
    others = await attempts.others_known_as(conn, told)
    if not others:
        return []
    # Out of the common order, for what happens once in a year: a deadlock is asked for again.
    covered = await collection.lock_covered(conn, others)
    held = await attempts.lock(conn, others)
    await attempts.know_as(conn, dict.fromkeys(others))
    return [Mistaken(held[key], covered[key], known_as) for key, known_as in others.items()]


async def name_nameless(conn: Conn, told: Mapping[RowKey, str]) -> None:
    """Keep the ids that were told of locked attempts which have lost theirs, if no other has it."""
    if told:
        taken = set((await attempts.others_known_as(conn, told)).values())
        free = {key: known_as for key, known_as in told.items() if known_as not in taken}
        await attempts.know_as(conn, free)

"""Attempts that wait: to be sent, for an answer, for a person.

What a sweep takes up is read for all tenants at once, by the scout; the rest is one tenant's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

from recoup.rules.attempt_state import ASKED_ABOUT, State
from recoup.rules.records.keys import RowKey
from recoup.store.db import Conn
from recoup.store.rows import row_key

_READY_SINCE: Final = """
    SELECT organization_id, id FROM payments
     WHERE state = 'ready' AND ended_at IS NULL
       AND CASE WHEN send_at IS NULL THEN created_at <= $1 ELSE send_at <= $3 END
       AND NOT EXISTS (SELECT FROM quarantines q  -- it would be left as it is
            WHERE q.organization_id = payments.organization_id
              AND q.provider_account_id = payments.provider_account_id AND q.released_at IS NULL)
     ORDER BY created_at LIMIT $2
"""

_PARK: Final = """
    UPDATE payments p SET send_at = parked.until
      FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[]) AS parked (organization_id, id, until)
     WHERE (p.organization_id, p.id) = (parked.organization_id, parked.id) AND p.state = 'ready'
"""

_SEND_SOON: Final = """
    WITH waiting AS (
        SELECT organization_id, id FROM payments
         WHERE organization_id = $1 AND provider_account_id = $2
           AND state = 'ready' AND send_at > $3 AND id > $4
         ORDER BY id LIMIT $5
           FOR NO KEY UPDATE SKIP LOCKED
    )
    UPDATE payments p SET send_at = $3
      FROM waiting
     WHERE (p.organization_id, p.id) = (waiting.organization_id, waiting.id)
    RETURNING p.id
"""

_TO_LOOK_UP: Final = """
    SELECT organization_id, id FROM payments
     WHERE look_up_at <= $1 ORDER BY look_up_at LIMIT $2
"""

# Whoever has planned a later one meanwhile knows better, and so does who has planned none.
_PUT_OFF_LOOK_UP: Final = """
    UPDATE payments SET look_up_at = $3
     WHERE organization_id = $1 AND id = $2 AND look_up_at < $3
"""

# In pieces, and past what is locked: that is being settled at this moment, and needs no waking.
_LOOK_UP_SOON: Final = """
    WITH waiting AS (
        SELECT organization_id, id FROM payments
         WHERE organization_id = $1 AND provider_account_id = $2
           AND look_ups_unanswered > 0 AND look_up_at > $3
         ORDER BY organization_id, id LIMIT 1000
           FOR NO KEY UPDATE SKIP LOCKED
    )
    UPDATE payments p SET look_up_at = $3
      FROM waiting
     WHERE (p.organization_id, p.id) = (waiting.organization_id, waiting.id)
"""

_OLDEST_IN: Final = """
    SELECT organization_id, id FROM payments
     WHERE organization_id = $1 AND state = ANY ($2::text[]) AND payment_type = 'provider'
     ORDER BY created_at, id LIMIT $3
"""

# As rules/look_up_schedule.py: person_may_decide has it.
_WAITING_FOR_A_PERSON: Final = """
    SELECT organization_id, id FROM payments
     WHERE organization_id = $1 AND payment_type = 'provider'
       AND (state = 'needs_review' OR state = ANY ($2::text[]) AND sent_at <= $3)
     ORDER BY created_at, id LIMIT $4
"""


async def ready_since(scout: Conn, *, before: datetime, most: int, now: datetime) -> list[RowKey]:
    """Attempts of all tenants to send: held back until `now`, or not sent since `before`.

    The job of the latter may be gone.
    """
    return [row_key(row) for row in await scout.fetch(_READY_SINCE, before, most, now)]


async def park(conn: Conn, send_ats: Mapping[RowKey, datetime]) -> None:
    """Hold ready attempts back, each until its time. None of them is failed by it."""
    if not send_ats:
        return
    await conn.execute(
        _PARK,
        [key.organization_id for key in send_ats],
        [key.id for key in send_ats],
        list(send_ats.values()),
    )


async def send_soon(
    conn: Conn, account: RowKey, *, after: UUID, most: int, now: datetime
) -> UUID | None:
    """What was held back for an account is due: the next `most`, by id, that nobody holds.

    Answers the last id, after which more may wait; None: there are none.
    """
    asked = (account.organization_id, account.id, now, after, most)
    woken = [row["id"] for row in await conn.fetch(_SEND_SOON, *asked)]
    return max(woken) if len(woken) == most else None


async def to_look_up(scout: Conn, *, now: datetime, most: int) -> list[RowKey]:
    """Attempts of all tenants whose look-up is due, longest waiting first."""
    return [row_key(row) for row in await scout.fetch(_TO_LOOK_UP, now, most)]


async def put_off_look_up(conn: Conn, key: RowKey, *, until: datetime) -> None:
    """Ask about this attempt at this time and not before, if it is asked about."""
    await conn.execute(_PUT_OFF_LOOK_UP, key.organization_id, key.id, until)


async def look_up_soon(conn: Conn, account: RowKey, *, now: datetime) -> None:
    """An account answers again: what waits for an answer of it is due."""
    await conn.execute(_LOOK_UP_SOON, account.organization_id, account.id, now)


async def oldest_in(
    conn: Conn, organization_id: UUID, states: Collection[State], *, most: int
) -> list[RowKey]:
    """The organization's attempts that are in one of these states, oldest first."""
    asked = [state.value for state in states]
    return [row_key(row) for row in await conn.fetch(_OLDEST_IN, organization_id, asked, most)]


async def waiting_for_a_person(
    conn: Conn, organization_id: UUID, *, silent_since: datetime, most: int
) -> list[RowKey]:
    """The organization's attempts that a person may settle, oldest first.

    Those are in review, or were sent by `silent_since` and are asked about still.
    """
    asked = [state.value for state in ASKED_ABOUT]
    rows = await conn.fetch(_WAITING_FOR_A_PERSON, organization_id, asked, silent_since, most)
    return [row_key(row) for row in rows]

"""Rows of `events` and `webhook_deliveries`: what is told to the outside, and to whom."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from recoup.rules.records.keys import RowKey
from recoup.store.db import Conn
from recoup.store.rows import key_arrays


class Event(msgspec.Struct, frozen=True):
    """A fact told to the outside, with the body that is sent, to the letter."""

    organization_id: UUID
    id: UUID
    webhook_type: str
    object_id: UUID  # the invoice, payment or customer that it is about
    body: str
    ask_id: UUID | None = None  # the accepted retry that it ends


# The delivery's id is made from the two it joins, so that the same flow run again makes the same.
_INSERT: Final = """
    WITH told AS (
        INSERT INTO events
               (organization_id, id, webhook_type, object_id, body, ask_id, created_at)
        SELECT *, $7 FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::text[],
                                 $6::uuid[])
            ON CONFLICT (organization_id, id) DO NOTHING  -- told before, by this very flow
     RETURNING organization_id, id, webhook_type
    )
    INSERT INTO webhook_deliveries
           (organization_id, id, event_id, endpoint_id, deliver_at, created_at)
    SELECT told.organization_id, md5(told.id::text || endpoint.id::text)::uuid, told.id,
           endpoint.id, $7, $7
      FROM told
      JOIN webhook_endpoints endpoint USING (organization_id)
     WHERE endpoint.event_types IS NULL OR told.webhook_type = ANY (endpoint.event_types)
       FOR KEY SHARE OF endpoint  -- one that is being deleted is waited for, and left out
 RETURNING organization_id, id
"""

# A delivery that is there may be sent, or sent again, and needs its event's body.
_WITH_BODY: Final = """
    SELECT e.organization_id, e.id FROM events e
     WHERE e.created_at < $1 AND e.body_forgotten_at IS NULL
       AND NOT EXISTS (SELECT FROM webhook_deliveries d
            WHERE (d.organization_id, d.event_id) = (e.organization_id, e.id))
     ORDER BY e.created_at LIMIT $2
"""

_FORGET_BODIES: Final = """
    UPDATE events e SET body = '', body_forgotten_at = $3
      FROM unnest($1::uuid[], $2::uuid[]) AS old (organization_id, id)
     WHERE (e.organization_id, e.id) = (old.organization_id, old.id)
       AND e.body_forgotten_at IS NULL
       AND NOT EXISTS (SELECT FROM webhook_deliveries d
            WHERE (d.organization_id, d.event_id) = (e.organization_id, e.id))
"""


async def insert(conn: Conn, events: Sequence[Event], *, now: datetime) -> list[RowKey]:
    """Keep these events, and a delivery for every endpoint that wants one; answer those.

    An event that is there already is left as it is, and delivered no second time. Another one that
    ends the same ask is refused by the database: a bug of ours, which nothing may swallow.
    """
    if not events:
        return []
    rows = await conn.fetch(
        _INSERT,
        [event.organization_id for event in events],
        [event.id for event in events],
        [event.webhook_type for event in events],
        [event.object_id for event in events],
        [event.body for event in events],
        [event.ask_id for event in events],
        now,
    )
    return [RowKey(row["organization_id"], row["id"]) for row in rows]


async def with_body(scout: Conn, *, before: datetime, most: int) -> list[RowKey]:
    """Events of all tenants told before then that nobody can be sent any more, the oldest first."""
    rows = await scout.fetch(_WITH_BODY, before, most)
    return [RowKey(row["organization_id"], row["id"]) for row in rows]


async def forget_bodies(conn: Conn, keys: Collection[RowKey], *, now: datetime) -> bool:
    """Empty the bodies of these events; False: there were none. That they were told stays."""
    done: str = await conn.execute(_FORGET_BODIES, *key_arrays(keys), now)
    return done != "UPDATE 0"

"""Rows of `webhook_deliveries` and `webhook_tries`: one event for one endpoint, and its tries.

`store/events` makes them. One that waits, and no other, has a `deliver_at`. While it is under way
that is the end of its lease, when it is due again, whoever had it.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

import msgspec

from recoup.rules.records.keys import RowKey
from recoup.store.db import Conn
from recoup.store.rows import key_arrays


class DueDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """What one try needs."""

    organization_id: UUID
    id: UUID
    endpoint_id: UUID
    tries: int  # made so far, of this schedule
    first_at: datetime  # when its schedule began: with the event, or with its last replay
    url: str
    signature_algo: Literal["jwt", "hmac"]
    body: str  # sent to the letter, at every try
    hmac_key_sealed: bytes

    @property
    def key(self) -> RowKey:
        """Which delivery this is."""
        return RowKey(self.organization_id, self.id)

    @property
    def endpoint(self) -> RowKey:
        """Where it goes."""
        return RowKey(self.organization_id, self.endpoint_id)


# One that nobody has touched is due whatever the clock says: the host that made it and the one that
# sends it may not agree on the time.
_LOCK_DUE: Final = """
    SELECT d.organization_id, d.id, d.endpoint_id, d.tries - d.tries_before AS tries,
           coalesce(d.replayed_at, d.created_at) AS first_at,
           endpoint.webhook_url AS url, endpoint.signature_algo, e.body, o.hmac_key_sealed
      FROM webhook_deliveries d
      JOIN webhook_endpoints endpoint
        ON (endpoint.organization_id, endpoint.id) = (d.organization_id, d.endpoint_id)
      JOIN events e ON (e.organization_id, e.id) = (d.organization_id, d.event_id)
      JOIN organizations o ON o.id = d.organization_id
     WHERE d.organization_id = $1 AND d.id = $2
       AND (d.deliver_at <= $3 OR d.deliver_at = d.created_at)
       FOR NO KEY UPDATE OF d
"""

_PUT_OFF: Final = """
    UPDATE webhook_deliveries SET deliver_at = $3 WHERE organization_id = $1 AND id = $2
"""

# Not fenced by the lease: the receiver has it, whatever others have found meanwhile.
_DELIVERED: Final = """
    WITH noted AS (
        UPDATE webhook_deliveries
           SET state = 'delivered', tries = tries + 1, deliver_at = NULL, ended_at = $4,
               http_status = $3, error = NULL
         WHERE organization_id = $1 AND id = $2 AND state <> 'delivered'
     RETURNING organization_id, id, tries
    )
    INSERT INTO webhook_tries (organization_id, delivery_id, number, webhook_url, at, http_status)
    SELECT organization_id, id, tries, $5, $6, $3 FROM noted
"""

_FAILED: Final = """
    WITH noted AS (
        UPDATE webhook_deliveries
           SET state = CASE WHEN $4::timestamptz IS NULL THEN 'given_up' ELSE 'waiting' END,
               tries = tries + 1, deliver_at = $4, http_status = $5, error = $6,
               ended_at = CASE WHEN $4::timestamptz IS NULL THEN $7::timestamptz END
         WHERE organization_id = $1 AND id = $2 AND deliver_at = $3
     RETURNING organization_id, id, tries
    )
    INSERT INTO webhook_tries
           (organization_id, delivery_id, number, webhook_url, at, http_status, error)
    SELECT organization_id, id, tries, $8, $9, $5, $6 FROM noted
 RETURNING delivery_id
"""

_DUE: Final = """
    SELECT organization_id, id FROM webhook_deliveries
     WHERE deliver_at <= $1 ORDER BY deliver_at LIMIT $2
"""

_ENDED: Final = """
    SELECT organization_id, id FROM webhook_deliveries
     WHERE ended_at < $1 ORDER BY ended_at LIMIT $2
"""

# Looked at again under its lock: one that is being sent again has not ended.
_FORGET: Final = """
    DELETE FROM webhook_deliveries
     WHERE (organization_id, id) IN (
           SELECT d.organization_id, d.id
             FROM unnest($1::uuid[], $2::uuid[]) AS old (organization_id, id)
             JOIN webhook_deliveries d USING (organization_id, id)
            WHERE d.ended_at < $3
              FOR UPDATE OF d SKIP LOCKED)
"""


async def lock_due(conn: Conn, key: RowKey, *, now: datetime) -> DueDelivery | None:
    """Lock a delivery that is to be tried now.

    None: it is delivered or given up, its time has not come, somebody has it, or it is gone with
    its endpoint.
    """
    row = await conn.fetchrow(_LOCK_DUE, key.organization_id, key.id, now)
    return DueDelivery(**dict(row)) if row else None


async def put_off(conn: Conn, key: RowKey, *, until: datetime) -> None:
    """Let a locked delivery be due then, and nobody's before."""
    await conn.execute(_PUT_OFF, key.organization_id, key.id, until)


async def delivered(
    conn: Conn, delivery: DueDelivery, *, http_status: int, began_at: datetime, now: datetime
) -> None:
    """Note that the receiver has it, by a try that began then."""
    await conn.execute(
        _DELIVERED, delivery.organization_id, delivery.id, http_status, now, delivery.url, began_at
    )


async def failed(
    conn: Conn,
    delivery: DueDelivery,
    *,
    leased_until: datetime,
    next_try_at: datetime | None,
    http_status: int | None,
    error: str,
    began_at: datetime,
    now: datetime,
) -> bool:
    """Note a failed try, and when the next one is due; without one the delivery is given up.

    False: the lease had run out and somebody else took over, or it is gone. Nothing is noted then.
    """
    noted = await conn.fetchrow(
        _FAILED, delivery.organization_id, delivery.id, leased_until, next_try_at, http_status,
        error, now, delivery.url, began_at,
    )  # fmt: skip
    return noted is not None


async def due(scout: Conn, *, now: datetime, most: int) -> list[RowKey]:
    """Deliveries of all tenants that are due, the longest waiting first."""
    rows = await scout.fetch(_DUE, now, most)
    return [RowKey(row["organization_id"], row["id"]) for row in rows]


async def ended(scout: Conn, *, before: datetime, most: int) -> list[RowKey]:
    """Deliveries of all tenants that ended before then, the oldest first."""
    rows = await scout.fetch(_ENDED, before, most)
    return [RowKey(row["organization_id"], row["id"]) for row in rows]


async def forget(conn: Conn, keys: Collection[RowKey], *, before: datetime) -> bool:
    """Delete those of these that ended before then, with their tries; False: there were none."""
    done: str = await conn.execute(_FORGET, *key_arrays(keys), before)
    return done != "DELETE 0"

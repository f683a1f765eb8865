"""Rows of `provider_events`: what providers told us, kept as it came, once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from recoup.rules.records.keys import RowKey
from recoup.store.db import Conn
from recoup.store.rows import key_arrays


class ProviderEvent(msgspec.Struct, frozen=True):
    """An event of a provider, its signature checked before it was kept."""

    organization_id: UUID
    id: UUID
    provider_account_id: UUID
    provider_event_id: str
    body: str

    @property
    def key(self) -> RowKey:
        """Which event this is."""
        return RowKey(self.organization_id, self.id)

    @property
    def account(self) -> RowKey:
        """Whose event this is."""
        return RowKey(self.organization_id, self.provider_account_id)


_KEEP: Final = """
    INSERT INTO provider_events
           (organization_id, id, provider_account_id, provider_event_id, body, received_at)
    SELECT *, $6 FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[])
        ON CONFLICT DO NOTHING  -- providers deliver the same event more than once
 RETURNING organization_id, id
"""

_TO_APPLY: Final = """
    SELECT organization_id, id, provider_account_id, provider_event_id, body, received_at
      FROM provider_events
     WHERE organization_id = $1 AND id = $2 AND applied_at IS NULL
       FOR UPDATE
"""

_APPLIED: Final = """
    UPDATE provider_events SET applied_at = $3, outcome = $4
     WHERE organization_id = $1 AND id = $2
"""

_WAITING: Final = """
    SELECT organization_id, id FROM provider_events
     WHERE applied_at IS NULL AND received_at <= $1 AND (apply_at IS NULL OR apply_at <= $3)
     ORDER BY coalesce(apply_at, received_at) LIMIT $2  -- who waits long keeps nobody out
"""

_PUT_OFF: Final = """
    UPDATE provider_events SET apply_at = $3 WHERE organization_id = $1 AND id = $2
"""

_WITH_BODY: Final = """
    SELECT organization_id, id FROM provider_events
     WHERE applied_at < $1 AND body_forgotten_at IS NULL ORDER BY applied_at LIMIT $2
"""

# That it came stays, or else it would be news when it comes again.
_FORGET_BODIES: Final = """
    UPDATE provider_events e SET body = '', body_forgotten_at = $3
      FROM unnest($1::uuid[], $2::uuid[]) AS old (organization_id, id)
     WHERE (e.organization_id, e.id) = (old.organization_id, old.id)
       AND e.applied_at IS NOT NULL AND e.body_forgotten_at IS NULL
"""


async def keep(conn: Conn, events: Sequence[ProviderEvent], *, now: datetime) -> list[RowKey]:
    """Keep these events; answer those that are new."""
    rows = await conn.fetch(
        _KEEP,
        [event.organization_id for event in events],
        [event.id for event in events],
        [event.provider_account_id for event in events],
        [event.provider_event_id for event in events],
        [event.body for event in events],
        now,
    )
    return _keys(rows)


async def lock_to_apply(conn: Conn, key: RowKey) -> tuple[ProviderEvent, datetime] | None:
    """Lock an event that waits to be applied, and say when it came.

    None where there is none, or it is applied.
    """
    row = await conn.fetchrow(_TO_APPLY, key.organization_id, key.id)
    if row is None:
        return None
    fields: dict[str, Any] = dict(row)
    received_at = fields.pop("received_at")
    return ProviderEvent(**fields), received_at


async def put_off(conn: Conn, key: RowKey, *, until: datetime) -> None:
    """Let an event wait: what it is about may become known."""
    await conn.execute(_PUT_OFF, key.organization_id, key.id, until)


async def mark_applied(conn: Conn, key: RowKey, outcome: str, *, now: datetime) -> None:
    """Note that an event was applied, and what that did, in a word."""
    await conn.execute(_APPLIED, key.organization_id, key.id, now, outcome)


async def waiting(scout: Conn, *, before: datetime, most: int, now: datetime) -> list[RowKey]:
    """Events of all tenants that nobody has applied since `before`: their job may be gone.

    What was put off is among them when its time has come.
    """
    return _keys(await scout.fetch(_WAITING, before, most, now))


async def with_body(scout: Conn, *, before: datetime, most: int) -> list[RowKey]:
    """Events of all tenants that were applied before then, the oldest first."""
    return _keys(await scout.fetch(_WITH_BODY, before, most))


async def forget_bodies(conn: Conn, keys: Collection[RowKey], *, now: datetime) -> bool:
    """Empty the bodies of these events, which are applied; False: there were none."""
    done: str = await conn.execute(_FORGET_BODIES, *key_arrays(keys), now)
    return done != "UPDATE 0"


def _keys(rows: Collection[Any]) -> list[RowKey]:
    return [RowKey(row["organization_id"], row["id"]) for row in rows]

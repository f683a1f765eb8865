"""Lists of `webhook_deliveries`, for those who look into them, and what is sent again.

What would surprise you: there is no count. A tenant has one delivery for each event and endpoint,
millions of them, and whoever looks wants the last few, or those that failed. A list goes on where
the piece before it ended, along an index, however long it is.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from recoup.rules.cursors import Cursor
from recoup.rules.delivery_state import DeliveryState
from recoup.rules.records.keys import RowKey
from recoup.store.conditions import Conditions
from recoup.store.db import Conn
from recoup.store.listing import planned_for_values


class DeliveryFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which deliveries are wanted; None: all. Both ends of a time are among it."""

    endpoint_id: UUID | None = None
    webhook_type: str | None = None
    state: DeliveryState | None = None
    object_id: UUID | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None


class DeliveryRow(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery as it is shown."""

    organization_id: UUID
    id: UUID
    endpoint_id: UUID
    webhook_url: str  # where the endpoint is now
    event_id: UUID
    webhook_type: str
    object_id: UUID
    state: DeliveryState
    tries: int
    http_status: int | None  # of the last try
    error: str | None
    deliver_at: datetime | None
    created_at: datetime
    ended_at: datetime | None
    replays: int
    replayed_at: datetime | None


class TryRow(msgspec.Struct, frozen=True, kw_only=True):
    """One try, and what was answered: the status alone, for the rest is not kept."""

    number: int
    webhook_url: str
    at: datetime
    http_status: int | None
    error: str | None


# The piece first, and what is shown of it then: the planner thinks that the joins find next to
# nothing, and would make them for all that the tenant was told, to sort it afterwards.
_PIECE: Final = "SELECT d.* FROM webhook_deliveries d"
_PIECE_BY_EVENT: Final = f"""
    {_PIECE} JOIN events e ON (e.organization_id, e.id) = (d.organization_id, d.event_id)
"""

_SHOWN: Final = """
    SELECT d.organization_id, d.id, d.endpoint_id, w.webhook_url, d.event_id, e.webhook_type,
           e.object_id, d.state, d.tries, d.http_status, d.error, d.deliver_at, d.created_at,
           d.ended_at, d.replays, d.replayed_at
      FROM %s d
      JOIN events e ON (e.organization_id, e.id) = (d.organization_id, d.event_id)
      JOIN webhook_endpoints w ON (w.organization_id, w.id) = (d.organization_id, d.endpoint_id)
"""

_ONE: Final = f"{_SHOWN % 'webhook_deliveries'} WHERE d.organization_id = $1 AND d.id = $2"

_BODY: Final = """
    SELECT e.body FROM webhook_deliveries d
      JOIN events e ON (e.organization_id, e.id) = (d.organization_id, d.event_id)
     WHERE d.organization_id = $1 AND d.id = $2
"""

_TRIES: Final = """
    SELECT number, webhook_url, at, http_status, error FROM webhook_tries
     WHERE organization_id = $1 AND delivery_id = $2 ORDER BY number
"""

_LOCK: Final = """
    SELECT state FROM webhook_deliveries WHERE organization_id = $1 AND id = $2 FOR UPDATE
"""

# Its tries stay, and its schedule begins anew.
_REPLAY: Final = """
    UPDATE webhook_deliveries
       SET state = 'waiting', deliver_at = $3, ended_at = NULL, replays = replays + 1,
           replayed_at = $3, tries_before = tries
     WHERE organization_id = $1 AND id = ANY ($2::uuid[]) AND state <> 'waiting'
"""


async def piece(
    conn: Conn,
    organization_id: UUID,
    wanted: DeliveryFilter,
    *,
    after: Cursor | None,
    most: int,
) -> tuple[list[DeliveryRow], Cursor | None]:
    """A piece of the list, newest first, and where the next one begins; None: it was the last."""
    rows_of, where, at = _wanted(organization_id, wanted)
    if after is not None:
        where.add(f"{at} <= {{0}} AND ({at}, d.id) < ({{0}}, {{1}})", after.at, after.id)
    chosen = f"{rows_of} WHERE {where.sql()} ORDER BY {at} DESC, d.id DESC LIMIT {most + 1}"
    async with planned_for_values(conn):
        rows = await conn.fetch(
            f"{_SHOWN % f'({chosen})'} ORDER BY d.created_at DESC, d.id DESC", *where.values
        )
    found = [_shown(row) for row in rows[:most]]
    return found, Cursor(found[-1].created_at, found[-1].id) if len(rows) > most else None


async def one(conn: Conn, delivery: RowKey) -> DeliveryRow | None:
    """Read a delivery."""
    row = await conn.fetchrow(_ONE, delivery.organization_id, delivery.id)
    return _shown(row) if row else None


async def body(conn: Conn, delivery: RowKey) -> str:
    """What a delivery sends, to the letter."""
    found: str = await conn.fetchval(_BODY, delivery.organization_id, delivery.id)
    return found


async def tries(conn: Conn, delivery: RowKey) -> list[TryRow]:
    """The tries of a delivery, those before a replay too, oldest first."""
    rows = await conn.fetch(_TRIES, delivery.organization_id, delivery.id)
    return [TryRow(**dict(row)) for row in rows]


async def lock(conn: Conn, delivery: RowKey) -> DeliveryState | None:
    """Lock a delivery until the transaction ends, and say where it stands."""
    state = await conn.fetchval(_LOCK, delivery.organization_id, delivery.id)
    return None if state is None else DeliveryState(state)


async def lock_ended(
    conn: Conn,
    organization_id: UUID,
    wanted: DeliveryFilter,
    *,
    after: Cursor | None,
    most: int,
) -> list[Cursor]:
    """Lock a piece of those that are wanted and have ended, oldest first, behind `after`."""
    rows_of, where, at = _wanted(organization_id, wanted)
    where.add("d.state <> 'waiting'")
    if after is not None:
        where.add(f"{at} >= {{0}} AND ({at}, d.id) > ({{0}}, {{1}})", after.at, after.id)
    async with planned_for_values(conn):
        rows = await conn.fetch(
            f"{rows_of} WHERE {where.sql()} ORDER BY {at}, d.id LIMIT {most} FOR UPDATE OF d",
            *where.values,
        )
    return [Cursor(row["created_at"], row["id"]) for row in rows]


async def replay(
    conn: Conn, organization_id: UUID, ids: Collection[UUID], *, now: datetime
) -> None:
    """Let these locked deliveries be due again."""
    await conn.execute(_REPLAY, organization_id, list(ids), now)


def _wanted(organization_id: UUID, wanted: DeliveryFilter) -> tuple[str, Conditions, str]:
    """A SELECT of deliveries, its conditions, and the column of the list's order.

    A delivery is made in the statement that makes its event, and has its `created_at`. So where
    deliveries are found by their events, it is those whose index has the order.
    """
    by_event = wanted.webhook_type is not None or wanted.object_id is not None
    at = "e.created_at" if by_event else "d.created_at"
    where = Conditions()
    where.add("d.organization_id = {0}", organization_id)
    if by_event:
        where.add("e.organization_id = {0}", organization_id)
    if wanted.state is not None:  # a word of ours, in the text: an index holds some states alone
        where.add(f"d.state = '{wanted.state}'")
    if wanted.endpoint_id is not None:
        # In the text, too: a plan for any endpoint walks all that the tenant was told, and never
        # ends for one that was told nothing yet.
        assert isinstance(wanted.endpoint_id, UUID), "a caller's text is a parameter"
        where.add(f"d.endpoint_id = '{wanted.endpoint_id}'")
    for condition, value in (
        ("e.webhook_type = {0}", wanted.webhook_type),
        ("e.object_id = {0}", wanted.object_id),
        (f"{at} >= {{0}}", wanted.created_from),
        (f"{at} <= {{0}}", wanted.created_to),
    ):
        if value is not None:
            where.add(condition, value)
    return _PIECE_BY_EVENT if by_event else _PIECE, where, at


def _shown(row: Any) -> DeliveryRow:
    return DeliveryRow(**dict(row) | {"state": DeliveryState(row["state"])})

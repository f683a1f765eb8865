"""Send again what has ended: delivered, but lost by its receiver, or given up.

Called by the API and the command line. What would surprise you:
- It is the same delivery, with the same id and the same bytes: a receiver that had it can tell.
- It goes where the endpoint is by then, and not where it once went. With its endpoint a delivery is
  deleted, and cannot be sent again.
- Its schedule begins anew; the tries before stay to be read.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from recoup.rules.cursors import Cursor
from recoup.rules.delivery_state import DeliveryState
from recoup.rules.records.keys import RowKey
from recoup.rules.refusal import Refused, not_allowed, not_found
from recoup.store import delivery_lists, jobs
from recoup.store.db import Conn
from recoup.store.delivery_lists import DeliveryFilter, DeliveryRow, TryRow
from recoup.store.jobs import Job

MOST_AT_ONCE: Final = 1_000  # how many share one transaction: bounds how long locks are held
NOT_FOUND: Final = not_found("webhook_delivery")


class SeenDelivery(msgspec.Struct, frozen=True):
    """A delivery with all there is to see of it."""

    row: DeliveryRow
    body: str
    tries: list[TryRow]


async def find_delivery(conn: Conn, delivery: RowKey) -> SeenDelivery:
    """Read a delivery with what it sends and its tries.

    :raises Refused: `webhook_delivery_not_found`.
    """
    row = await delivery_lists.one(conn, delivery)
    if row is None:
        raise Refused(NOT_FOUND)
    return SeenDelivery(
        row, await delivery_lists.body(conn, delivery), await delivery_lists.tries(conn, delivery)
    )


async def replay_delivery(conn: Conn, delivery: RowKey, *, now: datetime) -> SeenDelivery:
    """Send one again, and answer what it has become.

    :raises Refused: `webhook_delivery_not_found`; 405 `webhook_delivery_is_waiting` for one that is
        still to be sent.
    """
    state = await delivery_lists.lock(conn, delivery)
    if state is None:
        raise Refused(NOT_FOUND)
    if state is DeliveryState.WAITING:
        raise Refused(not_allowed("webhook_delivery_is_waiting"))
    await _replay(conn, delivery.organization_id, [delivery.id], now=now)
    return await find_delivery(conn, delivery)


async def replay_deliveries(
    conn: Conn,
    organization_id: UUID,
    wanted: DeliveryFilter,
    *,
    after: Cursor | None,
    most: int = MOST_AT_ONCE,
    now: datetime,
) -> tuple[int, Cursor | None]:
    """Send a piece of those again that are wanted and have ended, oldest first.

    Answers how many those were, and where the next piece begins; None: it was the last. No piece
    comes back to what another has sent, whatever became of that. The whole ends with what was there
    when its first piece was asked for: what comes while it is sent again is not.
    """
    until = min(wanted.created_to or now, after.until if after and after.until else now)
    wanted = msgspec.structs.replace(wanted, created_to=until)
    found = await delivery_lists.lock_ended(conn, organization_id, wanted, after=after, most=most)
    await _replay(conn, organization_id, [one.id for one in found], now=now)
    goes_on = len(found) == most
    return len(found), Cursor(found[-1].at, found[-1].id, until) if goes_on else None


async def _replay(conn: Conn, organization_id: UUID, ids: list[UUID], *, now: datetime) -> None:
    await delivery_lists.replay(conn, organization_id, ids, now=now)
    keys = [RowKey(organization_id, one) for one in ids]
    await jobs.promise(conn, Job.DELIVER_WEBHOOK, keys)

"""Rows of `dunning_wakes`: organizations whose late customers are to be looked at, and how far.

What would surprise you: the row is the promise, and not the job. One that runs swallows a second
promise; but whoever changes something meanwhile has the row begin anew, and the job goes on until
it is gone. Locked before `dunnings`.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from recoup.rules.records.keys import RowKey
from recoup.store.db import Conn

_ASK: Final = """
    INSERT INTO dunning_wakes (organization_id, asked_at) VALUES ($1, $2)
        ON CONFLICT (organization_id) DO UPDATE
       SET after_customer_id = excluded.after_customer_id, only_missing = false,
           asked_at = excluded.asked_at
"""
_ASK_FOR_MISSING: Final = """
    INSERT INTO dunning_wakes (organization_id, only_missing, asked_at)
    SELECT u, true, $2 FROM unnest($1::uuid[]) AS u ORDER BY u
        ON CONFLICT DO NOTHING
"""

_WAITING: Final = """
    SELECT organization_id FROM dunning_wakes WHERE asked_at < $1 ORDER BY asked_at LIMIT $2
"""

_LOCK: Final = """
    SELECT after_customer_id, only_missing FROM dunning_wakes WHERE organization_id = $1 FOR UPDATE
"""

_LATE: Final = """
    SELECT DISTINCT customer_id FROM invoices
     WHERE organization_id = $1 AND customer_id > $2 AND payment_overdue
     ORDER BY customer_id LIMIT $3
"""

_ADVANCE: Final = "UPDATE dunning_wakes SET after_customer_id = $2 WHERE organization_id = $1"
_END: Final = "DELETE FROM dunning_wakes WHERE organization_id = $1"


class Wake(msgspec.Struct, frozen=True):
    """How far it has come, along the ids of customers; `only_missing`: who has a row is left."""

    after_customer_id: UUID
    only_missing: bool


def job_key(organization_id: UUID) -> RowKey:
    """What the job of an organization's row is called by."""
    return RowKey(organization_id, organization_id)


async def ask(conn: Conn, organization_id: UUID, *, now: datetime) -> None:
    """Have all late customers of an organization looked at, from the first on."""
    await conn.execute(_ASK, organization_id, now)


async def ask_for_missing(conn: Conn, organizations: Collection[UUID], *, now: datetime) -> None:
    """Have those looked at whom nobody looks at. Where all are to be anyway, that is enough."""
    await conn.execute(_ASK_FOR_MISSING, organizations, now)


async def waiting(scout: Conn, *, before: datetime, most: int) -> list[RowKey]:
    """The jobs of organizations that wait since before then, longest waiting first."""
    return [job_key(row["organization_id"]) for row in await scout.fetch(_WAITING, before, most)]


async def lock(conn: Conn, organization_id: UUID) -> Wake | None:
    """Lock the row; None: there is none, or none any more."""
    row = await conn.fetchrow(_LOCK, organization_id)
    return Wake(**dict(row)) if row else None


async def late_after(
    conn: Conn, organization_id: UUID, customer_id: UUID, *, most: int
) -> list[RowKey]:
    """The next customers, by their ids, who have something overdue."""
    rows = await conn.fetch(_LATE, organization_id, customer_id, most)
    return [RowKey(organization_id, row["customer_id"]) for row in rows]


async def advance(conn: Conn, organization_id: UUID, *, after: UUID) -> None:
    """All up to this customer are woken."""
    await conn.execute(_ADVANCE, organization_id, after)


async def end(conn: Conn, organization_id: UUID) -> None:
    """All are."""
    await conn.execute(_END, organization_id)

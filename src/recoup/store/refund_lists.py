"""Lists of `refunds`: due for a worker, to compare with a provider's, to show to a person."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from recoup.rules.lago.pages import Page
from recoup.rules.records.keys import RowKey
from recoup.rules.records.refunds import RefundRow
from recoup.store.db import Conn
from recoup.store.listing import ids_and_total
from recoup.store.refunds import read_row
from recoup.store.rows import columns

_TO_LOOK_UP: Final = """
    SELECT organization_id, id FROM refunds
     WHERE look_up_at <= $1 ORDER BY look_up_at LIMIT $2
"""

_READY_SINCE: Final = """
    SELECT organization_id, id FROM refunds
     WHERE state = 'ready'
       AND CASE WHEN send_at IS NULL THEN created_at <= $1 ELSE send_at <= $3 END
       AND NOT EXISTS (SELECT FROM quarantines q  -- it would be left as it is
            WHERE q.organization_id = refunds.organization_id
              AND q.provider_account_id = refunds.provider_account_id AND q.released_at IS NULL)
     ORDER BY created_at LIMIT $2
"""

# Those that ended lately as well: a payer's bank may have sent the money back. And those that are
# ready: a restore may have lost that they were sent.
_TO_COMPARE: Final = f"""
    SELECT {columns(RefundRow)} FROM refunds
     WHERE organization_id = $1 AND provider_account_id = $2
       AND CASE WHEN state = 'ready' THEN created_at ELSE sent_at END < $4
       AND (ended_at IS NULL OR ended_at >= $3 OR id = ANY ($5::uuid[]))
     ORDER BY ended_at NULLS FIRST, sent_at, id LIMIT $6
"""

# As rules/look_up_schedule.py: person_may_decide_refund has it. `ended_at` is for the index of the
# open ones: `$2` is an instant.
_WAITS_FOR_A_PERSON: Final = """
    ended_at IS NULL
    AND (state = 'needs_review'
         OR state IN ('sent', 'unknown', 'processing') AND sent_at <= $2::timestamptz)
"""

_THESE: Final = f"""
    SELECT {columns(RefundRow, "r")}
      FROM unnest($2::uuid[]) WITH ORDINALITY AS asked (id, place)
      JOIN refunds r ON r.organization_id = $1 AND r.id = asked.id
     ORDER BY asked.place
"""


async def to_look_up(scout: Conn, *, now: datetime, most: int) -> list[RowKey]:
    """Refunds of all tenants whose look-up is due, longest waiting first."""
    return [_key(row) for row in await scout.fetch(_TO_LOOK_UP, now, most)]


async def ready_since(scout: Conn, *, before: datetime, most: int, now: datetime) -> list[RowKey]:
    """Refunds of all tenants to send: held back until `now`, or not sent since `before`.

    The job of the latter may be gone.
    """
    return [_key(row) for row in await scout.fetch(_READY_SINCE, before, most, now)]


async def to_compare(
    conn: Conn,
    account: RowKey,
    *,
    ended_since: datetime,
    sent_before: datetime,
    besides: Collection[UUID],
    most: int,
) -> list[RefundRow]:
    """The account's refunds that have not ended, or not long ago, and those asked for besides."""
    rows = await conn.fetch(
        _TO_COMPARE, account.organization_id, account.id, ended_since, sent_before,
        list(besides), most,
    )  # fmt: skip
    return [read_row(row) for row in rows]


async def page(
    conn: Conn, organization_id: UUID, wanted: Page, *, silent_since: datetime | None = None
) -> tuple[list[RefundRow], int]:
    """One page of the organization's refunds, newest first, and how many there are in all.

    `silent_since` asks for those alone that wait for a person: in review, or sent by then.
    """
    where, values = _shown(organization_id, silent_since)
    ids, total = await ids_and_total(
        conn,
        f"SELECT id FROM refunds WHERE {where} ORDER BY created_at DESC, id",
        f"SELECT count(*) FROM refunds WHERE {where}",
        values,
        wanted,
    )
    rows = await conn.fetch(_THESE, organization_id, ids)
    return [read_row(row) for row in rows], total


async def oldest_open(
    conn: Conn, organization_id: UUID, *, silent_since: datetime | None, most: int
) -> list[RefundRow]:
    """The organization's refunds that have not ended, oldest first; `silent_since` as in `page`."""
    where, values = _shown(organization_id, silent_since)
    rows = await conn.fetch(
        f"SELECT {columns(RefundRow)} FROM refunds WHERE {where} AND ended_at IS NULL"
        f" ORDER BY created_at, id LIMIT {most}",
        *values,
    )
    return [read_row(row) for row in rows]


def _shown(organization_id: UUID, silent_since: datetime | None) -> tuple[str, list[object]]:
    """The condition of a list, with its values; `silent_since` as in `page`."""
    if silent_since is None:
        return "organization_id = $1", [organization_id]
    return f"organization_id = $1 AND {_WAITS_FOR_A_PERSON}", [organization_id, silent_since]


def _key(row: Any) -> RowKey:
    return RowKey(row["organization_id"], row["id"])

"""Rows of `refunds`: asked for, sent, settled, put off. Lists of them: `refund_lists`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from recoup.rules.records.keys import RowKey
from recoup.rules.records.refunds import RefundRow
from recoup.rules.refund_state import RefundState
from recoup.store.contradictions import Contradiction
from recoup.store.db import Conn
from recoup.store.rows import columns, insertion, key_arrays, storable, values

_INSERT: Final = f"""{insertion("refunds", RefundRow)}
    ON CONFLICT DO NOTHING  -- its money is on its way back already
    RETURNING id
"""

_FIND: Final = f"""
    SELECT {columns(RefundRow, "r")}
      FROM unnest($1::uuid[], $2::uuid[]) AS asked (organization_id, id)
      JOIN refunds r USING (organization_id, id)
"""

_LOCK: Final = f"""{_FIND}
     ORDER BY r.organization_id, r.id
       FOR NO KEY UPDATE OF r
"""

_SEND: Final = """
    UPDATE refunds SET state = 'sent', request = $3, sent_at = $4, look_up_at = $5
     WHERE organization_id = $1 AND id = $2
"""

_WRITE: Final = """
    UPDATE refunds
       SET state = $3, provider_refund_id = coalesce($4, provider_refund_id),
           provider_status = coalesce($5, provider_status), error_code = $6, error_message = $7,
           look_up_at = $8, look_ups_unanswered = $9,
           ended_at = CASE WHEN $3 IN ('succeeded', 'failed') THEN $10::timestamptz END
     WHERE organization_id = $1 AND id = $2
"""

# A failure of before: the provider's own word of it, and under which id it has the refund.
_NAME_FAILURE: Final = """
    UPDATE refunds
       SET provider_refund_id = coalesce($3, provider_refund_id), provider_status = $4,
           error_code = $5, error_message = $6
     WHERE organization_id = $1 AND id = $2
"""

_BY_PROVIDER_ID: Final = """
    SELECT organization_id, id FROM refunds
     WHERE organization_id = $1 AND provider_account_id = $2 AND provider_refund_id = $3
"""

_OF_CREDIT_NOTE: Final = """
    SELECT state, amount_cents FROM refunds
     WHERE organization_id = $1 AND credit_note_id = $2
     ORDER BY id
"""

_REFUNDED_BEFORE: Final = """
    SELECT coalesce(sum(amount_cents), 0)::bigint FROM refunds
     WHERE organization_id = $1 AND provider_account_id = $2 AND provider_payment_id = $3
       AND id <> $4 AND state NOT IN ('ready', 'failed')
"""

_ANOTHER_IS_ON_ITS_WAY: Final = """
    SELECT EXISTS (
        SELECT FROM refunds
         WHERE organization_id = $1 AND payment_id = $2 AND provider_payment_id = $3
           AND id <> $4 AND state IN ('sent', 'unknown', 'needs_review'))
"""

_WENT_BACK: Final = """
    SELECT EXISTS (
           SELECT FROM refunds r
             JOIN contradictions told
               ON (told.organization_id, told.refund_id) = (r.organization_id, r.id)
            WHERE r.organization_id = $1 AND r.payment_id = $2 AND r.contradiction_id = $3
              AND told.told = 'refunded'
              AND NOT EXISTS (SELECT FROM contradictions back
                   WHERE (back.organization_id, back.refund_id, back.provider_refund_id)
                         = (told.organization_id, told.refund_id, told.provider_refund_id)
                     AND back.told = 'came_back'))
"""

_PARK: Final = """
    UPDATE refunds SET send_at = $3 WHERE organization_id = $1 AND id = $2 AND state = 'ready'
"""

_SEND_SOON: Final = """
    WITH waiting AS (
        SELECT organization_id, id FROM refunds
         WHERE organization_id = $1 AND provider_account_id = $2
           AND state = 'ready' AND send_at > $3 AND id > $4
         ORDER BY id LIMIT $5
           FOR NO KEY UPDATE SKIP LOCKED
    )
    UPDATE refunds r SET send_at = $3
      FROM waiting
     WHERE (r.organization_id, r.id) = (waiting.organization_id, waiting.id)
    RETURNING r.id
"""

_TAKE_BACK: Final = """
    UPDATE refunds SET state = 'ready', look_up_at = NULL, send_at = $4
     WHERE organization_id = $1 AND id = $2 AND state = 'sent' AND sent_at = $3
    RETURNING id
"""

# Whoever has planned a later one meanwhile knows better, and so does who has planned none.
_PUT_OFF_LOOK_UP: Final = """
    UPDATE refunds SET look_up_at = $3
     WHERE organization_id = $1 AND id = $2 AND look_up_at < $3
"""


class RefundNews(msgspec.Struct, frozen=True, kw_only=True):
    """What is written of a refund after news of it. None keeps what the provider told before."""

    key: RowKey
    state: RefundState
    provider_refund_id: str | None = None
    provider_status: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    look_up_at: datetime | None = None
    look_ups_unanswered: int = 0


async def insert(conn: Conn, refund: RefundRow) -> bool:
    """Add a refund; False where its money is on its way back already, or this very one exists."""
    return await conn.fetchval(_INSERT, *values(refund)) is not None


async def find(conn: Conn, keys: Collection[RowKey]) -> dict[RowKey, RefundRow]:
    """Read these refunds; those that do not exist are left out."""
    return _by_key(await conn.fetch(_FIND, *key_arrays(keys)))


async def lock(conn: Conn, keys: Collection[RowKey]) -> dict[RowKey, RefundRow]:
    """Lock these refunds until the transaction ends."""
    return _by_key(await conn.fetch(_LOCK, *key_arrays(keys)))


async def send(
    conn: Conn, key: RowKey, request: str, *, look_up_at: datetime, now: datetime
) -> None:
    """Move a refund to `sent` with what a re-send needs."""
    await conn.execute(_SEND, key.organization_id, key.id, request, now, look_up_at)


async def write(conn: Conn, news: RefundNews, *, now: datetime) -> None:
    """Write what was told of a refund."""
    await conn.execute(
        _WRITE, news.key.organization_id, news.key.id, news.state.value,
        storable(news.provider_refund_id), storable(news.provider_status),
        storable(news.error_code), storable(news.error_message), news.look_up_at,
        news.look_ups_unanswered, now,
    )  # fmt: skip


async def name_failure(conn: Conn, news: RefundNews) -> None:
    """Write the provider's own word of a refund that had failed without it."""
    await conn.execute(
        _NAME_FAILURE, news.key.organization_id, news.key.id, storable(news.provider_refund_id),
        storable(news.provider_status), storable(news.error_code), storable(news.error_message),
    )  # fmt: skip


async def went_back_after_all(conn: Conn, contradiction: Contradiction) -> bool:
    """Say whether its money went back by a refund of which nothing but that was ever told."""
    payment = contradiction.payment
    went: bool = await conn.fetchval(
        _WENT_BACK, payment.organization_id, payment.id, contradiction.id
    )
    return went


async def by_provider_id(conn: Conn, account: RowKey, provider_refund_id: str) -> RowKey | None:
    """The refund that this account knows by this id of its own."""
    row = await conn.fetchrow(
        _BY_PROVIDER_ID, account.organization_id, account.id, provider_refund_id
    )
    return _key(row) if row else None


async def of_credit_note(conn: Conn, note: RowKey) -> list[tuple[RefundState, int]]:
    """Where the refunds of this credit note stand, and what each pays back."""
    rows = await conn.fetch(_OF_CREDIT_NOTE, note.organization_id, note.id)
    return [(RefundState(row["state"]), row["amount_cents"]) for row in rows]


async def refunded_before(conn: Conn, refund: RefundRow) -> int:
    """What other refunds of the same charge pay back, or may; in minor units."""
    cents: int = await conn.fetchval(
        _REFUNDED_BEFORE,
        refund.organization_id,
        refund.provider_account_id,
        refund.provider_payment_id,
        refund.id,
    )
    return cents


async def another_is_on_its_way(conn: Conn, refund: RefundRow) -> bool:
    """Whether another refund of the same charge was sent, and nobody knows yet if it got in."""
    is_so: bool = await conn.fetchval(
        _ANOTHER_IS_ON_ITS_WAY,
        refund.organization_id,
        refund.payment_id,
        refund.provider_payment_id,
        refund.id,
    )
    return is_so


async def park(conn: Conn, key: RowKey, *, until: datetime) -> None:
    """Hold a ready refund back. It is not failed by it."""
    await conn.execute(_PARK, key.organization_id, key.id, until)


async def send_soon(
    conn: Conn, account: RowKey, *, after: UUID, most: int, now: datetime
) -> UUID | None:
    """What was held back for an account is due: the next `most`, by id, that nobody holds.

    Answers the last id, after which more may wait; None: there are none.
    """
    asked = (account.organization_id, account.id, now, after, most)
    woken = [row["id"] for row in await conn.fetch(_SEND_SOON, *asked)]
    return max(woken) if len(woken) == most else None


async def take_back(conn: Conn, key: RowKey, *, sent_at: datetime, send_at: datetime) -> bool:
    """Have a refund `ready` again whose only call did nothing; False: it is `sent` no more."""
    asked = (key.organization_id, key.id, sent_at, send_at)
    return await conn.fetchval(_TAKE_BACK, *asked) is not None


async def put_off_look_up(conn: Conn, key: RowKey, *, until: datetime) -> None:
    """Ask about this refund at this time and not before, if it is asked about."""
    await conn.execute(_PUT_OFF_LOOK_UP, key.organization_id, key.id, until)


def read_row(row: Any) -> RefundRow:
    """A row of `refunds`, with all its columns."""
    return RefundRow(**dict(row) | {"state": RefundState(row["state"])})


def _by_key(rows: Sequence[Any]) -> dict[RowKey, RefundRow]:
    return {refund.key: refund for refund in map(read_row, rows)}


def _key(row: Any) -> RowKey:
    return RowKey(row["organization_id"], row["id"])

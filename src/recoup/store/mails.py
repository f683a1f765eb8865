"""Rows of `mails`: what is to be mailed to whom, and how far that came."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from recoup.rules.records.keys import RowKey
from recoup.rules.records.mails import Mail
from recoup.store.db import Conn
from recoup.store.rows import columns, insertion, key_arrays, row_key, values

NO_DOCUMENT_YET: Final = "document_not_made"  # why a mail waits

_INSERT: Final = f"{insertion('mails', Mail)} ON CONFLICT (organization_id, id) DO NOTHING"

# Whoever else is sending it holds it until `$4`: then it is somebody else's, with one try more.
_LEASE: Final = f"""
    UPDATE mails SET send_at = $4, tries = tries + 1
     WHERE organization_id = $1 AND id = $2 AND state = 'waiting' AND send_at <= $3
 RETURNING {columns(Mail)}
"""

_END: Final = """
    UPDATE mails
       SET state = $4, error = $5, send_at = NULL, ended_at = $6, taken_for = $7, refused_for = $8
     WHERE organization_id = $1 AND id = $2 AND tries = $3 AND state = 'waiting'
"""

_PUT_OFF: Final = """
    UPDATE mails SET error = $4, send_at = $5, taken_for = $6, refused_for = $7
     WHERE organization_id = $1 AND id = $2 AND tries = $3 AND state = 'waiting'
"""

_WAKE: Final = """
    UPDATE mails SET send_at = $3
     WHERE organization_id = $1 AND object_id = $2 AND state = 'waiting' AND error = $4
 RETURNING organization_id, id
"""

_UNSENT: Final = f"""
    SELECT {columns(Mail)} FROM mails
     WHERE organization_id = $1 AND state <> 'sent'
     ORDER BY created_at, id LIMIT $2
"""

_DUE: Final = """
    SELECT organization_id, id FROM mails WHERE send_at <= $1 ORDER BY send_at LIMIT $2
"""

_ENDED: Final = """
    SELECT organization_id, id FROM mails WHERE ended_at < $1 ORDER BY ended_at LIMIT $2
"""

_FORGET: Final = """
    DELETE FROM mails
     WHERE (organization_id, id) IN (
           SELECT m.organization_id, m.id
             FROM unnest($1::uuid[], $2::uuid[]) AS old (organization_id, id)
             JOIN mails m USING (organization_id, id)
            WHERE m.ended_at < $3
              FOR UPDATE OF m SKIP LOCKED)
"""


async def insert(conn: Conn, mails: Sequence[Mail]) -> None:
    """Keep mails that are to be sent; one that is there already is left as it is."""
    await conn.executemany(_INSERT, [values(mail) for mail in mails])


async def lease(conn: Conn, key: RowKey, *, now: datetime, until: datetime) -> Mail | None:
    """Take a mail that is due, to try it once; None: it is done, not due, or somebody else's."""
    row = await conn.fetchrow(_LEASE, key.organization_id, key.id, now, until)
    return row and Mail(**dict(row))


async def end(conn: Conn, mail: Mail, *, state: str, error: str | None, now: datetime) -> None:
    """Say that a mail was sent or given up, unless another has taken it over since."""
    await conn.execute(
        _END, mail.organization_id, mail.id, mail.tries, state, error, now,
        mail.taken_for, mail.refused_for,
    )  # fmt: skip


async def put_off(conn: Conn, mail: Mail, *, error: str, until: datetime) -> None:
    """Plan the next try, unless another has taken the mail over since."""
    await conn.execute(
        _PUT_OFF, mail.organization_id, mail.id, mail.tries, error, until,
        mail.taken_for, mail.refused_for,
    )  # fmt: skip


async def wake(conn: Conn, of: RowKey, *, now: datetime) -> list[RowKey]:
    """Let the mails about this row be due that wait for its document; answer them."""
    rows = await conn.fetch(_WAKE, of.organization_id, of.id, now, NO_DOCUMENT_YET)
    return [row_key(row) for row in rows]


async def unsent(conn: Conn, organization_id: UUID, *, most: int) -> list[Mail]:
    """The mails that wait or were given up, oldest first."""
    rows = await conn.fetch(_UNSENT, organization_id, most)
    return [Mail(**dict(row)) for row in rows]


async def due(scout: Conn, *, now: datetime, most: int) -> list[RowKey]:
    """Mails of all tenants that are due, longest due first; `scout` is `recoup_scout`'s."""
    return [row_key(row) for row in await scout.fetch(_DUE, now, most)]


async def ended(scout: Conn, *, before: datetime, most: int) -> list[RowKey]:
    """Mails of all tenants that were sent or given up before then, the oldest first."""
    return [row_key(row) for row in await scout.fetch(_ENDED, before, most)]


async def forget(conn: Conn, keys: Collection[RowKey], *, before: datetime) -> bool:
    """Delete those of these that ended before then; False: there were none."""
    done: str = await conn.execute(_FORGET, *key_arrays(keys), before)
    return done != "DELETE 0"

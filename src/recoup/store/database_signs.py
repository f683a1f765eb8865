"""The one row of `database_signs`, and what PostgreSQL says of itself."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from recoup.rules.restore_signs import Identity, Signs
from recoup.store.db import Conn
from recoup.store.rows import columns

_FIND: Final = f"SELECT {columns(Signs)} FROM database_signs FOR UPDATE"

# The timeline of the WAL that is written now: the control file's is that of the last checkpoint.
_IDENTITY: Final = """
    SELECT (SELECT system_identifier::text FROM pg_control_system()) AS system_identifier,
           left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) AS timeline,
           (SELECT oid::bigint FROM pg_database WHERE datname = current_database()) AS database_oid
"""

_KEEP: Final = """
    INSERT INTO database_signs (system_identifier, timeline, database_oid, folder, beat_at)
    VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (only_one) DO UPDATE SET system_identifier = $1, timeline = $2,
           database_oid = $3, folder = $4, beat_at = greatest(database_signs.beat_at, $5)
 RETURNING beat_at
"""


async def find(conn: Conn) -> Signs | None:
    """What the database remembers of itself, locked; None: nobody has served from it yet."""
    row = await conn.fetchrow(_FIND)
    return Signs(**dict(row)) if row else None


async def identity(conn: Conn, *, folder: str) -> Identity:
    """What it is now."""
    row = await conn.fetchrow(_IDENTITY)
    assert row is not None, "it has no FROM"
    return Identity(**dict(row), folder=folder)


async def keep(conn: Conn, found: Identity, *, now: datetime) -> datetime:
    """Remember what it is, and beat; the answer is the last beat, which never goes back."""
    beat: datetime = await conn.fetchval(
        _KEEP, found.system_identifier, found.timeline, found.database_oid, found.folder, now
    )
    return beat

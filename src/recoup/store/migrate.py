"""Bring the database's tables to what this version needs: `migrations/*.sql`, in name order.

Each file runs once, in one transaction, under an advisory lock that lets the processes of a
deployment start at the same moment. Why this is not a library: docs/decisions/0001.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import asyncpg
from pgqueuer.adapters.persistence.queries import Queries

MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 7_261_885_006_414_120_721  # any number that nobody else locks
_DONE = """
    CREATE TABLE IF NOT EXISTS migrations (
        name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now()
    )
"""
_QUEUE_GRANTS = """
    GRANT SELECT, INSERT, UPDATE, DELETE
       ON pgqueuer, pgqueuer_log, pgqueuer_statistics, pgqueuer_schedules TO recoup_app;
    GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO recoup_app;
    GRANT SELECT ON pgqueuer TO recoup_scout;
"""


async def migrate(dsn: str) -> list[str]:
    """Apply what is missing, and answer the names of what was applied, in order.

    :raises asyncpg.PostgresError: a migration failed; it and all after it left nothing behind.
    """
    conn = await asyncpg.connect(dsn)
    try:
        await conn.execute("SELECT pg_advisory_lock($1)", _LOCK)
        await conn.execute(_DONE)
        done = {row["name"] for row in await conn.fetch("SELECT name FROM migrations")}
        applied = []
        for path in sorted(MIGRATIONS.glob("*.sql")):
            if path.stem not in done:
                await conn.execute(f"BEGIN; {path.read_text('utf-8')}")
                await _mark(conn, path.stem)
                applied.append(path.stem)
        queue = f"pgqueuer-{version('pgqueuer')}"
        if queue not in done:  # the job queue's tables are its library's
            await _install_queue(conn)
            await conn.execute("BEGIN")
            await _mark(conn, queue)
            applied.append(queue)
        return applied
    finally:
        await conn.close()  # a transaction that a failure left open ends with it, and so the lock


async def _mark(conn: asyncpg.Connection, name: str) -> None:
    await conn.execute("INSERT INTO migrations (name) VALUES ($1)", name)
    await conn.execute("COMMIT")


async def _install_queue(conn: asyncpg.Connection) -> None:
    queries = Queries.from_asyncpg_connection(conn)
    if await queries.schema_is_installed():
        await queries.upgrade()
    else:
        await queries.install()
    await conn.execute(_QUEUE_GRANTS)

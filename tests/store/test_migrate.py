"""Migrations: by whom they may be run, a second time, and by two at the same moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest_asyncio

from recoup.store import db
from recoup.store.embedded_postgres import EmbeddedPostgres
from recoup.store.migrate import migrate


@pytest_asyncio.fixture
async def empty_dsn(tmp_path: Path) -> AsyncIterator[str]:
    """A new server's database, of a user who may make databases and roles, and nothing else."""
    async with await EmbeddedPostgres.start(tmp_path) as postgres:
        conn = await asyncpg.connect(postgres.dsn)
        await conn.execute("CREATE ROLE operator LOGIN CREATEDB CREATEROLE")
        await conn.execute("ALTER DATABASE recoup OWNER TO operator")
        await conn.close()
        yield postgres.dsn.replace("postgres@", "operator@")


async def test_no_superuser_is_needed_to_migrate_and_to_act_as_our_roles(empty_dsn: str) -> None:
    await migrate(empty_dsn)
    for role in ("recoup_app", "recoup_scout"):
        pool = await db.connect(empty_dsn, role=role)
        assert await pool.fetchval("SELECT current_user") == role
        await pool.close()


async def test_processes_that_start_at_once_migrate_once(empty_dsn: str) -> None:
    applied = await asyncio.gather(*(migrate(empty_dsn) for _ in range(3)))
    assert sorted(map(bool, applied)) == [False, False, True]
    assert await migrate(empty_dsn) == []

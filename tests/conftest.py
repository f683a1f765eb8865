"""What every test may ask for: a real PostgreSQL, a fresh database, the reference data.

The embedded PostgreSQL serves by default. `RECOUP_TEST_DATABASE_URL` names a server of another
version, whose user need be no superuser but must be allowed to create databases and roles; then
`RECOUP_TEST_OWNER_URL` is a superuser of it, as whom a test looks at what is really there. `make
test` runs the database's own tests there a second time.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import NoReturn
from uuid import uuid4  # noqa: TID251  a test's own names

import asyncpg
import pytest
import pytest_asyncio

from recoup.documents.typesetter import Typesetter
from recoup.store import db
from recoup.store.db import Pool
from recoup.store.embedded_postgres import EmbeddedPostgres
from recoup.store.migrate import migrate
from tests.databases import administer, as_owner, on_database, own_database
from tests.folders import scratch_folder
from tests.served import Served, serving


@pytest_asyncio.fixture(scope="session")
async def server_dsn() -> AsyncIterator[str]:
    """A PostgreSQL server that the whole run shares."""
    if given := os.environ.get("RECOUP_TEST_DATABASE_URL"):
        yield given
        return
    with scratch_folder() as folder:
        async with await EmbeddedPostgres.start(Path(folder)) as postgres:
            for setting in ("fsync", "full_page_writes"):  # no test outlives a power cut
                await administer(postgres.dsn, f"ALTER SYSTEM SET {setting} = off")
            await administer(postgres.dsn, "SELECT pg_reload_conf()")
            yield postgres.dsn


@pytest_asyncio.fixture(scope="session")
async def template(server_dsn: str) -> str:
    """A migrated database, from which each test's is copied."""
    name = f"template_{uuid4().hex}"
    await administer(server_dsn, f"CREATE DATABASE {name}")
    await migrate(on_database(server_dsn, name))
    return name


@pytest_asyncio.fixture
async def dsn(server_dsn: str, template: str) -> AsyncIterator[str]:
    """A fresh, migrated database."""
    async with own_database(server_dsn, template) as fresh:
        yield fresh


@pytest_asyncio.fixture
async def pool(dsn: str) -> AsyncIterator[Pool]:
    """Connections as the application makes them: `recoup_app`, under row-level security."""
    opened = await db.connect(dsn, least=1, most=8)
    yield opened
    await opened.close()


@pytest_asyncio.fixture
async def scout(dsn: str) -> AsyncIterator[Pool]:
    """Connections of the sweeps and the figures: `recoup_scout`, ids and times of all tenants."""
    opened = await db.connect(dsn, role="recoup_scout", least=0, most=2)
    yield opened
    await opened.close()


@pytest_asyncio.fixture
async def owner(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection that sees everything, for looking at what is really there."""
    conn = await asyncpg.connect(as_owner(dsn))
    yield conn
    await conn.close()


@pytest_asyncio.fixture(scope="session")
async def typesetter() -> AsyncIterator[Typesetter]:
    """One that sets pages for the whole run."""
    made = Typesetter()
    yield made
    await made.close()


@pytest_asyncio.fixture(scope="session")
async def served(server_dsn: str, template: str) -> AsyncIterator[Served]:
    """Recoup as processes, for whoever calls it from outside."""
    async with own_database(server_dsn, template) as dsn, serving(dsn) as started:
        yield started


async def eventually(
    holds: Callable[[], Awaitable[bool]], *, what: str, within_seconds: float = 20
) -> None:
    """Wait until `holds` says so. `what` finishes the sentence "waited in vain until …".

    :raises AssertionError: the time is up.
    """
    try:
        async with asyncio.timeout(within_seconds) as deadline:
            while not await holds():
                await asyncio.sleep(0.02)
    except TimeoutError:
        if not deadline.expired():  # `holds` has a time-out of its own
            raise
        raise AssertionError(f"waited {within_seconds} s in vain until {what}") from None


async def waiting_for_locks(owner: asyncpg.Connection) -> int:
    """How many transactions wait for another one's lock in this database."""
    count: int = await owner.fetchval(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    return count


@pytest.fixture
def shared() -> Path:
    """The folder of reference data beside the project; where it is missing, see `do_without`."""
    folder = Path(os.environ.get("RECOUP_SHARED", "../shared")).resolve()
    if not folder.is_dir():
        do_without(f"no reference data at {folder}: set RECOUP_SHARED")
    return folder


def do_without(what: str) -> NoReturn:
    """Skip a test for what this machine lacks; fail it in CI, where nothing may be skipped."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} (in CI nothing is skipped)")
    pytest.skip(what)

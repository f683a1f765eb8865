"""Open what every command needs: the database, migrated, and the keys of its secrets.

What is opened here is closed here, in the reverse order, also when something fails half way.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import asyncpg
import msgspec
import structlog

from recoup import clock
from recoup.flows.prepare_installation import prepare
from recoup.settings import Settings
from recoup.store import db
from recoup.store.db import DATABASE_AWAY, Pool
from recoup.store.embedded_postgres import EmbeddedPostgres
from recoup.store.installation import Installation
from recoup.store.migrate import migrate
from recoup.store.secret_box import SecretBox
from recoup.store.unavailable import DatabaseUnavailableError
from recoup.wiring.master_keys import secret_box

log = structlog.get_logger()

WAIT_FOR_DATABASE_SECONDS: Final = 30


class Opened(msgspec.Struct, frozen=True):
    """The database, migrated, and what opens its secrets."""

    dsn: str
    pool: Pool
    scout: Pool
    box: SecretBox
    installation: Installation


@asynccontextmanager
async def opened(settings: Settings, *, connections: int = 2) -> AsyncIterator[Opened]:
    """Open the database and the installation's keys; make both at a first start.

    :raises WrongSettingsError: a setting is missing or wrong; it says which, and what to do.
    :raises DatabaseUnavailableError: the embedded PostgreSQL does not start.
    """
    box = secret_box(settings)
    async with _database(settings) as dsn:
        await _migrate(dsn)
        pool = await db.connect(dsn, most=connections)
        try:
            scout = await db.connect(dsn, role="recoup_scout", most=2)
            try:
                installation = await prepare(pool, box=box, now=clock.now())
                yield Opened(dsn, pool, scout, box, installation)
            finally:
                await close_pool(scout)
        finally:
            await close_pool(pool)


async def _migrate(dsn: str) -> None:
    """Bring the tables up to date; wait for a database that starts at the same time as we do."""
    deadline = asyncio.get_running_loop().time() + WAIT_FOR_DATABASE_SECONDS
    while True:
        try:
            await migrate(dsn)
        except DATABASE_AWAY as error:
            if asyncio.get_running_loop().time() > deadline:
                raise DatabaseUnavailableError(
                    f"The database of RECOUP_DATABASE_URL does not answer ({type(error).__name__})."
                    " Start it, or correct the address."
                ) from None
            log.warning("waiting_for_database", error=type(error).__name__)
            await asyncio.sleep(1)
        except (
            asyncpg.InvalidAuthorizationSpecificationError,
            asyncpg.InvalidCatalogNameError,
        ) as error:
            raise DatabaseUnavailableError(
                f"RECOUP_DATABASE_URL is refused by PostgreSQL ({error}): correct its user,"
                " password or database."
            ) from None
        else:
            return


@asynccontextmanager
async def _database(settings: Settings) -> AsyncIterator[str]:
    if settings.database_url:
        yield settings.database_url
        return
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    async with await EmbeddedPostgres.start(settings.data_dir) as postgres:
        yield postgres.dsn


async def close_pool(pool: Pool) -> None:
    """Close a pool; one that will not close (the database has gone) is dropped."""
    try:
        async with asyncio.timeout(5):
            await pool.close()
    except (*DATABASE_AWAY,):
        pool.terminate()

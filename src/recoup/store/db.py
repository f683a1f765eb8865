"""Connections and transactions: the one module that begins and ends them.

A transaction names its tenants before it reads: row-level security shows it those and no others.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeAlias
from uuid import UUID

import asyncpg

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Pool: TypeAlias = asyncpg.Pool[asyncpg.Record]
    Conn: TypeAlias = PoolConnectionProxy[asyncpg.Record]
else:
    Pool = asyncpg.Pool
    Conn = asyncpg.Connection

# What a database that is away, starting, or cutting us off raises: it is no bug of ours. The
# transaction is gone, HTTP answers 503, the job comes back.
DATABASE_AWAY = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.ReadOnlySQLTransactionError,  # the primary that was, after a failover
    OSError,  # no socket, no such host, no answer in time
)

# Somebody else holds a row for longer than `lock_timeout`, or holds it against us.
ROW_IS_HELD = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError)

# A caller's text that PostgreSQL cannot hold, or an index cannot.
TEXT_HAS_NUL = (asyncpg.CharacterNotInRepertoireError, asyncpg.UntranslatableCharacterError)
TEXT_TOO_LONG = asyncpg.ProgramLimitExceededError

# A batch is small, so a lock that is not free within a second is held by somebody in trouble.
_SESSION = {
    "application_name": "recoup",
    "lock_timeout": "1000",
    "idle_in_transaction_session_timeout": "60000",
    "timezone": "UTC",
    "jit": "off",
}

# Our statements look up the rows of one batch, or one page of a list, by an index. PostgreSQL keeps
# the plan that it made when a table was small, though, and on a small table it scans: a settlement
# took 4.4 ms in a database that had grown since its first minute, and 0.8 ms with these.
_BY_INDEX = {"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off"}


async def connect(
    dsn: str,
    *,
    role: str = "recoup_app",
    least: int = 1,
    most: int = 10,
    by_index: bool = True,
    command_timeout: float | None = 60,
) -> Pool:
    """Open a pool whose connections act as `role`, which owns nothing.

    `role` is `recoup_app`, or `recoup_scout` for the sweeps' read of ids and due times. `by_index`
    is for our own statements of a batch or a page, not for the job queue's, nor for the check of
    all books, which also has more time: `command_timeout` in seconds, None for no end.
    """

    async def act_as_role(conn: asyncpg.Connection) -> None:
        await conn.execute(f"SET ROLE {role}")

    async def keep(_conn: asyncpg.Connection) -> None:
        """Skip asyncpg's reset, a round trip: every setting we make ends with its transaction."""

    pool: Pool = await asyncpg.create_pool(
        dsn,
        min_size=least,
        max_size=most,
        init=act_as_role,
        reset=keep,
        server_settings=_SESSION | (_BY_INDEX if by_index else {}),
        command_timeout=command_timeout,
        timeout=10,  # to connect: a host that does not answer is away
        max_cached_statement_lifetime=15,
    )
    return pool


@asynccontextmanager
async def transaction(
    pool: Pool, *, tenants: Collection[UUID], may_idle: bool = False
) -> AsyncIterator[Conn]:
    """Run the block in one transaction that sees the rows of `tenants` and of nobody else.

    `may_idle`: it holds an advisory lock, and no row, while others work for a minute or more.
    """
    named = ",".join(str(tenant) for tenant in tenants)  # UUIDs: nothing here can be quoted away
    setting = f"SET LOCAL recoup.tenants = '{{{named}}}'"
    if may_idle:
        setting += "; SET LOCAL idle_in_transaction_session_timeout = 0"
    async with _begun(pool, setting) as conn:
        yield conn


@asynccontextmanager
async def reading_keys(pool: Pool, digests: Collection[str]) -> AsyncIterator[Conn]:
    """Run the block in a transaction that sees the API keys with these SHA-256 digests (hex)."""
    assert all(digest.isalnum() for digest in digests), "digests are hex"
    async with _begun(pool, f"SET LOCAL recoup.key_digests = '{{{','.join(digests)}}}'") as conn:
        yield conn


@asynccontextmanager
async def nameless(pool: Pool) -> AsyncIterator[Conn]:
    """Run the block in a transaction that sees no tenant's rows: queue, installation, scouting."""
    async with _begun(pool, "SET LOCAL recoup.tenants = '{}'") as conn:
        yield conn


@asynccontextmanager
async def _begun(pool: Pool, setting: str) -> AsyncIterator[Conn]:
    async with pool.acquire() as conn:
        try:
            await conn.execute(f"BEGIN; {setting}")  # one round trip for both
            yield conn
        except BaseException:
            await _abandon(conn)
            raise
        await conn.execute("COMMIT")


async def _abandon(conn: Conn) -> None:
    """Roll back, or drop the connection: never hand back one with a transaction in it."""
    try:
        async with asyncio.timeout(5):
            await conn.execute("ROLLBACK")
    except (*DATABASE_AWAY, asyncpg.PostgresError, asyncio.CancelledError):
        conn.terminate()

"""A Recoup of this run's own: a fresh data folder or database, one tenant, its API running.

What would surprise you: an external database is only asked to make a new one beside it, which is
dropped at the end. What is in the one named is neither read nor changed.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg
import psutil

from bench.processes import RECOUP, Program, run, running

POSTGRES_ENDS_WITHIN_SECONDS: Final = 30.0
NOT_OURS: Final = frozenset({"PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED"})


class Installation:
    """How to start Recoup's programs on one database."""

    def __init__(self, name: str, folder: Path, env: dict[str, str]) -> None:
        self.name = name
        self.folder = folder
        self.env = env

    def running(self, *arguments: str) -> Any:
        """Run `recoup …` until the block is left; gives the `Program`."""
        return running(RECOUP, *arguments, log=self.folder / "log", env=self.env)

    async def command(self, *arguments: str) -> dict[str, Any]:
        """Run a command to its end, and read its JSON."""
        answer: dict[str, Any] = json.loads(await run(RECOUP, *arguments, "--json", env=self.env))
        return answer

    @property
    def dsn(self) -> str:
        """The database, seen by its owner: no row-level security."""
        if given := self.env.get("RECOUP_DATABASE_URL"):
            return given
        socket_folder = (self.folder / "postgres" / "postmaster.pid").read_text().splitlines()[4]
        return f"postgresql://postgres@/recoup?host={quote(socket_folder, safe='/')}&port=5432"


class Shop:
    """An installation whose API runs, with one tenant that charges through the loopback."""

    def __init__(
        self,
        installation: Installation,
        api: Program,
        owner: asyncpg.Connection,
        *,
        organization_id: str,
        api_key: str,
        account_id: str,
        entity_id: str,
    ) -> None:
        self.installation = installation
        self.api = api
        self.owner = owner
        self.organization_id = organization_id
        self.api_key = api_key
        self.account_id = account_id
        self.entity_id = entity_id


@asynccontextmanager
async def installed(
    name: str, folder: Path, *, psp: str, database_url: str | None
) -> AsyncIterator[Installation]:
    """Make room for a Recoup: its database server may be started by its first program."""
    folder.mkdir(parents=True)  # noqa: ASYNC240  nothing else runs meanwhile
    env = {name: value for name, value in os.environ.items() if name not in NOT_OURS}
    env = {name: value for name, value in env.items() if not name.startswith("RECOUP_")}
    env |= {
        # Installed packages are byte code; whether this machine's are, and may be, is no figure.
        "PYTHONPYCACHEPREFIX": str(folder.with_name("bytecode")),
        "RECOUP_DATA_DIR": str(folder),
        "RECOUP_SANDBOX_API_BASE": psp,
        "RECOUP_LOG_LEVEL": "WARNING",
    }
    if database_url is None:
        try:
            yield Installation(name, folder, env)
        finally:
            await _end_postgres(folder / "postgres")
        return
    env["RECOUP_SECRET_KEY"] = base64.b64encode(os.urandom(32)).decode()
    database = f"recoup_bench_{name}_{secrets.token_hex(4)}"
    await _administer(database_url, f"CREATE DATABASE {database}")
    try:
        parts = urlsplit(database_url)
        env["RECOUP_DATABASE_URL"] = urlunsplit(parts._replace(path=f"/{database}"))
        yield Installation(name, folder, env)
    finally:
        await _administer(database_url, f"DROP DATABASE {database} WITH (FORCE)")


@asynccontextmanager
async def opened_shop(installation: Installation) -> AsyncIterator[Shop]:
    """Start the API, and make a tenant with an account at the loopback."""
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(installation.running("api", "--port", "0"))
        tenant = await installation.command("organization", "create", "Bench")
        account = await installation.command(
            "provider", "add", "sandbox", "--organization", tenant["organization_id"],
            "--code", "loopback",
        )  # fmt: skip
        owner = await asyncpg.connect(installation.dsn, command_timeout=600)
        stack.push_async_callback(owner.close, timeout=5)
        yield Shop(
            installation,
            api,
            owner,
            organization_id=tenant["organization_id"],
            api_key=tenant["api_key"],
            account_id=account["provider_account_id"],
            entity_id=await entity_of(owner, tenant["organization_id"]),
        )


async def entity_of(owner: asyncpg.Connection, organization_id: str) -> str:
    """The billing entity that a tenant began with."""
    return str(
        await owner.fetchval(
            "SELECT id FROM billing_entities WHERE organization_id = $1 AND is_default",
            organization_id,
        )
    )


async def _administer(dsn: str, statement: str) -> None:
    conn = await asyncpg.connect(dsn)
    try:
        await conn.execute(statement)
    finally:
        await conn.close()


async def _end_postgres(cluster: Path) -> None:
    """End the embedded PostgreSQL, should the last of its users not have done so."""
    try:
        pid = int((cluster / "postmaster.pid").read_text().splitlines()[0])
    except FileNotFoundError:
        return
    if str(cluster) not in psutil.Process(pid).cmdline():
        return  # the number is somebody else's by now
    os.kill(pid, signal.SIGINT)  # its fast way out
    async with asyncio.timeout(POSTGRES_ENDS_WITHIN_SECONDS):
        while psutil.pid_exists(pid):  # noqa: ASYNC110  no child of ours: it cannot be waited for
            await asyncio.sleep(0.1)

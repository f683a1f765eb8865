"""A PostgreSQL of one's own, of the oldest version that this machine has, with its WAL archived.

What an operator has who backs it up: the programs that dump, restore and recover are its own.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.conftest import do_without, eventually
from tests.folders import scratch_folder
from tests.run import find_programs, unprivileged

DATABASE = "books"


class OwnPostgres:
    """A cluster, its socket and its archive, all in one folder."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self._folder = folder
        self._programs = programs
        self._user = unprivileged() if os.geteuid() == 0 else None
        self._archive = folder / "archive"
        self._data = folder / "data"  # whichever is served
        self.dsn = f"postgresql://owner@/{DATABASE}?host={folder}"

    async def make(self) -> None:
        """Make the cluster and the database, and serve them."""
        if self._user:
            os.chown(self._folder, self._user.pw_uid, self._user.pw_gid)
        await self._run("mkdir", str(self._archive))
        words = ("-U", "owner", "--auth=trust", "--encoding=UTF8", "--locale=C")
        await self.run("initdb", "-D", str(self._data), *words)
        await self._settings(
            f"listen_addresses = ''\nunix_socket_directories = '{self._folder}'\nfsync = off\n"
            f"archive_mode = on\narchive_command = 'cp %p {self._archive}/%f'\n"
        )
        await self.start()
        await self.run("createdb", *self._as_owner(), DATABASE)

    async def start(self) -> None:
        """Serve, and wait until it takes what is written."""
        log = str(self._folder / "log")
        await self.run("pg_ctl", "start", "-s", "-w", "-D", str(self._data), "-l", log)

        async def is_primary() -> bool:
            return await self.ask("SELECT pg_is_in_recovery()", of="postgres") == "f"

        await eventually(is_primary, what="the server has recovered", within_seconds=60)

    async def stop(self, how: str = "fast") -> None:
        """Stop serving; what was written is in the archive by then."""
        await self.run("pg_ctl", "stop", "-s", "-w", "-m", how, "-D", str(self._data))

    async def ask(self, statement: str, *, of: str = DATABASE) -> str:
        """Run one statement as the owner, and answer what it says."""
        words = ("-XAtq", *self._as_owner(), "-d", of, "-c", statement)
        return (await self.run("psql", *words)).strip()

    async def dump(self) -> None:
        """Dump the database, as it is while others write."""
        dump = str(self._folder / "dump")
        await self.run("pg_dump", *self._as_owner(), "-Fc", "-f", dump, DATABASE)

    async def restore_dump(self) -> None:
        """Read the dump into a new database of the same name; nobody may use the old one."""
        await self.run("dropdb", *self._as_owner(), DATABASE)
        await self.run("createdb", *self._as_owner(), DATABASE)
        dump = str(self._folder / "dump")
        words = ("--exit-on-error", "-d", DATABASE, dump)
        await self.run("pg_restore", *self._as_owner(), *words)

    async def back_up(self) -> None:
        """Copy the running cluster; its WAL is in the archive."""
        words = ("-D", str(self._folder / "base"), "-X", "none", "-c", "fast")
        await self.run("pg_basebackup", *self._as_owner(), *words)

    async def recover(self, restore_point: str) -> None:
        """Stop, and serve the copy, brought up to a point that was named in the archived WAL."""
        await self.stop()
        self._data = self._folder / "base"
        await self._settings(
            f"restore_command = 'cp {self._archive}/%f %p'\n"
            f"recovery_target_name = '{restore_point}'\nrecovery_target_action = 'promote'\n"
        )
        await self._run("touch", str(self._data / "recovery.signal"))
        await self.start()

    async def run(self, program: str, *words: str) -> str:
        """Run one of PostgreSQL's programs, and answer what it prints."""
        return await self._run(str(self._programs / program), *words)

    async def _settings(self, text: str) -> None:
        with (self._data / "postgresql.conf").open("a") as conf:
            conf.write(text)

    async def _run(self, *words: str) -> str:
        process = await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=self._folder,
            user=self._user and self._user.pw_uid,
            group=self._user and self._user.pw_gid,
            extra_groups=[] if self._user else None,
        )
        said, _ = await process.communicate()
        assert process.returncode == 0, f"{words}: {said.decode()}"
        return said.decode()

    def _as_owner(self) -> tuple[str, ...]:
        return ("-h", str(self._folder), "-U", "owner")


@asynccontextmanager
async def own_postgres() -> AsyncIterator[OwnPostgres]:
    """Make one, and serve until the end."""
    if (programs := find_programs()) is None:
        do_without("no PostgreSQL 15 or later is installed beside the embedded one")
    with scratch_folder() as folder:
        server = OwnPostgres(Path(folder), programs)
        await server.make()
        try:
            yield server
        finally:
            await server.stop("immediate")

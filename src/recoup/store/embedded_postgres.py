"""Run the PostgreSQL that Recoup brings along, for as long as somebody uses its data folder.

Any process of one machine may call `EmbeddedPostgres.start`: the first starts PostgreSQL, later
ones join it, and the last to stop stops it.

What surprises:
- Users are counted by a shared file lock, not by a number: the kernel takes a lock away from a
  process that was killed, and nothing would correct a number.
- PostgreSQL outlives a user that was killed. The next one joins it, and does stop it.
- PostgreSQL refuses to run as root. Root lends it a system user, and lets that user pass the
  folders above the data folder (the x bit for others, nothing more).
"""

import asyncio
import fcntl
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from recoup.store.postgres_cluster import Cluster, lock_alone
from recoup.store.unavailable import DatabaseUnavailableError


class EmbeddedPostgres:
    """One use of a folder's PostgreSQL. It ends with `stop`, or with the process."""

    def __init__(self, cluster: Cluster, users_lock: int, dsn: str) -> None:
        self._cluster = cluster
        self._users_lock: int | None = users_lock
        self.dsn: Final = dsn  # for asyncpg, and for psql

    @classmethod
    async def start(cls, data_dir: Path) -> Self:
        """Join the PostgreSQL below `data_dir`; start it first, or make it, where need be.

        A new folder takes about 1.5 s, a stopped cluster 0.2 s, one to recover up to two minutes.

        :raises DatabaseUnavailableError: it cannot be had, or not within two minutes.
        """
        starting = asyncio.ensure_future(asyncio.to_thread(cls._start, data_dir))
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            with suppress(DatabaseUnavailableError):
                # A thread cannot be broken off: let it end, then undo what it did.
                await (await starting).stop()
            raise

    @classmethod
    def _start(cls, data_dir: Path) -> Self:
        cluster = Cluster(data_dir)
        with cluster.exclusive():
            users_lock = cluster.open("postgres.users")
            try:
                fcntl.flock(users_lock, fcntl.LOCK_SH)  # waits only for one that has just left
                return cls(cluster, users_lock, cluster.ensure_running())
            except BaseException:
                os.close(users_lock)
                raise

    async def stop(self) -> None:
        """Leave. The last user stops PostgreSQL and returns when it is gone."""
        if self._users_lock is not None:
            users_lock, self._users_lock = self._users_lock, None
            await asyncio.shield(asyncio.to_thread(self._stop, users_lock))

    def _stop(self, users_lock: int) -> None:
        try:
            if lock_alone(users_lock):  # nobody else uses it, and who comes now waits for us
                self._cluster.stop()
        finally:
            os.close(users_lock)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

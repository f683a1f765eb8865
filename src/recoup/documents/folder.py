"""Documents as files in a folder of this machine, or of one that several share.

What would surprise you: a file is written in a folder of its own and moved to its place, so nobody
ever reads half of one. What a process left there when it was killed is removed at the next start,
once it is older than any write takes. The files that are kept are never listed: there are millions.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from uuid import UUID

from recoup.documents.storage import StorageError, try_out

UNFINISHED: Final = "unfinished"
UNFINISHED_FOR_SECONDS: Final = 3_600


class Folder:
    """A folder, which is made by the first write. Files are for this user alone."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def write(self, name: str, content: bytes) -> None:
        """Keep a file, whole or not at all.

        :raises StorageError: it is not kept.
        """
        with _as_storage_error():
            await asyncio.to_thread(_write, self._root / UNFINISHED, self._root / name, content)

    async def read(self, name: str) -> bytes | None:
        """A file; None: it is not there.

        :raises StorageError: nobody can tell.
        """
        with _as_storage_error():
            return await asyncio.to_thread(_read, self._root / name)

    async def remove(self, name: str) -> None:
        """Let a file go; one that is not there is gone already.

        :raises StorageError: it may be there still.
        """
        with _as_storage_error():
            await asyncio.to_thread((self._root / name).unlink, missing_ok=True)

    async def check(self, probe: UUID) -> None:
        """Try the folder out, and remove what others left unfinished in it.

        :raises StorageError: nothing can be written there.
        """
        await try_out(self, probe)
        with _as_storage_error():
            await asyncio.to_thread(_tidy, self._root)


@contextmanager
def _as_storage_error() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(f"{error.strerror}: {error.filename}") from None


def _write(unfinished: Path, path: Path, content: bytes) -> None:
    for needed in (unfinished, path.parent):
        needed.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, made = tempfile.mkstemp(dir=unfinished)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # the row that says it is there is committed after this
        Path(made).replace(path)
    except BaseException:
        Path(made).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _tidy(root: Path) -> None:
    """Remove what was left unfinished. By the folder's own clock, and in no hurry."""
    unfinished = root / UNFINISHED
    with tempfile.TemporaryFile(dir=unfinished) as clock:
        now = os.fstat(clock.fileno()).st_mtime
    for left in unfinished.iterdir():
        with suppress(FileNotFoundError):
            if left.stat().st_mtime < now - UNFINISHED_FOR_SECONDS:
                left.unlink()

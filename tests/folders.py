"""Folders for what the tests throw away: databases above all."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Final

IN_MEMORY: Final = Path("/dev/shm")
ENOUGH_BYTES: Final = 8 * 2**30


def scratch_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder that is gone at the end, in memory where that has room.

    A test's own database is copied there in a fifth of the time. Nothing that is tested survives in
    one place and not in the other: tests kill processes, and cut no power. Not below pytest's own
    folder: another run that starts closes that to other users again, and with it to the user that
    PostgreSQL runs as where this is run by root.
    """
    has_room = IN_MEMORY.is_dir() and shutil.disk_usage(IN_MEMORY).free >= ENOUGH_BYTES
    return tempfile.TemporaryDirectory(
        prefix="recoup-tests-",
        dir=IN_MEMORY if has_room else None,
        ignore_cleanup_errors=True,  # a server that was killed may still be at its last file
    )

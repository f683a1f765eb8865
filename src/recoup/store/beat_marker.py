"""The file outside the database that holds the last beat which the database knows.

What would surprise you: it beats every few seconds, and says what is wrong once, and again when
that changes or is well again.
"""

from __future__ import annotations

import errno
from datetime import datetime
from pathlib import Path
from uuid import UUID

import structlog

log = structlog.get_logger()


class BeatMarker:
    """The file of one database; without it that database's own signs are left.

    `writer` is this process's own: several may share the folder, and each writes a file of its own
    before that one takes the marker's place.
    """

    def __init__(self, path: Path, *, writer: UUID) -> None:
        self._path = path
        self._new = path.with_suffix(f".{writer}.new")
        self._troubles: dict[str, str] = {}  # what was said: the event, and why

    def read(self) -> datetime | None:
        """The last beat; None: there is none, or none that can be read."""
        try:
            return datetime.fromisoformat(self._path.read_text("utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            self._note("marker_unreadable", error)
            return None

    def write(self, beat: datetime) -> None:
        """Keep this beat, if that can be."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._new.write_text(beat.isoformat(), "utf-8")
            self._new.replace(self._path)
        except OSError as error:
            self._note("marker_not_written", error)
            return
        if self._troubles:
            log.warning("marker_written_again")
            self._troubles = {}

    def _note(self, event: str, error: Exception) -> None:
        why = type(error).__name__
        if isinstance(error, OSError) and error.errno is not None:
            why = errno.errorcode.get(error.errno, why)  # EROFS and ENOSPC are of one class
        if self._troubles.get(event) != why:
            self._troubles[event] = why
            log.warning(event, error=why)

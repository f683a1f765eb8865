"""The one SQLite file that all of the sandbox's books are kept in.

Every call is one short transaction and does not yield to the event loop, so nothing comes between
looking and writing. One process writes; others may read the file meanwhile.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class LedgerFile:
    """The file, open."""

    def __init__(self, ledger: Path | str) -> None:
        """Open the file, making it if need be; `:memory:` keeps nothing.

        :raises sqlite3.Error: if the file cannot be opened or is something else.
        """
        self.db = sqlite3.connect(ledger, isolation_level=None, timeout=5.0)
        self.db.execute("PRAGMA journal_mode = WAL")
        # With WAL this survives the death of the process; only a power cut may take the last word.
        self.db.execute("PRAGMA synchronous = NORMAL")

    def close(self) -> None:
        """Close the file; safe to call twice."""
        self.db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Write all that is written within, or nothing of it."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.db.execute("ROLLBACK")
            raise
        self.db.execute("COMMIT")


def as_json(value: object) -> str:
    """Write a value as the books keep it."""
    return msgspec.json.encode(value).decode()


def micros(at: datetime) -> int:
    """Write an instant as the books keep it: microseconds since 1970."""
    return (at - EPOCH) // timedelta(microseconds=1)


def instant(since_epoch: int) -> datetime:
    """Read an instant as the books keep it."""
    return EPOCH + timedelta(microseconds=since_epoch)

"""Where a list that is read piece by piece goes on: a word that callers send back as it came.

For lists without a count of pages. It names the last row that was answered, by the list's order, so
that what is added meanwhile neither comes twice nor pushes anything out.
"""

from __future__ import annotations

import base64
import binascii
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from recoup.rules.instants import in_utc

_LONGEST: Final = 300


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """The last row of a piece, and the end of the whole where that was settled by its first one."""

    at: datetime
    id: UUID
    until: datetime | None = None


def write_cursor(cursor: Cursor) -> str:
    """The cursor as a word of letters and digits, dashes and underscores."""
    return base64.urlsafe_b64encode(msgspec.json.encode(cursor)).decode().rstrip("=")


def read_cursor(word: str) -> Cursor | None:
    """Read what `write_cursor` wrote; None for anything else."""
    if len(word) > _LONGEST or not word.isascii():
        return None
    try:
        read = base64.b64decode(f"{word}{'=' * (-len(word) % 4)}", altchars=b"-_", validate=True)
        cursor = msgspec.json.decode(read, type=Cursor)
        until = None if cursor.until is None else in_utc(cursor.until)
        return Cursor(in_utc(cursor.at), cursor.id, until)
    except (binascii.Error, UnicodeDecodeError, msgspec.DecodeError, OverflowError):
        return None

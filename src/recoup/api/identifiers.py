"""Row ids as callers write them in a path (contract section 1.5).

What is no UUID names no row: the answer is the resource's own 404, never a 400.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote
from uuid import UUID

# Stricter than `UUID(text)`, which also takes `urn:`, dashes anywhere and digits of other scripts.
_PLAIN: Final = re.compile(
    r"\{?([0-9a-f]{8})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{12})\}?",
    re.IGNORECASE | re.ASCII,
)


def row_id(text: str) -> UUID | None:
    """Read a UUID: upper case, undashed and `{braced}` ones too; None for anything else.

    `text` may still be percent-encoded, as a path's segment is.
    """
    text = unquote(text)
    found = _PLAIN.fullmatch(text)
    if found is None or text.startswith("{") != text.endswith("}"):
        return None
    return UUID("".join(found.groups()))

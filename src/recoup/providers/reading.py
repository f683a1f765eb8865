"""Read what a provider says, whatever it is: bytes of strangers never raise."""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec

Kind = TypeVar("Kind")

# What strangers' bytes do to the decoder: no JSON, no such shape, no UTF-8, nested without end.
UNREADABLE: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)


def decode(body: str | bytes | msgspec.Raw, kind: type[Kind]) -> Kind | None:
    """Read JSON as what it should be; None where it is not."""
    try:
        return msgspec.json.decode(body, type=kind)
    except UNREADABLE:
        return None


def believed(value: Any, kind: type[Kind]) -> Kind | None:
    """Take what was decoded before for what it should be; None where it is not."""
    try:
        return msgspec.convert(value, kind)
    except UNREADABLE:
        return None

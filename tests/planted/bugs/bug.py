"""What a planted bug is: exact replacements in the source, and the tests that are to notice."""

from __future__ import annotations

import msgspec


class Edit(msgspec.Struct, frozen=True):
    """An exact replacement in a file below `src/recoup`; `old` is there once."""

    file: str
    old: str
    new: str


class Bug(msgspec.Struct, frozen=True):
    """A mistake: what it does to people, how it is made, and which tests are to notice it."""

    name: str
    why: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]

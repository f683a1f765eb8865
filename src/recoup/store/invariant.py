"""What an invariant is: a sentence about the rows, and the query of what breaks it."""

from __future__ import annotations

import msgspec


class Invariant(msgspec.Struct, frozen=True):
    """Something that always holds, and the query of what breaks it.

    `$1` are the tenants asked about, `$2` is the present instant.
    """

    name: str
    says: str
    sql: str

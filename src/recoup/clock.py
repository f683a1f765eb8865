"""Read the clock, make ids and secrets: the only place that does, used by the edges alone.

Everything below an edge is given `now` and its ids, so that a flow repeated with the same ids is
the same flow, and a test moves time by passing another `now`.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from uuid import UUID

from uuid_utils.compat import uuid7


def now() -> datetime:
    """The present instant, in UTC."""
    return datetime.now(UTC)  # noqa: TID251  this is the one place


def new_id() -> UUID:
    """A new UUID of version 7: ids made later sort later, so indexes grow at their end."""
    return uuid7()


def new_secret(prefix: str) -> str:
    """A new secret of 160 random bits in hex, after a prefix that says what it is."""
    return f"{prefix}{secrets.token_hex(20)}"

"""The one row of `installation`: what belongs to no tenant."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

from recoup.store.db import Conn
from recoup.store.rows import columns, insertion, values


class Installation(msgspec.Struct, frozen=True):
    """The keys of this installation, sealed under its secret key where they are secret."""

    key_check: bytes  # a known text, sealed: another secret key does not open it
    jwt_key_sealed: bytes  # PEM of the RSA key that signs outgoing webhooks
    jwt_public_key: str  # PEM of what verifies them
    created_at: datetime


_READ: Final = f"SELECT {columns(Installation)} FROM installation"
_INSERT: Final = f"{insertion('installation', Installation)} ON CONFLICT DO NOTHING"


async def read(conn: Conn) -> Installation | None:
    """The installation's row; None before the first start has made it."""
    row = await conn.fetchrow(_READ)
    return None if row is None else Installation(**dict(row))


async def insert(conn: Conn, installation: Installation) -> None:
    """Add the row, unless there is one: then that one stays, and nothing happens."""
    await conn.execute(_INSERT, *values(installation))

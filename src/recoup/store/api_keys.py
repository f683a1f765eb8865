"""API keys: who may speak for which organization. Only digests are kept."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from uuid import UUID

import msgspec

from recoup.store import db
from recoup.store.db import Conn, Pool


class ApiKey(msgspec.Struct, frozen=True):
    """A key as it is kept: never the key itself."""

    organization_id: UUID
    id: UUID
    name: str
    last4: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class Caller(msgspec.Struct, frozen=True):
    """Who is calling: the organization that the shown key belongs to."""

    organization_id: UUID
    key_id: UUID


def digest(key: str) -> str:
    """SHA-256 of a key, in hex. Keys are 160 random bits or more, so no salt is needed."""
    return sha256(key.encode()).hexdigest()


# Asked at every call, so that a revoked key is refused at the next request.
_FIND = """
    SELECT k.digest, k.organization_id, k.id
      FROM api_keys k
     WHERE k.digest = ANY ($1::text[])
       AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())
"""

_INSERT = """
    INSERT INTO api_keys (organization_id, id, name, digest, last4, created_at, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
"""

_LIST = """
    SELECT organization_id, id, name, last4, created_at, expires_at, revoked_at
      FROM api_keys WHERE organization_id = $1 ORDER BY created_at, id
"""

_REVOKE = """
    UPDATE api_keys SET revoked_at = $3
     WHERE organization_id = $1 AND id = $2 AND revoked_at IS NULL
 RETURNING id
"""


async def find_callers(pool: Pool, digests: Sequence[str]) -> list[Caller | None]:
    """Say who shows each key, in the order of `digests`; None for one that nobody may use."""
    async with db.reading_keys(pool, digests) as conn:
        rows = await conn.fetch(_FIND, digests)
    known = {row["digest"]: Caller(row["organization_id"], row["id"]) for row in rows}
    return [known.get(one) for one in digests]


async def insert(
    conn: Conn,
    organization_id: UUID,
    key_id: UUID,
    key: str,
    *,
    name: str,
    expires_at: datetime | None,
    now: datetime,
) -> None:
    """Keep the digest of a new key."""
    await conn.execute(
        _INSERT, organization_id, key_id, name, digest(key), key[-4:], now, expires_at
    )


async def list_all(conn: Conn, organization_id: UUID) -> list[ApiKey]:
    """Every key of the organization, oldest first, revoked ones too."""
    return [ApiKey(**dict(row)) for row in await conn.fetch(_LIST, organization_id)]


async def revoke(conn: Conn, organization_id: UUID, key_id: UUID, *, now: datetime) -> bool:
    """Revoke a key; False where there is none that could be revoked."""
    return await conn.fetchval(_REVOKE, organization_id, key_id, now) is not None

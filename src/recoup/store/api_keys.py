"""API keys: who may speak for which organization, and what for. Only digests are kept."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
from msgspec import UNSET, UnsetType

from recoup.rules.records.keys import RowKey
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
    permissions: tuple[str, ...] | None  # `invoice:read`, sorted; None: all


class Caller(msgspec.Struct, frozen=True):
    """Who is calling: the organization that the shown key belongs to, and what the key may do."""

    organization_id: UUID
    key_id: UUID
    permissions: frozenset[str] | None = None  # None: all

    @property
    def key(self) -> RowKey:
        """Which key this is."""
        return RowKey(self.organization_id, self.key_id)


class KeyChange(msgspec.Struct, frozen=True, kw_only=True):
    """What is to change of a key; what is UNSET stays as it is."""

    name: str | UnsetType = UNSET
    expires_at: datetime | UnsetType | None = UNSET  # None: never
    permissions: tuple[str, ...] | UnsetType | None = UNSET  # None: all


def digest(key: str) -> str:
    """SHA-256 of a key, in hex. Keys are 160 random bits or more, so no salt is needed."""
    return sha256(key.encode()).hexdigest()


# Asked at every call, so that a key that was revoked or changed is another at the next request.
_FIND = """
    SELECT k.digest, k.organization_id, k.id, k.permissions
      FROM api_keys k
     WHERE k.digest = ANY ($1::text[])
       AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())
"""

_INSERT = """
    INSERT INTO api_keys (organization_id, id, name, digest, last4, created_at, expires_at,
                          permissions)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""

_COLUMNS = "organization_id, id, name, last4, created_at, expires_at, revoked_at, permissions"

_LIST = f"""
    SELECT {_COLUMNS} FROM api_keys WHERE organization_id = $1 ORDER BY created_at, id
"""

# One statement, which writes what was said and nothing else: of two people who change different
# things of a key at once, neither undoes the other's.
_CHANGE = f"""
    UPDATE api_keys
       SET name = CASE WHEN $3 THEN $4 ELSE name END,
           expires_at = CASE WHEN $5 THEN $6::timestamptz ELSE expires_at END,
           permissions = CASE WHEN $7 THEN $8::text[] ELSE permissions END
     WHERE organization_id = $1 AND id = $2 AND revoked_at IS NULL
 RETURNING {_COLUMNS}
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
    known = {row["digest"]: _caller(row) for row in rows}
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
    permissions: Sequence[str] | None = None,
) -> None:
    """Keep the digest of a new key; without `permissions` it may do everything."""
    await conn.execute(
        _INSERT, organization_id, key_id, name, digest(key), key[-4:], now, expires_at, permissions
    )


async def list_all(conn: Conn, organization_id: UUID) -> list[ApiKey]:
    """Every key of the organization, oldest first, revoked ones too."""
    return [_key(row) for row in await conn.fetch(_LIST, organization_id)]


async def change(conn: Conn, key: RowKey, said: KeyChange) -> ApiKey | None:
    """Change what is said of a key, and answer what it has become; None: there is none in use."""
    row = await conn.fetchrow(
        _CHANGE,
        key.organization_id,
        key.id,
        *_said(said.name),
        *_said(said.expires_at),
        *_said(said.permissions),
    )
    return _key(row) if row else None


async def revoke(conn: Conn, organization_id: UUID, key_id: UUID, *, now: datetime) -> bool:
    """Revoke a key; False where there is none that could be revoked."""
    return await conn.fetchval(_REVOKE, organization_id, key_id, now) is not None


def _said(value: Any) -> tuple[bool, Any]:
    """Whether anything was said, and what."""
    return (False, None) if value is UNSET else (True, value)


def _key(row: asyncpg.Record) -> ApiKey:
    held = row["permissions"]
    return ApiKey(**dict(row) | {"permissions": None if held is None else tuple(held)})


def _caller(row: asyncpg.Record) -> Caller:
    held = row["permissions"]
    return Caller(row["organization_id"], row["id"], None if held is None else frozenset(held))

"""Answers already given under a caller's `Idempotency-Key`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID, uuid5

import msgspec

from recoup.store.db import Conn


class Receipt(msgspec.Struct, frozen=True):
    """What a caller's key stands for: whose, for which call, and with which body."""

    organization_id: UUID
    method: str
    path: str
    key: str
    body_digest: str  # SHA-256 of the body, in hex

    @property
    def scope(self) -> tuple[UUID, str, str, str]:
        """The four that make a key: the same word on another path is another key."""
        return (self.organization_id, self.method, self.path, self.key)


class KeptAnswer(msgspec.Struct, frozen=True):
    """An answer as it went out the first time, or the note that its call has begun."""

    body_digest: str
    http_status: int  # `BEGUN` until there is an answer
    headers: Mapping[str, str]
    body: bytes
    began_at: datetime | None = None  # set where it was read

    def derived_id(self, receipt: Receipt, name: str) -> UUID:
        """An id that a call gives to one thing of many: the same when the call is sent again.

        Once the key is forgotten, and begins anew, its ids are others.
        """
        assert self.began_at is not None, "it was read, or begun at this moment"
        said = (receipt.method, receipt.path, receipt.key, self.began_at.isoformat(), name)
        return uuid5(receipt.organization_id, "\n".join(said))


BEGUN: Final = 0


_CLAIM = """
    SELECT pg_try_advisory_xact_lock(hashtextextended(concat_ws(
               ' ', asked.organization_id, asked.method, asked.path, asked.key), 0)) AS ours
      FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[])
           WITH ORDINALITY AS asked (organization_id, method, path, key, position)
     ORDER BY position
"""

_FIND = """
    SELECT organization_id, method, path, key, body_digest, http_status, headers, body,
           created_at
      FROM idempotency_keys
      JOIN unnest($1::uuid[], $2::text[], $3::text[], $4::text[])
           AS asked (organization_id, method, path, key)
     USING (organization_id, method, path, key)
"""

_KEEP = """
    INSERT INTO idempotency_keys
           (organization_id, method, path, key, body_digest, http_status, headers, body, created_at)
    SELECT u.organization_id, u.method, u.path, u.key, u.body_digest, u.http_status,
           u.headers::jsonb, u.body, $9
      FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::int[], $7::text[],
                  $8::bytea[])
           AS u (organization_id, method, path, key, body_digest, http_status, headers, body)
        ON CONFLICT (organization_id, method, path, key) DO UPDATE
       SET http_status = excluded.http_status, headers = excluded.headers, body = excluded.body
     WHERE idempotency_keys.http_status = 0  -- begun; an answer that is there stays
"""

_FORGET = """
    DELETE FROM idempotency_keys
     WHERE (organization_id, method, path, key) IN (
           SELECT organization_id, method, path, key FROM idempotency_keys
            WHERE organization_id = $1 AND created_at < $2 LIMIT 10000)
"""

_FORGET_BEGUN = """
    DELETE FROM idempotency_keys
     WHERE (organization_id, method, path, key) = ($1, $2, $3, $4) AND http_status = 0
"""

_TENANTS_WITH_OLD = "SELECT DISTINCT organization_id FROM idempotency_keys WHERE created_at < $1"


async def claim(conn: Conn, receipts: Sequence[Receipt]) -> list[bool]:
    """Take each key until the transaction ends; False where another transaction has it now.

    One answer per receipt, in order. Taking the same key twice in one transaction succeeds.
    """
    if not receipts:
        return []
    return [row["ours"] for row in await conn.fetch(_CLAIM, *_columns(receipts))]


async def find(
    conn: Conn, receipts: Collection[Receipt]
) -> dict[tuple[UUID, str, str, str], KeptAnswer]:
    """Read the answers already given under these keys, by scope."""
    if not receipts:
        return {}
    return {
        (row["organization_id"], row["method"], row["path"], row["key"]): KeptAnswer(
            row["body_digest"],
            row["http_status"],
            msgspec.json.decode(row["headers"]),
            row["body"],
            row["created_at"],
        )
        for row in await conn.fetch(_FIND, *_columns(receipts))
    }


async def keep(conn: Conn, answers: Sequence[tuple[Receipt, KeptAnswer]], *, now: datetime) -> None:
    """Keep these answers for whoever sends their keys again."""
    if not answers:
        return
    kept = [answer for _, answer in answers]
    await conn.execute(
        _KEEP,
        *_columns([receipt for receipt, _ in answers]),
        [answer.body_digest for answer in kept],
        [answer.http_status for answer in kept],
        [msgspec.json.encode(answer.headers).decode() for answer in kept],
        [answer.body for answer in kept],
        now,
    )


async def forget_begun(conn: Conn, receipt: Receipt) -> None:
    """Delete the note that a call has begun; an answer that is there stays."""
    await conn.execute(_FORGET_BEGUN, *receipt.scope)


async def tenants_with_old(scout: Conn, *, before: datetime) -> list[UUID]:
    """The tenants that have keys first used before this instant."""
    rows = await scout.fetch(_TENANTS_WITH_OLD, before)
    return [row["organization_id"] for row in rows]


async def forget(conn: Conn, organization_id: UUID, *, before: datetime) -> bool:
    """Delete a piece of a tenant's keys first used before this instant; False: none was left."""
    done: str = await conn.execute(_FORGET, organization_id, before)
    return done != "DELETE 0"


def _columns(receipts: Collection[Receipt]) -> tuple[list[UUID], list[str], list[str], list[str]]:
    return (
        [receipt.organization_id for receipt in receipts],
        [receipt.method for receipt in receipts],
        [receipt.path for receipt in receipts],
        [receipt.key for receipt in receipts],
    )

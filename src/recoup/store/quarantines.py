"""Rows of `quarantines`: provider accounts through which nothing is sent for now."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from recoup.rules.records.keys import RowKey
from recoup.store.db import Conn
from recoup.store.rows import columns


class Quarantine(msgspec.Struct, frozen=True, kw_only=True):
    """An account that is held back, and from when on its charges may be unknown here."""

    organization_id: UUID
    id: UUID
    provider_account_id: UUID
    because: str
    compare_since: datetime
    began_at: datetime

    @property
    def account(self) -> RowKey:
        """Which account it is."""
        return RowKey(self.organization_id, self.provider_account_id)

    @property
    def finding_key(self) -> str:
        """Under what it is found that nothing could be compared to end it."""
        return f"quarantine-{self.id}"


_LIVE: Final = f"""
    SELECT {columns(Quarantine)} FROM quarantines
     WHERE organization_id = ANY ($1::uuid[]) AND released_at IS NULL
     ORDER BY began_at, id
"""

# A second restore before the first was compared: the older window holds.
_BEGIN: Final = """
    INSERT INTO quarantines (organization_id, id, provider_account_id, because, compare_since,
           began_at)
    SELECT organization_id, gen_random_uuid(), id, $2, $3, $4 FROM provider_accounts
     WHERE organization_id = ANY ($1::uuid[])
        ON CONFLICT (organization_id, provider_account_id) WHERE released_at IS NULL
        DO UPDATE SET because = EXCLUDED.because, began_at = EXCLUDED.began_at,
           compare_since = least(quarantines.compare_since, EXCLUDED.compare_since)
 RETURNING organization_id, provider_account_id
"""

_RELEASE: Final = """
    UPDATE quarantines SET released_at = $3, released_because = $4
     WHERE organization_id = $1 AND id = $2 AND released_at IS NULL
"""

_LOST_SINCE: Final = """
    SELECT min(compare_since) FROM quarantines
     WHERE organization_id = $1 AND provider_account_id = $2 AND began_at >= $3
"""

_ACCOUNTS: Final = """
    SELECT organization_id, provider_account_id FROM quarantines WHERE released_at IS NULL
"""


async def live(conn: Conn, tenants: Collection[UUID]) -> dict[RowKey, Quarantine]:
    """The accounts of these tenants through which nothing is sent, by their keys."""
    rows = await conn.fetch(_LIVE, list(tenants))
    return {one.account: one for one in (Quarantine(**dict(row)) for row in rows)}


async def lost_since(conn: Conn, account: RowKey, *, known_since: datetime) -> datetime | None:
    """From when on a restore may have lost what was sent of something that is that old."""
    asked = (account.organization_id, account.id, known_since)
    since: datetime | None = await conn.fetchval(_LOST_SINCE, *asked)
    return since


async def begin(
    conn: Conn, tenants: Sequence[UUID], *, because: str, compare_since: datetime, now: datetime
) -> list[RowKey]:
    """Hold back all accounts of these tenants, deleted ones too: money may have moved there."""
    rows = await conn.fetch(_BEGIN, list(tenants), because, compare_since, now)
    return [RowKey(row["organization_id"], row["provider_account_id"]) for row in rows]


async def release(conn: Conn, one: Quarantine, *, because: str, now: datetime) -> None:
    """Let an account be charged through again."""
    await conn.execute(_RELEASE, one.organization_id, one.id, now, because)


async def accounts(scout: Conn) -> list[RowKey]:
    """The accounts of all tenants that are held back."""
    rows = await scout.fetch(_ACCOUNTS)
    return [RowKey(row["organization_id"], row["provider_account_id"]) for row in rows]

"""Rows of `provider_health`: the calls that an account has in hand, its throttle and its breaker.

An account without a published limit has no row before its first trouble, so most batches lock none.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from recoup.rules.provider_key import KeyRefusal
from recoup.rules.provider_pace import Breaker, Bucket, Throttle
from recoup.rules.records.keys import RowKey
from recoup.store.db import Conn
from recoup.store.rows import key_arrays

_FIND: Final = """
    SELECT h.*
      FROM unnest($1::uuid[], $2::uuid[]) AS asked (organization_id, id)
      JOIN provider_health h ON (h.organization_id, h.provider_account_id)
                              = (asked.organization_id, asked.id)
"""

_LOCK: Final = f"""{_FIND}
     ORDER BY h.organization_id, h.provider_account_id
       FOR NO KEY UPDATE OF h
"""

_MAKE: Final = """
    INSERT INTO provider_health (organization_id, provider_account_id)
    SELECT * FROM unnest($1::uuid[], $2::uuid[]) AS asked (organization_id, id)
     ORDER BY 1, 2
        ON CONFLICT DO NOTHING
"""

_KEEP: Final = """
    UPDATE provider_health h
       SET tokens = kept.tokens, refilled_at = kept.refilled_at, slow_until = kept.slow_until,
           outages_in_a_row = kept.outages_in_a_row, first_outage_at = kept.first_outage_at,
           times_opened = kept.times_opened, open_until = kept.open_until,
           probing_until = kept.probing_until, times_throttled = kept.times_throttled,
           paused_until = kept.paused_until, key_refused_at = kept.key_refused_at,
           key_tried_at = kept.key_tried_at
      FROM unnest($1::uuid[], $2::uuid[], $3::float8[], $4::timestamptz[], $5::timestamptz[],
                  $6::int[], $7::timestamptz[], $8::int[], $9::timestamptz[], $10::timestamptz[],
                  $11::int[], $12::timestamptz[], $13::timestamptz[], $14::timestamptz[])
           AS kept (organization_id, id, tokens, refilled_at, slow_until, outages_in_a_row,
                    first_outage_at, times_opened, open_until, probing_until, times_throttled,
                    paused_until, key_refused_at, key_tried_at)
     WHERE (h.organization_id, h.provider_account_id) = (kept.organization_id, kept.id)
"""


_TRUST_KEY: Final = """
    UPDATE provider_health SET key_refused_at = NULL, key_tried_at = NULL
     WHERE organization_id = $1 AND provider_account_id = $2 AND key_refused_at IS NOT NULL
"""

# Not the removed ones: most are called by nobody any more, who would find out that they answer.
_COUNT_LEFT_ALONE: Final = """
    SELECT a.kind, count(*) FILTER (WHERE h.open_until IS NOT NULL) AS down,
           count(*) FILTER (WHERE h.key_refused_at IS NOT NULL) AS refused
      FROM provider_health h
      JOIN provider_accounts a
        ON (a.organization_id, a.id) = (h.organization_id, h.provider_account_id)
     WHERE (h.open_until IS NOT NULL OR h.key_refused_at IS NOT NULL) AND a.deleted_at IS NULL
     GROUP BY a.kind ORDER BY a.kind
"""


class ProviderHealth(msgspec.Struct, frozen=True):
    """What is remembered of one account. As it is made: nobody has called, and it answers."""

    bucket: Bucket | None = None
    throttle: Throttle = Throttle()
    breaker: Breaker = Breaker()
    key: KeyRefusal = KeyRefusal()

    @property
    def is_troubled(self) -> bool:
        """Whether an answer would be news: it was out lately, or is left alone."""
        is_throttled = self.throttle.times > 0
        return self.breaker != Breaker() or self.key.since is not None or is_throttled

    def holds_back(self, *, now: datetime) -> bool:
        """Whether not every call may be made that the published limit allows."""
        is_left_alone = self.breaker.open_until is not None or self.key.since is not None
        return is_left_alone or self.throttle.is_slow(now=now)


class LeftAloneCount(msgspec.Struct, frozen=True):
    """Accounts of one kind that are left alone, and why."""

    kind: str
    down: int  # the provider does not answer
    refused: int  # it refuses our key


async def find(conn: Conn, accounts: Collection[RowKey]) -> dict[RowKey, ProviderHealth]:
    """What is remembered of these accounts, without a lock; those without a row are left out."""
    return _by_key(await conn.fetch(_FIND, *key_arrays(accounts)))


async def lock(conn: Conn, accounts: Collection[RowKey]) -> dict[RowKey, ProviderHealth]:
    """The same of every one of them, made where there was none, locked until the transaction ends.

    The last lock of a transaction: all processes that call an account meet at its row. Only an
    event that tells of the account follows (`flows/note_outcome`), and locks nothing but endpoints.
    """
    await conn.execute(_MAKE, *key_arrays(accounts))
    return _by_key(await conn.fetch(_LOCK, *key_arrays(accounts)))


async def keep(conn: Conn, health: Mapping[RowKey, ProviderHealth]) -> None:
    """Write what this transaction has locked."""
    buckets = [one.bucket for one in health.values()]
    breakers = [one.breaker for one in health.values()]
    await conn.execute(
        _KEEP,
        *key_arrays(health.keys()),
        [bucket.tokens if bucket else None for bucket in buckets],
        [bucket.refilled_at if bucket else None for bucket in buckets],
        [one.throttle.slow_until for one in health.values()],
        [breaker.outages_in_a_row for breaker in breakers],
        [breaker.first_outage_at for breaker in breakers],
        [breaker.times_opened for breaker in breakers],
        [breaker.open_until for breaker in breakers],
        [breaker.probing_until for breaker in breakers],
        [one.throttle.times for one in health.values()],
        [one.throttle.paused_until for one in health.values()],
        [one.key.since for one in health.values()],
        [one.key.try_at for one in health.values()],
    )


async def trust_key(conn: Conn, account: RowKey) -> None:
    """An account has another key: whether that is refused, its first call will tell."""
    await conn.execute(_TRUST_KEY, account.organization_id, account.id)


async def count_left_alone(scout: Conn) -> list[LeftAloneCount]:
    """How many accounts of all tenants are left alone, by the provider's kind."""
    return [LeftAloneCount(**dict(row)) for row in await scout.fetch(_COUNT_LEFT_ALONE)]


def _by_key(rows: Sequence[Any]) -> dict[RowKey, ProviderHealth]:
    return {
        RowKey(row["organization_id"], row["provider_account_id"]): ProviderHealth(
            bucket=None if row["tokens"] is None else Bucket(row["tokens"], row["refilled_at"]),
            throttle=Throttle(
                times=row["times_throttled"],
                paused_until=row["paused_until"],
                slow_until=row["slow_until"],
            ),
            breaker=Breaker(
                outages_in_a_row=row["outages_in_a_row"],
                first_outage_at=row["first_outage_at"],
                times_opened=row["times_opened"],
                open_until=row["open_until"],
                probing_until=row["probing_until"],
            ),
            key=KeyRefusal(row["key_refused_at"], row["key_tried_at"]),
        )
        for row in rows
    }

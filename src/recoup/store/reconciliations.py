"""Rows of `reconciliations`; the page that comes next is a row, not memory."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from recoup.rules.reconciliation import What
from recoup.rules.records.keys import RowKey
from recoup.store.db import Conn
from recoup.store.findings import Finding
from recoup.store.rows import columns


class Reconciliation(msgspec.Struct, frozen=True, kw_only=True):
    """One comparison of an account's list with ours, under way or done."""

    organization_id: UUID
    id: UUID
    provider_account_id: UUID
    state: str  # listing, complete, cannot_list
    since: datetime
    before: datetime
    next_page: str | None
    listed: int
    foreign_charges: int
    began_at: datetime
    ended_at: datetime | None

    @property
    def account(self) -> RowKey:
        """Whose list is compared."""
        return RowKey(self.organization_id, self.provider_account_id)


_BEGIN: Final = f"""
    INSERT INTO reconciliations (organization_id, id, provider_account_id, since, before, began_at)
    VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (organization_id, provider_account_id) WHERE state = 'listing' DO NOTHING
 RETURNING {columns(Reconciliation)}
"""

_UNDER_WAY: Final = f"""
    SELECT {columns(Reconciliation)} FROM reconciliations
     WHERE organization_id = $1 AND provider_account_id = $2 AND state = 'listing'
       FOR UPDATE
"""

_TURN: Final = """
    UPDATE reconciliations  -- begun anew where nobody has kept where to go on
       SET next_page = $3,
           listed = CASE WHEN next_page IS NULL THEN 0 ELSE listed END + $4,
           foreign_charges = CASE WHEN next_page IS NULL THEN 0 ELSE foreign_charges END + $5
     WHERE organization_id = $1 AND id = $2
"""

_SEEN: Final = """
    INSERT INTO reconciliation_charges (organization_id, reconciliation_id, payment_id)
    SELECT $1, $2, unnest($3::uuid[]) ON CONFLICT DO NOTHING
"""

_END: Final = """
    UPDATE reconciliations SET state = $3, ended_at = $4, next_page = NULL
     WHERE organization_id = $1 AND id = $2
"""

_FORGET_SEEN: Final = """
    DELETE FROM reconciliation_charges WHERE organization_id = $1 AND reconciliation_id = $2
"""

_NOT_LISTED: Final = """
    SELECT p.id, p.provider_payment_id, p.amount_cents, p.currency, p.state
      FROM payments p
     WHERE p.organization_id = $1 AND p.provider_account_id = $2
       AND p.sent_at >= $4 AND p.sent_at < $5 AND p.state IN ('succeeded', 'processing')
       AND p.payment_type = 'provider'
       AND NOT EXISTS (SELECT FROM reconciliation_charges seen
            WHERE seen.organization_id = p.organization_id AND seen.reconciliation_id = $3
              AND seen.payment_id = p.id)
     ORDER BY p.sent_at, p.id
"""

_LAST: Final = f"""
    SELECT DISTINCT ON (provider_account_id) {columns(Reconciliation)} FROM reconciliations
     WHERE organization_id = $1 ORDER BY provider_account_id, began_at DESC
"""


async def last(conn: Conn, account: RowKey) -> Reconciliation | None:
    """The account's last comparison, ended or not."""
    return next(
        (
            one
            for one in await latest(conn, account.organization_id)
            if one.provider_account_id == account.id
        ),
        None,
    )


async def begin(
    conn: Conn, account: RowKey, *, id: UUID, since: datetime, before: datetime, now: datetime
) -> Reconciliation:
    """Begin a comparison, or go on with the one that is under way; it is locked."""
    row = await conn.fetchrow(
        _BEGIN, account.organization_id, id, account.id, since, before, now
    ) or await conn.fetchrow(_UNDER_WAY, account.organization_id, account.id)
    assert row is not None, "it was begun, or is under way"
    return Reconciliation(**dict(row))


async def under_way(conn: Conn, account: RowKey) -> Reconciliation | None:
    """The account's comparison that has not ended; it is locked."""
    row = await conn.fetchrow(_UNDER_WAY, account.organization_id, account.id)
    return Reconciliation(**dict(row)) if row else None


async def turn_page(
    conn: Conn,
    one: Reconciliation,
    *,
    next_page: str | None,
    listed: int,
    foreign: int,
    ours: Collection[UUID],
) -> None:
    """Keep where the list goes on, and which of our attempts it has named so far."""
    await conn.execute(_TURN, one.organization_id, one.id, next_page, listed, foreign)
    await conn.execute(_SEEN, one.organization_id, one.id, list(ours))


async def not_listed(
    conn: Conn, one: Reconciliation, *, since: datetime, before: datetime
) -> list[Finding]:
    """Our attempts of this time whose money moved, by what we hold, and that no page has named."""
    rows = await conn.fetch(
        _NOT_LISTED, one.organization_id, one.provider_account_id, one.id, since, before
    )
    return [
        Finding(
            what=What.UNKNOWN_THERE,
            idempotency_key=f"payment-{row['id']}",
            charge_known_as=row["provider_payment_id"],
            amount_cents=row["amount_cents"],
            currency=row["currency"],
            here=row["state"],
        )
        for row in rows
    ]


async def end(conn: Conn, one: Reconciliation, *, state: str, now: datetime) -> None:
    """End a comparison."""
    await conn.execute(_END, one.organization_id, one.id, state, now)
    await conn.execute(_FORGET_SEEN, one.organization_id, one.id)


async def latest(conn: Conn, organization_id: UUID) -> list[Reconciliation]:
    """The last comparison of each of the organization's accounts."""
    return [Reconciliation(**dict(row)) for row in await conn.fetch(_LAST, organization_id)]

"""Rows of `contradictions`: news of a charge or refund that cannot be true beside what we hold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from recoup.rules.lago.pages import Page
from recoup.rules.records.keys import RowKey
from recoup.store.db import Conn
from recoup.store.listing import part, rows_and_total
from recoup.store.rows import storable


class Contradiction(msgspec.Struct, frozen=True, kw_only=True):
    """News that cannot be true beside what we hold, or money that belongs to nothing."""

    payment: RowKey
    id: UUID
    was: str
    told: str
    reason: str
    amount_cents: int
    currency: str
    provider_payment_id: str | None
    unapplied_cents: int = 0  # money of it that belongs to no invoice
    refund_id: UUID | None = None  # what is told is told of this refund of the payment
    provider_refund_id: str | None = None


class Told(msgspec.Struct, frozen=True):
    """A contradiction, and when it was told."""

    contradiction: Contradiction
    at: datetime


_INSERT: Final = """
    INSERT INTO contradictions (organization_id, id, payment_id, was, told, reason, amount_cents,
           currency, provider_payment_id, created_at, unapplied_cents, refund_id,
           provider_refund_id)
    SELECT u.id1, u.id2, u.id3, u.was, u.told, u.reason, u.cents, u.currency, u.known_as, $10,
           u.unapplied, u.id4, u.refunded_as
      FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[],
                  $7::bigint[], $8::text[], $9::text[], $11::bigint[], $12::uuid[],
                  $13::text[])
           AS u (id1, id2, id3, was, told, reason, cents, currency, known_as, unapplied, id4,
                 refunded_as)
        ON CONFLICT (organization_id, id) DO NOTHING  -- told before: webhooks come more than once
 RETURNING id
"""

_OF_INVOICES: Final = """
    SELECT pi.invoice_id, c.*
      FROM unnest($1::uuid[], $2::uuid[]) AS asked (organization_id, id)
      JOIN payment_invoices pi
        ON (pi.organization_id, pi.invoice_id) = (asked.organization_id, asked.id)
      JOIN contradictions c
        ON (c.organization_id, c.payment_id) = (pi.organization_id, pi.payment_id)
     ORDER BY c.created_at, c.id
"""


_FIND: Final = """
    SELECT c.*
      FROM unnest($1::uuid[], $2::uuid[]) AS asked (organization_id, id)
      JOIN contradictions c USING (organization_id, id)
"""

_ALL: Final = """
    SELECT * FROM contradictions
     WHERE organization_id = $1 ORDER BY created_at DESC, id
"""

# A tenant has few of them, so the tenant's part of the primary key is walked.
_TOLD_OF_ANOTHER: Final = """
    SELECT EXISTS (
        SELECT FROM contradictions c
          JOIN payments p ON (p.organization_id, p.id) = (c.organization_id, c.payment_id)
         WHERE c.organization_id = $1 AND c.provider_payment_id = $2
           AND p.provider_account_id = $3 AND c.payment_id <> $4 AND c.reason <> $5)
"""

_WAS_TAKEN_BACK: Final = """
    SELECT coalesce(sum(CASE told WHEN 'reversed' THEN amount_cents ELSE -amount_cents END), 0) > 0
      FROM contradictions
     WHERE organization_id = $1 AND payment_id = $2 AND provider_payment_id = $3
       AND told IN ('reversed', 'given_back')
"""

_WENT_BACK_AS: Final = """
    SELECT EXISTS (
        SELECT FROM contradictions c
          JOIN refunds r ON (r.organization_id, r.id) = (c.organization_id, c.refund_id)
         WHERE c.organization_id = $1 AND r.provider_account_id = $2
           AND c.provider_refund_id = $3 AND c.told = 'refunded')
"""

_COUNT: Final = "SELECT count(*) FROM contradictions WHERE organization_id = $1"


async def insert(
    conn: Conn, contradictions: Sequence[Contradiction], *, now: datetime
) -> set[UUID]:
    """Keep contradictions, each once; answer the ids of those that are new."""
    if not contradictions:
        return set()
    rows = await conn.fetch(
        _INSERT,
        [one.payment.organization_id for one in contradictions],
        [one.id for one in contradictions],
        [one.payment.id for one in contradictions],
        [one.was for one in contradictions],
        [one.told for one in contradictions],
        [one.reason for one in contradictions],
        [one.amount_cents for one in contradictions],
        [one.currency for one in contradictions],
        [one.provider_payment_id for one in contradictions],
        now,
        [one.unapplied_cents for one in contradictions],
        [one.refund_id for one in contradictions],
        [storable(one.provider_refund_id) for one in contradictions],
    )
    return {row["id"] for row in rows}


async def of_invoices(conn: Conn, invoices: Collection[RowKey]) -> dict[RowKey, list[Told]]:
    """What contradicted itself about these invoices, oldest first."""
    found: dict[RowKey, list[Told]] = defaultdict(list)
    for row in await conn.fetch(
        _OF_INVOICES, [key.organization_id for key in invoices], [key.id for key in invoices]
    ):
        invoice = RowKey(row["organization_id"], row["invoice_id"])
        found[invoice].append(_told(row))
    return found


async def find(conn: Conn, keys: Collection[RowKey]) -> dict[RowKey, Told]:
    """These contradictions; those that do not exist are left out."""
    rows = await conn.fetch(_FIND, [key.organization_id for key in keys], [key.id for key in keys])
    return {RowKey(row["organization_id"], row["id"]): _told(row) for row in rows}


async def told_of_another(
    conn: Conn, account: RowKey, provider_payment_id: str, *, besides: RowKey, but_for: str
) -> bool:
    """Whether this id of the account's was told of an attempt `besides` this one, as a surprise.

    `but_for` is the reason of those in which the id is named as none of the attempt's own.
    """
    told: bool = await conn.fetchval(
        _TOLD_OF_ANOTHER,
        account.organization_id,
        provider_payment_id,
        account.id,
        besides.id,
        but_for,
    )
    return told


async def was_taken_back(conn: Conn, payment: RowKey, provider_payment_id: str) -> bool:
    """Whether bank or provider took this charge's money back, and has not given it back since."""
    was: bool = await conn.fetchval(
        _WAS_TAKEN_BACK, payment.organization_id, payment.id, provider_payment_id
    )
    return was


async def went_back_as(conn: Conn, account: RowKey, provider_refund_id: str) -> bool:
    """Whether money went back under this id of the account's that no refund is known by."""
    went: bool = await conn.fetchval(
        _WENT_BACK_AS, account.organization_id, account.id, provider_refund_id
    )
    return went


async def page(conn: Conn, organization_id: UUID, wanted: Page) -> tuple[list[Told], int]:
    """One page of the organization's contradictions, newest first, and how many there are."""
    select = f"{_ALL} {part(wanted)}"
    rows, total = await rows_and_total(conn, select, _COUNT, [organization_id], wanted)
    return [_told(row) for row in rows], total


def _told(row: Any) -> Told:
    contradiction = Contradiction(
        payment=RowKey(row["organization_id"], row["payment_id"]),
        id=row["id"],
        was=row["was"],
        told=row["told"],
        reason=row["reason"],
        amount_cents=row["amount_cents"],
        currency=row["currency"],
        provider_payment_id=row["provider_payment_id"],
        unapplied_cents=row["unapplied_cents"],
        refund_id=row["refund_id"],
        provider_refund_id=row["provider_refund_id"],
    )
    return Told(contradiction, row["created_at"])

"""Rows of `ledger_entries`: what moved, between which accounts. They are added, never changed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from recoup.rules.records.keys import RowKey
from recoup.store.db import Conn

# One statement: the database checks that what it writes sums to zero per transaction.
_INSERT: Final = """
    INSERT INTO ledger_entries (organization_id, transaction_id, position, account, amount_cents,
           currency, invoice_id, payment_id, created_at)
    SELECT entry.*, $9
      FROM unnest($1::uuid[], $2::uuid[], $3::int[], $4::text[], $5::bigint[], $6::text[],
                  $7::uuid[], $8::uuid[]) AS entry
"""


class LedgerEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One side of what moved: debit positive, credit negative, in minor units."""

    organization_id: UUID
    transaction_id: UUID
    position: int  # within its transaction, from 0
    account: str
    amount_cents: int
    currency: str
    invoice_id: UUID | None
    payment_id: UUID | None


def transfer(
    invoice: RowKey,
    transaction_id: UUID,
    amount_cents: int,
    currency: str,
    *,
    debit: str,
    credit: str,
    payment_id: UUID | None = None,
) -> list[LedgerEntry]:
    """Move an amount between two accounts on behalf of an invoice; nothing moves nothing."""
    sides = ((debit, amount_cents), (credit, -amount_cents))
    return [
        LedgerEntry(
            organization_id=invoice.organization_id,
            transaction_id=transaction_id,
            position=position,
            account=account,
            amount_cents=cents,
            currency=currency,
            invoice_id=invoice.id,
            payment_id=payment_id,
        )
        for position, (account, cents) in enumerate(sides)
        if cents
    ]


async def write(conn: Conn, entries: Sequence[LedgerEntry], *, now: datetime) -> None:
    """Add entries: all of a transaction's in one call, since they must sum to zero.

    :raises asyncpg.CheckViolationError: they do not.
    """
    if not entries:
        return
    await conn.execute(
        _INSERT,
        [entry.organization_id for entry in entries],
        [entry.transaction_id for entry in entries],
        [entry.position for entry in entries],
        [entry.account for entry in entries],
        [entry.amount_cents for entry in entries],
        [entry.currency for entry in entries],
        [entry.invoice_id for entry in entries],
        [entry.payment_id for entry in entries],
        now,
    )

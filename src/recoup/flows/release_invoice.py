"""Let an invoice that is held be collected again, and list those that are.

Called by `recoup invoice release` and `held`. An invoice is held where a provider has told what
cannot be true beside what we know: money has moved, or may have, and another charge would be one
too many. The person has looked, has refunded or booked what had to be, and says so for the record.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from recoup.flows.find_organization import organization_must_exist
from recoup.rules.persons_word import refuse_unsaid
from recoup.rules.records.collection import Debt
from recoup.rules.records.keys import RowKey
from recoup.rules.refusal import Refused, not_allowed, not_found
from recoup.store import audit_log, collection, contradictions, db, tries
from recoup.store.audit_log import AuditEntry
from recoup.store.contradictions import Told
from recoup.store.db import Pool

MOST_LISTED: Final = 1_000


class HeldInvoice(msgspec.Struct, frozen=True):
    """An invoice that nobody is charged for, and what was told of it, oldest first."""

    debt: Debt
    told: Sequence[Told]


async def release_invoice(
    pool: Pool, invoice: RowKey, *, by: str, reason: str, audit_id: UUID, now: datetime
) -> None:
    """Let a held invoice be collected again. It is charged when somebody asks, not by itself.

    :raises Refused: `invoice_not_found`; 405 `invoice_not_held`; 422 for a blank `by` or `reason`.
    """
    refuse_unsaid(by=by, reason=reason)
    async with db.transaction(pool, tenants=[invoice.organization_id]) as conn:
        debt = (await collection.lock(conn, [invoice])).get(invoice)
        if debt is None:
            raise Refused(not_found("invoice"))
        if debt.held_because is None:
            raise Refused(not_allowed("invoice_not_held"))
        await tries.release(conn, [invoice])
        entry = AuditEntry(
            organization_id=invoice.organization_id,
            id=audit_id,
            actor=by.strip(),
            action="invoice.released",
            object_id=invoice.id,
            detail={"reason": reason.strip(), "was_held_because": debt.held_because},
        )
        await audit_log.write(conn, [entry], now=now)


async def list_held_invoices(pool: Pool, organization_id: UUID) -> list[HeldInvoice]:
    """The organization's held invoices, oldest first; a thousand at most.

    :raises Refused: `organization_not_found`.
    """
    async with db.transaction(pool, tenants=[organization_id]) as conn:
        await organization_must_exist(conn, organization_id)
        keys = await tries.held(conn, organization_id, most=MOST_LISTED)
        debts = await collection.find(conn, keys)
        told = await contradictions.of_invoices(conn, keys)
    return [HeldInvoice(debts[key], told.get(key, ())) for key in keys if key in debts]

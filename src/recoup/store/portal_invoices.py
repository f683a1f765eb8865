"""A customer's own invoices, as its page lists them: final ones, and none that we owe."""

from __future__ import annotations

from datetime import date
from typing import Final
from uuid import UUID

import msgspec

from recoup.rules.records.keys import RowKey
from recoup.store.db import Conn

_SHOWN: Final = """
      FROM invoices i
     WHERE i.organization_id = $1 AND i.customer_id = $2
       AND i.status IN ('finalized', 'voided') AND NOT i.self_billed
"""

_ORDER: Final = "ORDER BY i.issuing_date DESC, i.created_at DESC, i.id"

# What is being paid is asked of those that are shown, and not of those before them.
_PAGE: Final = f"""
    SELECT i.id, i.billing_entity_id, i.number, i.issuing_date, i.payment_due_date, i.currency,
           i.total_cents, i.due_cents, i.status, i.payment_status, i.payment_overdue,
           i.held_because IS NOT NULL AS is_held,
           EXISTS (SELECT FROM payment_invoices pi
                     JOIN payments p
                       ON (p.organization_id, p.id) = (pi.organization_id, pi.payment_id)
                    WHERE (pi.organization_id, pi.invoice_id) = (i.organization_id, i.id)
                      AND pi.open AND p.manner <> 'page') AS is_being_paid
      FROM (SELECT i.* {_SHOWN} {_ORDER} LIMIT $3 OFFSET $4) i
     {_ORDER}
"""

_IS_SHOWN: Final = f"SELECT EXISTS (SELECT {_SHOWN} AND i.id = $3)"


class PortalInvoice(msgspec.Struct, frozen=True, kw_only=True):
    """One invoice as its payer sees it."""

    id: UUID
    billing_entity_id: UUID
    number: str
    issuing_date: date | None
    payment_due_date: date | None
    currency: str
    total_cents: int
    due_cents: int
    status: str
    payment_status: str
    payment_overdue: bool
    is_held: bool  # nobody is charged for it at the moment
    is_being_paid: bool


async def page(conn: Conn, customer: RowKey, *, size: int, offset: int) -> list[PortalInvoice]:
    """Some of the customer's invoices, latest issued first."""
    rows = await conn.fetch(_PAGE, customer.organization_id, customer.id, size, offset)
    return [PortalInvoice(**dict(row)) for row in rows]


async def is_shown(conn: Conn, customer: RowKey, invoice_id: UUID) -> bool:
    """Whether this is one of the customer's own."""
    shown: bool = await conn.fetchval(_IS_SHOWN, customer.organization_id, customer.id, invoice_id)
    return shown

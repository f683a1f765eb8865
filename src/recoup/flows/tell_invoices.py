"""Render the news about invoices: read in the transaction that changed them, after the change."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import msgspec

from recoup.flows.tell import News
from recoup.rules.lago.invoices import Include, invoice_object
from recoup.rules.records.keys import RowKey
from recoup.store import invoices
from recoup.store.db import Conn


class StatusChange(msgspec.Struct, frozen=True):
    """An invoice whose payment status has changed, and what made it so."""

    invoice: RowKey
    cause: UUID
    ask_id: UUID | None = None  # the accepted retry that this ends


async def payment_status_updated(conn: Conn, changes: Sequence[StatusChange]) -> list[News]:
    """`invoice.payment_status_updated` for each change, in order."""
    if not changes:
        return []
    details = await invoices.details(conn, {change.invoice for change in changes})
    return [
        News(
            organization_id=change.invoice.organization_id,
            webhook_type="invoice.payment_status_updated",
            object_type="invoice",
            payload=invoice_object(details[change.invoice], Include.CUSTOMER | Include.FEES),
            object_id=change.invoice.id,
            cause=change.cause,
            ask_id=change.ask_id,
        )
        for change in changes
    ]

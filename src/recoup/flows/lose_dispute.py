"""Mark that the payer's bank has taken the money back: the dispute about an invoice is lost.

Told by a caller (contract section 3.7.14), or by a provider who has taken the money back.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

import msgspec

from recoup.flows.find_invoices import find_invoice, lock_invoice
from recoup.flows.tell import News, tell
from recoup.rules.lago.invoices import DisputeLostObject, Include, invoice_object
from recoup.rules.records.invoices import InvoiceDetails
from recoup.rules.records.keys import RowKey
from recoup.rules.refusal import Refused, not_allowed
from recoup.store import invoices
from recoup.store.db import Conn


class LostDispute(msgspec.Struct, frozen=True):
    """What made a dispute a lost one, by its id, and the provider's reason where it told it."""

    cause: UUID
    reason: str | None = None


async def lose_dispute(
    conn: Conn, organization_id: UUID, invoice_id: UUID | None, *, change_id: UUID, now: datetime
) -> InvoiceDetails:
    """Mark the dispute as lost. It is told each time, and dated the first time only.

    :raises Refused: `invoice_not_found`; 405 `not_disputable` for a draft, or one without totals.
    """
    invoice = await lock_invoice(conn, organization_id, invoice_id)
    if invoice.status not in {"finalized", "voided"}:
        raise Refused(not_allowed("not_disputable"))
    await tell_lost_disputes(conn, {invoice.key: LostDispute(change_id)}, now=now)
    return await find_invoice(conn, organization_id, invoice.id)


async def tell_lost_disputes(
    conn: Conn, lost: Mapping[RowKey, LostDispute], *, now: datetime
) -> None:
    """Mark the disputes of these locked invoices as lost, and tell of each; by what made it so."""
    told = []
    for invoice, what in lost.items():
        await invoices.lose_dispute(conn, invoice, now=now)
        details = await find_invoice(conn, invoice.organization_id, invoice.id)
        told.append(
            News(
                organization_id=invoice.organization_id,
                webhook_type="invoice.payment_dispute_lost",
                object_type="payment_dispute_lost",
                payload=DisputeLostObject(invoice_object(details, Include.CUSTOMER), what.reason),
                object_id=invoice.id,
                cause=what.cause,
            )
        )
    await tell(conn, told, now=now)

"""Delete a draft: no route shows it again, and nothing of it was ever owed."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from recoup.flows.find_invoices import lock_invoice
from recoup.flows.tell import News, tell
from recoup.rules.lago.invoices import Include, invoice_object
from recoup.rules.records.invoices import InvoiceDetails
from recoup.rules.refusal import Refused, not_allowed
from recoup.store import invoices
from recoup.store.db import Conn


async def delete_draft(
    conn: Conn, organization_id: UUID, invoice_id: UUID | None, *, now: datetime
) -> InvoiceDetails:
    """Delete a draft, tell of it, and answer it as it is then, which is the last time.

    :raises Refused: `invoice_not_found`; 405 `not_deletable`, for what is no draft.
    """
    draft = await lock_invoice(conn, organization_id, invoice_id)
    if draft.status != "draft":
        raise Refused(not_allowed("not_deletable"))
    gone = msgspec.structs.replace(draft, status="deleted", finalize_at=None, updated_at=now)
    await invoices.write(conn, gone)
    details = (await invoices.details(conn, [draft.key]))[draft.key]
    deleted = News(
        organization_id=organization_id,
        webhook_type="invoice.deleted",
        object_type="invoice",
        payload=invoice_object(details, Include.CUSTOMER_FEES_AND_TAXES),
        object_id=draft.id,
        cause=draft.id,
    )
    await tell(conn, [deleted], now=now)
    return details

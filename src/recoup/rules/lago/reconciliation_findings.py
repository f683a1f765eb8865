"""What a comparison with a provider's list found, on the wire: ours, in the manner of Lago's."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec


class ReconciliationFindingObject(msgspec.Struct, frozen=True, kw_only=True):
    """What we and a provider do not say alike of a charge or a refund."""

    lago_id: UUID
    lago_provider_account_id: UUID
    # unknown_here, unknown_there, unreadable, differs, refund_unknown_there, cannot_list
    what: str
    detail: str  # why it could not be mended, or what differs
    status: str  # open, closed (it is so no more), resolved (by a person)
    idempotency_key: str  # `payment-<id>`, `refund-<id>`
    provider_id: str | None  # the charge's or the refund's id at the provider
    lago_invoice_id: UUID | None  # by what was sent beside the charge: it need not exist
    amount_cents: int | None
    amount_currency: str | None
    amount_here_cents: int | None  # where both sides know it
    status_here: str | None
    status_there: str | None
    found_at: datetime
    last_found_at: datetime
    resolved_at: datetime | None
    resolved_because: str | None
    resolved_by: str | None

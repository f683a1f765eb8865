"""Payment requests: several overdue invoices asked for at once, as kept and as shown."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from recoup.rules.records.customers import CustomerDetails
from recoup.rules.records.invoices import InvoiceDetails
from recoup.rules.records.keys import RowKey


class PaymentRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `payment_requests`."""

    organization_id: UUID
    id: UUID
    customer_id: UUID
    billing_entity_id: UUID
    amount_cents: int  # what was due of its invoices when it was made
    currency: str
    email: str | None
    payment_status: str  # pending, succeeded, failed
    dunning_campaign_id: UUID | None = None  # which campaign asks; None: a caller did
    # Who reads the reminder in blind copy, should the charge fail; None: there is none.
    reminder_copies: Sequence[str] | None = None
    created_at: datetime
    updated_at: datetime

    @property
    def key(self) -> RowKey:
        """Which request this is."""
        return RowKey(self.organization_id, self.id)

    @property
    def customer_key(self) -> RowKey:
        """Who is asked to pay."""
        return RowKey(self.organization_id, self.customer_id)


class PaymentRequestDetails(msgspec.Struct, frozen=True, kw_only=True):
    """A payment request and everything that is shown of it; it has one invoice at least."""

    request: PaymentRequest
    customer: CustomerDetails
    invoices: tuple[InvoiceDetails, ...]

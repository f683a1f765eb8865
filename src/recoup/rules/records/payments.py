"""Money asked for or received: a payment, as it is shown."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from recoup.rules.attempt_state import State
from recoup.rules.records.payment_methods import PaymentMethod


class PaidInvoice(msgspec.Struct, frozen=True):
    """An invoice that a payment covers."""

    id: UUID
    number: str


class PaymentDetails(msgspec.Struct, frozen=True, kw_only=True):
    """A payment and everything that its rendering needs besides.

    `invoices` has one entry at least. What names the provider is None for a payment made by hand.
    """

    organization_id: UUID
    id: UUID
    state: State
    payment_type: str  # provider or manual
    customer_id: UUID
    external_customer_id: str
    invoices: tuple[PaidInvoice, ...]
    amount_cents: int
    currency: str
    reference: str
    provider_kind: str | None
    provider_code: str | None
    provider_customer_id: str | None
    provider_payment_id: str | None
    provider_status: str  # in the provider's own words
    next_action: Mapping[str, Any] | None
    method: PaymentMethod | None  # that it was charged on
    created_at: datetime
    payment_request_id: UUID | None = None  # that all its invoices were asked for by

"""Something that a customer can be charged on: a card, a mandate, by the provider's own id."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from recoup.rules.records.provider_accounts import ProviderKind


class PaymentMethod(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `payment_methods`, with the provider account that it lives at."""

    organization_id: UUID
    id: UUID
    customer_id: UUID
    provider_customer_id: UUID  # the row of `provider_customers`
    provider_method_id: str  # `pm_…`: a token, never a card number
    is_default: bool
    details: dict[str, object]  # brand, last four digits, expiry, as far as the provider told
    created_at: datetime
    deleted_at: datetime | None = None
    provider_kind: ProviderKind
    provider_code: str
    provider_name: str

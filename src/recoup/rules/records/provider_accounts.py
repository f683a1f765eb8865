"""An organization's account at a payment provider."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

import msgspec

from recoup.rules.records.keys import RowKey


class ProviderKind(StrEnum):
    """Which provider an account is at. Lago's word for it on the wire is `payment_provider`."""

    STRIPE = "stripe"
    ADYEN = "adyen"
    GOCARDLESS = "gocardless"
    SANDBOX = "sandbox"  # the provider to play with


class ProviderAccount(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `provider_accounts`. `code` is unique among an organization's live accounts."""

    organization_id: UUID
    id: UUID
    kind: ProviderKind
    code: str
    name: str
    secrets_sealed: bytes  # JSON, sealed; `store.provider_accounts.open_secrets` reads it
    created_at: datetime
    deleted_at: datetime | None = None

    @property
    def key(self) -> RowKey:
        """Which account this is."""
        return RowKey(self.organization_id, self.id)

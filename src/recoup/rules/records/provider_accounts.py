"""An organization's account at a payment provider."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final
from urllib.parse import quote
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
    secrets_sealed: bytes  # JSON, sealed; `flows.add_provider_account.open_secrets` reads
    created_at: datetime
    deleted_at: datetime | None = None
    success_redirect_url: str | None = None  # where a payer goes after the provider's page
    supports_3ds: bool = True  # its payers may be asked to authenticate
    refund_surprises: bool = False  # money that belongs to no invoice is paid back at once

    @property
    def key(self) -> RowKey:
        """Which account this is."""
        return RowKey(self.organization_id, self.id)

    @property
    def return_url(self) -> str:
        """Where a payer goes after the provider's page: the provider's own site if none is set."""
        return self.success_redirect_url or _HOMES[self.kind]

    @property
    def webhook_path(self) -> str:
        """Where the provider's events are taken, below the address that the outside knows."""
        return f"/webhooks/{self.kind}/{self.organization_id}?code={quote(self.code, safe='')}"


# What they call themselves: what a caller is told of a refusal of theirs (contract section 1.4).
NAMES: Final = {
    ProviderKind.STRIPE: "Stripe",
    ProviderKind.ADYEN: "Adyen",
    ProviderKind.GOCARDLESS: "GoCardless",
    ProviderKind.SANDBOX: "Sandbox",
}
_HOMES: Final = {
    ProviderKind.STRIPE: "https://stripe.com/",  # contract section 5.5
    ProviderKind.ADYEN: "https://www.adyen.com/",
    ProviderKind.GOCARDLESS: "https://gocardless.com/",
    ProviderKind.SANDBOX: "https://example.com/",
}

"""Where a tenant wants to be told what happens."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec


class WebhookEndpoint(msgspec.Struct, frozen=True):
    """A row of `webhook_endpoints`."""

    organization_id: UUID
    id: UUID
    webhook_url: str
    signature_algo: str  # jwt or hmac
    name: str | None
    event_types: tuple[str, ...] | None  # None: all; empty: none
    created_at: datetime

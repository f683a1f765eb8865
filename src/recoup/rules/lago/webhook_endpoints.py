"""A webhook endpoint on Lago's wire (contract section 3.13)."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from recoup.rules.lago.instants import seconds
from recoup.rules.records.webhook_endpoints import WebhookEndpoint


class WebhookEndpointObject(msgspec.Struct, frozen=True):
    """`webhook_endpoint` in Lago's words. `event_types` null: all of them."""

    lago_id: UUID
    lago_organization_id: UUID
    webhook_url: str
    signature_algo: str
    name: str | None
    event_types: tuple[str, ...] | None
    created_at: datetime


def webhook_endpoint_object(endpoint: WebhookEndpoint) -> WebhookEndpointObject:
    """Render a webhook endpoint."""
    return WebhookEndpointObject(
        lago_id=endpoint.id,
        lago_organization_id=endpoint.organization_id,
        webhook_url=endpoint.webhook_url,
        signature_algo=endpoint.signature_algo,
        name=endpoint.name,
        event_types=endpoint.event_types,
        created_at=seconds(endpoint.created_at),
    )

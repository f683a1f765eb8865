"""A webhook's delivery on the wire: ours, in the manner of Lago's."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec


class WebhookTryObject(msgspec.Struct, frozen=True, kw_only=True):
    """One try. `error` says why it does not count as delivered; null: it does."""

    number: int
    webhook_url: str
    at: datetime
    http_status: int | None
    error: str | None


class WebhookDeliveryObject(msgspec.Struct, frozen=True, kw_only=True):
    """What one endpoint is told of one event. `lago_id` is the `X-Lago-Unique-Key` of every try."""

    lago_id: UUID
    lago_webhook_endpoint_id: UUID
    webhook_url: str  # where the endpoint is now
    webhook_type: str
    lago_event_id: UUID
    lago_object_id: UUID  # the invoice, payment or customer that it is about
    status: str  # waiting, delivered, given_up
    tries_count: int
    http_status: int | None  # of the last try
    error: str | None
    next_try_at: datetime | None
    replays_count: int
    replayed_at: datetime | None
    created_at: datetime
    ended_at: datetime | None


class WebhookDeliveryDetailObject(WebhookDeliveryObject, frozen=True, kw_only=True):
    """The same with what is sent, to the letter, and every try, oldest first."""

    body: str
    tries: list[WebhookTryObject]

"""A tax that can be applied to fees."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec


class Tax(msgspec.Struct, frozen=True):
    """A row of `taxes`. `rate` is percent, a binary float as Lago computes with it."""

    organization_id: UUID
    id: UUID
    code: str
    name: str
    description: str | None
    rate: float
    created_at: datetime
    billing_entity_codes: tuple[str, ...] = ()  # the billing entities that it is applied to

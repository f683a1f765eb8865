"""A thing that a one-off invoice can charge for."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from recoup.rules.records.taxes import Tax


class AddOn(msgspec.Struct, frozen=True):
    """A row of `add_ons`, with the taxes that apply where a fee names none of its own."""

    organization_id: UUID
    id: UUID
    code: str
    name: str
    invoice_display_name: str | None
    description: str | None
    amount_cents: int
    amount_currency: str
    created_at: datetime
    taxes: tuple[Tax, ...] = ()

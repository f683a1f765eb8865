"""An add-on on Lago's wire (contract section 3.6)."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from recoup.rules.lago.instants import seconds
from recoup.rules.lago.taxes import TaxObject, tax_object
from recoup.rules.records.add_ons import AddOn


class AddOnObject(msgspec.Struct, frozen=True):
    """`add_on` in Lago's words."""

    lago_id: UUID
    name: str
    invoice_display_name: str | None
    code: str
    amount_cents: int
    amount_currency: str
    created_at: datetime
    description: str | None
    taxes: tuple[TaxObject, ...]


def add_on_object(add_on: AddOn) -> AddOnObject:
    """Render an add-on."""
    return AddOnObject(
        lago_id=add_on.id,
        name=add_on.name,
        invoice_display_name=add_on.invoice_display_name,
        code=add_on.code,
        amount_cents=add_on.amount_cents,
        amount_currency=add_on.amount_currency,
        created_at=seconds(add_on.created_at),
        description=add_on.description,
        taxes=tuple(tax_object(tax) for tax in add_on.taxes),
    )

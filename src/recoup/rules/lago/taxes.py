"""A tax on Lago's wire (contract section 3.5)."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from recoup.rules.lago.instants import seconds
from recoup.rules.records.taxes import Tax


class TaxObject(msgspec.Struct, frozen=True):
    """`tax` in Lago's words. The counts are always 0 there, too."""

    lago_id: UUID
    name: str
    code: str
    rate: float
    description: str | None
    applied_to_organization: bool
    add_ons_count: int
    customers_count: int
    plans_count: int
    charges_count: int
    commitments_count: int
    created_at: datetime
    applied_to_billing_entities_codes: tuple[str, ...]


def tax_object(tax: Tax) -> TaxObject:
    """Render a tax."""
    return TaxObject(
        lago_id=tax.id,
        name=tax.name,
        code=tax.code,
        rate=tax.rate,
        description=tax.description,
        applied_to_organization=bool(tax.billing_entity_codes),
        add_ons_count=0,
        customers_count=0,
        plans_count=0,
        charges_count=0,
        commitments_count=0,
        created_at=seconds(tax.created_at),
        applied_to_billing_entities_codes=tax.billing_entity_codes,
    )

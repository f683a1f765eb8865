"""What an invoice charges for, and the taxes of it, as they were when it was made."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from uuid import UUID

import msgspec

from recoup.rules.records.keys import RowKey


class Fee(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `fees`: one line of an invoice. `position` counts from 0, as asked."""

    organization_id: UUID
    id: UUID
    invoice_id: UUID
    position: int
    add_on_id: UUID
    item_code: str  # these three: the add-on as it was then
    item_name: str
    item_description: str | None
    invoice_display_name: str | None
    description: str | None
    units: Decimal
    unit_amount_cents: int
    precise_unit_amount: Decimal  # in major units
    amount_cents: int
    precise_amount_cents: Decimal
    taxes_amount_cents: int
    taxes_precise_amount_cents: Decimal
    taxes_rate: float
    amount_currency: str
    from_at: datetime | None
    to_at: datetime | None
    created_at: datetime
    # How it was asked for, so that a draft can be worked out anew.
    priced_by_add_on: bool = False  # False: the ask named its price
    named_tax_codes: Sequence[str] = ()  # known or not

    @property
    def invoice_key(self) -> RowKey:
        """Whose line this is."""
        return RowKey(self.organization_id, self.invoice_id)


class AppliedTax(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `applied_taxes`: what a tax took of a fee, or of a whole invoice."""

    organization_id: UUID
    id: UUID
    invoice_id: UUID
    fee_id: UUID | None  # None: of the whole invoice
    tax_id: UUID
    tax_name: str  # these four: the tax as it was then
    tax_code: str
    tax_rate: float
    tax_description: str | None
    amount_cents: int
    amount_currency: str
    fees_amount_cents: int
    created_at: datetime

    @property
    def invoice_key(self) -> RowKey:
        """Of which invoice it is."""
        return RowKey(self.organization_id, self.invoice_id)


class FeeDetails(msgspec.Struct, frozen=True):
    """A fee and what its rendering needs besides."""

    fee: Fee
    payment_status: str  # its invoice's
    self_billed: bool  # its invoice's
    applied_taxes: tuple[AppliedTax, ...]

"""A fee on Lago's wire (contract section 3.8).

One-off fees have no charge, subscription or usage, so much of Lago's object is always null.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from recoup.rules.lago.instants import seconds
from recoup.rules.money import EXACT, decimal_text, major_units
from recoup.rules.records.fees import AppliedTax, Fee, FeeDetails


class FeeItemObject(msgspec.Struct, frozen=True, kw_only=True):
    """What a fee is for."""

    type: str
    code: str
    name: str
    description: str | None
    invoice_display_name: str
    filters: None
    filter_invoice_display_name: None
    lago_item_id: UUID
    item_type: str
    grouped_by: dict[str, str]


class FeeAppliedTaxObject(msgspec.Struct, frozen=True, kw_only=True):
    """What a tax took of a fee."""

    lago_id: UUID
    lago_fee_id: UUID | None
    lago_tax_id: UUID
    tax_name: str
    tax_code: str
    tax_rate: float
    tax_description: str | None
    amount_cents: int
    amount_currency: str
    created_at: datetime


class FeeObject(msgspec.Struct, frozen=True, kw_only=True):
    """`fee` in Lago's words. `applied_taxes` is there on the `/fees` endpoints only."""

    lago_id: UUID
    lago_charge_id: None
    lago_charge_filter_id: None
    lago_fixed_charge_id: None
    lago_invoice_id: UUID
    lago_true_up_fee_id: None
    lago_true_up_parent_fee_id: None
    lago_original_fee_id: None
    lago_subscription_id: None
    external_subscription_id: None
    lago_customer_id: None  # reached through the subscription at Lago, so null for one-off fees
    external_customer_id: None
    item: FeeItemObject
    pay_in_advance: bool
    invoiceable: bool
    amount_cents: int
    amount_currency: str
    precise_amount: str
    precise_total_amount: str
    taxes_amount_cents: int
    taxes_precise_amount: str
    taxes_rate: float
    total_aggregated_units: None
    total_amount_cents: int
    total_amount_currency: str
    units: str
    description: str | None
    precise_unit_amount: str
    precise_coupons_amount_cents: str
    sub_total_excluding_taxes_amount_cents: int
    sub_total_excluding_taxes_precise_amount_cents: str
    events_count: None
    payment_status: str
    created_at: datetime
    succeeded_at: None
    failed_at: None
    refunded_at: None
    amount_details: dict[str, Any]
    self_billed: bool
    pricing_unit_details: None
    presentation_breakdowns: tuple[()]
    from_date: datetime | None
    to_date: datetime | None
    applied_taxes: list[FeeAppliedTaxObject] | UnsetType = UNSET


def fee_object(details: FeeDetails, *, with_taxes: bool = False) -> FeeObject:
    """Render a fee; `with_taxes` as the `/fees` endpoints show it."""
    fee = details.fee
    precise_total_cents = EXACT.add(fee.precise_amount_cents, fee.taxes_precise_amount_cents)
    return FeeObject(
        lago_id=fee.id,
        lago_charge_id=None,
        lago_charge_filter_id=None,
        lago_fixed_charge_id=None,
        lago_invoice_id=fee.invoice_id,
        lago_true_up_fee_id=None,
        lago_true_up_parent_fee_id=None,
        lago_original_fee_id=None,
        lago_subscription_id=None,
        external_subscription_id=None,
        lago_customer_id=None,
        external_customer_id=None,
        item=_item(fee),
        pay_in_advance=False,
        invoiceable=True,
        amount_cents=fee.amount_cents,
        amount_currency=fee.amount_currency,
        precise_amount=decimal_text(major_units(fee.precise_amount_cents, fee.amount_currency)),
        precise_total_amount=decimal_text(major_units(precise_total_cents, fee.amount_currency)),
        taxes_amount_cents=fee.taxes_amount_cents,
        taxes_precise_amount=decimal_text(
            major_units(fee.taxes_precise_amount_cents, fee.amount_currency)
        ),
        taxes_rate=fee.taxes_rate,
        total_aggregated_units=None,
        total_amount_cents=fee.amount_cents + fee.taxes_amount_cents,
        total_amount_currency=fee.amount_currency,
        units=decimal_text(fee.units),
        description=fee.description,
        precise_unit_amount=decimal_text(fee.precise_unit_amount),
        precise_coupons_amount_cents="0.0",
        sub_total_excluding_taxes_amount_cents=fee.amount_cents,
        sub_total_excluding_taxes_precise_amount_cents=decimal_text(fee.precise_amount_cents),
        events_count=None,
        payment_status=details.payment_status,
        created_at=seconds(fee.created_at),
        succeeded_at=None,
        failed_at=None,
        refunded_at=None,
        amount_details={},
        self_billed=details.self_billed,
        pricing_unit_details=None,
        presentation_breakdowns=(),
        from_date=seconds(fee.from_at),
        to_date=seconds(fee.to_at),
        applied_taxes=[_applied_tax(tax) for tax in details.applied_taxes] if with_taxes else UNSET,
    )


def _item(fee: Fee) -> FeeItemObject:
    return FeeItemObject(
        type="add_on",
        code=fee.item_code,
        name=fee.item_name,
        description=fee.item_description,
        invoice_display_name=fee.invoice_display_name or fee.item_name,
        filters=None,
        filter_invoice_display_name=None,
        lago_item_id=fee.add_on_id,
        item_type="AddOn",
        grouped_by={},
    )


def _applied_tax(tax: AppliedTax) -> FeeAppliedTaxObject:
    return FeeAppliedTaxObject(
        lago_id=tax.id,
        lago_fee_id=tax.fee_id,
        lago_tax_id=tax.tax_id,
        tax_name=tax.tax_name,
        tax_code=tax.tax_code,
        tax_rate=tax.tax_rate,
        tax_description=tax.tax_description,
        amount_cents=tax.amount_cents,
        amount_currency=tax.amount_currency,
        created_at=seconds(tax.created_at),
    )

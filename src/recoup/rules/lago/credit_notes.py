"""A credit note on Lago's wire, and what is told when its refund fails (contract 3.9 and 7.4).

What would surprise you: an estimate's precise amounts are JSON numbers, as Lago's specification has
them; everywhere else precise amounts are strings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Final
from uuid import UUID

import msgspec

from recoup.rules.credit_note_totals import Line, NoteTax, NoteTotals
from recoup.rules.lago.customers import CustomerObject, customer_object
from recoup.rules.lago.failures import ProviderError
from recoup.rules.lago.fees import FeeObject, fee_object
from recoup.rules.lago.instants import seconds
from recoup.rules.money import decimal_text
from recoup.rules.records.credit_notes import CreditNoteDetails, CreditNoteItem, CreditNoteTax
from recoup.rules.records.fees import FeeDetails
from recoup.rules.records.invoices import Invoice

REFUND_FAILURE_OBJECT: Final = "credit_note_payment_provider_refund_error"


class CreditNoteItemObject(msgspec.Struct, frozen=True, kw_only=True):
    """What is taken off one fee."""

    lago_id: UUID
    amount_cents: int
    precise_amount_cents: str
    amount_currency: str
    fee: FeeObject


class CreditNoteAppliedTaxObject(msgspec.Struct, frozen=True, kw_only=True):
    """What of a tax is taken off with the items."""

    lago_id: UUID
    lago_credit_note_id: UUID
    lago_tax_id: UUID
    tax_name: str
    tax_code: str
    tax_rate: float
    tax_description: str | None
    base_amount_cents: int
    amount_cents: int
    amount_currency: str
    created_at: datetime


class CreditNoteObject(msgspec.Struct, frozen=True, kw_only=True):
    """`credit_note` in Lago's words."""

    lago_id: UUID
    billing_entity_code: str
    sequential_id: int
    number: str
    lago_invoice_id: UUID
    invoice_number: str
    purchase_order_number: str | None
    issuing_date: date
    credit_status: str | None
    refund_status: str | None
    reason: str
    description: str | None
    currency: str
    total_amount_cents: int
    precise_total_amount_cents: str
    taxes_amount_cents: int
    precise_taxes_amount_cents: str
    sub_total_excluding_taxes_amount_cents: int
    balance_amount_cents: int
    credit_amount_cents: int
    refund_amount_cents: int
    offset_amount_cents: int
    coupons_adjustment_amount_cents: int
    taxes_rate: float
    created_at: datetime
    updated_at: datetime
    file_url: str | None
    xml_url: str | None
    self_billed: bool
    customer: CustomerObject
    items: list[CreditNoteItemObject]
    applied_taxes: list[CreditNoteAppliedTaxObject]
    error_details: tuple[()]
    metadata: Mapping[str, str | None] | None


class EstimatedItemObject(msgspec.Struct, frozen=True, kw_only=True):
    """What an estimate takes off one fee."""

    amount_cents: int
    lago_fee_id: UUID


class EstimatedTaxObject(msgspec.Struct, frozen=True, kw_only=True):
    """What of a tax an estimate takes off."""

    lago_tax_id: UUID
    tax_name: str
    tax_code: str
    tax_rate: float
    tax_description: str | None
    base_amount_cents: int
    amount_cents: int
    amount_currency: str


class EstimateObject(msgspec.Struct, frozen=True, kw_only=True):
    """`estimated_credit_note` in Lago's words."""

    lago_invoice_id: UUID
    invoice_number: str
    currency: str
    taxes_amount_cents: int
    precise_taxes_amount_cents: float
    taxes_rate: float
    sub_total_excluding_taxes_amount_cents: int
    max_creditable_amount_cents: int
    max_refundable_amount_cents: int
    max_offsettable_amount_cents: int
    coupons_adjustment_amount_cents: int
    precise_coupons_adjustment_amount_cents: float
    items: list[EstimatedItemObject]
    applied_taxes: list[EstimatedTaxObject]


class RefundFailureObject(msgspec.Struct, frozen=True, kw_only=True):
    """Why what a credit note gives back did not go back."""

    lago_credit_note_id: UUID
    lago_customer_id: UUID
    external_customer_id: str
    provider_customer_id: str | None
    payment_provider: str
    payment_provider_code: str
    provider_error: ProviderError


def credit_note_object(
    details: CreditNoteDetails, *, file_url: str | None = None
) -> CreditNoteObject:
    """Render a credit note with everything that goes along. `file_url`: where its PDF is."""
    note = details.note
    return CreditNoteObject(
        lago_id=note.id,
        billing_entity_code=details.billing_entity_code,
        sequential_id=note.sequential_id,
        number=note.number,
        lago_invoice_id=note.invoice_id,
        invoice_number=details.invoice_number,
        purchase_order_number=details.purchase_order_number,
        issuing_date=note.issuing_date,
        credit_status=note.credit_status,
        refund_status=note.refund_status,
        reason=note.reason,
        description=note.description,
        currency=note.currency,
        total_amount_cents=note.total_cents,
        precise_total_amount_cents=decimal_text(note.precise_total_cents),
        taxes_amount_cents=note.taxes_amount_cents,
        precise_taxes_amount_cents=decimal_text(note.precise_taxes_cents),
        sub_total_excluding_taxes_amount_cents=note.sub_total_excluding_taxes_amount_cents,
        balance_amount_cents=note.balance_cents,
        credit_amount_cents=note.credit_cents,
        refund_amount_cents=note.refund_cents,
        offset_amount_cents=note.offset_cents,
        coupons_adjustment_amount_cents=0,
        taxes_rate=note.taxes_rate,
        created_at=seconds(note.created_at),
        updated_at=seconds(note.updated_at),
        file_url=file_url,
        xml_url=None,
        self_billed=details.self_billed,
        customer=customer_object(details.customer),
        items=[_item(item, fee) for item, fee in details.items],
        applied_taxes=[_tax(tax) for tax in details.applied_taxes],
        error_details=(),
        metadata=details.metadata,
    )


def estimate_object(
    invoice: Invoice,
    lines: Sequence[Line],
    totals: NoteTotals,
    *,
    creditable_cents: int,
    refundable_cents: int,
    offsettable_cents: int,
) -> EstimateObject:
    """Render what a note of these lines would come to."""
    return EstimateObject(
        lago_invoice_id=invoice.id,
        invoice_number=invoice.number,
        currency=invoice.currency,
        taxes_amount_cents=totals.taxes_cents,
        precise_taxes_amount_cents=float(totals.precise_taxes_cents),
        taxes_rate=totals.taxes_rate,
        sub_total_excluding_taxes_amount_cents=totals.items_cents,
        max_creditable_amount_cents=creditable_cents,
        max_refundable_amount_cents=refundable_cents,
        max_offsettable_amount_cents=offsettable_cents,
        coupons_adjustment_amount_cents=0,
        precise_coupons_adjustment_amount_cents=0.0,
        items=[
            EstimatedItemObject(amount_cents=line.cents, lago_fee_id=line.fee.id) for line in lines
        ],
        applied_taxes=[_estimated_tax(one, invoice.currency) for one in totals.taxes],
    )


def _item(item: CreditNoteItem, fee: FeeDetails) -> CreditNoteItemObject:
    return CreditNoteItemObject(
        lago_id=item.id,
        amount_cents=item.amount_cents,
        precise_amount_cents=decimal_text(item.precise_amount_cents),
        amount_currency=item.amount_currency,
        fee=fee_object(fee),
    )


def _tax(tax: CreditNoteTax) -> CreditNoteAppliedTaxObject:
    return CreditNoteAppliedTaxObject(
        lago_id=tax.id,
        lago_credit_note_id=tax.credit_note_id,
        lago_tax_id=tax.tax_id,
        tax_name=tax.tax_name,
        tax_code=tax.tax_code,
        tax_rate=tax.tax_rate,
        tax_description=tax.tax_description,
        base_amount_cents=tax.base_amount_cents,
        amount_cents=tax.amount_cents,
        amount_currency=tax.amount_currency,
        created_at=seconds(tax.created_at),
    )


def _estimated_tax(one: NoteTax, currency: str) -> EstimatedTaxObject:
    return EstimatedTaxObject(
        lago_tax_id=one.tax.tax_id,
        tax_name=one.tax.tax_name,
        tax_code=one.tax.tax_code,
        tax_rate=one.tax.tax_rate,
        tax_description=one.tax.tax_description,
        base_amount_cents=one.base_cents,
        amount_cents=one.cents,
        amount_currency=currency,
    )

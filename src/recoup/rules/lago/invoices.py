"""An invoice on Lago's wire (contract section 3.7.1).

What would surprise you: the same invoice is shown with more or less around it. Which extras go
along depends on the endpoint or the event, so whoever renders says it with `Include`.
"""

from __future__ import annotations

from datetime import date, datetime
from enum import Flag, auto
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from recoup.rules.lago.customers import CustomerObject, customer_object
from recoup.rules.lago.fees import FeeObject, fee_object
from recoup.rules.lago.instants import seconds
from recoup.rules.records.fees import AppliedTax
from recoup.rules.records.invoices import InvoiceDetails, InvoiceMetadatum

VERSION_NUMBER: Final = 4


class Include(Flag):
    """What goes along with an invoice."""

    NOTHING = 0
    CUSTOMER = auto()
    INTEGRATION_CUSTOMERS = auto()  # of the customer
    SUBSCRIPTIONS = auto()  # and billing periods: always empty, one-off invoices have none
    FEES = auto()
    CREDITS = auto()  # always empty, too
    METADATA = auto()
    APPLIED_TAXES = auto()
    ERROR_DETAILS = auto()
    CUSTOM_SECTIONS = auto()

    LISTED = CUSTOMER | METADATA | APPLIED_TAXES
    EVERYTHING = (
        LISTED | INTEGRATION_CUSTOMERS | SUBSCRIPTIONS | FEES | CREDITS | ERROR_DETAILS
        | CUSTOM_SECTIONS
    )  # fmt: skip
    # Of the events (contract section 7.4).
    CUSTOMER_AND_FEES = CUSTOMER | FEES
    CUSTOMER_FEES_AND_TAXES = CUSTOMER | FEES | APPLIED_TAXES
    OF_CREATED = LISTED | SUBSCRIPTIONS | FEES | CREDITS | ERROR_DETAILS | CUSTOM_SECTIONS
    OF_ONE_OFF_CREATED = CUSTOMER | FEES | APPLIED_TAXES | CUSTOM_SECTIONS


class InvoiceMetadataObject(msgspec.Struct, frozen=True):
    """One pair of a caller's own key and value."""

    lago_id: UUID
    key: str
    value: str
    created_at: datetime


class InvoiceAppliedTaxObject(msgspec.Struct, frozen=True, kw_only=True):
    """What a tax takes of the whole invoice."""

    lago_id: UUID
    lago_invoice_id: UUID
    lago_tax_id: UUID
    tax_name: str
    tax_code: str
    tax_rate: float
    tax_description: str | None
    amount_cents: int
    amount_currency: str
    fees_amount_cents: int
    created_at: datetime


class InvoiceObject(msgspec.Struct, frozen=True, kw_only=True):
    """`invoice` in Lago's words; from `customer` on, what is there depends on the endpoint."""

    lago_id: UUID
    billing_entity_code: str
    sequential_id: int | None
    number: str
    purchase_order_number: str | None
    issuing_date: date | None
    payment_due_date: date | None
    net_payment_term: int
    invoice_type: str
    status: str
    payment_status: str
    payment_dispute_lost_at: str | None
    payment_overdue: bool
    currency: str
    fees_amount_cents: int
    taxes_amount_cents: int
    progressive_billing_credit_amount_cents: int
    coupons_amount_cents: int
    credit_notes_amount_cents: int
    sub_total_excluding_taxes_amount_cents: int
    sub_total_including_taxes_amount_cents: int
    total_amount_cents: int
    total_due_amount_cents: int
    total_paid_amount_cents: int
    total_offsetted_credit_note_amount_cents: int
    prepaid_credit_amount_cents: int
    prepaid_granted_credit_amount_cents: int | None
    prepaid_purchased_credit_amount_cents: int | None
    file_url: str | None
    xml_url: str | None
    web_url: str | None
    version_number: int
    self_billed: bool
    created_at: datetime
    updated_at: datetime
    voided_at: datetime | None
    customer: CustomerObject | UnsetType = UNSET
    billing_periods: tuple[()] | UnsetType = UNSET
    subscriptions: tuple[()] | UnsetType = UNSET
    fees: list[FeeObject] | UnsetType = UNSET
    credits: tuple[()] | UnsetType = UNSET
    metadata: list[InvoiceMetadataObject] | UnsetType = UNSET
    applied_taxes: list[InvoiceAppliedTaxObject] | UnsetType = UNSET
    error_details: tuple[()] | UnsetType = UNSET
    applied_invoice_custom_sections: tuple[()] | UnsetType = UNSET


class DisputeLostObject(msgspec.Struct, frozen=True):
    """What `invoice.payment_dispute_lost` tells."""

    invoice: InvoiceObject
    provider_error: str | None = None  # the provider's reason


def invoice_object(
    details: InvoiceDetails, include: Include = Include.EVERYTHING, *, file_url: str | None = None
) -> InvoiceObject:
    """Render an invoice with these extras. `file_url`: where its PDF is, for somebody at the edge.

    Events but `invoice.generated` have none: they are kept and told again long after it expired.
    """
    invoice = details.invoice
    return InvoiceObject(
        lago_id=invoice.id,
        billing_entity_code=details.billing_entity_code,
        sequential_id=invoice.sequential_id,
        number=invoice.number,
        purchase_order_number=invoice.purchase_order_number,
        issuing_date=invoice.issuing_date,
        payment_due_date=invoice.payment_due_date,
        net_payment_term=invoice.net_payment_term,
        invoice_type=invoice.invoice_type,
        status=invoice.status,
        payment_status=invoice.payment_status,
        payment_dispute_lost_at=_milliseconds(invoice.payment_dispute_lost_at),
        payment_overdue=invoice.payment_overdue,
        currency=invoice.currency,
        fees_amount_cents=invoice.fees_amount_cents,
        taxes_amount_cents=invoice.taxes_amount_cents,
        progressive_billing_credit_amount_cents=0,
        coupons_amount_cents=0,
        credit_notes_amount_cents=0,
        sub_total_excluding_taxes_amount_cents=invoice.sub_total_excluding_taxes_amount_cents,
        sub_total_including_taxes_amount_cents=invoice.sub_total_including_taxes_amount_cents,
        total_amount_cents=invoice.total_cents,
        total_due_amount_cents=invoice.due_cents,
        total_paid_amount_cents=invoice.paid_cents,
        total_offsetted_credit_note_amount_cents=invoice.offset_cents,
        prepaid_credit_amount_cents=0,
        prepaid_granted_credit_amount_cents=None,
        prepaid_purchased_credit_amount_cents=None,
        file_url=file_url,
        xml_url=None,
        web_url=None,
        version_number=VERSION_NUMBER,
        self_billed=invoice.self_billed,
        created_at=seconds(invoice.created_at),
        updated_at=seconds(invoice.updated_at),
        voided_at=seconds(invoice.voided_at),
        **_extras(details, include),
    )


def _extras(details: InvoiceDetails, include: Include) -> dict[str, Any]:
    extras: dict[str, Any] = {}
    if Include.CUSTOMER in include:
        customer = customer_object(details.customer)
        if Include.INTEGRATION_CUSTOMERS in include:
            customer = msgspec.structs.replace(customer, integration_customers=())
        extras["customer"] = customer
    if Include.SUBSCRIPTIONS in include:
        extras |= {"billing_periods": (), "subscriptions": ()}
    if Include.FEES in include:
        extras["fees"] = [fee_object(fee) for fee in details.fees]
    if Include.CREDITS in include:
        extras["credits"] = ()
    if Include.METADATA in include:
        extras["metadata"] = [_metadata(metadatum) for metadatum in details.metadata]
    if Include.APPLIED_TAXES in include:
        extras["applied_taxes"] = [_applied_tax(tax) for tax in details.applied_taxes]
    if Include.ERROR_DETAILS in include:
        extras["error_details"] = ()
    if Include.CUSTOM_SECTIONS in include:
        extras["applied_invoice_custom_sections"] = ()
    return extras


def _metadata(metadatum: InvoiceMetadatum) -> InvoiceMetadataObject:
    return InvoiceMetadataObject(
        lago_id=metadatum.id,
        key=metadatum.key,
        value=metadatum.value,
        created_at=seconds(metadatum.created_at),
    )


def _applied_tax(tax: AppliedTax) -> InvoiceAppliedTaxObject:
    return InvoiceAppliedTaxObject(
        lago_id=tax.id,
        lago_invoice_id=tax.invoice_id,
        lago_tax_id=tax.tax_id,
        tax_name=tax.tax_name,
        tax_code=tax.tax_code,
        tax_rate=tax.tax_rate,
        tax_description=tax.tax_description,
        amount_cents=tax.amount_cents,
        amount_currency=tax.amount_currency,
        fees_amount_cents=tax.fees_amount_cents,
        created_at=seconds(tax.created_at),
    )


def _milliseconds(at: datetime | None) -> str | None:
    """The one instant that Lago writes with its fraction: `2025-01-21T00:10:29.000Z`."""
    if at is None:
        return None
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z"

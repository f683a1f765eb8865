"""A tenant, and the billing entities in whose name it bills."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec


class Organization(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `organizations`: whose everything is."""

    id: UUID
    name: str
    slug: str
    default_currency: str = "USD"
    country: str | None = None
    address_line1: str | None = None
    address_line2: str | None = None
    city: str | None = None
    state: str | None = None
    zipcode: str | None = None
    email: str | None = None
    legal_name: str | None = None
    legal_number: str | None = None
    tax_identification_number: str | None = None
    timezone: str = "UTC"
    net_payment_term: int = 0  # days
    email_settings: tuple[str, ...] = ()
    document_numbering: str = "per_customer"  # or per_organization
    document_number_prefix: str
    finalize_zero_amount_invoice: bool = True
    invoice_footer: str | None = None
    logo_url: str | None = None  # of a picture for its documents
    invoice_grace_period: int = 0  # days
    document_locale: str = "en"
    hmac_key_sealed: bytes
    created_at: datetime
    updated_at: datetime


class BillingEntity(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `billing_entities`. Every organization has one that is its default."""

    organization_id: UUID
    id: UUID
    code: str
    name: str
    is_default: bool = False
    default_currency: str = "USD"
    country: str | None = None
    address_line1: str | None = None
    address_line2: str | None = None
    city: str | None = None
    state: str | None = None
    zipcode: str | None = None
    phone: str | None = None
    email: str | None = None
    legal_name: str | None = None
    legal_number: str | None = None
    tax_identification_number: str | None = None
    timezone: str = "UTC"
    net_payment_term: int = 0  # days
    email_settings: tuple[str, ...] = ()
    document_numbering: str = "per_customer"  # or per_billing_entity
    document_number_prefix: str
    finalize_zero_amount_invoice: bool = True
    invoice_footer: str | None = None
    logo_url: str | None = None  # of a picture for its documents
    invoice_grace_period: int = 0  # days
    document_locale: str = "en"
    einvoicing: bool = False
    eu_tax_management: bool = False
    # Settings of subscriptions, which there are none of here: kept and told as they were said.
    subscription_invoice_issuing_date_anchor: str = "next_period_start"
    subscription_invoice_issuing_date_adjustment: str = "align_with_finalization_date"
    applied_dunning_campaign_id: UUID | None = None  # for its customers without one of their own
    created_at: datetime
    updated_at: datetime

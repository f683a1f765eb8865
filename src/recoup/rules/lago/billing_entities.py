"""A billing entity on Lago's wire (contract section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from recoup.rules.lago.instants import seconds
from recoup.rules.lago.taxes import TaxObject, tax_object
from recoup.rules.records.organizations import BillingEntity
from recoup.rules.records.taxes import Tax


class BillingEntityObject(msgspec.Struct, frozen=True):
    """`billing_entity` in Lago's words. The last two fields are told of a single one alone."""

    lago_id: UUID
    code: str
    name: str
    default_currency: str
    created_at: datetime
    updated_at: datetime
    country: str | None
    address_line1: str | None
    address_line2: str | None
    phone: str | None
    city: str | None
    state: str | None
    zipcode: str | None
    einvoicing: bool
    email: str | None
    legal_name: str | None
    legal_number: str | None
    timezone: str
    net_payment_term: int
    email_settings: tuple[str, ...]
    document_numbering: str
    document_number_prefix: str
    tax_identification_number: str | None
    finalize_zero_amount_invoice: bool
    invoice_footer: str | None
    invoice_grace_period: int
    subscription_invoice_issuing_date_adjustment: str
    subscription_invoice_issuing_date_anchor: str
    document_locale: str
    is_default: bool
    eu_tax_management: bool
    logo_url: str | None
    applied_dunning_campaign_code: str | None  # ours: Lago tells it in its GraphQL
    taxes: tuple[TaxObject, ...] | UnsetType = UNSET
    selected_invoice_custom_sections: tuple[str, ...] | UnsetType = UNSET


def billing_entity_object(
    entity: BillingEntity, *, campaign_code: str | None, taxes: Sequence[Tax] | None = None
) -> BillingEntityObject:
    """Render a billing entity: with `taxes` as a single one, without as one of a list.

    `campaign_code` is of the dunning campaign that it applies.
    """
    return BillingEntityObject(
        lago_id=entity.id,
        code=entity.code,
        name=entity.name,
        default_currency=entity.default_currency,
        created_at=seconds(entity.created_at),
        updated_at=seconds(entity.updated_at),
        country=entity.country,
        address_line1=entity.address_line1,
        address_line2=entity.address_line2,
        phone=entity.phone,
        city=entity.city,
        state=entity.state,
        zipcode=entity.zipcode,
        einvoicing=entity.einvoicing,
        email=entity.email,
        legal_name=entity.legal_name,
        legal_number=entity.legal_number,
        timezone=entity.timezone,
        net_payment_term=entity.net_payment_term,
        email_settings=entity.email_settings,
        document_numbering=entity.document_numbering,
        document_number_prefix=entity.document_number_prefix,
        tax_identification_number=entity.tax_identification_number,
        finalize_zero_amount_invoice=entity.finalize_zero_amount_invoice,
        invoice_footer=entity.invoice_footer,
        invoice_grace_period=entity.invoice_grace_period,
        subscription_invoice_issuing_date_adjustment=(
            entity.subscription_invoice_issuing_date_adjustment
        ),
        subscription_invoice_issuing_date_anchor=entity.subscription_invoice_issuing_date_anchor,
        document_locale=entity.document_locale,
        is_default=entity.is_default,
        eu_tax_management=entity.eu_tax_management,
        logo_url=entity.logo_url,
        applied_dunning_campaign_code=campaign_code,
        taxes=UNSET if taxes is None else tuple(tax_object(tax) for tax in taxes),
        selected_invoice_custom_sections=UNSET if taxes is None else (),
    )

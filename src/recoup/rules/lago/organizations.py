"""An organization on Lago's wire (contract section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from recoup.rules.lago.instants import seconds
from recoup.rules.lago.taxes import TaxObject, tax_object
from recoup.rules.records.organizations import Organization
from recoup.rules.records.taxes import Tax


class OrganizationBillingConfiguration(msgspec.Struct, frozen=True):
    """What the organization's invoices look like, and how long they stay drafts."""

    invoice_footer: str | None
    invoice_grace_period: int
    document_locale: str


class OrganizationObject(msgspec.Struct, frozen=True):
    """`organization` in Lago's words. `taxes` are told in the answer to a change alone."""

    lago_id: UUID
    name: str
    slug: str
    default_currency: str
    created_at: datetime
    webhook_url: str
    webhook_urls: tuple[str, ...]
    country: str | None
    address_line1: str | None
    address_line2: str | None
    state: str | None
    zipcode: str | None
    email: str | None
    city: str | None
    legal_name: str | None
    legal_number: str | None
    timezone: str
    net_payment_term: int
    email_settings: tuple[str, ...]
    document_numbering: str
    document_number_prefix: str
    tax_identification_number: str | None
    finalize_zero_amount_invoice: bool
    billing_configuration: OrganizationBillingConfiguration
    events_store: str
    taxes: tuple[TaxObject, ...] | UnsetType = UNSET


def organization_object(
    organization: Organization,
    *,
    webhook_urls: Sequence[str],
    taxes: Sequence[Tax] | None = None,
) -> OrganizationObject:
    """Render an organization; `webhook_urls` are those of its endpoints, oldest first."""
    return OrganizationObject(
        lago_id=organization.id,
        name=organization.name,
        slug=organization.slug,
        default_currency=organization.default_currency,
        created_at=seconds(organization.created_at),
        webhook_url=webhook_urls[0] if webhook_urls else "",
        webhook_urls=tuple(webhook_urls),
        country=organization.country,
        address_line1=organization.address_line1,
        address_line2=organization.address_line2,
        state=organization.state,
        zipcode=organization.zipcode,
        email=organization.email,
        city=organization.city,
        legal_name=organization.legal_name,
        legal_number=organization.legal_number,
        timezone=organization.timezone,
        net_payment_term=organization.net_payment_term,
        email_settings=organization.email_settings,
        document_numbering=organization.document_numbering,
        document_number_prefix=organization.document_number_prefix,
        tax_identification_number=organization.tax_identification_number,
        finalize_zero_amount_invoice=organization.finalize_zero_amount_invoice,
        billing_configuration=OrganizationBillingConfiguration(
            invoice_footer=organization.invoice_footer,
            invoice_grace_period=organization.invoice_grace_period,
            document_locale=organization.document_locale,
        ),
        events_store="postgres",
        taxes=UNSET if taxes is None else tuple(tax_object(tax) for tax in taxes),
    )

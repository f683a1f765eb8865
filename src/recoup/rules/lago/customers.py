"""A customer on Lago's wire (contract section 3.3).

What would surprise you: the same customer is shown in three sizes. Invoices and payments nest the
plain one, a list adds its taxes, and a customer's own page and its events show everything.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from recoup.rules.lago.instants import seconds
from recoup.rules.lago.taxes import TaxObject, tax_object
from recoup.rules.records.customers import CustomerDetails, Metadatum, ShippingAddress
from recoup.rules.records.provider_accounts import ProviderKind


class BillingConfigurationObject(msgspec.Struct, frozen=True, kw_only=True):
    """How a customer is billed; the last three are only there with a provider."""

    invoice_grace_period: int | None
    payment_provider: str | None
    payment_provider_code: str | None
    document_locale: str | None
    subscription_invoice_issuing_date_anchor: str | None
    subscription_invoice_issuing_date_adjustment: str | None
    provider_customer_id: str | UnsetType | None = UNSET
    sync_with_provider: bool | UnsetType = UNSET
    provider_payment_methods: tuple[str, ...] | UnsetType = UNSET  # Stripe's alone


class MetadataObject(msgspec.Struct, frozen=True):
    """One pair of a caller's own key and value."""

    lago_id: UUID
    key: str
    value: str
    display_in_invoice: bool
    created_at: datetime


class CustomerObject(msgspec.Struct, frozen=True, kw_only=True):
    """`customer` in Lago's words; the last six depend on where it is shown."""

    lago_id: UUID
    billing_entity_code: str
    external_id: str
    account_type: str
    name: str | None
    firstname: str | None
    lastname: str | None
    customer_type: str | None
    sequential_id: int
    slug: str
    created_at: datetime
    updated_at: datetime
    country: str | None
    address_line1: str | None
    address_line2: str | None
    state: str | None
    zipcode: str | None
    email: str | None
    city: str | None
    url: str | None
    phone: str | None
    logo_url: str | None
    legal_name: str | None
    legal_number: str | None
    currency: str | None
    tax_identification_number: str | None
    timezone: str | None
    applicable_timezone: str
    net_payment_term: int | None
    external_salesforce_id: str | None
    finalize_zero_amount_invoice: str
    billing_configuration: BillingConfigurationObject
    shipping_address: ShippingAddress
    skip_invoice_custom_sections: bool
    metadata: list[MetadataObject]
    taxes: list[TaxObject] | UnsetType = UNSET
    integration_customers: tuple[()] | UnsetType = UNSET  # accounting and CRM are not connected
    applicable_invoice_custom_sections: tuple[()] | UnsetType = UNSET
    error_details: tuple[()] | UnsetType = UNSET
    # Ours, of a single customer alone: Lago tells these in its GraphQL.
    exclude_from_dunning_campaign: bool | UnsetType = UNSET
    applied_dunning_campaign_code: str | UnsetType | None = UNSET


def customer_object(details: CustomerDetails) -> CustomerObject:
    """Render a customer as other objects nest it."""
    customer = details.customer
    return CustomerObject(
        lago_id=customer.id,
        billing_entity_code=details.billing_entity_code,
        external_id=customer.external_id,
        account_type=customer.account_type,
        name=customer.name,
        firstname=customer.firstname,
        lastname=customer.lastname,
        customer_type=customer.customer_type,
        sequential_id=customer.sequential_id,
        slug=customer.slug,
        created_at=seconds(customer.created_at),
        updated_at=seconds(customer.updated_at),
        country=customer.country,
        address_line1=customer.address_line1,
        address_line2=customer.address_line2,
        state=customer.state,
        zipcode=customer.zipcode,
        email=customer.email,
        city=customer.city,
        url=customer.url,
        phone=customer.phone,
        logo_url=customer.logo_url,
        legal_name=customer.legal_name,
        legal_number=customer.legal_number,
        currency=customer.currency,
        tax_identification_number=customer.tax_identification_number,
        timezone=customer.timezone,
        applicable_timezone=details.timezone,
        net_payment_term=customer.net_payment_term,
        external_salesforce_id=customer.external_salesforce_id,
        finalize_zero_amount_invoice=customer.finalize_zero_amount_invoice,
        billing_configuration=_billing_configuration(details),
        shipping_address=customer.shipping_address,
        skip_invoice_custom_sections=customer.skip_invoice_custom_sections,
        metadata=[_metadata(metadatum) for metadatum in details.metadata],
    )


def listed_customer_object(details: CustomerDetails) -> CustomerObject:
    """Render a customer as a list of customers shows it."""
    return msgspec.structs.replace(
        customer_object(details),
        taxes=[tax_object(tax) for tax in details.taxes],
        integration_customers=(),
    )


def full_customer_object(details: CustomerDetails) -> CustomerObject:
    """Render a customer as its own page and its events show it."""
    return msgspec.structs.replace(
        listed_customer_object(details),
        applicable_invoice_custom_sections=(),
        error_details=(),
        exclude_from_dunning_campaign=details.customer.exclude_from_dunning_campaign,
        applied_dunning_campaign_code=details.dunning_campaign_code,
    )


def _billing_configuration(details: CustomerDetails) -> BillingConfigurationObject:
    customer, link = details.customer, details.link
    plain = BillingConfigurationObject(
        invoice_grace_period=customer.invoice_grace_period,
        payment_provider=customer.payment_provider,
        payment_provider_code=customer.payment_provider_code,
        document_locale=customer.document_locale,
        subscription_invoice_issuing_date_anchor=customer.subscription_invoice_issuing_date_anchor,
        subscription_invoice_issuing_date_adjustment=(
            customer.subscription_invoice_issuing_date_adjustment
        ),
    )
    if customer.payment_provider is None:
        return plain
    if link is None:
        return msgspec.structs.replace(plain, provider_customer_id=None)
    linked = msgspec.structs.replace(
        plain,
        provider_customer_id=link.provider_customer_id,
        sync_with_provider=link.sync_with_provider,
    )
    if customer.payment_provider is not ProviderKind.STRIPE:
        return linked
    return msgspec.structs.replace(linked, provider_payment_methods=link.provider_payment_methods)


def _metadata(metadatum: Metadatum) -> MetadataObject:
    return MetadataObject(
        lago_id=metadatum.id,
        key=metadatum.key,
        value=metadatum.value,
        display_in_invoice=metadatum.display_in_invoice,
        created_at=seconds(metadatum.created_at),
    )

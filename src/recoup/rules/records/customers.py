"""Whom an organization bills, and how they are linked to a payment provider."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from recoup.rules.records.keys import RowKey
from recoup.rules.records.provider_accounts import ProviderKind
from recoup.rules.records.taxes import Tax


class ShippingAddress(msgspec.Struct, frozen=True, kw_only=True):
    """Where things are sent. In the order of Lago's wire."""

    address_line1: str | None = None
    address_line2: str | None = None
    city: str | None = None
    zipcode: str | None = None
    state: str | None = None
    country: str | None = None


class Customer(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `customers`. Callers name it by `external_id`, their own word for it."""

    organization_id: UUID
    id: UUID
    external_id: str
    sequential_id: int  # counts an organization's customers without a gap
    slug: str
    billing_entity_id: UUID
    account_type: str = "customer"  # or partner
    customer_type: str | None = None  # company or individual
    name: str | None = None
    firstname: str | None = None
    lastname: str | None = None
    email: str | None = None  # one, or several with commas between them
    phone: str | None = None
    url: str | None = None
    logo_url: str | None = None
    legal_name: str | None = None
    legal_number: str | None = None
    tax_identification_number: str | None = None
    country: str | None = None
    address_line1: str | None = None
    address_line2: str | None = None
    city: str | None = None
    state: str | None = None
    zipcode: str | None = None
    shipping_address: ShippingAddress = ShippingAddress()
    currency: str | None = None  # a default for new invoices, no constraint
    timezone: str | None = None
    document_locale: str | None = None
    net_payment_term: int | None = None  # days; None: the billing entity's
    invoice_grace_period: int | None = None  # days; None: the billing entity's
    finalize_zero_amount_invoice: str = "inherit"  # or skip, finalize
    skip_invoice_custom_sections: bool = False
    exclude_from_dunning_campaign: bool = False
    applied_dunning_campaign_id: UUID | None = None  # None: the billing entity's
    external_salesforce_id: str | None = None
    subscription_invoice_issuing_date_anchor: str | None = None
    subscription_invoice_issuing_date_adjustment: str | None = None
    payment_provider: ProviderKind | None = None
    payment_provider_code: str | None = None
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None = None

    @property
    def key(self) -> RowKey:
        """Which customer this is."""
        return RowKey(self.organization_id, self.id)


class ProviderCustomer(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `provider_customers`: the customer as a provider account knows it.

    A customer has one live link at most; one that is changed for another is discarded.
    """

    organization_id: UUID
    id: UUID
    customer_id: UUID
    provider_account_id: UUID
    provider_customer_id: str | None  # `cus_…`; None until the provider has made it
    sync_with_provider: bool = False
    provider_payment_methods: tuple[str, ...] = ()  # Stripe's: `card`, `sepa_debit`, …
    created_at: datetime
    discarded_at: datetime | None = None


class Metadatum(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `customer_metadata`: a key and a value of the caller's."""

    id: UUID
    key: str
    value: str
    display_in_invoice: bool = False
    created_at: datetime


class CustomerDetails(msgspec.Struct, frozen=True, kw_only=True):
    """A customer with all that is shown of it, and what it inherits."""

    customer: Customer
    billing_entity_code: str
    billing_entity_timezone: str
    billing_entity_net_payment_term: int  # days
    metadata: tuple[Metadatum, ...]  # oldest first, then by key
    taxes: tuple[Tax, ...]  # its own, oldest first
    link: ProviderCustomer | None  # the live one
    dunning_campaign_code: str | None = None  # of its own campaign

    @property
    def key(self) -> RowKey:
        """Which customer this is."""
        return self.customer.key

    @property
    def timezone(self) -> str:
        """The IANA name of the zone that its invoices' days are counted in."""
        return self.customer.timezone or self.billing_entity_timezone

    @property
    def net_payment_term(self) -> int:
        """How many days it has to pay."""
        own = self.customer.net_payment_term
        return self.billing_entity_net_payment_term if own is None else own

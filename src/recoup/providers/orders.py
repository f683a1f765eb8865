"""What a provider is asked for, and what of it is kept to be sent again to the letter.

Amounts are ISO 4217 minor units, whatever the provider counts in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from recoup.rules.manner import Manner


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be charged, from whom. Amounts are minor units."""

    attempt_id: UUID
    amount_cents: int
    currency: str
    provider_customer_id: str
    provider_method_id: str | None  # None: the payer chooses on the page, or sends the money
    reference: str
    metadata: Mapping[str, str]
    manner: Manner = Manner.OFF_SESSION
    return_url: str = ""  # where the payer goes after an action or the page
    customer_email: str | None = None
    customer_country: str | None = None  # ISO 3166, two letters
    seller_country: str | None = None  # of whoever is paid
    expires_at: datetime | None = None  # of a page


class NotChargeable(msgspec.Struct, frozen=True):
    """This provider takes no such charge, so nothing is sent: `code` says why."""

    code: str  # amount_too_small, amount_not_representable, currency_not_supported, …


class Charge(msgspec.Struct, frozen=True):
    """A charge as it is sent, and re-sent to the letter."""

    idempotency_key: str
    # As `Provider.render` made it. Empty where the attempt was made anew from the provider's list:
    # then the provider's id is known, and it is asked about and never sent.
    request: str
    # Then a refusal says nothing of the earlier call, which may have got in.
    sent_before: bool = False
    provider_payment_id: str | None = None  # once the provider has told it
    sent_at: datetime | None = None  # of the first call


class RefundOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be paid back, of which charge. Amounts are minor units."""

    refund_id: UUID
    provider_payment_id: str
    amount_cents: int
    currency: str
    charged_cents: int  # of the charge as a whole
    refunded_before_cents: int = 0  # of the same charge: some providers want the sum confirmed
    reference: str
    metadata: Mapping[str, str]
    reason: str | None = None  # Lago's word, of a credit note; None: it belonged to no invoice


class Refund(msgspec.Struct, frozen=True):
    """A refund as it is sent, and re-sent to the letter."""

    idempotency_key: str  # `refund-<id>`
    request: str  # as `Provider.render_refund` made it
    sent_before: bool = False
    provider_refund_id: str | None = None  # once the provider has told it
    sent_at: datetime | None = None


class NewCustomer(msgspec.Struct, frozen=True, kw_only=True):
    """A customer to be made at the provider. Sent again under its key, it is the same one."""

    idempotency_key: str
    name: str | None
    firstname: str | None
    lastname: str | None
    email: str | None
    country: str | None
    metadata: Mapping[str, str]


class SetUpOrder(msgspec.Struct, frozen=True, kw_only=True):
    """A hosted page where a customer leaves a new payment method, without paying."""

    idempotency_key: str
    provider_customer_id: str
    currency: str
    return_url: str
    method_types: Sequence[str]  # `provider_payment_methods`; empty: as the account has it
    metadata: Mapping[str, str]

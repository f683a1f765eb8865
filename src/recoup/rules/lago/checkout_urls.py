"""Where a customer goes to leave a payment method (contract sections 3.3 and 7.4).

The answer of `checkout_url`, and what `customer.checkout_url_generated` tells.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

import msgspec

from recoup.rules.records.customers import Customer

OBJECT_TYPE: Final = "payment_provider_customer_checkout_url"


class CheckoutUrlObject(msgspec.Struct, frozen=True):
    """Whose page it is, and where."""

    lago_customer_id: UUID
    external_customer_id: str
    payment_provider: str | None
    payment_provider_code: str | None
    checkout_url: str


def checkout_url_object(customer: Customer, url: str) -> CheckoutUrlObject:
    """Render the address of a customer's page."""
    return CheckoutUrlObject(
        lago_customer_id=customer.id,
        external_customer_id=customer.external_id,
        payment_provider=customer.payment_provider,
        payment_provider_code=customer.payment_provider_code,
        checkout_url=url,
    )

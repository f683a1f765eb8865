"""A payment method on Lago's wire (contract section 3.4): no details of the card are on it."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from recoup.rules.lago.instants import seconds
from recoup.rules.records.payment_methods import PaymentMethod


class PaymentMethodObject(msgspec.Struct, frozen=True):
    """`payment_method` in Lago's words."""

    lago_id: UUID
    is_default: bool
    payment_provider_code: str | None
    payment_provider_name: str | None
    payment_provider_type: str | None
    provider_method_id: str
    created_at: datetime


def payment_method_object(method: PaymentMethod) -> PaymentMethodObject:
    """Render a payment method."""
    return PaymentMethodObject(
        lago_id=method.id,
        is_default=method.is_default,
        payment_provider_code=method.provider_code,
        payment_provider_name=method.provider_name,
        payment_provider_type=method.provider_kind,
        provider_method_id=method.provider_method_id,
        created_at=seconds(method.created_at),
    )

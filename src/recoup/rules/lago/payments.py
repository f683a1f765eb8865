"""A payment on Lago's wire (contract sections 3.10 and 10)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from recoup.rules.attempt_state import lago_payment_status
from recoup.rules.lago.instants import seconds
from recoup.rules.lago.payment_methods import PaymentMethodObject, payment_method_object
from recoup.rules.records.payments import PaymentDetails


class PaymentObject(msgspec.Struct, frozen=True, kw_only=True):
    """`payment` in Lago's words. `reference` is `""` rather than null: clients declare a string."""

    lago_id: UUID
    lago_customer_id: UUID
    external_customer_id: str
    invoice_ids: list[UUID]
    invoice_numbers: list[str]
    lago_payable_id: UUID
    payable_type: str
    amount_cents: int
    amount_currency: str
    status: str  # the provider's own word
    payment_status: str
    type: str
    reference: str
    payment_provider_code: str | None
    payment_provider_type: str | None  # stripe, adyen, gocardless or sandbox
    external_payment_id: str | None  # what `provider_payment_id` was called once
    provider_payment_id: str | None
    provider_customer_id: str | None
    next_action: Mapping[str, Any] | None
    created_at: datetime
    payment_method: PaymentMethodObject | UnsetType = UNSET  # in `payment.succeeded` alone


def payment_object(details: PaymentDetails, *, with_method: bool = False) -> PaymentObject:
    """Render a payment that was not withdrawn: Lago has no word for those.

    `with_method` adds what it was charged on, where that is known.
    """
    return PaymentObject(
        lago_id=details.id,
        lago_customer_id=details.customer_id,
        external_customer_id=details.external_customer_id,
        invoice_ids=[invoice.id for invoice in details.invoices],
        invoice_numbers=[invoice.number for invoice in details.invoices],
        lago_payable_id=details.payment_request_id or details.invoices[0].id,
        payable_type="PaymentRequest" if details.payment_request_id else "Invoice",
        amount_cents=details.amount_cents,
        amount_currency=details.currency,
        status=details.provider_status or "pending",
        payment_status=lago_payment_status(details.state),
        type=details.payment_type,
        reference=details.reference,
        payment_provider_code=details.provider_code,
        payment_provider_type=details.provider_kind,
        external_payment_id=details.provider_payment_id,
        provider_payment_id=details.provider_payment_id,
        provider_customer_id=details.provider_customer_id,
        next_action=details.next_action,
        created_at=seconds(details.created_at),
        payment_method=(
            payment_method_object(details.method) if with_method and details.method else UNSET
        ),
    )

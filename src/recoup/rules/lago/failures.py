"""What is told when a provider says no (contract sections 5.7 and 7.4).

Keys without a value are null rather than absent, as Lago sends them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec

from recoup.rules.records.provider_accounts import ProviderAccount

ACCOUNT_ERROR: Final = "payment_provider.error"
ACCOUNT_OBJECT_TYPE: Final = "payment_provider_error"
OBJECT_TYPE = "payment_provider_invoice_payment_error"
REQUEST_OBJECT_TYPE = "payment_provider_payment_request_payment_error"


class ProviderError(msgspec.Struct, frozen=True):
    """The provider's own words."""

    message: str
    error_code: str


class PaymentFailureObject(msgspec.Struct, frozen=True, kw_only=True):
    """Why an invoice was not paid."""

    lago_invoice_id: UUID
    lago_customer_id: UUID
    external_customer_id: str
    provider_customer_id: str | None = None
    payment_provider: str | None = None
    payment_provider_code: str | None = None
    provider_error: ProviderError | None = None
    error_details: Mapping[str, Any]


class RequestFailureObject(msgspec.Struct, frozen=True, kw_only=True):
    """Why a payment request was not paid.

    `error_details` is ours, and tells what an invoice's own failure would.
    """

    lago_payment_request_id: UUID
    lago_invoice_ids: Sequence[UUID]
    lago_customer_id: UUID
    external_customer_id: str
    provider_customer_id: str | None = None
    payment_provider: str | None = None
    payment_provider_code: str | None = None
    provider_error: ProviderError
    error_details: Mapping[str, Any]


class CustomerErrorObject(msgspec.Struct, frozen=True, kw_only=True):
    """Why a provider made no customer, as `customer.payment_provider_error` tells it."""

    lago_customer_id: UUID
    external_customer_id: str
    payment_provider: str | None
    payment_provider_code: str | None
    provider_error: ProviderError


class AccountErrorCause(msgspec.Struct, frozen=True):
    """What is wrong with an account, in our words. The key is `code` here, as with Lago."""

    message: str
    code: str


class AccountErrorObject(msgspec.Struct, frozen=True, kw_only=True):
    """Why an account at a provider does not work, as `payment_provider.error` tells it."""

    lago_payment_provider_id: UUID
    payment_provider_code: str
    payment_provider_name: str
    source: str
    action: str
    provider_error: AccountErrorCause


def key_refused_object(account: ProviderAccount) -> AccountErrorObject:
    """Say that the provider refuses the account's key.

    Never in the provider's words: some of them repeat a part of the key.
    """
    return AccountErrorObject(
        lago_payment_provider_id=account.id,
        payment_provider_code=account.code,
        payment_provider_name=account.name,
        source=account.kind,
        action="payment_provider.authenticate",
        provider_error=AccountErrorCause(
            message="The provider refuses our key. Charges and refunds wait until it is taken.",
            code="key_refused",
        ),
    )

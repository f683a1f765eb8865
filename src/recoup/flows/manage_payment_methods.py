"""Choose the default among a customer's payment methods, and delete them.

What would surprise you: a customer with methods has always exactly one default. When it is deleted,
the oldest that remains takes its place (Lago leaves none).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Final
from uuid import UUID

import asyncpg

from recoup.rules.records.customers import Customer, ProviderCustomer
from recoup.rules.records.keys import RowKey
from recoup.rules.records.payment_methods import PaymentMethod
from recoup.rules.records.provider_accounts import ProviderAccount
from recoup.rules.refusal import Refusal, RefusalKind, Refused, not_found
from recoup.store import customers, payment_methods
from recoup.store.db import Conn

BUSY: Final = Refusal(RefusalKind.INVALID, "lock_acquisition_failed")


async def set_default_payment_method(
    conn: Conn, organization_id: UUID, external_id: str, method_id: UUID | None
) -> PaymentMethod:
    """Make this method the customer's default, and answer it.

    :raises Refused: `customer_not_found`, `payment_method_not_found`.
    """
    customer = await lock_customer(conn, organization_id, external_id)
    method = _among(await payment_methods.of_customer(conn, customer.key), method_id)
    if not method.is_default:
        await payment_methods.make_default(conn, method)
    return await _read(conn, organization_id, method.id)


async def delete_payment_method(
    conn: Conn, organization_id: UUID, external_id: str, method_id: UUID | None, *, now: datetime
) -> PaymentMethod:
    """Forget this method, and answer it as it is then. The provider keeps what it has.

    :raises Refused: `customer_not_found`, `payment_method_not_found`.
    """
    customer = await lock_customer(conn, organization_id, external_id)
    kept = await payment_methods.of_customer(conn, customer.key)
    method = _among(kept, method_id)
    await forget_method(conn, kept, method, now=now)
    return await _read(conn, organization_id, method.id)


async def forget_method(
    conn: Conn, kept: Sequence[PaymentMethod], method: PaymentMethod, *, now: datetime
) -> None:
    """Forget one of the methods kept of a locked customer (oldest first); choose the default."""
    await payment_methods.delete(conn, method, now=now)
    remaining = [one for one in kept if one is not method]
    if method.is_default and remaining:
        await payment_methods.make_default(conn, remaining[0])


def new_method(
    link: ProviderCustomer,
    account: ProviderAccount,
    token: str,
    *,
    is_default: bool,
    method_id: UUID,
    now: datetime,
    details: Mapping[str, object] = MappingProxyType({}),
) -> PaymentMethod:
    """A method that is to be kept for the customer of this link."""
    return PaymentMethod(
        organization_id=link.organization_id,
        id=method_id,
        customer_id=link.customer_id,
        provider_customer_id=link.id,
        provider_method_id=token,
        is_default=is_default,
        details=dict(details),
        created_at=now,
        provider_kind=account.kind,
        provider_code=account.code,
        provider_name=account.name,
    )


async def lock_customer(conn: Conn, organization_id: UUID, external_id: str) -> Customer:
    """Lock the customer: who changes its methods does so alone.

    :raises Refused: `customer_not_found`; `lock_acquisition_failed` while somebody else does.
    """
    try:
        customer = await customers.lock_by_external_id(conn, organization_id, external_id)
    except asyncpg.LockNotAvailableError:
        raise Refused(BUSY) from None
    if customer is None:
        raise Refused(not_found("customer"))
    return customer


def _among(kept: list[PaymentMethod], method_id: UUID | None) -> PaymentMethod:
    for method in kept:
        if method.id == method_id:
            return method
    raise Refused(not_found("payment_method"))


async def _read(conn: Conn, organization_id: UUID, method_id: UUID) -> PaymentMethod:
    key = RowKey(organization_id, method_id)
    return (await payment_methods.by_ids(conn, [key]))[key]

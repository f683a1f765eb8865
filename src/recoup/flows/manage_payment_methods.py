"""Attach a customer's payment methods, choose the default among them, and delete them.

What would surprise you: a customer with methods has always exactly one default. The first becomes
it, a later one does not, and when the default is deleted, the oldest that remains takes its place
(Lago makes every new one the default, and leaves none after a deletion).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Final
from uuid import UUID

import asyncpg

from recoup.rules.card_numbers import is_card_number
from recoup.rules.records.customers import Customer, ProviderCustomer
from recoup.rules.records.keys import RowKey
from recoup.rules.records.payment_methods import PaymentMethod
from recoup.rules.records.provider_accounts import ProviderAccount
from recoup.rules.refusal import Refusal, RefusalKind, Refused, invalid, not_found
from recoup.rules.scalars import Text, text
from recoup.store import customers, jobs, payment_methods, provider_accounts
from recoup.store.db import Conn
from recoup.store.jobs import Job

LONGEST_METHOD_ID: Final = 255  # an index holds it
NO_LINK: Final = invalid({"base": ["no_linked_payment_provider"]})
BUSY: Final = Refusal(RefusalKind.INVALID, "lock_acquisition_failed")


async def attach_payment_method(
    conn: Conn,
    organization_id: UUID,
    external_id: str,
    provider_method_id: Text,
    *,
    method_id: UUID,
    now: datetime,
) -> PaymentMethod:
    """Keep a method that the provider made for this customer; one that is kept already is answered.

    :raises Refused: `customer_not_found`; 422 for an id that is blank, too long, or a card number,
        and for a customer that no provider knows.
    """
    customer = await _locked(conn, organization_id, external_id)
    token = _token(provider_method_id)
    link = (await customers.live_links(conn, [customer.key])).get(customer.key)
    if link is None or link.provider_customer_id is None:
        raise Refused(NO_LINK)
    kept = await payment_methods.of_customer(conn, customer.key)
    for method in kept:
        if (method.provider_customer_id, method.provider_method_id) == (link.id, token):
            return method
    key = RowKey(link.organization_id, link.provider_account_id)
    account = (await provider_accounts.by_ids(conn, [key]))[key]
    is_first = not any(one.is_default for one in kept)
    method = new_method(link, account, token, is_default=is_first, method_id=method_id, now=now)
    await payment_methods.insert(conn, method)
    if is_first:
        await jobs.promise(conn, Job.COLLECT_FROM_CUSTOMER, [customer.key])
    return method


async def set_default_payment_method(
    conn: Conn, organization_id: UUID, external_id: str, method_id: UUID | None
) -> PaymentMethod:
    """Make this method the customer's default, and answer it.

    :raises Refused: `customer_not_found`, `payment_method_not_found`.
    """
    customer = await _locked(conn, organization_id, external_id)
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
    customer = await _locked(conn, organization_id, external_id)
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


async def _locked(conn: Conn, organization_id: UUID, external_id: str) -> Customer:
    """Lock the customer: who changes its methods does so alone."""
    try:
        customer = await customers.lock_by_external_id(conn, organization_id, external_id)
    except asyncpg.LockNotAvailableError:
        raise Refused(BUSY) from None
    if customer is None:
        raise Refused(not_found("customer"))
    return customer


def _token(said: Text) -> str:
    """The provider's own id of the method. What is wrong with it is said without repeating it."""
    token = text(said)
    wrong = None
    if token is None:
        wrong = "value_is_mandatory"
    elif len(token) > LONGEST_METHOD_ID:
        wrong = "value_is_too_long"
    elif is_card_number(token) or "\0" in token:
        wrong = "value_is_invalid"
    if token is None or wrong:
        raise Refused(invalid({"provider_method_id": [wrong]}))
    return token


def _among(kept: list[PaymentMethod], method_id: UUID | None) -> PaymentMethod:
    for method in kept:
        if method.id == method_id:
            return method
    raise Refused(not_found("payment_method"))


async def _read(conn: Conn, organization_id: UUID, method_id: UUID) -> PaymentMethod:
    key = RowKey(organization_id, method_id)
    return (await payment_methods.by_ids(conn, [key]))[key]

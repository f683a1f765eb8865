"""Attach a payment method that the provider made for a customer, once the provider confirms it.

The first method of a customer becomes the default and what the customer owes is collected by it; a
later one does not (Lago makes every new one the default).

What would surprise you: the provider is asked first. A GoCardless mandate is charged by its own id
alone, so one with a slip in it would debit somebody else. The sandbox is not asked: each of its
tokens is everybody's.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final
from uuid import UUID

import msgspec

from recoup.flows.call_account import AccountLine, LeftAlone
from recoup.flows.find_customer import find_customer_details
from recoup.flows.manage_payment_methods import BUSY, lock_customer, new_method
from recoup.flows.open_provider import Providers
from recoup.flows.open_set_up_page import NO_LINK
from recoup.flows.refuse_for_provider import refusal_of
from recoup.providers.protocol import Lost, StoredMethod
from recoup.rules.card_numbers import is_card_number
from recoup.rules.records.customers import ProviderCustomer
from recoup.rules.records.keys import RowKey
from recoup.rules.records.payment_methods import PaymentMethod
from recoup.rules.records.provider_accounts import ProviderAccount, ProviderKind
from recoup.rules.refusal import Refused, invalid
from recoup.rules.scalars import Text, text
from recoup.store import customers, db, jobs, payment_methods, provider_accounts
from recoup.store.db import Conn, Pool
from recoup.store.jobs import Job

LONGEST_METHOD_ID: Final = 255  # an index holds it
NOT_THERE: Final = invalid({"provider_method_id": ["value_not_found_at_provider"]})


async def attach_payment_method(
    pool: Pool,
    providers: Providers,
    organization_id: UUID,
    external_id: str,
    provider_method_id: Text,
    *,
    method_id: UUID,
    now: datetime,
) -> PaymentMethod:
    """Keep a method of this customer's; one that is kept already is answered.

    :raises Refused: `customer_not_found`; 422 for an id that is blank, too long, or a card number,
        for a customer that no provider knows, for a method that the provider does not have, cannot
        charge, or has of another customer (`value_not_found_at_provider`); `refusal_of` where the
        provider does not answer or is left alone.
    """
    async with db.transaction(pool, tenants=[organization_id]) as conn:
        customer = (await find_customer_details(conn, organization_id, external_id)).customer
        token = _token(provider_method_id)
        at = await _place(conn, customer.key)
        if kept := await _kept(conn, at.link, token):
            return kept
    details = await _confirmed(pool, providers, at, token, now=now)
    async with db.transaction(pool, tenants=[organization_id]) as conn:
        customer = await lock_customer(conn, organization_id, external_id)
        still = await _place(conn, customer.key)
        if (still.link.id, still.provider_customer_id) != (at.link.id, at.provider_customer_id):
            raise Refused(BUSY)  # it was linked anew while the provider was asked
        if kept := await _kept(conn, at.link, token):
            return kept
        others = await payment_methods.of_customer(conn, customer.key)
        is_first = not any(one.is_default for one in others)
        method = new_method(
            at.link,
            at.account,
            token,
            is_default=is_first,
            details=details,
            method_id=method_id,
            now=now,
        )
        await payment_methods.insert(conn, method)
        if is_first:
            await jobs.promise(conn, Job.COLLECT_FROM_CUSTOMER, [customer.key])
    return method


class _Place(msgspec.Struct, frozen=True):
    """Where a customer's methods are: its link, and the account that this belongs to."""

    link: ProviderCustomer
    account: ProviderAccount
    provider_customer_id: str


async def _place(conn: Conn, customer: RowKey) -> _Place:
    link = (await customers.live_links(conn, [customer])).get(customer)
    if link is None or link.provider_customer_id is None:
        raise Refused(NO_LINK)
    key = RowKey(link.organization_id, link.provider_account_id)
    account = (await provider_accounts.by_ids(conn, [key]))[key]
    if account.deleted_at is not None:
        raise Refused(NO_LINK)
    return _Place(link, account, link.provider_customer_id)


async def _kept(conn: Conn, link: ProviderCustomer, token: str) -> PaymentMethod | None:
    customer = RowKey(link.organization_id, link.customer_id)
    for method in await payment_methods.of_customer(conn, customer):
        if (method.provider_customer_id, method.provider_method_id) == (link.id, token):
            return method
    return None


async def _confirmed(
    pool: Pool, providers: Providers, at: _Place, token: str, *, now: datetime
) -> Mapping[str, object]:
    """Ask the provider for the method; answer what is known of it (brand, last digits, …)."""
    if at.account.kind is ProviderKind.SANDBOX:
        return MappingProxyType({})
    line = AccountLine(pool, providers, at.account, now=lambda: now)
    found = await line.ask(
        lambda provider: provider.find_method(token, at.provider_customer_id), is_awaited=True
    )
    if isinstance(found, Lost | LeftAlone):  # nobody is kept waiting for a provider that is down
        raise Refused(refusal_of(at.account, found, paused_until=line.paused_until, now=now))
    if not (isinstance(found, StoredMethod) and found.is_usable):
        raise Refused(NOT_THERE)
    return found.details


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

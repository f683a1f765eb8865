"""Keep what customers leave at a provider, and drop what the provider no longer has.

Called for the provider's events, and where a charge was refused because its method is gone. Here
the provider's word is the truth: a new method becomes the default (contract section 3.4) and its
customer's open invoices are collected at once; another customer's method is never kept.

What would surprise you: a method that the merchant deleted is not kept again because an event names
it, since the provider has it still. Two can undo that: the merchant, who attaches it, and the
customer, who sets it up once more after the deletion. The merchant has opened that page for them,
and a provider may give the same card the same token again (Adyen does).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

from recoup.flows.call_account import AccountLine, LeftAlone
from recoup.flows.manage_payment_methods import forget_method, new_method
from recoup.flows.open_provider import Providers
from recoup.providers.protocol import Lost, MethodAdded, MethodGone, NotKnown, StoredMethod
from recoup.rules.records.keys import RowKey
from recoup.rules.records.provider_accounts import ProviderAccount
from recoup.store import (
    customers,
    db,
    jobs,
    payment_methods,
    provider_accounts,
    provider_customers,
)
from recoup.store.db import Conn, Pool
from recoup.store.jobs import Job


class ProviderSilentError(Exception):
    """The provider does not answer, or is left alone. Nothing was done: ask again later."""


async def find_method(line: AccountLine, said: MethodAdded | MethodGone) -> StoredMethod | None:
    """Ask the provider for the method that an event is about; None: there is none that can be used.

    Of a new default all of the customer's methods are asked for: the list alone tells which is it.

    :raises ProviderSilentError: it does not answer, or may not be asked yet.
    """
    whose = said.provider_customer_id if isinstance(said, MethodAdded) else None
    if not isinstance(said, MethodAdded) or not said.is_default or whose is None:
        return await _usable(line, said.provider_method_id, whose)
    told = await line.ask(lambda provider: provider.list_methods(whose))
    if isinstance(told, LeftAlone):
        raise ProviderSilentError("left_alone")
    if isinstance(told, Lost):
        raise ProviderSilentError(told.why)
    found = None if isinstance(told, NotKnown) else _among(told, said.provider_method_id)
    return found if found and found.is_usable else None


async def follow_hint(
    conn: Conn,
    account: ProviderAccount,
    said: MethodAdded | MethodGone,
    found: StoredMethod | None,
    *,
    new_id: Callable[[], UUID],
    now: datetime,
) -> str:
    """Do what an event of a method comes to, beside what the provider has answered about it.

    Only news of an end drops a method: one that was told of and is not found may be known under
    another customer, or (at Adyen) under none that the event names.
    """
    if isinstance(said, MethodGone):
        if found is not None:
            return "nothing_new"  # the provider has it still, or again
        return await drop_method(conn, account, said.provider_method_id, now=now)
    if found is None:
        return "no_such_method"
    if said.is_default and not found.is_default:
        return "no_longer_the_default"  # which is has an event of its own
    return await add_method(conn, account, found, set_up_at=said.set_up_at, new_id=new_id, now=now)


async def add_method(
    conn: Conn,
    account: ProviderAccount,
    method: StoredMethod,
    *,
    set_up_at: datetime | None = None,
    new_id: Callable[[], UUID],
    now: datetime,
) -> str:
    """Keep a method as its customer's default, and promise to collect what the customer owes.

    Answers what was done, in a word. One that is kept already becomes the default only where it is
    the provider's, or was set up once more (contract section 6.1).
    """
    whose = await provider_customers.customer_of(conn, account.key, method.provider_customer_id)
    customer = await customers.lock(conn, whose) if whose else None
    if customer is None:
        return "no_such_customer"
    link = (await customers.live_links(conn, [customer.key])).get(customer.key)
    if link is None or link.provider_account_id != account.id:
        return "no_such_customer"  # it was unlinked while we waited for the lock
    kept = await payment_methods.of_customer(conn, customer.key)
    for one in kept:
        if (one.provider_customer_id, one.provider_method_id) == (
            link.id,
            method.provider_method_id,
        ):
            if one.is_default or not (method.is_default or set_up_at):
                return "nothing_new"
            await payment_methods.make_default(conn, one)
            await jobs.promise(conn, Job.COLLECT_FROM_CUSTOMER, [customer.key])
            return "made_default"
    link_key = RowKey(link.organization_id, link.id)
    deleted_at = await payment_methods.deleted_here_at(conn, link_key, method.provider_method_id)
    if deleted_at and not (set_up_at and set_up_at > deleted_at):
        return "deleted_by_the_merchant"
    row = new_method(
        link,
        account,
        method.provider_method_id,
        is_default=False,
        details=method.details,
        method_id=new_id(),
        now=now,
    )
    await payment_methods.insert(conn, row)
    await payment_methods.make_default(conn, row)
    await jobs.promise(conn, Job.COLLECT_FROM_CUSTOMER, [customer.key])
    return "method_added"


async def drop_method(
    conn: Conn, account: ProviderAccount, provider_method_id: str, *, now: datetime
) -> str:
    """Drop a method that the provider no longer has; answer what was done, in a word."""
    whose = await provider_customers.customer_of_method(conn, account.key, provider_method_id)
    customer = await customers.lock(conn, whose) if whose else None
    if customer is None:
        return "no_such_method"
    kept = await payment_methods.of_customer(conn, customer.key)
    for one in kept:
        if one.provider_method_id == provider_method_id:
            await forget_method(conn, kept, one, now=now)
            await payment_methods.mark_gone(conn, one)
            return "method_dropped"
    return "no_such_method"


def _among(told: Sequence[StoredMethod], provider_method_id: str) -> StoredMethod | None:
    return next((one for one in told if one.provider_method_id == provider_method_id), None)


async def check_method(pool: Pool, providers: Providers, key: RowKey, *, now: datetime) -> None:
    """Ask the provider whether it still has a method that it refused to charge; drop it if not.

    :raises ProviderSilentError: it does not answer, or may not be asked yet.
    """
    async with db.transaction(pool, tenants=[key.organization_id]) as conn:
        method = (await payment_methods.by_ids(conn, [key])).get(key)
        if method is None or method.deleted_at is not None:
            return
        link_key = RowKey(key.organization_id, method.provider_customer_id)
        link = await provider_customers.find(conn, link_key)
        account_key = RowKey(key.organization_id, link.provider_account_id)
        account = (await provider_accounts.by_ids(conn, [account_key]))[account_key]
    line = AccountLine(pool, providers, account, now=lambda: now)
    if await _usable(line, method.provider_method_id, link.provider_customer_id) is None:
        async with db.transaction(pool, tenants=[key.organization_id]) as conn:
            await drop_method(conn, account, method.provider_method_id, now=now)


async def _usable(
    line: AccountLine, provider_method_id: str, provider_customer_id: str | None
) -> StoredMethod | None:
    found: StoredMethod | NotKnown | Lost | LeftAlone = await line.ask(
        lambda provider: provider.find_method(provider_method_id, provider_customer_id)
    )
    if isinstance(found, LeftAlone):
        raise ProviderSilentError("left_alone")
    if isinstance(found, Lost):
        raise ProviderSilentError(found.why)
    return found if isinstance(found, StoredMethod) and found.is_usable else None

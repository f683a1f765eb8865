"""Keep the methods that a customer has at the provider already, once they are linked by their id.

Called by the worker, for the job that was promised with the link (contract section 3.3). The
provider's default becomes ours, and what the customer owes is collected by it.

What would surprise you: a customer of whom a method is kept by then is left alone: whoever attached
it has chosen. And a provider that has not told in a day (it may never: the key has no right to
read) is asked no more; a method can be attached all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog

from recoup.flows.call_account import AccountLine, LeftAlone
from recoup.flows.keep_methods import ProviderSilentError
from recoup.flows.manage_payment_methods import new_method
from recoup.flows.open_provider import Providers
from recoup.providers.protocol import Lost, NotKnown, StoredMethod
from recoup.rules.records.customers import Customer, ProviderCustomer
from recoup.rules.records.keys import RowKey
from recoup.rules.records.provider_accounts import ProviderAccount
from recoup.store import customers, db, jobs, payment_methods, provider_accounts, provider_customers
from recoup.store.db import Conn, Pool
from recoup.store.jobs import Job

ASKED_FOR: Final = timedelta(days=1)  # after the customer was last changed, or linked

log = structlog.get_logger()


async def fetch_methods(
    pool: Pool,
    providers: Providers,
    link_key: RowKey,
    *,
    new_id: Callable[[], UUID],
    now: datetime,
) -> int:
    """Keep what this link's customer has at the provider; answer how many methods were kept.

    :raises ProviderSilentError: the provider does not answer, or may not be asked yet.
    """
    async with db.transaction(pool, tenants=[link_key.organization_id]) as conn:
        wanting = await _wanting(conn, link_key)
        if wanting is None:
            return 0
        customer, link, account = wanting
    whose = link.provider_customer_id
    assert whose is not None, "it is wanting"
    line = AccountLine(pool, providers, account, now=lambda: now)
    told = await line.ask(lambda provider: provider.list_methods(whose))
    if isinstance(told, LeftAlone):
        raise ProviderSilentError("left_alone")
    if isinstance(told, Lost):
        if now < customer.updated_at + ASKED_FOR:
            raise ProviderSilentError(told.why)
        log.warning("methods_not_fetched", row=str(link_key), why=told.why)
        return 0
    if isinstance(told, NotKnown):
        return 0
    async with db.transaction(pool, tenants=[link_key.organization_id]) as conn:
        await customers.lock(conn, customer.key)
        still = await _wanting(conn, link_key)
        if still is None or still[1].provider_customer_id != link.provider_customer_id:
            return 0
        return await _keep(conn, link, account, told, new_id=new_id, now=now)


async def _wanting(
    conn: Conn, link_key: RowKey
) -> tuple[Customer, ProviderCustomer, ProviderAccount] | None:
    """Whose methods are to be fetched from where, if the link is live and none is kept yet."""
    link = await provider_customers.find(conn, link_key)
    if link.discarded_at or link.provider_customer_id is None:
        return None
    key = RowKey(link.organization_id, link.customer_id)
    customer = (await customers.details(conn, [key]))[key].customer
    account_key = RowKey(link.organization_id, link.provider_account_id)
    account = (await provider_accounts.by_ids(conn, [account_key]))[account_key]
    if customer.deleted_at or account.deleted_at or await payment_methods.of_customer(conn, key):
        return None
    return customer, link, account


async def _keep(
    conn: Conn,
    link: ProviderCustomer,
    account: ProviderAccount,
    told: Sequence[StoredMethod],
    *,
    new_id: Callable[[], UUID],
    now: datetime,
) -> int:
    """Keep those that can be charged, the provider's default first, and promise to collect."""
    link_key = RowKey(link.organization_id, link.id)
    kept = 0
    listed = {one.provider_method_id: one for one in told}  # nobody promises: each once
    by_rank = sorted(listed.items(), key=lambda item: not item[1].is_default)
    for token, one in by_rank:  # those of a rank as they were listed
        if not one.is_usable or await payment_methods.deleted_here_at(conn, link_key, token):
            continue
        row = new_method(
            link,
            account,
            token,
            is_default=kept == 0,
            details=one.details,
            method_id=new_id(),
            now=now,
        )
        await payment_methods.insert(conn, row)
        kept += 1
    if kept:
        customer = RowKey(link.organization_id, link.customer_id)
        await jobs.promise(conn, Job.COLLECT_FROM_CUSTOMER, [customer])
    return kept

"""Make a customer known to its provider, where the caller asked for that (`sync_with_provider`).

Called by the worker, for the job that was promised with the link. What would surprise you: the id
that the provider gives is kept only if the link still waits for one. Who was unlinked meanwhile, or
linked by an id of the caller's, is left as they are, and the provider's new customer is nobody's.

The request is kept before it is sent, and sent again to the letter, whatever the customer is called
by then. When the provider may have forgotten the key of one that it never answered, nobody can tell
whether the customer was made, so none is made any more: that is told, and the caller gives the id.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID, uuid5

import msgspec

from recoup.flows.call_account import AccountLine, LeftAlone
from recoup.flows.keep_methods import ProviderSilentError
from recoup.flows.open_provider import Providers
from recoup.flows.open_set_up_page import can_be_set_up, set_up_order
from recoup.flows.tell import News, tell
from recoup.providers.protocol import CustomerMade, Declined, Lost, NewCustomer, Page
from recoup.rules.lago.checkout_urls import OBJECT_TYPE as PAGE_OBJECT
from recoup.rules.lago.checkout_urls import checkout_url_object
from recoup.rules.lago.customers import full_customer_object
from recoup.rules.lago.failures import CustomerErrorObject, ProviderError
from recoup.rules.look_up_schedule import may_re_send
from recoup.rules.records.customers import Customer, CustomerDetails, ProviderCustomer
from recoup.rules.records.keys import RowKey
from recoup.rules.records.provider_accounts import ProviderAccount, ProviderKind
from recoup.store import customers, db, provider_accounts, provider_customers
from recoup.store.db import Conn, Pool
from recoup.store.provider_customers import Creation

CREATED: Final = "customer.payment_provider_created"
ERROR: Final = "customer.payment_provider_error"
PAGE: Final = "customer.checkout_url_generated"
# They know any customer by an id of ours: nobody is called, so it says nothing of the account.
NAMED_BY_US: Final = frozenset({ProviderKind.SANDBOX, ProviderKind.ADYEN})
ERROR_OBJECT: Final = "payment_provider_customer_error"
UNANSWERED: Final = Declined(
    "customer_creation_unanswered",
    "The provider never answered whether it has made this customer. Link it by its id there; if"
    " there is none, unlink the customer and link it anew.",
)


async def make_provider_customer(
    pool: Pool, providers: Providers, link_key: RowKey, *, now: datetime
) -> None:
    """Make the customer of this link at its provider, and tell how that ended.

    Run again, it sends the same request under the same key, so the provider makes no second one.

    :raises ProviderSilentError: the provider does not answer, or may not be called yet.
    """
    async with db.transaction(pool, tenants=[link_key.organization_id]) as conn:
        link = await provider_customers.find(conn, link_key)
        await customers.lock(conn, RowKey(link.organization_id, link.customer_id))
        waiting = await _waiting(conn, link_key)
        if waiting is None:
            return
        details, link = waiting
        key = RowKey(link.organization_id, link.provider_account_id)
        account = (await provider_accounts.by_ids(conn, [key]))[key]
        if account.deleted_at is not None:
            return
        before = await provider_customers.find_creation(conn, link_key)
        if before.sent_at and not may_re_send(sent_at=before.sent_at, now=now):
            shown, cause = _error(details.customer, UNANSWERED), uuid5(link.id, UNANSWERED.code)
            await _tell(conn, ERROR, ERROR_OBJECT, shown, details.key, cause=cause, now=now)
            return
        request = before.request or _rendered(details.customer, link)
        sent = Creation(request, before.sent_at or now)
        await provider_customers.write_creation(conn, link_key, sent)
    asked = msgspec.json.decode(request, type=NewCustomer)
    made: CustomerMade | Declined | Lost | LeftAlone
    if account.kind in NAMED_BY_US:
        made = await providers.of(account).create_customer(asked)
    else:
        line = AccountLine(pool, providers, account, now=lambda: now)
        made = await line.order(lambda provider: provider.create_customer(asked))
    did_nothing = isinstance(made, LeftAlone) or (isinstance(made, Lost) and made.key_refused)
    if did_nothing and before.sent_at is None:
        async with db.transaction(pool, tenants=[link_key.organization_id]) as conn:
            await provider_customers.write_creation(conn, link_key, before)
    if isinstance(made, LeftAlone):
        raise ProviderSilentError("left_alone")
    if isinstance(made, Lost):
        raise ProviderSilentError(made.why)
    page = await _page(pool, providers, account, (details, link), made, now=now)
    async with db.transaction(pool, tenants=[link_key.organization_id]) as conn:
        await customers.lock(conn, details.key)
        waiting = await _waiting(conn, link_key)
        if waiting is None:
            return
        details, link = waiting
        if isinstance(made, Declined):
            # The next change makes another request. What became of an earlier call is not known.
            refused = Creation(None, before.sent_at)
            await provider_customers.write_creation(conn, link_key, refused)
            # Asked again once the caller has changed something, it may be refused once more.
            cause = uuid5(link.id, str(details.customer.updated_at))
            shown = _error(details.customer, made)
            await _tell(conn, ERROR, ERROR_OBJECT, shown, details.key, cause=cause, now=now)
            return
        known = msgspec.structs.replace(link, provider_customer_id=made.provider_customer_id)
        await customers.write_link(conn, known)
        await provider_customers.write_creation(conn, link_key, Creation())
        after = full_customer_object((await customers.details(conn, [details.key]))[details.key])
        await _tell(conn, CREATED, "customer", after, details.key, cause=link.id, now=now)
        if page is not None:
            told = checkout_url_object(details.customer, page.url)
            await _tell(conn, PAGE, PAGE_OBJECT, told, details.key, cause=link.id, now=now)


async def _page(
    pool: Pool,
    providers: Providers,
    account: ProviderAccount,
    waiting: tuple[CustomerDetails, ProviderCustomer],
    made: CustomerMade | Declined,
    *,
    now: datetime,
) -> Page | None:
    """A page where the new customer leaves a method; None: there is nothing to leave, or no page.

    Asked for before the customer is kept, so that whoever dies here asks again under the same key.
    A page that does not open is no reason to wait: a caller asks for another at any time.
    """
    details, link = waiting
    if isinstance(made, Declined) or not can_be_set_up(link):
        return None
    order = set_up_order(
        details.customer, link, account, made.provider_customer_id, page_id=uuid5(link.id, PAGE)
    )
    line = AccountLine(pool, providers, account, now=lambda: now)
    answer = await line.order(lambda provider: provider.set_up_page(order))
    return answer if isinstance(answer, Page) else None


async def _waiting(conn: Conn, key: RowKey) -> tuple[CustomerDetails, ProviderCustomer] | None:
    """The customer and its link, if the link is live and waits for the provider's id."""
    link = await provider_customers.find(conn, key)
    if link.discarded_at or link.provider_customer_id or not link.sync_with_provider:
        return None
    customer = RowKey(link.organization_id, link.customer_id)
    details = (await customers.details(conn, [customer]))[customer]
    return None if details.customer.deleted_at else (details, link)


def _rendered(customer: Customer, link: ProviderCustomer) -> str:
    """What is asked of the provider, to be kept."""
    new = NewCustomer(
        idempotency_key=f"customer-{link.id}",
        name=customer.name,
        firstname=customer.firstname,
        lastname=customer.lastname,
        email=customer.email.split(",")[0].strip() if customer.email else None,
        country=customer.country,
        metadata={
            "lago_customer_id": str(customer.id),
            "customer_id": customer.external_id,
            "lago_organization_id": str(customer.organization_id),
        },
    )
    return msgspec.json.encode(new).decode()


def _error(customer: Customer, no: Declined) -> CustomerErrorObject:
    return CustomerErrorObject(
        lago_customer_id=customer.id,
        external_customer_id=customer.external_id,
        payment_provider=customer.payment_provider,
        payment_provider_code=customer.payment_provider_code,
        provider_error=ProviderError(message=no.message, error_code=no.code),
    )


async def _tell(
    conn: Conn,
    webhook_type: str,
    object_type: str,
    shown: msgspec.Struct,
    customer: RowKey,
    *,
    cause: UUID,
    now: datetime,
) -> None:
    news = News(
        customer.organization_id, webhook_type, object_type, shown, customer.id, cause=cause
    )
    await tell(conn, [news], now=now)

"""Send a customer to a page of the provider's where they leave a payment method.

What they leave there comes back as the provider's event, and becomes their default.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from recoup.flows.call_account import AccountLine
from recoup.flows.find_customer import find_customer_details
from recoup.flows.open_provider import Providers
from recoup.flows.refuse_for_provider import refusal_of
from recoup.providers.protocol import Declined, Page, SetUpOrder
from recoup.rules.provider_link import CANNOT_BE_KEPT
from recoup.rules.records.customers import Customer, ProviderCustomer
from recoup.rules.records.keys import RowKey
from recoup.rules.records.provider_accounts import NAMES, ProviderAccount
from recoup.rules.refusal import Refused, invalid, third_party_error
from recoup.store import db, provider_accounts
from recoup.store.db import Pool

NO_LINK: Final = invalid({"base": ["no_linked_payment_provider"]})
NOTHING_TO_SET_UP: Final = invalid(
    {"provider_payment_methods": ["no_payment_methods_to_setup_available"]}
)
DEFAULT_CURRENCY: Final = "USD"  # where neither the customer nor its provider says another


class SetUpPage(msgspec.Struct, frozen=True):
    """Whose page it is, and where."""

    customer: Customer
    url: str


async def open_set_up_page(
    pool: Pool,
    providers: Providers,
    organization_id: UUID,
    external_id: str,
    *,
    page_id: UUID,
    now: Callable[[], datetime],
) -> SetUpPage:
    """Open a page for this customer.

    :raises Refused: `customer_not_found`; 422 `no_linked_payment_provider`,
        `no_payment_methods_to_setup_available`; `third_party_error` where the provider refuses,
        and `refusal_of` where it does not answer or is left alone.
    """
    async with db.transaction(pool, tenants=[organization_id]) as conn:
        details = await find_customer_details(conn, organization_id, external_id)
        customer, link = details.customer, details.link
        if link is None or link.provider_customer_id is None:
            raise Refused(NO_LINK)
        key = RowKey(organization_id, link.provider_account_id)
        account = (await provider_accounts.by_ids(conn, [key]))[key]
        if account.deleted_at is not None:
            raise Refused(NO_LINK)
        if not can_be_set_up(link):
            raise Refused(NOTHING_TO_SET_UP)
    line = AccountLine(pool, providers, account, now=now)
    order = set_up_order(customer, link, account, link.provider_customer_id, page_id=page_id)
    answer = await line.order(lambda provider: provider.set_up_page(order), is_awaited=True)
    if isinstance(answer, Page):
        return SetUpPage(customer, answer.url)
    if isinstance(answer, Declined):
        raise Refused(third_party_error(NAMES[account.kind], answer.message or answer.code))
    raise Refused(refusal_of(account, answer, paused_until=line.paused_until, now=now()))


def can_be_set_up(link: ProviderCustomer) -> bool:
    """Whether there is anything that such a customer could leave on a page."""
    methods = link.provider_payment_methods
    return not (methods and CANNOT_BE_KEPT.issuperset(methods))


def set_up_order(
    customer: Customer,
    link: ProviderCustomer,
    account: ProviderAccount,
    provider_customer_id: str,
    *,
    page_id: UUID,
) -> SetUpOrder:
    """What is asked of the provider: the same `page_id` again is the same page."""
    return SetUpOrder(
        idempotency_key=f"set-up-{page_id}",
        provider_customer_id=provider_customer_id,
        currency=customer.currency or DEFAULT_CURRENCY,
        return_url=account.return_url,
        method_types=link.provider_payment_methods,
        metadata={
            "lago_customer_id": str(customer.id),
            "lago_organization_id": str(customer.organization_id),
        },
    )

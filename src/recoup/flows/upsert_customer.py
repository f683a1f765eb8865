"""Create a customer, or change the one that has this external id already.

What would surprise you: a refused call stores nothing. Lago keeps the customer when it refuses the
link to a provider.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID, uuid5

import msgspec
from msgspec import UNSET

from recoup.flows.manage_dunning_campaigns import campaign_to_apply
from recoup.flows.tell import News, tell
from recoup.rules.customer_changes import (
    BillingConfigurationInput,
    CustomerInput,
    changed,
    changed_metadata,
    external_id_of,
)
from recoup.rules.lago.customers import full_customer_object
from recoup.rules.numbering import customer_slug
from recoup.rules.provider_link import Linked, relinked
from recoup.rules.records.customers import Customer, CustomerDetails, ProviderCustomer
from recoup.rules.records.keys import RowKey
from recoup.rules.records.organizations import BillingEntity
from recoup.rules.records.provider_accounts import ProviderKind
from recoup.rules.records.taxes import Tax
from recoup.rules.refusal import Refused, not_found
from recoup.rules.scalars import text, texts
from recoup.store import (
    customers,
    dunnings,
    jobs,
    organizations,
    payment_methods,
    provider_accounts,
    taxes,
)
from recoup.store.db import Conn
from recoup.store.jobs import Job


async def upsert_customer(
    conn: Conn, organization_id: UUID, asked: CustomerInput, *, change_id: UUID, now: datetime
) -> CustomerDetails:
    """Create or change the customer, tell of it, and answer what it is now.

    `change_id` names this change, and becomes the id of a customer that is new.

    :raises Refused: 422 for fields that break a rule, `billing_entity_not_found`,
        `tax_not_found`, `dunning_campaign_not_found`.
    """
    external_id = external_id_of(asked)
    campaign = await campaign_to_apply(conn, organization_id, asked.applied_dunning_campaign_code)
    entity = await _billing_entity(conn, organization_id, text(asked.billing_entity_code))
    applied = await _taxes(conn, organization_id, asked)
    customer = await customers.lock_by_external_id(conn, organization_id, external_id)
    if customer is None:
        prefix = await customers.lock_numbering(conn, organization_id)
        # Whoever had the lock before may have created this very customer.
        customer = await customers.lock_by_external_id(conn, organization_id, external_id)
    before = None
    if customer is None:
        number = await customers.next_sequential_id(conn, organization_id)
        customer = Customer(
            organization_id=organization_id,
            id=change_id,
            external_id=external_id,
            sequential_id=number,
            slug=customer_slug(prefix, customer_sequence=number),
            billing_entity_id=entity.id,
            created_at=now,
            updated_at=now,
        )
    else:
        before = (await customers.details(conn, [customer.key]))[customer.key]
        if text(asked.billing_entity_code):
            customer = msgspec.structs.replace(customer, billing_entity_id=entity.id)
    if asked.applied_dunning_campaign_code is not UNSET:
        customer = msgspec.structs.replace(customer, applied_dunning_campaign_id=campaign)
    customer = msgspec.structs.replace(changed(customer, asked), updated_at=now)
    linked = await _linked(conn, customer, before, asked, link_id=uuid5(change_id, "link"), now=now)
    await (customers.write if before else customers.insert)(conn, linked.customer)
    if isinstance(asked.metadata, list):
        kept = before.metadata if before else ()
        metadata = changed_metadata(kept, asked.metadata, change_id=change_id, now=now)
        await customers.replace_metadata(conn, customer.key, metadata)
    if applied is not None:
        await customers.replace_taxes(conn, customer.key, applied)
    await _write_link(conn, customer, before.link if before else None, linked.link, now=now)
    if before and _dunned_by(customer) != _dunned_by(before.customer):
        await dunnings.wake(conn, [customer.key], now=now)
    await _promise_to_make(conn, linked.link)
    await _promise_to_fetch(conn, before.link if before else None, linked)
    after = (await customers.details(conn, [customer.key]))[customer.key]
    happened = ["customer.updated" if before else "customer.created"]
    if linked.made_at_provider:
        happened.append("customer.payment_provider_created")
    shown = full_customer_object(after)
    await tell(
        conn,
        [
            News(organization_id, what, "customer", shown, customer.id, cause=change_id)
            for what in happened
        ],
        now=now,
    )
    return after


def _dunned_by(customer: Customer) -> tuple[object, ...]:
    """What decides which dunning campaign asks a customer, if any."""
    return (
        customer.exclude_from_dunning_campaign,
        customer.applied_dunning_campaign_id,
        customer.billing_entity_id,
    )


async def _billing_entity(conn: Conn, organization_id: UUID, code: str | None) -> BillingEntity:
    """The billing entity with this code; without one, the organization's default."""
    for entity in await organizations.billing_entities(conn, organization_id):
        if entity.code == code if code else entity.is_default:
            return entity
    raise Refused(not_found("billing_entity"))


async def _taxes(conn: Conn, organization_id: UUID, asked: CustomerInput) -> list[Tax] | None:
    """The taxes that are asked for; None where nothing is said of them."""
    if not isinstance(asked.tax_codes, list):
        return None
    codes = set(texts(asked.tax_codes))
    found = await taxes.by_codes(conn, organization_id, codes)
    if len(found) < len(codes):
        raise Refused(not_found("tax"))
    return list(found.values())


async def _linked(
    conn: Conn,
    customer: Customer,
    before: CustomerDetails | None,
    asked: CustomerInput,
    *,
    link_id: UUID,
    now: datetime,
) -> Linked:
    link = before.link if before else None
    if not isinstance(asked.billing_configuration, BillingConfigurationInput):
        return Linked(customer, link)
    accounts = await provider_accounts.live(conn, customer.organization_id)
    return relinked(
        customer,
        link,
        asked.billing_configuration,
        accounts,
        is_new=before is None,
        link_id=link_id,
        now=now,
    )


async def _write_link(
    conn: Conn,
    customer: Customer,
    before: ProviderCustomer | None,
    after: ProviderCustomer | None,
    *,
    now: datetime,
) -> None:
    """Make `after` the customer's live link; methods of one that is given up go with it."""
    if before == after:
        return
    if before and after and before.id == after.id:
        await customers.write_link(conn, after)
        return
    if before:
        await payment_methods.delete_of_customer(conn, customer.key, now=now)
        await customers.write_link(conn, msgspec.structs.replace(before, discarded_at=now))
    if after:
        await customers.insert_link(conn, after)


async def _promise_to_make(conn: Conn, link: ProviderCustomer | None) -> None:
    """Promise to make the customer at its provider, where that is wanted and was not done yet.

    Each change of the customer's promises it anew: a provider that refused may like this one.
    """
    if link and link.sync_with_provider and link.provider_customer_id is None:
        key = RowKey(link.organization_id, link.id)
        await jobs.promise(conn, Job.MAKE_PROVIDER_CUSTOMER, [key])


async def _promise_to_fetch(conn: Conn, before: ProviderCustomer | None, after: Linked) -> None:
    """Promise to fetch what the customer has at its provider, where it is linked by an id anew.

    The sandbox keeps no methods: its test methods are everybody's.
    """
    link = after.link
    if link is None or link.provider_customer_id is None or after.made_at_provider:
        return
    if before and (before.id, before.provider_customer_id) == (link.id, link.provider_customer_id):
        return
    if after.customer.payment_provider is not ProviderKind.SANDBOX:
        await jobs.promise(conn, Job.FETCH_METHODS, [RowKey(link.organization_id, link.id)])

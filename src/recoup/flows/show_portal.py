"""What a customer's own page shows: its invoices, and which of them it can pay there."""

from __future__ import annotations

from typing import Final
from uuid import UUID

import msgspec

from recoup.flows.open_payment_page import WITHOUT_PAGES
from recoup.rules.payer_words import Words, words_for
from recoup.rules.records.keys import RowKey
from recoup.store import customers, db, organizations, portal_invoices
from recoup.store.db import Pool
from recoup.store.portal_invoices import PortalInvoice

PAGE_SIZE: Final = 50
LAST_PAGE: Final = 1_000


class Shown(msgspec.Struct, frozen=True):
    """One invoice, and whether there is a button to pay it."""

    invoice: PortalInvoice
    can_be_paid: bool


class Portal(msgspec.Struct, frozen=True, kw_only=True):
    """One page of it."""

    seller: str
    words: Words
    invoices: tuple[Shown, ...]
    page: int
    has_more: bool


async def show_portal(pool: Pool, customer: RowKey, *, page: int) -> Portal | None:
    """Read one page of the customer's invoices; None for a customer who was deleted."""
    async with db.transaction(pool, tenants=[customer.organization_id]) as conn:
        details = (await customers.details(conn, [customer])).get(customer)
        if details is None or details.customer.deleted_at is not None:
            return None
        entities = await organizations.billing_entities(conn, customer.organization_id)
        own = next(one for one in entities if one.id == details.customer.billing_entity_id)
        page = min(page, LAST_PAGE)
        found = await portal_invoices.page(
            conn, customer, size=PAGE_SIZE + 1, offset=(page - 1) * PAGE_SIZE
        )
    provider = details.customer.payment_provider
    has_pages = provider is not None and provider not in WITHOUT_PAGES
    return Portal(
        seller=own.legal_name or own.name,
        words=words_for(details.customer.document_locale, own.document_locale),
        invoices=tuple(
            Shown(invoice, has_pages and _is_payable(invoice)) for invoice in found[:PAGE_SIZE]
        ),
        page=page,
        has_more=len(found) > PAGE_SIZE,
    )


async def is_of_customer(pool: Pool, customer: RowKey, invoice_id: UUID) -> bool:
    """Whether the page of this customer shows this invoice."""
    async with db.transaction(pool, tenants=[customer.organization_id]) as conn:
        return await portal_invoices.is_shown(conn, customer, invoice_id)


def _is_payable(invoice: PortalInvoice) -> bool:
    return (
        invoice.status == "finalized"
        and invoice.payment_status != "succeeded"
        and invoice.due_cents > 0
        and not invoice.is_held
        and not invoice.is_being_paid
    )

"""Lists of invoices, with every filter that a caller may choose (contract section 3.7.3)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Final
from uuid import UUID

import msgspec

from recoup.rules.invoice_status import VISIBLE
from recoup.rules.lago.pages import Page
from recoup.rules.records.invoices import InvoiceDetails
from recoup.rules.records.keys import RowKey
from recoup.store import invoices
from recoup.store.conditions import Conditions, words
from recoup.store.db import Conn
from recoup.store.listing import ids_and_total

# What each settlement leaves on an invoice.
_SETTLED_BY: Final[Mapping[str, str]] = {
    "payment": "i.paid_cents > 0",
    "credit_note": "i.offset_cents > 0",
}

_OF_CUSTOMER: Final = """
    i.customer_id IN (SELECT c.id FROM customers c
                       WHERE c.organization_id = {0} AND c.external_id = {1})
"""

_HAS_METADATUM: Final = """
    i.id IN (SELECT m.invoice_id FROM invoice_metadata m
              WHERE m.organization_id = {0} AND m.key = {1} AND m.value = {2})
"""
_LACKS_METADATUM: Final = """
    NOT EXISTS (SELECT FROM invoice_metadata m
                 WHERE m.organization_id = {0} AND m.invoice_id = i.id AND m.key = {1})
"""

# `position` rather than LIKE: nothing in the term is a pattern.
_FOUND_IN_INVOICE: Final = "position(lower({0}) IN i.number_folded) > 0 OR i.id = {1}::uuid"
# The customers are searched once, not once for each of their invoices.
_FOUND_IN_CUSTOMER: Final = """
    i.customer_id IN (SELECT c.id FROM customers c
                       WHERE c.organization_id = {2}
                         AND position(lower({0}) IN c.search_text) > 0)
"""


class InvoiceFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which invoices a list wants; None: all. Deleted customers count as customers."""

    external_customer_id: str | None = None
    statuses: tuple[str, ...] | None = None
    payment_statuses: tuple[str, ...] | None = None
    payment_overdue: bool | None = None
    partially_paid: bool | None = None
    self_billed: bool | None = None
    payment_dispute_lost: bool | None = None
    invoice_type: str | None = None
    currency: str | None = None
    issued_from: date | None = None
    issued_to: date | None = None
    amount_from: int | None = None
    amount_to: int | None = None
    billing_entity_codes: tuple[str, ...] | None = None
    metadata: Mapping[str, str] = {}  # an empty value wants the key absent
    purchase_order_number: str | None = None
    settlements: tuple[str, ...] | None = None  # any of payment, credit_note
    search_term: str | None = None
    search_id: UUID | None = None  # the same term, where it is an id


async def page(
    conn: Conn, organization_id: UUID, wanted: InvoiceFilter, page: Page
) -> tuple[list[InvoiceDetails], int]:
    """One page, latest issued first, and how many there are in all. Hidden ones are never among."""
    where = _where(organization_id, wanted)
    ids, count = await ids_and_total(
        conn,
        f"SELECT i.id FROM invoices i WHERE {where.sql()}"
        " ORDER BY i.issuing_date DESC, i.created_at DESC, i.id",
        f"SELECT count(*) FROM invoices i WHERE {where.sql()}",
        where.values,
        page,
    )
    keys = [RowKey(organization_id, one) for one in ids]
    found = await invoices.details(conn, keys, with_fees=False)
    return [found[key] for key in keys], count


def _where(organization_id: UUID, wanted: InvoiceFilter) -> Conditions:
    where = Conditions()
    where.add("i.organization_id = {0}", organization_id)
    where.add(f"i.status IN {words(VISIBLE)}")
    plain: list[tuple[str, object]] = [
        ("i.status = ANY ({0}::text[])", wanted.statuses),
        ("i.payment_status = ANY ({0}::text[])", wanted.payment_statuses),
        ("i.payment_overdue = {0}", wanted.payment_overdue),
        ("(i.paid_cents > 0 AND i.paid_cents < i.total_cents) = {0}", wanted.partially_paid),
        ("i.self_billed = {0}", wanted.self_billed),
        ("(i.payment_dispute_lost_at IS NOT NULL) = {0}", wanted.payment_dispute_lost),
        ("i.invoice_type = {0}", wanted.invoice_type),
        ("i.currency = {0}", wanted.currency),
        ("i.issuing_date >= {0}", wanted.issued_from),
        ("i.issuing_date <= {0}", wanted.issued_to),
        ("i.total_cents >= {0}", wanted.amount_from),
        ("i.total_cents <= {0}", wanted.amount_to),
        ("i.purchase_order_number_folded = lower({0})", wanted.purchase_order_number),
    ]
    for condition, value in plain:
        if value is not None:
            where.add(condition, value)
    if wanted.external_customer_id is not None:
        where.add(_OF_CUSTOMER, organization_id, wanted.external_customer_id)
    if wanted.billing_entity_codes is not None:
        where.add(
            "i.billing_entity_id IN (SELECT b.id FROM billing_entities b"
            " WHERE b.organization_id = {0} AND b.code = ANY ({1}::text[]))",
            organization_id,
            wanted.billing_entity_codes,
        )
    for key, value in wanted.metadata.items():
        if value:
            where.add(_HAS_METADATUM, organization_id, key, value)
        else:
            where.add(_LACKS_METADATUM, organization_id, key)
    if wanted.settlements is not None:
        where.add(" OR ".join(_SETTLED_BY[kind] for kind in wanted.settlements) or "false")
    if wanted.search_term is not None:
        is_chosen = wanted.external_customer_id is not None
        # What is searched of customers is fields by lines, and each field for itself.
        if is_chosen or "\n" in wanted.search_term:
            where.add(_FOUND_IN_INVOICE, wanted.search_term, wanted.search_id)
        else:
            where.add(
                f"{_FOUND_IN_INVOICE} OR {_FOUND_IN_CUSTOMER}",
                wanted.search_term, wanted.search_id, organization_id,
            )  # fmt: skip
    return where

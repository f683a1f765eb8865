"""Lists of credit notes, with every filter that a caller may choose (contract section 3.9)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Final
from uuid import UUID

import msgspec

from recoup.rules.lago.pages import Page
from recoup.rules.records.credit_notes import CreditNoteDetails
from recoup.rules.records.keys import RowKey
from recoup.store import credit_notes
from recoup.store.conditions import Conditions
from recoup.store.db import Conn
from recoup.store.listing import ids_and_total

# What each part leaves on a note.
_OF_TYPE: Final[Mapping[str, str]] = {
    "credit": "n.credit_cents > 0",
    "refund": "n.refund_cents > 0",
    "offset": "n.offset_cents > 0",
}

_OF_CUSTOMER: Final = """
    n.customer_id IN (SELECT c.id FROM customers c
                       WHERE c.organization_id = {0} AND c.external_id = {1})
"""

# A note's number begins with its invoice's: the invoice itself is looked at for the few that do.
_OF_INVOICE_NUMBERED: Final = """
    starts_with(n.number_folded, lower({1}) || '-')
    AND EXISTS (SELECT FROM invoices i
                 WHERE i.organization_id = {0} AND i.id = n.invoice_id AND i.number = {1})
"""
_OF_ORDER: Final = """
    n.invoice_id IN (SELECT i.id FROM invoices i
                      WHERE i.organization_id = {0}
                        AND i.purchase_order_number_folded = lower({1}))
"""
_OF_ENTITIES: Final = """
    n.billing_entity_id IN (SELECT b.id FROM billing_entities b
                             WHERE b.organization_id = {0} AND b.code = ANY ({1}::text[]))
"""

# `position` rather than LIKE: nothing in the term is a pattern.
_FOUND_IN_NOTE: Final = "position(lower({0}) IN n.number_folded) > 0 OR n.id = {1}::uuid"
_FOUND_IN_CUSTOMER: Final = """
    n.customer_id IN (SELECT c.id FROM customers c
                       WHERE c.organization_id = {2}
                         AND position(lower({0}) IN c.search_text) > 0)
"""


class CreditNoteFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which credit notes a list wants; None: all. Deleted customers count as customers."""

    external_customer_id: str | None = None
    credit_statuses: tuple[str, ...] | None = None
    refund_statuses: tuple[str, ...] | None = None
    reasons: tuple[str, ...] | None = None
    types: tuple[str, ...] | None = None  # any of credit, refund, offset
    currency: str | None = None
    invoice_number: str | None = None
    purchase_order_number: str | None = None  # its invoice's
    self_billed: bool | None = None
    issued_from: date | None = None
    issued_to: date | None = None
    amount_from: int | None = None
    amount_to: int | None = None
    billing_entity_codes: tuple[str, ...] | None = None
    search_term: str | None = None
    search_id: UUID | None = None  # the same term, where it is an id


async def page(
    conn: Conn, organization_id: UUID, wanted: CreditNoteFilter, page: Page
) -> tuple[list[CreditNoteDetails], int]:
    """One page, latest issued first, and how many there are in all."""
    where = _where(organization_id, wanted)
    ids, total = await ids_and_total(
        conn,
        f"SELECT n.id FROM credit_notes n WHERE {where.sql()}"
        " ORDER BY n.issuing_date DESC, n.created_at DESC, n.id",
        f"SELECT count(*) FROM credit_notes n WHERE {where.sql()}",
        where.values,
        page,
    )
    keys = [RowKey(organization_id, one) for one in ids]
    found = await credit_notes.details(conn, keys)
    return [found[key] for key in keys], total


def _where(organization_id: UUID, wanted: CreditNoteFilter) -> Conditions:
    where = Conditions()
    where.add("n.organization_id = {0}", organization_id)
    plain: list[tuple[str, object]] = [
        ("n.credit_status = ANY ({0}::text[])", wanted.credit_statuses),
        ("n.refund_status = ANY ({0}::text[])", wanted.refund_statuses),
        ("n.reason = ANY ({0}::text[])", wanted.reasons),
        ("n.currency = {0}", wanted.currency),
        ("n.self_billed = {0}", wanted.self_billed),
        ("n.issuing_date >= {0}", wanted.issued_from),
        ("n.issuing_date <= {0}", wanted.issued_to),
        ("n.total_cents >= {0}", wanted.amount_from),
        ("n.total_cents <= {0}", wanted.amount_to),
    ]
    for condition, value in plain:
        if value is not None:
            where.add(condition, value)
    by_others: list[tuple[str, object]] = [
        (_OF_CUSTOMER, wanted.external_customer_id),
        (_OF_INVOICE_NUMBERED, wanted.invoice_number),
        (_OF_ORDER, wanted.purchase_order_number),
        (_OF_ENTITIES, wanted.billing_entity_codes),
    ]
    for condition, value in by_others:
        if value is not None:
            where.add(condition, organization_id, value)
    if wanted.types is not None:
        where.add(" OR ".join(_OF_TYPE[kind] for kind in wanted.types))
    if wanted.search_term is not None:
        if wanted.external_customer_id is not None:  # the customer is chosen already
            where.add(_FOUND_IN_NOTE, wanted.search_term, wanted.search_id)
        else:
            where.add(
                f"{_FOUND_IN_NOTE} OR {_FOUND_IN_CUSTOMER}",
                wanted.search_term, wanted.search_id, organization_id,
            )  # fmt: skip
    return where

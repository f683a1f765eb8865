"""Lists of customers, with every filter that a caller may choose (contract section 3.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

import msgspec

from recoup.rules.lago.pages import Page
from recoup.rules.records.customers import CustomerDetails
from recoup.rules.records.keys import RowKey
from recoup.store import customers
from recoup.store.conditions import Conditions
from recoup.store.db import Conn
from recoup.store.listing import ids_and_total

START: Final = 100  # characters of a text that `customers_newest_first` holds

# `position` rather than LIKE: nothing in the term is a pattern.
_FOUND: Final = """
    position(lower({0}) IN c.search_text) > 0
    OR position(lower({0}) IN lower(c.legal_name)) > 0
"""

_OF_ENTITIES: Final = """
    c.billing_entity_id IN (SELECT b.id FROM billing_entities b
                             WHERE b.organization_id = {0} AND b.code = ANY ({1}::text[]))
"""

_HAS_METADATUM: Final = """
    c.id IN (SELECT m.customer_id FROM customer_metadata m
              WHERE m.organization_id = {0} AND m.key = {1} AND m.value = {2})
"""
_LACKS_METADATUM: Final = """
    NOT EXISTS (SELECT FROM customer_metadata m
                 WHERE m.organization_id = {0} AND m.customer_id = c.id AND m.key = {1})
"""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which customers a list is of. What is None, or empty, asks for nothing."""

    external_id: str | None = None
    search_term: str | None = None  # part of a name, the external id or the email, in any case
    account_types: Sequence[str] = ()
    billing_entity_codes: Sequence[str] = ()
    countries: Sequence[str] = ()
    states: Sequence[str] = ()
    zipcodes: Sequence[str] = ()
    currencies: Sequence[str] = ()
    has_tax_identification_number: bool | None = None
    customer_type: str | None = None
    has_customer_type: bool | None = None
    metadata: Mapping[str, str] = {}  # an empty value: the key must be absent


async def page(
    conn: Conn, organization_id: UUID, wanted: Wanted, page: Page
) -> tuple[list[CustomerDetails], int]:
    """One page of the wanted customers, newest first, and how many there are in all."""
    where = _where(organization_id, wanted)
    ids, total = await ids_and_total(
        conn,
        f"SELECT c.id FROM customers c WHERE {where.sql()} ORDER BY c.created_at DESC, c.id",
        f"SELECT count(*) FROM customers c WHERE {where.sql()}",
        where.values,
        page,
    )
    keys = [RowKey(organization_id, one) for one in ids]
    found = await customers.details(conn, keys)
    return [found[key] for key in keys], total


def _where(organization_id: UUID, wanted: Wanted) -> Conditions:
    where = Conditions()
    where.add("c.organization_id = {0}", organization_id)
    where.add("c.deleted_at IS NULL")
    plain: list[tuple[str, object]] = [
        ("c.external_id = {0}", wanted.external_id),
        ("c.customer_type = {0}", wanted.customer_type),
        ("(c.customer_type IS NOT NULL) = {0}", wanted.has_customer_type),
        ("c.has_tax_number = {0}", wanted.has_tax_identification_number),
        (_FOUND, wanted.search_term),
    ]
    if wanted.search_term is not None and "\n" in wanted.search_term:
        where.add("false")  # what is searched is fields by lines, and each field for itself
    for condition, value in plain:
        if value is not None:
            where.add(condition, value)
    lists = [
        ("c.account_type = ANY ({0}::text[])", wanted.account_types),
        ("c.country = ANY ({0}::text[])", wanted.countries),
        ("c.currency = ANY ({0}::text[])", wanted.currencies),
    ]
    for condition, values in lists:
        if values:
            where.add(condition, values)
    _add_text(where, "state", wanted.states)
    _add_text(where, "zipcode", wanted.zipcodes)
    if wanted.billing_entity_codes:
        where.add(_OF_ENTITIES, organization_id, wanted.billing_entity_codes)
    for key, value in wanted.metadata.items():
        if value:
            where.add(_HAS_METADATUM, organization_id, key, value)
        else:
            where.add(_LACKS_METADATUM, organization_id, key)
    return where


def _add_text(where: Conditions, column: str, values: Sequence[str]) -> None:
    """Any of these texts: by their start, which the index holds, and whole only where one is cut.

    What is shorter than a start can be is equal to a start only if it is all there is.
    """
    if not values:
        return
    starts = [value[:START] for value in values]
    where.add(f"c.{column}_start = ANY ({{0}}::text[])", starts)
    if any(len(start) == START for start in starts):
        where.add(f"c.{column} = ANY ({{0}}::text[])", values)

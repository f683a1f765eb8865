"""`/customers` (contract section 3.3). There is no PUT: the same POST creates and changes."""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote

import msgspec
from litestar import Response, Router, delete, get, post
from litestar.params import FromPath, JSONBody

from recoup.api.describe import PAGES, Query, answers
from recoup.api.edge import ApiRequest, TheEdge, required
from recoup.api.filters import Filters
from recoup.api.needs import needs
from recoup.api.paging import wanted_page
from recoup.flows.delete_customer import delete_customer
from recoup.flows.find_customer import find_customer, find_customer_details
from recoup.flows.portal_links import FROM_THE_API
from recoup.flows.upsert_customer import upsert_customer
from recoup.rules.customer_changes import ACCOUNT_TYPES, CUSTOMER_TYPES, CustomerInput
from recoup.rules.lago.customers import (
    CustomerObject,
    full_customer_object,
    listed_customer_object,
)
from recoup.rules.lago.pages import Meta, meta
from recoup.rules.money import CURRENCIES
from recoup.rules.places import COUNTRIES
from recoup.store import customer_lists
from recoup.store.customer_lists import Wanted
from recoup.store.db import Conn

FILTERS: Final = (
    Query("search_term", "Part of a name, of the external id or of the email, in any case."),
    Query("external_id", "The customer with this external id."),
    Query("account_type[]", "`customer`, `partner`.", list[str]),
    Query("billing_entity_codes[]", "Customers of these billing entities.", list[str]),
    Query("countries[]", "Customers in these countries, by two-letter code.", list[str]),
    Query("states[]", "Customers in these states.", list[str]),
    Query("zipcodes[]", "Customers at these zip codes.", list[str]),
    Query("currencies[]", "Customers with these currencies.", list[str]),
    Query("has_tax_identification_number", "Whether they have one.", bool),
    Query("customer_type", "`company` or `individual`."),
    Query("has_customer_type", "Whether it is known.", bool),
    Query("metadata[key]", "Customers with this value under `key`; empty: without that key."),
)


class CustomerBody(msgspec.Struct):
    """`{"customer": {…}}` as a caller sends it."""

    customer: CustomerInput | None = None


class CustomerAnswer(msgspec.Struct):
    """`{"customer": {…}}` as we answer it."""

    customer: CustomerObject


class CustomersAnswer(msgspec.Struct):
    """One page of customers."""

    customers: list[CustomerObject]
    meta: Meta


@post("/customers", status_code=200, opt=answers(CustomerAnswer, refuses=[404]))
async def upsert(
    request: ApiRequest, edge: TheEdge, data: JSONBody[CustomerBody | None] = None
) -> Response[bytes]:
    """Create a customer, or change what is given of the one with this external id."""
    asked = required(request, data, "customer")

    async def do(conn: Conn) -> CustomerAnswer:
        details = await upsert_customer(
            conn, request.auth.organization_id, asked, change_id=edge.new_id(), now=edge.now()
        )
        return CustomerAnswer(full_customer_object(details))

    return await edge.answer(request, do)


@get("/customers", opt=answers(CustomersAnswer, refuses=[422], query=[*PAGES, *FILTERS]))
async def find_all(request: ApiRequest, edge: TheEdge) -> Response[bytes]:
    """List customers, newest first."""
    page = wanted_page(request)
    filters = Filters(request)
    wanted = Wanted(
        external_id=filters.text("external_id"),
        search_term=(filters.text("search_term") or "").strip() or None,
        account_types=filters.texts("account_type", among=ACCOUNT_TYPES),
        billing_entity_codes=filters.texts("billing_entity_codes"),
        countries=filters.texts("countries", among=COUNTRIES),
        states=filters.texts("states"),
        zipcodes=filters.texts("zipcodes"),
        currencies=filters.texts("currencies", among=CURRENCIES),
        has_tax_identification_number=filters.boolean(
            "has_tax_identification_number", in_words=True
        ),
        customer_type=filters.text("customer_type", among=CUSTOMER_TYPES),
        has_customer_type=filters.boolean("has_customer_type", in_words=True),
        metadata=filters.metadata(),
    )
    filters.check()

    async def look(conn: Conn) -> CustomersAnswer:
        found, total = await customer_lists.page(conn, request.auth.organization_id, wanted, page)
        return CustomersAnswer(
            [listed_customer_object(details) for details in found], meta(page, total)
        )

    return await edge.read(request, look)


@get("/customers/{external_id:str}", opt=answers(CustomerAnswer))
async def find(request: ApiRequest, edge: TheEdge, external_id: FromPath[str]) -> Response[bytes]:
    """Read one customer."""

    async def look(conn: Conn) -> CustomerAnswer:
        details = await find_customer_details(
            conn, request.auth.organization_id, unquote(external_id)
        )
        return CustomerAnswer(full_customer_object(details))

    return await edge.read(request, look)


class PortalUrlObject(msgspec.Struct, frozen=True):
    """Where a customer sees its own invoices, for twelve hours."""

    portal_url: str


class PortalUrlAnswer(msgspec.Struct, frozen=True):
    """`{"customer": {…}}` with the address alone."""

    customer: PortalUrlObject


@get("/customers/{external_id:str}/portal_url", opt=answers(PortalUrlAnswer))
async def portal_url(
    request: ApiRequest, edge: TheEdge, external_id: FromPath[str]
) -> Response[bytes]:
    """Make a link to the page on which the customer sees and pays its invoices."""

    async def look(conn: Conn) -> PortalUrlAnswer:
        key = await find_customer(conn, request.auth.organization_id, unquote(external_id))
        return PortalUrlAnswer(
            PortalUrlObject(edge.links.url(key, until=edge.now() + FROM_THE_API))
        )

    return await edge.read(request, look)


@delete("/customers/{external_id:str}", status_code=200, opt=answers(CustomerAnswer))
async def destroy(
    request: ApiRequest, edge: TheEdge, external_id: FromPath[str]
) -> Response[bytes]:
    """Delete a customer and answer what it was. Its invoices stay, and its id is free again."""

    async def do(conn: Conn) -> CustomerAnswer:
        details = await delete_customer(
            conn, request.auth.organization_id, unquote(external_id), now=edge.now()
        )
        return CustomerAnswer(full_customer_object(details))

    return await edge.answer(request, do)


routes = Router(
    "/",
    route_handlers=[upsert, find_all, find, portal_url, destroy],
    tags=["customers"],
    opt=needs("customer"),
)

"""`/taxes` (contract section 3.5)."""

from __future__ import annotations

from urllib.parse import unquote

import msgspec
from litestar import Response, Router, delete, get, post, route
from litestar.enums import HttpMethod
from litestar.params import FromPath, JSONBody

from recoup.api.describe import PAGES, answers
from recoup.api.edge import ApiRequest, TheEdge, required
from recoup.api.needs import needs
from recoup.api.paging import wanted_page
from recoup.flows.manage_taxes import TaxInput, create_tax, delete_tax, find_tax, update_tax
from recoup.rules.lago.pages import Meta, meta
from recoup.rules.lago.taxes import TaxObject, tax_object
from recoup.store import taxes
from recoup.store.db import Conn


class TaxBody(msgspec.Struct):
    """`{"tax": {…}}` as a caller sends it."""

    tax: TaxInput | None = None


class TaxAnswer(msgspec.Struct):
    """`{"tax": {…}}` as we answer it."""

    tax: TaxObject


class TaxesAnswer(msgspec.Struct):
    """One page of taxes."""

    taxes: list[TaxObject]
    meta: Meta


@post("/taxes", status_code=200, opt=answers(TaxAnswer))
async def create(
    request: ApiRequest, edge: TheEdge, data: JSONBody[TaxBody | None] = None
) -> Response[bytes]:
    """Create a tax."""
    asked = required(request, data, "tax")

    async def do(conn: Conn) -> TaxAnswer:
        tax = await create_tax(
            conn, request.auth.organization_id, asked, tax_id=edge.new_id(), now=edge.now()
        )
        return TaxAnswer(tax_object(tax))

    return await edge.answer(request, do)


@get("/taxes", opt=answers(TaxesAnswer, query=PAGES))
async def find_all(request: ApiRequest, edge: TheEdge) -> Response[bytes]:
    """List taxes, newest first."""
    wanted = wanted_page(request)

    async def look(conn: Conn) -> TaxesAnswer:
        found, total = await taxes.page(conn, request.auth.organization_id, wanted)
        return TaxesAnswer([tax_object(tax) for tax in found], meta(wanted, total))

    return await edge.read(request, look)


@get("/taxes/{code:str}", opt=answers(TaxAnswer))
async def find(request: ApiRequest, edge: TheEdge, code: FromPath[str]) -> Response[bytes]:
    """Read one tax."""

    async def look(conn: Conn) -> TaxAnswer:
        return TaxAnswer(
            tax_object(await find_tax(conn, request.auth.organization_id, unquote(code)))
        )

    return await edge.read(request, look)


@route(
    "/taxes/{code:str}",
    http_method=[HttpMethod.PUT, HttpMethod.PATCH],
    status_code=200,
    opt=answers(TaxAnswer),
)
async def update(
    request: ApiRequest, edge: TheEdge, code: FromPath[str], data: JSONBody[TaxBody | None] = None
) -> Response[bytes]:
    """Change a tax; what is absent stays."""
    asked = required(request, data, "tax")

    async def do(conn: Conn) -> TaxAnswer:
        tax = await update_tax(
            conn, request.auth.organization_id, unquote(code), asked, now=edge.now()
        )
        return TaxAnswer(tax_object(tax))

    return await edge.answer(request, do)


@delete("/taxes/{code:str}", status_code=200, opt=answers(TaxAnswer))
async def destroy(request: ApiRequest, edge: TheEdge, code: FromPath[str]) -> Response[bytes]:
    """Delete a tax and answer what it was."""

    async def do(conn: Conn) -> TaxAnswer:
        tax = await delete_tax(conn, request.auth.organization_id, unquote(code), now=edge.now())
        return TaxAnswer(tax_object(tax))

    return await edge.answer(request, do)


routes = Router(
    "/", route_handlers=[create, find_all, find, update, destroy], tags=["taxes"], opt=needs("tax")
)

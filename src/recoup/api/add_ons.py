"""`/add_ons` (contract section 3.6)."""

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
from recoup.flows.manage_add_ons import (
    AddOnInput,
    create_add_on,
    delete_add_on,
    find_add_on,
    update_add_on,
)
from recoup.rules.lago.add_ons import AddOnObject, add_on_object
from recoup.rules.lago.pages import Meta, meta
from recoup.store import add_ons
from recoup.store.db import Conn


class AddOnBody(msgspec.Struct):
    """`{"add_on": {…}}` as a caller sends it."""

    add_on: AddOnInput | None = None


class AddOnAnswer(msgspec.Struct):
    """`{"add_on": {…}}` as we answer it."""

    add_on: AddOnObject


class AddOnsAnswer(msgspec.Struct):
    """One page of add-ons."""

    add_ons: list[AddOnObject]
    meta: Meta


@post("/add_ons", status_code=200, opt=answers(AddOnAnswer, refuses=[404]))
async def create(
    request: ApiRequest, edge: TheEdge, data: JSONBody[AddOnBody | None] = None
) -> Response[bytes]:
    """Create an add-on."""
    asked = required(request, data, "add_on")

    async def do(conn: Conn) -> AddOnAnswer:
        add_on = await create_add_on(
            conn, request.auth.organization_id, asked, add_on_id=edge.new_id(), now=edge.now()
        )
        return AddOnAnswer(add_on_object(add_on))

    return await edge.answer(request, do)


@get("/add_ons", opt=answers(AddOnsAnswer, query=PAGES))
async def find_all(request: ApiRequest, edge: TheEdge) -> Response[bytes]:
    """List add-ons, newest first."""
    wanted = wanted_page(request)

    async def look(conn: Conn) -> AddOnsAnswer:
        found, total = await add_ons.page(conn, request.auth.organization_id, wanted)
        return AddOnsAnswer([add_on_object(add_on) for add_on in found], meta(wanted, total))

    return await edge.read(request, look)


@get("/add_ons/{code:str}", opt=answers(AddOnAnswer))
async def find(request: ApiRequest, edge: TheEdge, code: FromPath[str]) -> Response[bytes]:
    """Read one add-on."""

    async def look(conn: Conn) -> AddOnAnswer:
        return AddOnAnswer(
            add_on_object(await find_add_on(conn, request.auth.organization_id, unquote(code)))
        )

    return await edge.read(request, look)


@route(
    "/add_ons/{code:str}",
    http_method=[HttpMethod.PUT, HttpMethod.PATCH],
    status_code=200,
    opt=answers(AddOnAnswer),
)
async def update(
    request: ApiRequest, edge: TheEdge, code: FromPath[str], data: JSONBody[AddOnBody | None] = None
) -> Response[bytes]:
    """Change an add-on; what is absent stays."""
    asked = required(request, data, "add_on")

    async def do(conn: Conn) -> AddOnAnswer:
        add_on = await update_add_on(
            conn, request.auth.organization_id, unquote(code), asked, now=edge.now()
        )
        return AddOnAnswer(add_on_object(add_on))

    return await edge.answer(request, do)


@delete("/add_ons/{code:str}", status_code=200, opt=answers(AddOnAnswer))
async def destroy(request: ApiRequest, edge: TheEdge, code: FromPath[str]) -> Response[bytes]:
    """Delete an add-on and answer what it was."""

    async def do(conn: Conn) -> AddOnAnswer:
        add_on = await delete_add_on(
            conn, request.auth.organization_id, unquote(code), now=edge.now()
        )
        return AddOnAnswer(add_on_object(add_on))

    return await edge.answer(request, do)


routes = Router(
    "/",
    route_handlers=[create, find_all, find, update, destroy],
    tags=["add_ons"],
    opt=needs("add_on"),
)

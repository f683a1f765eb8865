"""`/webhook_endpoints` (contract section 3.13)."""

from __future__ import annotations

import msgspec
from litestar import Response, Router, delete, get, post, route
from litestar.enums import HttpMethod
from litestar.params import FromPath, JSONBody

from recoup.api.describe import PAGES, answers
from recoup.api.edge import ApiRequest, TheEdge, required
from recoup.api.identifiers import row_id
from recoup.api.needs import needs
from recoup.api.paging import wanted_page
from recoup.flows.manage_webhook_endpoints import (
    WebhookEndpointInput,
    create_webhook_endpoint,
    delete_webhook_endpoint,
    find_webhook_endpoint,
    update_webhook_endpoint,
)
from recoup.rules.lago.pages import Meta, meta
from recoup.rules.lago.webhook_endpoints import WebhookEndpointObject, webhook_endpoint_object
from recoup.store import webhook_endpoints
from recoup.store.db import Conn


class WebhookEndpointBody(msgspec.Struct):
    """`{"webhook_endpoint": {…}}` as a caller sends it."""

    webhook_endpoint: WebhookEndpointInput | None = None


class WebhookEndpointAnswer(msgspec.Struct):
    """`{"webhook_endpoint": {…}}` as we answer it."""

    webhook_endpoint: WebhookEndpointObject


class WebhookEndpointsAnswer(msgspec.Struct):
    """One page of webhook endpoints."""

    webhook_endpoints: list[WebhookEndpointObject]
    meta: Meta


@post("/webhook_endpoints", status_code=200, opt=answers(WebhookEndpointAnswer))
async def create(
    request: ApiRequest, edge: TheEdge, data: JSONBody[WebhookEndpointBody | None] = None
) -> Response[bytes]:
    """Create a webhook endpoint; an organization has ten at most."""
    asked = required(request, data, "webhook_endpoint")

    async def do(conn: Conn) -> WebhookEndpointAnswer:
        endpoint = await create_webhook_endpoint(
            conn, request.auth.organization_id, asked, endpoint_id=edge.new_id(), now=edge.now()
        )
        return WebhookEndpointAnswer(webhook_endpoint_object(endpoint))

    return await edge.answer(request, do)


@get("/webhook_endpoints", opt=answers(WebhookEndpointsAnswer, query=PAGES))
async def find_all(request: ApiRequest, edge: TheEdge) -> Response[bytes]:
    """List webhook endpoints, newest first."""
    wanted = wanted_page(request)

    async def look(conn: Conn) -> WebhookEndpointsAnswer:
        found, total = await webhook_endpoints.page(conn, request.auth.organization_id, wanted)
        rendered = [webhook_endpoint_object(endpoint) for endpoint in found]
        return WebhookEndpointsAnswer(rendered, meta(wanted, total))

    return await edge.read(request, look)


@get("/webhook_endpoints/{lago_id:str}", opt=answers(WebhookEndpointAnswer))
async def find(request: ApiRequest, edge: TheEdge, lago_id: FromPath[str]) -> Response[bytes]:
    """Read one webhook endpoint."""

    async def look(conn: Conn) -> WebhookEndpointAnswer:
        endpoint = await find_webhook_endpoint(conn, request.auth.organization_id, row_id(lago_id))
        return WebhookEndpointAnswer(webhook_endpoint_object(endpoint))

    return await edge.read(request, look)


@route(
    "/webhook_endpoints/{lago_id:str}",
    http_method=[HttpMethod.PUT, HttpMethod.PATCH],
    status_code=200,
    opt=answers(WebhookEndpointAnswer),
)
async def update(
    request: ApiRequest,
    edge: TheEdge,
    lago_id: FromPath[str],
    data: JSONBody[WebhookEndpointBody | None] = None,
) -> Response[bytes]:
    """Change a webhook endpoint; what is absent stays."""
    asked = required(request, data, "webhook_endpoint")

    async def do(conn: Conn) -> WebhookEndpointAnswer:
        endpoint = await update_webhook_endpoint(
            conn, request.auth.organization_id, row_id(lago_id), asked
        )
        return WebhookEndpointAnswer(webhook_endpoint_object(endpoint))

    return await edge.answer(request, do)


@delete("/webhook_endpoints/{lago_id:str}", status_code=200, opt=answers(WebhookEndpointAnswer))
async def destroy(request: ApiRequest, edge: TheEdge, lago_id: FromPath[str]) -> Response[bytes]:
    """Delete a webhook endpoint with its deliveries, and answer what it was."""

    async def do(conn: Conn) -> WebhookEndpointAnswer:
        endpoint = await delete_webhook_endpoint(
            conn, request.auth.organization_id, row_id(lago_id)
        )
        return WebhookEndpointAnswer(webhook_endpoint_object(endpoint))

    return await edge.answer(request, do)


routes = Router(
    "/",
    route_handlers=[create, find_all, find, update, destroy],
    tags=["webhook_endpoints"],
    opt=needs("webhook_endpoint"),
)

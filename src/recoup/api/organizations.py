"""`/organizations`: the one that the key belongs to (contract section 3.1)."""

from __future__ import annotations

import msgspec
from litestar import Response, Router, get, route
from litestar.enums import HttpMethod
from litestar.params import JSONBody

from recoup.api.describe import answers
from recoup.api.edge import ApiRequest, TheEdge, required
from recoup.api.needs import needs
from recoup.flows.manage_organization import OrganizationInput, update_organization
from recoup.rules.lago.organizations import OrganizationObject, organization_object
from recoup.store import organizations, taxes, webhook_endpoints
from recoup.store.db import Conn


class OrganizationBody(msgspec.Struct):
    """`{"organization": {…}}` as a caller sends it."""

    organization: OrganizationInput | None = None


class OrganizationAnswer(msgspec.Struct):
    """`{"organization": {…}}` as we answer it."""

    organization: OrganizationObject


@get("/organizations", opt=answers(OrganizationAnswer))
async def find(request: ApiRequest, edge: TheEdge) -> Response[bytes]:
    """Read the organization that the API key belongs to."""
    own_id = request.auth.organization_id

    async def look(conn: Conn) -> OrganizationAnswer:
        own = (await organizations.by_ids(conn, [own_id]))[own_id]
        urls = [one.webhook_url for one in await webhook_endpoints.list_all(conn, own_id)]
        return OrganizationAnswer(organization_object(own, webhook_urls=urls))

    return await edge.read(request, look)


@route(
    "/organizations",
    http_method=[HttpMethod.PUT, HttpMethod.PATCH],
    status_code=200,
    opt=answers(OrganizationAnswer),
)
async def update(
    request: ApiRequest, edge: TheEdge, data: JSONBody[OrganizationBody | None] = None
) -> Response[bytes]:
    """Change the organization and, alike, its default billing entity; what is absent stays.

    `webhook_url` is the URL of the oldest webhook endpoint: it is changed, or a first one made.
    """
    asked = required(request, data, "organization")
    own_id = request.auth.organization_id

    async def do(conn: Conn) -> OrganizationAnswer:
        own = await update_organization(
            conn, own_id, asked, endpoint_id=edge.new_id(), now=edge.now()
        )
        urls = [one.webhook_url for one in await webhook_endpoints.list_all(conn, own_id)]
        entities = await organizations.billing_entities(conn, own_id)
        default_id = next(entity.id for entity in entities if entity.is_default)
        applied = await taxes.of_billing_entities(conn, own_id, [default_id])
        return OrganizationAnswer(
            organization_object(own, webhook_urls=urls, taxes=applied.get(default_id, ()))
        )

    return await edge.answer(request, do)


routes = Router(
    "/", route_handlers=[find, update], tags=["organizations"], opt=needs("organization")
)

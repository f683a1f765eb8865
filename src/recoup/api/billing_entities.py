"""`/billing_entities`: in whose names an organization bills (contract section 3.2)."""

from __future__ import annotations

from urllib.parse import unquote

import msgspec
from litestar import Response, Router, get
from litestar.params import FromPath

from recoup.api.describe import answers
from recoup.api.edge import ApiRequest, TheEdge
from recoup.api.needs import needs
from recoup.rules.lago.billing_entities import BillingEntityObject, billing_entity_object
from recoup.rules.refusal import Refused, not_found
from recoup.store import organizations, taxes
from recoup.store.db import Conn


class BillingEntityAnswer(msgspec.Struct):
    """`{"billing_entity": {…}}`."""

    billing_entity: BillingEntityObject


class BillingEntitiesAnswer(msgspec.Struct):
    """All of an organization's billing entities: unlike other lists, this one has no pages."""

    billing_entities: list[BillingEntityObject]


@get("/billing_entities", opt=answers(BillingEntitiesAnswer))
async def find_all(request: ApiRequest, edge: TheEdge) -> Response[bytes]:
    """List the billing entities, oldest first."""

    async def look(conn: Conn) -> BillingEntitiesAnswer:
        found = await organizations.billing_entities(conn, request.auth.organization_id)
        return BillingEntitiesAnswer([billing_entity_object(entity) for entity in found])

    return await edge.read(request, look)


@get("/billing_entities/{code:str}", opt=answers(BillingEntityAnswer))
async def find(request: ApiRequest, edge: TheEdge, code: FromPath[str]) -> Response[bytes]:
    """Read one billing entity, with its taxes."""
    own_id = request.auth.organization_id

    async def look(conn: Conn) -> BillingEntityAnswer:
        for entity in await organizations.billing_entities(conn, own_id):
            if entity.code == unquote(code):
                applied = await taxes.of_billing_entities(conn, own_id, [entity.id])
                rendered = billing_entity_object(entity, taxes=applied.get(entity.id, ()))
                return BillingEntityAnswer(rendered)
        raise Refused(not_found("billing_entity"))

    return await edge.read(request, look)


routes = Router(
    "/", route_handlers=[find_all, find], tags=["billing_entities"], opt=needs("billing_entity")
)

"""`/billing_entities`: in whose names an organization bills (contract section 3.2).

What would surprise you: a change may come without its root object. Lago's JavaScript client sends
it so, as its specification says; the Python one sends `{"billing_entity": {…}}`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from urllib.parse import unquote
from uuid import UUID

import msgspec
from litestar import Response, Router, get, post, route
from litestar.enums import HttpMethod
from litestar.params import FromPath, JSONBody

from recoup.api.describe import answers
from recoup.api.edge import ApiRequest, TheEdge, required
from recoup.api.front import sent
from recoup.api.needs import needs
from recoup.flows.manage_billing_entities import (
    BillingEntityChange,
    BillingEntityInput,
    create_billing_entity,
    find_billing_entity,
    update_billing_entity,
)
from recoup.rules.lago.billing_entities import BillingEntityObject, billing_entity_object
from recoup.rules.records.organizations import BillingEntity
from recoup.store import dunning_campaigns, organizations, taxes
from recoup.store.db import Conn


class BillingEntityBody(msgspec.Struct):
    """`{"billing_entity": {…}}` as a caller sends a new one."""

    billing_entity: BillingEntityInput | None = None


class BillingEntityChangeBody(BillingEntityChange, frozen=True, kw_only=True):
    """`{"billing_entity": {…}}` as a caller sends a change, or its fields at the top level."""

    billing_entity: BillingEntityChange | None = None


class BillingEntityAnswer(msgspec.Struct):
    """`{"billing_entity": {…}}`."""

    billing_entity: BillingEntityObject


class BillingEntitiesAnswer(msgspec.Struct):
    """All of an organization's billing entities: unlike other lists, this one has no pages."""

    billing_entities: list[BillingEntityObject]


@post("/billing_entities", status_code=200, opt=answers(BillingEntityAnswer, refuses=[404]))
async def create(
    request: ApiRequest, edge: TheEdge, data: JSONBody[BillingEntityBody | None] = None
) -> Response[bytes]:
    """Add a billing entity."""
    asked = required(request, data, "billing_entity")
    own_id = request.auth.organization_id

    async def do(conn: Conn) -> BillingEntityAnswer:
        entity = await create_billing_entity(
            conn, own_id, asked, entity_id=edge.new_id(), now=edge.now()
        )
        codes = await _campaign_codes(conn, own_id, [entity])
        # Its taxes are told when it is read.
        return BillingEntityAnswer(billing_entity_object(entity, campaign_code=codes[entity.id]))

    return await edge.answer(request, do)


@get("/billing_entities", opt=answers(BillingEntitiesAnswer))
async def find_all(request: ApiRequest, edge: TheEdge) -> Response[bytes]:
    """List the billing entities, oldest first."""
    own_id = request.auth.organization_id

    async def look(conn: Conn) -> BillingEntitiesAnswer:
        found = await organizations.billing_entities(conn, own_id)
        codes = await _campaign_codes(conn, own_id, found)
        return BillingEntitiesAnswer(
            [billing_entity_object(one, campaign_code=codes[one.id]) for one in found]
        )

    return await edge.read(request, look)


@get("/billing_entities/{code:str}", opt=answers(BillingEntityAnswer))
async def find(request: ApiRequest, edge: TheEdge, code: FromPath[str]) -> Response[bytes]:
    """Read one billing entity, with its taxes."""
    own_id = request.auth.organization_id

    async def look(conn: Conn) -> BillingEntityAnswer:
        return await _shown(conn, own_id, await find_billing_entity(conn, own_id, unquote(code)))

    return await edge.read(request, look)


@route(
    "/billing_entities/{code:str}",
    http_method=[HttpMethod.PUT, HttpMethod.PATCH],
    status_code=200,
    opt=answers(BillingEntityAnswer),
)
async def update(
    request: ApiRequest,
    edge: TheEdge,
    code: FromPath[str],
    data: JSONBody[BillingEntityChangeBody | None] = None,
) -> Response[bytes]:
    """Change a billing entity; what is absent stays. Its code is its name for good."""
    said = sent(request.scope)
    at_top = bool(said) and "billing_entity" not in said
    asked: Any = data if at_top else required(request, data, "billing_entity")
    own_id = request.auth.organization_id

    async def do(conn: Conn) -> BillingEntityAnswer:
        change = msgspec.structs.asdict(asked)
        change.pop("billing_entity", None)
        entity = await update_billing_entity(
            conn, own_id, unquote(code), BillingEntityChange(**change), now=edge.now()
        )
        return await _shown(conn, own_id, entity)

    return await edge.answer(request, do)


async def _shown(conn: Conn, own_id: UUID, entity: BillingEntity) -> BillingEntityAnswer:
    applied = await taxes.of_billing_entities(conn, own_id, [entity.id])
    codes = await _campaign_codes(conn, own_id, [entity])
    return BillingEntityAnswer(
        billing_entity_object(
            entity, campaign_code=codes[entity.id], taxes=applied.get(entity.id, ())
        )
    )


async def _campaign_codes(
    conn: Conn, own_id: UUID, entities: Collection[BillingEntity]
) -> dict[UUID, str | None]:
    """By billing entity, the code of the dunning campaign that it applies; None: none."""
    applied = {one.id: one.applied_dunning_campaign_id for one in entities}
    codes = await dunning_campaigns.codes(conn, own_id, applied.values())
    return {one: codes[campaign] if campaign else None for one, campaign in applied.items()}


routes = Router(
    "/",
    route_handlers=[create, find_all, find, update],
    tags=["billing_entities"],
    opt=needs("billing_entity"),
)

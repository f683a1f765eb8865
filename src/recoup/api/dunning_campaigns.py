"""`/dunning_campaigns`: ours, since Lago has them in its GraphQL alone (contract section 8.2)."""

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
from recoup.flows.manage_dunning_campaigns import (
    create_dunning_campaign,
    delete_dunning_campaign,
    find_dunning_campaign,
    update_dunning_campaign,
)
from recoup.rules.dunning_campaigns import DunningCampaignInput
from recoup.rules.lago.dunning import DunningCampaignObject, dunning_campaign_object
from recoup.rules.lago.pages import Meta, meta
from recoup.store import dunning_campaigns
from recoup.store.db import Conn


class DunningCampaignBody(msgspec.Struct):
    """`{"dunning_campaign": {…}}` as a caller sends it."""

    dunning_campaign: DunningCampaignInput | None = None


class DunningCampaignAnswer(msgspec.Struct):
    """`{"dunning_campaign": {…}}` as we answer it."""

    dunning_campaign: DunningCampaignObject


class DunningCampaignsAnswer(msgspec.Struct):
    """One page of campaigns."""

    dunning_campaigns: list[DunningCampaignObject]
    meta: Meta


@post("/dunning_campaigns", status_code=200, opt=answers(DunningCampaignAnswer))
async def create(
    request: ApiRequest, edge: TheEdge, data: JSONBody[DunningCampaignBody | None] = None
) -> Response[bytes]:
    """Create a dunning campaign."""
    asked = required(request, data, "dunning_campaign")

    async def do(conn: Conn) -> DunningCampaignAnswer:
        campaign = await create_dunning_campaign(
            conn, request.auth.organization_id, asked, campaign_id=edge.new_id(), now=edge.now()
        )
        return DunningCampaignAnswer(dunning_campaign_object(campaign))

    return await edge.answer(request, do)


@get("/dunning_campaigns", opt=answers(DunningCampaignsAnswer, query=PAGES))
async def find_all(request: ApiRequest, edge: TheEdge) -> Response[bytes]:
    """List dunning campaigns, newest first."""
    wanted = wanted_page(request)

    async def look(conn: Conn) -> DunningCampaignsAnswer:
        found, total = await dunning_campaigns.page(conn, request.auth.organization_id, wanted)
        return DunningCampaignsAnswer(
            [dunning_campaign_object(campaign) for campaign in found], meta(wanted, total)
        )

    return await edge.read(request, look)


@get("/dunning_campaigns/{code:str}", opt=answers(DunningCampaignAnswer))
async def find(request: ApiRequest, edge: TheEdge, code: FromPath[str]) -> Response[bytes]:
    """Read one dunning campaign."""

    async def look(conn: Conn) -> DunningCampaignAnswer:
        return DunningCampaignAnswer(
            dunning_campaign_object(
                await find_dunning_campaign(conn, request.auth.organization_id, unquote(code))
            )
        )

    return await edge.read(request, look)


@route(
    "/dunning_campaigns/{code:str}",
    http_method=[HttpMethod.PUT, HttpMethod.PATCH],
    status_code=200,
    opt=answers(DunningCampaignAnswer),
)
async def update(
    request: ApiRequest,
    edge: TheEdge,
    code: FromPath[str],
    data: JSONBody[DunningCampaignBody | None] = None,
) -> Response[bytes]:
    """Change a dunning campaign; what is absent stays, and thresholds are replaced as a whole."""
    asked = required(request, data, "dunning_campaign")

    async def do(conn: Conn) -> DunningCampaignAnswer:
        campaign = await update_dunning_campaign(
            conn, request.auth.organization_id, unquote(code), asked, now=edge.now()
        )
        return DunningCampaignAnswer(dunning_campaign_object(campaign))

    return await edge.answer(request, do)


@delete("/dunning_campaigns/{code:str}", status_code=200, opt=answers(DunningCampaignAnswer))
async def destroy(request: ApiRequest, edge: TheEdge, code: FromPath[str]) -> Response[bytes]:
    """Delete a dunning campaign and answer what it was. Whoever applied it applies none."""

    async def do(conn: Conn) -> DunningCampaignAnswer:
        campaign = await delete_dunning_campaign(
            conn, request.auth.organization_id, unquote(code), now=edge.now()
        )
        return DunningCampaignAnswer(dunning_campaign_object(campaign))

    return await edge.answer(request, do)


routes = Router(
    "/",
    route_handlers=[create, find_all, find, update, destroy],
    tags=["dunning campaigns"],
    opt=needs("dunning_campaign"),
)

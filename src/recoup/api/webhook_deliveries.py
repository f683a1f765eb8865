"""`/webhook_deliveries`: what was told to whom, and telling it again; beyond Lago's.

What would surprise you: a list has no pages that could be counted, but a `next_cursor`. A receiver
is known by the status that it answers; what else it says is not kept.
"""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

import msgspec
from litestar import Response, Router, get, post
from litestar.params import FromPath, JSONBody

from recoup.api.describe import Query, answers
from recoup.api.edge import ApiRequest, TheEdge, required
from recoup.api.filters import Filters
from recoup.api.identifiers import row_id
from recoup.api.needs import needs
from recoup.api.paging import wanted_page
from recoup.api.replay_wishes import ReplayInput, wanted_replay
from recoup.flows.replay_webhooks import (
    NOT_FOUND,
    SeenDelivery,
    find_delivery,
    replay_deliveries,
    replay_delivery,
)
from recoup.rules.cursors import write_cursor
from recoup.rules.delivery_state import DeliveryState
from recoup.rules.lago.event_types import EVENT_TYPES
from recoup.rules.lago.instants import seconds
from recoup.rules.lago.webhook_deliveries import (
    WebhookDeliveryDetailObject,
    WebhookDeliveryObject,
    WebhookTryObject,
)
from recoup.rules.records.keys import RowKey
from recoup.rules.refusal import Refused
from recoup.store import delivery_lists
from recoup.store.db import Conn
from recoup.store.delivery_lists import DeliveryFilter, DeliveryRow

FILTERS: Final = (
    Query("webhook_endpoint_id", "Those to this endpoint.", UUID),
    Query("webhook_type", "Those of events of this type."),
    Query("status", "`waiting`, `delivered` or `given_up`.", DeliveryState),
    Query("object_id", "Those about this invoice, payment or customer.", UUID),
    Query("created_from", "Told at this instant or later."),
    Query("created_to", "Told at this instant or earlier."),
    Query("per_page", "How many in one answer: 100 unless told, 1000 at most.", int),
    Query("cursor", "The `next_cursor` of the answer before."),
)


class NextMeta(msgspec.Struct):
    """How the list goes on: null at its end."""

    next_cursor: str | None


class WebhookDeliveriesAnswer(msgspec.Struct):
    """A piece of the list."""

    webhook_deliveries: list[WebhookDeliveryObject]
    meta: NextMeta


class WebhookDeliveryAnswer(msgspec.Struct):
    """`{"webhook_delivery": {…}}` as we answer it."""

    webhook_delivery: WebhookDeliveryDetailObject


class ReplayBody(msgspec.Struct):
    """`{"webhook_deliveries": {…}}` as a caller sends it."""

    webhook_deliveries: ReplayInput | None = None


class Replayed(msgspec.Struct):
    """How many are sent again, and how to go on: null, where there are no more."""

    replayed_count: int
    next_cursor: str | None


class ReplayedAnswer(msgspec.Struct):
    """`{"webhook_deliveries": {…}}` as we answer it."""

    webhook_deliveries: Replayed


@get("/webhook_deliveries", opt=answers(WebhookDeliveriesAnswer, refuses=[422], query=FILTERS))
async def find_all(request: ApiRequest, edge: TheEdge) -> Response[bytes]:
    """List what endpoints were told or are to be told, newest first."""
    filters = Filters(request)
    wanted = DeliveryFilter(
        endpoint_id=filters.row("webhook_endpoint_id"),
        webhook_type=filters.text("webhook_type", among=sorted(EVENT_TYPES)),
        state=filters.word("status", DeliveryState),
        object_id=filters.row("object_id"),
        created_from=filters.instant("created_from"),
        created_to=filters.instant("created_to"),
    )
    after = filters.cursor("cursor")
    filters.check()
    most = wanted_page(request).size

    async def look(conn: Conn) -> WebhookDeliveriesAnswer:
        whose = request.auth.organization_id
        found, goes_on = await delivery_lists.piece(conn, whose, wanted, after=after, most=most)
        meta = NextMeta(write_cursor(goes_on) if goes_on else None)
        return WebhookDeliveriesAnswer(
            [WebhookDeliveryObject(**_fields(one)) for one in found], meta
        )

    return await edge.read(request, look)


@get("/webhook_deliveries/{lago_id:str}", opt=answers(WebhookDeliveryAnswer))
async def find(request: ApiRequest, edge: TheEdge, lago_id: FromPath[str]) -> Response[bytes]:
    """Read one delivery, with what it sends and every try."""

    async def look(conn: Conn) -> WebhookDeliveryAnswer:
        return _answer(await find_delivery(conn, _key(request, lago_id)))

    return await edge.read(request, look)


@post(
    "/webhook_deliveries/{lago_id:str}/replay",
    status_code=200,
    opt=answers(WebhookDeliveryAnswer, refuses=[405]),
)
async def replay(request: ApiRequest, edge: TheEdge, lago_id: FromPath[str]) -> Response[bytes]:
    """Send a delivery again that has ended, to where its endpoint is now.

    It has the id of before, so that a receiver can tell, and its tries begin anew.
    """

    async def do(conn: Conn) -> WebhookDeliveryAnswer:
        return _answer(await replay_delivery(conn, _key(request, lago_id), now=edge.now()))

    return await edge.answer(request, do)


@post("/webhook_deliveries/replay", status_code=200, opt=answers(ReplayedAnswer))
async def replay_many(
    request: ApiRequest, edge: TheEdge, data: JSONBody[ReplayBody | None] = None
) -> Response[bytes]:
    """Send those again that the filters choose and that have ended, oldest first.

    A thousand a call, or `limit`; without a `status` those that were given up. Send the same with
    the `next_cursor` until it is null: no delivery is sent again twice, nor one that was told after
    the first call.
    """
    asked: ReplayInput = required(request, data, "webhook_deliveries")
    wish = wanted_replay(asked)

    async def do(conn: Conn) -> ReplayedAnswer:
        count, goes_on = await replay_deliveries(
            conn,
            request.auth.organization_id,
            wish.wanted,
            after=wish.after,
            most=wish.most,
            now=edge.now(),
        )
        return ReplayedAnswer(Replayed(count, write_cursor(goes_on) if goes_on else None))

    return await edge.answer(request, do)


def _key(request: ApiRequest, lago_id: str) -> RowKey:
    delivery_id = row_id(lago_id)
    if delivery_id is None:
        raise Refused(NOT_FOUND)
    return RowKey(request.auth.organization_id, delivery_id)


def _answer(seen: SeenDelivery) -> WebhookDeliveryAnswer:
    tries = [
        WebhookTryObject(
            number=one.number,
            webhook_url=one.webhook_url,
            at=seconds(one.at),
            http_status=one.http_status,
            error=one.error,
        )
        for one in seen.tries
    ]
    return WebhookDeliveryAnswer(
        WebhookDeliveryDetailObject(**_fields(seen.row), body=seen.body, tries=tries)
    )


def _fields(one: DeliveryRow) -> dict[str, Any]:
    return {
        "lago_id": one.id,
        "lago_webhook_endpoint_id": one.endpoint_id,
        "webhook_url": one.webhook_url,
        "webhook_type": one.webhook_type,
        "lago_event_id": one.event_id,
        "lago_object_id": one.object_id,
        "status": one.state.value,
        "tries_count": one.tries,
        "http_status": one.http_status,
        "error": one.error,
        "next_try_at": seconds(one.deliver_at),
        "replays_count": one.replays,
        "replayed_at": seconds(one.replayed_at),
        "created_at": seconds(one.created_at),
        "ended_at": seconds(one.ended_at),
    }


routes = Router(
    "/",
    route_handlers=[find_all, find, replay, replay_many],
    tags=["webhook_deliveries"],
    opt=needs("webhook_delivery"),
)

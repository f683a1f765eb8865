"""`/contradictions` and `/refunds`: money that fits nothing, and its way back; beyond Lago's."""

from __future__ import annotations

from typing import Final

import msgspec
from litestar import Response, Router, get, post
from litestar.params import FromPath, JSONBody
from msgspec import UNSET

from recoup.api.describe import PAGES, Query, answers
from recoup.api.edge import ApiRequest, TheEdge, required
from recoup.api.filters import Filters
from recoup.api.identifiers import row_id
from recoup.api.needs import needs
from recoup.api.paging import wanted_page
from recoup.api.verdicts import wanted_verdict
from recoup.flows.refund_payment import refund_contradiction
from recoup.flows.settle_refund_by_hand import RefundDecided, settle_refund_by_hand
from recoup.rules.lago.instants import seconds
from recoup.rules.lago.pages import Meta, meta
from recoup.rules.lago.refunds import ContradictionObject, RefundObject, refund_object
from recoup.rules.look_up_schedule import silent_since
from recoup.rules.records.keys import RowKey
from recoup.rules.refund_state import RefundVerdict
from recoup.rules.refusal import Refused, not_found
from recoup.rules.scalars import Text, text
from recoup.store import contradictions, refund_lists, refunds
from recoup.store.contradictions import Told
from recoup.store.db import Conn

NEEDS_REVIEW: Final = Query(
    "needs_review",
    "`true`: those alone that a person may settle now. `false`, as absent: all.",
    bool,
)


class RefundAnswer(msgspec.Struct):
    """`{"refund": {…}}` as we answer it."""

    refund: RefundObject


class SettleInput(msgspec.Struct):
    """A person's word about a refund."""

    outcome: Text = UNSET  # refunded, failed
    by: Text = UNSET
    reason: Text = UNSET
    provider_refund_id: Text = UNSET


class SettleBody(msgspec.Struct):
    """`{"refund": {…}}` as a caller sends it."""

    refund: SettleInput | None = None


class RefundsAnswer(msgspec.Struct):
    """One page of refunds."""

    refunds: list[RefundObject]
    meta: Meta


class ContradictionsAnswer(msgspec.Struct):
    """One page of contradictions."""

    contradictions: list[ContradictionObject]
    meta: Meta


@get("/contradictions", opt=answers(ContradictionsAnswer, query=PAGES) | needs("contradiction"))
async def find_contradictions(request: ApiRequest, edge: TheEdge) -> Response[bytes]:
    """List what did not fit what was known of payments and refunds, newest first."""
    page = wanted_page(request)

    async def look(conn: Conn) -> ContradictionsAnswer:
        found, total = await contradictions.page(conn, request.auth.organization_id, page)
        return ContradictionsAnswer([_contradiction(told) for told in found], meta(page, total))

    return await edge.read(request, look)


@post(
    "/contradictions/{lago_id:str}/refund",
    status_code=200,
    opt=answers(RefundAnswer, refuses=[405]),
)
async def pay_back(request: ApiRequest, edge: TheEdge, lago_id: FromPath[str]) -> Response[bytes]:
    """Pay back the money of a contradiction that belongs to no invoice."""

    async def do(conn: Conn) -> RefundAnswer:
        refund = await refund_contradiction(
            conn,
            request.auth.organization_id,
            row_id(lago_id),
            refund_id=edge.new_id(),
            now=edge.now(),
        )
        return RefundAnswer(refund_object(refund))

    return await edge.answer(request, do)


@get("/refunds", opt=answers(RefundsAnswer, refuses=[422], query=[*PAGES, NEEDS_REVIEW]))
async def find_all(request: ApiRequest, edge: TheEdge) -> Response[bytes]:
    """List refunds, newest first."""
    page = wanted_page(request)
    filters = Filters(request)
    only_reviews = filters.boolean("needs_review")
    filters.check()
    since = silent_since(now=edge.now()) if only_reviews else None

    async def look(conn: Conn) -> RefundsAnswer:
        found, total = await refund_lists.page(
            conn, request.auth.organization_id, page, silent_since=since
        )
        return RefundsAnswer([refund_object(refund) for refund in found], meta(page, total))

    return await edge.read(request, look)


@get("/refunds/{lago_id:str}", opt=answers(RefundAnswer))
async def find(request: ApiRequest, edge: TheEdge, lago_id: FromPath[str]) -> Response[bytes]:
    """Read one refund."""
    refund_id = row_id(lago_id)

    async def look(conn: Conn) -> RefundAnswer:
        key = RowKey(request.auth.organization_id, refund_id) if refund_id else None
        found = (await refunds.find(conn, [key])).get(key) if key else None
        if found is None:
            raise Refused(not_found("refund"))
        return RefundAnswer(refund_object(found))

    return await edge.read(request, look)


@post("/refunds/{lago_id:str}/settle", status_code=200, opt=answers(RefundAnswer, refuses=[405]))
async def settle(
    request: ApiRequest,
    edge: TheEdge,
    lago_id: FromPath[str],
    data: JSONBody[SettleBody | None] = None,
) -> Response[bytes]:
    """Say how a refund ended that no provider tells of any more; kept in the audit log.

    It is in `needs_review`, or was sent a day ago and has not ended since.
    Who says `refunded` says under which id the provider has it, unless that is known.
    """
    said: SettleInput = required(request, data, "refund")
    decided = RefundDecided(
        verdict=wanted_verdict(RefundVerdict, said.outcome),
        by=text(said.by) or "",
        reason=text(said.reason) or "",
        provider_refund_id=text(said.provider_refund_id),
    )
    refund_id = row_id(lago_id)

    async def do(conn: Conn) -> RefundAnswer:
        if refund_id is None:
            raise Refused(not_found("refund"))
        key = RowKey(request.auth.organization_id, refund_id)
        settled = await settle_refund_by_hand(
            conn, key, decided, audit_id=edge.new_id(), now=edge.now()
        )
        return RefundAnswer(refund_object(settled))

    return await edge.answer(request, do)


def _contradiction(told: Told) -> ContradictionObject:
    one = told.contradiction
    return ContradictionObject(
        lago_id=one.id,
        lago_payment_id=one.payment.id,
        reason=one.reason,
        was=one.was,
        told=one.told,
        amount_cents=one.amount_cents,
        amount_currency=one.currency,
        unapplied_amount_cents=one.unapplied_cents,
        provider_payment_id=one.provider_payment_id,
        lago_refund_id=one.refund_id,
        provider_refund_id=one.provider_refund_id,
        created_at=seconds(told.at),
    )


routes = Router(
    "/",
    route_handlers=[find_contradictions, pay_back, find_all, find, settle],
    tags=["refunds"],
    opt=needs("refund"),
)

"""`/payment_requests` (contract section 3.11)."""

from __future__ import annotations

import asyncio
from typing import Final
from urllib.parse import unquote

import msgspec
from litestar import Response, Router, get, post
from litestar.params import FromPath, JSONBody

from recoup.api.describe import PAGES, Query, answers
from recoup.api.edge import ApiRequest, TheEdge, required
from recoup.api.filters import Filters
from recoup.api.identifiers import row_id
from recoup.api.needs import needs
from recoup.api.paging import wanted_page
from recoup.flows.find_customer import find_customer
from recoup.flows.find_payment_requests import find_payment_request, list_payment_requests
from recoup.flows.request_payment import PagesAreOpen, request_payment
from recoup.rules.lago.pages import Meta, meta
from recoup.rules.lago.payment_requests import PaymentRequestObject, payment_request_object
from recoup.rules.payment_requests import NOT_READY, PaymentRequestInput
from recoup.rules.refusal import Refused
from recoup.store.db import Conn
from recoup.store.payment_requests import RequestFilter

PAYMENT_STATUSES: Final = ("pending", "succeeded", "failed")
OF_ANY_CUSTOMER: Final = Query(
    "external_customer_id", "The requests to this customer, deleted or not."
)
FILTERS: Final = (
    Query("payment_status", f"One of {', '.join(PAYMENT_STATUSES)}."),
    Query("currency", "Their ISO 4217 code."),
    Query("billing_entity_codes[]", "Of invoices of any of these entities.", list[str]),
)


class PaymentRequestBody(msgspec.Struct):
    """`{"payment_request": {…}}` as a caller sends it."""

    payment_request: PaymentRequestInput | None = None


class PaymentRequestAnswer(msgspec.Struct):
    """`{"payment_request": {…}}` as we answer it."""

    payment_request: PaymentRequestObject


class PaymentRequestsAnswer(msgspec.Struct):
    """One page of payment requests."""

    payment_requests: list[PaymentRequestObject]
    meta: Meta


@post("/payment_requests", status_code=200, opt=answers(PaymentRequestAnswer, refuses=[404, 405]))
async def create(
    request: ApiRequest, edge: TheEdge, data: JSONBody[PaymentRequestBody | None] = None
) -> Response[bytes]:
    """Ask a customer to pay several overdue invoices at once, and charge them if that can be."""
    asked: PaymentRequestInput = required(request, data, "payment_request")
    named = {
        found
        for one in asked.lago_invoice_ids or []
        if isinstance(one, str) and (found := row_id(one))
    }

    async def do(conn: Conn) -> PaymentRequestAnswer:
        details = await request_payment(
            conn,
            request.auth.organization_id,
            asked,
            named,
            request_id=edge.new_id(),
            can_mail=edge.can_send_mail,
            now=edge.now(),
        )
        return PaymentRequestAnswer(payment_request_object(details))

    try:
        return await edge.answer(request, do)
    except PagesAreOpen as open_now:
        if not all(await asyncio.gather(*map(edge.close_page, open_now.pages))):
            raise Refused(NOT_READY) from None
    try:
        return await edge.answer(request, do)
    except PagesAreOpen:  # another one, opened meanwhile
        raise Refused(NOT_READY) from None


@get(
    "/payment_requests",
    opt=answers(
        PaymentRequestsAnswer, refuses=[404, 422], query=[*PAGES, OF_ANY_CUSTOMER, *FILTERS]
    ),
)
async def find_all(request: ApiRequest, edge: TheEdge) -> Response[bytes]:
    """List payment requests, newest first."""
    wanted, page = _wanted(request), wanted_page(request)

    async def look(conn: Conn) -> PaymentRequestsAnswer:
        found, total = await list_payment_requests(conn, request.auth.organization_id, wanted, page)
        return PaymentRequestsAnswer(
            [payment_request_object(details) for details in found], meta(page, total)
        )

    return await edge.read(request, look)


@get(
    "/customers/{external_id:str}/payment_requests",
    opt=answers(PaymentRequestsAnswer, refuses=[422], query=[*PAGES, *FILTERS]),
)
async def find_all_of_customer(
    request: ApiRequest, edge: TheEdge, external_id: FromPath[str]
) -> Response[bytes]:
    """List a customer's payment requests, newest first."""
    whose = unquote(external_id)

    async def look(conn: Conn) -> PaymentRequestsAnswer:
        await find_customer(conn, request.auth.organization_id, whose)
        wanted, page = _wanted(request, external_customer_id=whose), wanted_page(request)
        found, total = await list_payment_requests(conn, request.auth.organization_id, wanted, page)
        return PaymentRequestsAnswer(
            [payment_request_object(details) for details in found], meta(page, total)
        )

    return await edge.read(request, look)


@get("/payment_requests/{lago_id:str}", opt=answers(PaymentRequestAnswer))
async def find(request: ApiRequest, edge: TheEdge, lago_id: FromPath[str]) -> Response[bytes]:
    """Read one payment request."""

    async def look(conn: Conn) -> PaymentRequestAnswer:
        details = await find_payment_request(conn, request.auth.organization_id, row_id(lago_id))
        return PaymentRequestAnswer(payment_request_object(details))

    return await edge.read(request, look)


def _wanted(request: ApiRequest, *, external_customer_id: str | None = None) -> RequestFilter:
    """Read the filters of a call; `external_customer_id` is the path's, where it names one.

    :raises Refused: 422, every wrong filter with what it must be.
    """
    filters = Filters(request)
    wanted = RequestFilter(
        external_customer_id=external_customer_id or filters.text("external_customer_id"),
        payment_status=filters.text("payment_status", among=PAYMENT_STATUSES),
        currency=filters.text("currency"),
        billing_entity_codes=tuple(filters.texts("billing_entity_codes")) or None,
    )
    filters.check()
    return wanted


routes = Router(
    "/",
    route_handlers=[create, find_all, find_all_of_customer, find],
    tags=["payment requests"],
    opt=needs("payment_request"),
)

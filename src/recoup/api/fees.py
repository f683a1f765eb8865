"""`/fees` (contract section 3.8). Every fee of ours is on an invoice, so none can be changed."""

from __future__ import annotations

from datetime import datetime
from typing import Final, NoReturn

import msgspec
from litestar import Response, Router, delete, get, route
from litestar.enums import HttpMethod
from litestar.params import FromPath, JSONBody

from recoup.api.describe import PAGES, Query, answers
from recoup.api.edge import ApiRequest, TheEdge, required
from recoup.api.filters import Filters, instant_in_query
from recoup.api.identifiers import row_id
from recoup.api.needs import needs
from recoup.api.paging import wanted_page
from recoup.flows.find_fees import find_fee
from recoup.rules.lago.fees import FeeObject, fee_object
from recoup.rules.lago.pages import Meta, meta
from recoup.rules.money import is_currency
from recoup.rules.refusal import Refused, invalid, not_allowed
from recoup.store import fees
from recoup.store.db import Conn
from recoup.store.fees import FeeFilter

FEE_TYPES: Final = ("charge", "add_on", "subscription", "credit", "commitment")
PAYMENT_STATUSES: Final = ("pending", "succeeded", "failed", "refunded")
# What no one-off fee has: asking for one of these finds nothing.
_OF_OTHER_FEES: Final = (
    "external_subscription_id", "billable_metric_code", "event_transaction_id",
    "succeeded_at_from", "succeeded_at_to", "failed_at_from", "failed_at_to", "refunded_at_from",
    "refunded_at_to",
)  # fmt: skip
FILTERS: Final = (
    Query("fee_type", f"One of {', '.join(FEE_TYPES)}; ours are all `add_on`."),
    Query("payment_status", f"One of {', '.join(PAYMENT_STATUSES)}."),
    Query("external_customer_id", "The fees of this customer, deleted or not."),
    Query("currency", "Their ISO 4217 code."),
    Query("created_at_from", "Made then or later.", datetime),
    Query("created_at_to", "Made then or earlier.", datetime),
    *(Query(name, "No fee of ours has it: whoever asks by it finds none.",
            datetime if name.endswith(("_from", "_to")) else str)
      for name in _OF_OTHER_FEES),
)  # fmt: skip


class FeeInput(msgspec.Struct):
    """What a caller would say of a fee that is on no invoice."""

    payment_status: str | None = None


class FeeBody(msgspec.Struct):
    """`{"fee": {…}}` as a caller sends it."""

    fee: FeeInput | None = None


class FeeAnswer(msgspec.Struct):
    """`{"fee": {…}}` as we answer it."""

    fee: FeeObject


class FeesAnswer(msgspec.Struct):
    """One page of fees."""

    fees: list[FeeObject]
    meta: Meta


@get("/fees", opt=answers(FeesAnswer, refuses=[422], query=[*PAGES, *FILTERS]))
async def find_all(request: ApiRequest, edge: TheEdge) -> Response[bytes]:
    """List fees, oldest first."""
    wanted, page = _wanted(request), wanted_page(request)

    async def look(conn: Conn) -> FeesAnswer:
        found, total = await fees.page(conn, request.auth.organization_id, wanted, page)
        return FeesAnswer(
            [fee_object(details, with_taxes=True) for details in found], meta(page, total)
        )

    return await edge.read(request, look)


@get("/fees/{lago_id:str}", opt=answers(FeeAnswer))
async def find(request: ApiRequest, edge: TheEdge, lago_id: FromPath[str]) -> Response[bytes]:
    """Read one fee."""

    async def look(conn: Conn) -> FeeAnswer:
        details = await find_fee(conn, request.auth.organization_id, row_id(lago_id))
        return FeeAnswer(fee_object(details, with_taxes=True))

    return await edge.read(request, look)


@route(
    "/fees/{lago_id:str}",
    http_method=[HttpMethod.PUT, HttpMethod.PATCH],
    status_code=200,
    opt=answers(FeeAnswer, refuses=[405]),
)
async def update(
    request: ApiRequest,
    edge: TheEdge,
    lago_id: FromPath[str],
    data: JSONBody[FeeBody | None] = None,
) -> Response[bytes]:
    """Refused: a fee that is on an invoice goes by the invoice's payment status."""
    required(request, data, "fee")
    return await _refuse(request, edge, lago_id)


@delete("/fees/{lago_id:str}", status_code=200, opt=answers(FeeAnswer, refuses=[405]))
async def destroy(request: ApiRequest, edge: TheEdge, lago_id: FromPath[str]) -> Response[bytes]:
    """Refused: a fee that is on an invoice stays there."""
    return await _refuse(request, edge, lago_id)


async def _refuse(request: ApiRequest, edge: TheEdge, lago_id: str) -> Response[bytes]:
    async def look(conn: Conn) -> NoReturn:
        await find_fee(conn, request.auth.organization_id, row_id(lago_id))
        raise Refused(not_allowed("invoiced_fee"))

    return await edge.read(request, look)


def _wanted(request: ApiRequest) -> FeeFilter:
    """Read the filters of a call; here wrong values are named by codes, not in English."""
    filters = Filters(request)
    fee_type, payment_status = filters.text("fee_type"), filters.text("payment_status")
    currency, whose = filters.text("currency"), filters.text("external_customer_id")
    of_other_fees = [filters.text(name) for name in _OF_OTHER_FEES]
    broken: dict[str, list[str]] = {}
    if fee_type and fee_type not in FEE_TYPES:
        broken["fee_type"] = ["value_is_invalid"]
    if payment_status and payment_status not in PAYMENT_STATUSES:
        broken["payment_status"] = ["value_is_invalid"]
    if currency and not is_currency(currency):
        broken["currency"] = ["value_is_invalid"]
    instants: dict[str, datetime | None] = {}
    for stamp in ("created_at", "succeeded_at", "failed_at", "refunded_at"):
        for name in (f"{stamp}_from", f"{stamp}_to"):
            if said := filters.text(name):
                instants[name] = instant_in_query(said)
                if instants[name] is None:
                    broken[name] = ["invalid_date"]
    if broken:
        raise Refused(invalid(broken))
    filters.check()
    return FeeFilter(
        payment_status=payment_status,
        currency=currency,
        external_customer_id=whose,
        created_from=instants.get("created_at_from"),
        created_to=instants.get("created_at_to"),
        nothing=fee_type not in {None, "add_on"} or any(of_other_fees),
    )


routes = Router(
    "/", route_handlers=[find_all, find, update, destroy], tags=["fees"], opt=needs("fee")
)

"""`POST /invoices/{lago_id}/retry_payment` (contract section 5.1), and our bulk call beside it.

What would surprise you: a bulk call is not one transaction. Its asks go in pieces, so that nothing
is locked for long and one bad row refuses no other. With an `Idempotency-Key` the attempts' ids are
made of that key: sent again after we died half way, the call comes to the same attempts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any, Final, assert_never
from uuid import UUID

import msgspec
import structlog
from litestar import Response, Router, post
from litestar.params import FromPath, JSONBody

from recoup.api import errors
from recoup.api.describe import answers
from recoup.api.edge import ApiRequest, Edge, TheEdge, json_response, receipt_of
from recoup.api.identifiers import row_id
from recoup.api.needs import needs, weighs
from recoup.flows.answer_once import answer_once_in_pieces
from recoup.flows.batches import Failed, serve_each
from recoup.flows.close_payment_page import retry_past_pages
from recoup.flows.retry_payment import (
    ATTEMPT_HEADER,
    INVOICE_NOT_FOUND,
    Accepted,
    Ask,
    retry_payments,
)
from recoup.rules.method_choice import read_wish
from recoup.rules.records.collection import AskedBy
from recoup.rules.records.keys import RowKey
from recoup.rules.refusal import Refusal, Refused, invalid
from recoup.store.db import DATABASE_AWAY
from recoup.store.idempotency_keys import KeptAnswer
from recoup.store.secret_box import WrongSecretKeyError

log = structlog.get_logger()

MOST_IN_BULK: Final = 10_000
BULK_BATCH: Final = 1_000  # how many share one transaction: bounds how long locks are held
PIECES_AT_ONCE: Final = 2  # one is written down here while PostgreSQL is at the other


class RetryPaymentBody(msgspec.Struct):
    """The body, which may be absent. Lago refuses no shape of `payment_method`."""

    payment_method: Any = None


class RetryPaymentsBody(msgspec.Struct):
    """Which invoices the bulk call retries."""

    invoice_ids: list[str] = []


class RetryResult(msgspec.Struct):
    """What became of one ask of a bulk call: accepted, or refused by `code`.

    `lock_acquisition_failed`, `internal_error` and `secrets_do_not_open` (its payment page cannot
    be closed): nothing of it was done. `service_unavailable`: nobody knows; asked for again, a
    retry that was begun is refused as being under way.
    """

    lago_id: str
    accepted: bool
    payment_id: UUID | None = None
    code: str | None = None


class RetryPaymentsAnswer(msgspec.Struct):
    """One result per id, in the order asked."""

    results: list[RetryResult]


@post("/invoices/{lago_id:str}/retry_payment", status_code=200, opt=answers(refuses=[405]))
async def retry_payment(
    request: ApiRequest,
    edge: TheEdge,
    lago_id: FromPath[str],
    data: JSONBody[RetryPaymentBody | None] = None,
) -> Response[bytes]:
    """Begin another attempt. Lago's answer has an empty body, so the attempt's id is a header."""
    invoice_id = row_id(lago_id)  # what is no UUID is not found: 404, never 400
    if invoice_id is None:
        raise Refused(INVOICE_NOT_FOUND)
    ask = Ask(
        RowKey(request.auth.organization_id, invoice_id),
        attempt_id=edge.new_id(),
        asked_by=AskedBy.API,
        wish=read_wish(data.payment_method if data else None),
        receipt=await receipt_of(request),
    )
    answer = await edge.retry(ask)
    if isinstance(answer, Refusal):
        raise Refused(answer)
    headers = {ATTEMPT_HEADER: str(answer.attempt_id)} if answer.attempt_id else {}
    if answer.replayed:
        headers["Idempotent-Replayed"] = "true"
    return Response(b"", headers=headers, media_type="application/json")


@post(
    "/invoices/retry_payments",
    status_code=200,
    opt=answers(RetryPaymentsAnswer) | weighs("invoice_ids", most=MOST_IN_BULK),
)
async def retry_many(
    request: ApiRequest, edge: TheEdge, data: JSONBody[RetryPaymentsBody | None] = None
) -> Response[bytes]:
    """Begin an attempt for many invoices; one result each, in the order asked."""
    wanted = data.invoice_ids if data else []
    if not 0 < len(wanted) <= MOST_IN_BULK:
        raise Refused(invalid({"invoice_ids": ["invalid_count"]}))
    organization_id = request.auth.organization_id
    if (receipt := await receipt_of(request)) is None:
        asks = _asks(organization_id, wanted, lambda _: edge.new_id())
        return json_response(msgspec.json.encode(_results(wanted, await _retry_all(edge, asks))))

    async def in_pieces(begun: KeptAnswer) -> tuple[bytes, bool]:
        asks = _asks(organization_id, wanted, lambda one: begun.derived_id(receipt, one))
        done = await _retry_all(edge, asks)
        failed = [one.error for one in done.values() if isinstance(one, Failed)]
        if any(isinstance(error, DATABASE_AWAY) for error in failed):
            raise failed[-1]  # 503: sent again, the call finds what was begun
        return msgspec.json.encode(_results(wanted, done)), not failed

    async with edge.keyed_long_calls:
        body, replayed = await answer_once_in_pieces(edge.pool, receipt, in_pieces, now=edge.now())
    return json_response(body, {"Idempotent-Replayed": "true"} if replayed else {})


def _asks(
    organization_id: UUID, wanted: Sequence[str], new_id: Callable[[str], UUID]
) -> dict[str, Ask]:
    """One ask for each id that is one, by the id as it was sent."""
    return {
        one: Ask(RowKey(organization_id, invoice_id), new_id(one), AskedBy.BULK)
        for one in wanted
        if (invoice_id := row_id(one))
    }


async def _retry_all(edge: Edge, asks: Mapping[str, Ask]) -> dict[str, Accepted | Refusal | Failed]:
    todo = list(asks.values())
    places = asyncio.Semaphore(PIECES_AT_ONCE)

    async def retry(piece: Sequence[Ask]) -> list[Accepted | Refusal | Failed]:
        async with places:
            return await retry_past_pages(
                piece,
                retry=partial(
                    serve_each, lambda some: retry_payments(edge.pool, some, now=edge.now())
                ),
                close=edge.close_page,
            )

    pieces = [todo[start : start + BULK_BATCH] for start in range(0, len(todo), BULK_BATCH)]
    done = await asyncio.gather(*(retry(piece) for piece in pieces))
    return dict(zip(asks, chain.from_iterable(done), strict=True))


def _results(
    wanted: Sequence[str], done: Mapping[str, Accepted | Refusal | Failed]
) -> RetryPaymentsAnswer:
    """Each result in its place.

    :raises Exception: that the database is away, where no ask got through.
    """
    away = [
        one.error
        for one in done.values()
        if isinstance(one, Failed) and isinstance(one.error, DATABASE_AWAY)
    ]
    if away and len(away) == len(done):
        raise away[0]
    return RetryPaymentsAnswer([_result(one, done.get(one, INVOICE_NOT_FOUND)) for one in wanted])


def _result(lago_id: str, answer: Accepted | Refusal | Failed) -> RetryResult:
    match answer:
        case Accepted():
            return RetryResult(lago_id, accepted=True, payment_id=answer.attempt_id)
        case Refusal():
            return RetryResult(lago_id, accepted=False, code=answer.code)
        case Failed():
            return RetryResult(lago_id, accepted=False, code=_code(answer.error))
        case _:
            assert_never(answer)


def _code(error: Exception) -> str:
    """Why an ask failed: nothing of it is stored, and others of its call may have been done."""
    if (refusal := errors.refusal_for(error)) is not None:
        return refusal.code
    if isinstance(error, DATABASE_AWAY):
        return "service_unavailable"
    if isinstance(error, WrongSecretKeyError):
        log.error(errors.SECRETS_DO_NOT_OPEN, field=str(error), do="docs/secrets.md")
        return errors.SECRETS_DO_NOT_OPEN
    log.error("retry_failed", error=type(error).__name__, exc_info=error)
    return "internal_error"


routes = Router(
    "/", route_handlers=[retry_payment, retry_many], tags=["invoices"], opt=needs("invoice")
)

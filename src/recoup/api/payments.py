"""`/payments` (contract section 3.10)."""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote
from uuid import UUID

import msgspec
from litestar import Response, Router, get, post
from litestar.params import FromPath, JSONBody
from msgspec import UNSET

from recoup.api.describe import PAGES, Query, answers
from recoup.api.edge import ApiRequest, TheEdge, required
from recoup.api.filters import Filters, dashed_id
from recoup.api.identifiers import row_id
from recoup.api.needs import needs
from recoup.api.paging import wanted_page
from recoup.api.verdicts import wanted_verdict
from recoup.flows.find_customer import find_customer
from recoup.flows.find_payments import find_payment
from recoup.flows.record_manual_payment import PaymentInput, record_manual_payment
from recoup.flows.settle_by_hand import Decided, settle_by_hand_on
from recoup.rules.attempt_state import Verdict
from recoup.rules.lago.pages import Meta, meta
from recoup.rules.lago.payments import PaymentObject, payment_object
from recoup.rules.records.keys import RowKey
from recoup.rules.scalars import Text, text
from recoup.store import payments
from recoup.store.db import Conn
from recoup.store.payments import PaymentFilter

OF_INVOICE: Final = Query("invoice_id", "The payments of this invoice.", UUID)
OF_CUSTOMER: Final = Query("external_customer_id", "The payments of this customer.")


class PaymentBody(msgspec.Struct):
    """`{"payment": {…}}` as a caller sends it."""

    payment: PaymentInput | None = None


class PaymentAnswer(msgspec.Struct):
    """`{"payment": {…}}` as we answer it."""

    payment: PaymentObject


class SettleInput(msgspec.Struct):
    """A person's word about a payment that waits for it."""

    outcome: Text = UNSET  # paid, failed
    by: Text = UNSET  # who says so
    reason: Text = UNSET
    provider_payment_id: Text = UNSET


class SettleBody(msgspec.Struct):
    """`{"payment": {…}}` as a caller sends it to settle one."""

    payment: SettleInput | None = None


class PaymentsAnswer(msgspec.Struct):
    """One page of payments."""

    payments: list[PaymentObject]
    meta: Meta


@post("/payments", status_code=200, opt=answers(PaymentAnswer, refuses=[403, 404]))
async def create(
    request: ApiRequest, edge: TheEdge, data: JSONBody[PaymentBody | None] = None
) -> Response[bytes]:
    """Record a payment that was made outside of any provider."""
    asked: PaymentInput = required(request, data, "payment")

    async def do(conn: Conn) -> PaymentAnswer:
        details = await record_manual_payment(
            conn,
            request.auth.organization_id,
            asked,
            invoice_id=row_id(text(asked.invoice_id) or ""),
            payment_id=edge.new_id(),
            now=edge.now(),
        )
        return PaymentAnswer(payment_object(details))

    return await edge.answer(request, do)


@get(
    "/payments",
    opt=answers(PaymentsAnswer, refuses=[422], query=[*PAGES, OF_CUSTOMER, OF_INVOICE]),
)
async def find_all(request: ApiRequest, edge: TheEdge) -> Response[bytes]:
    """List payments, newest first."""
    filters = Filters(request)
    whose = filters.text("external_customer_id")
    filters.check()
    return await _list(request, edge, whose)


@get(
    "/customers/{external_id:str}/payments",
    opt=answers(PaymentsAnswer, refuses=[422], query=[*PAGES, OF_INVOICE]),
)
async def find_all_of_customer(
    request: ApiRequest, edge: TheEdge, external_id: FromPath[str]
) -> Response[bytes]:
    """List a customer's payments, newest first."""
    return await _list(request, edge, unquote(external_id), of_live_customer=True)


@post("/payments/{lago_id:str}/settle", status_code=200, opt=answers(PaymentAnswer, refuses=[405]))
async def settle(
    request: ApiRequest,
    edge: TheEdge,
    lago_id: FromPath[str],
    data: JSONBody[SettleBody | None] = None,
) -> Response[bytes]:
    """Say how a payment ended that no provider tells of any more; kept in the audit log.

    Who says that it was paid says under which id the provider has it, unless that is known.
    """
    said: SettleInput = required(request, data, "payment")
    decided = Decided(
        verdict=wanted_verdict(Verdict, said.outcome),
        by=text(said.by) or "",
        reason=text(said.reason) or "",
        provider_payment_id=text(said.provider_payment_id),
    )
    organization_id, payment_id = request.auth.organization_id, row_id(lago_id)

    async def do(conn: Conn) -> PaymentAnswer:
        await find_payment(conn, organization_id, payment_id)
        assert payment_id is not None, "what is no id was not found"
        key = RowKey(organization_id, payment_id)
        await settle_by_hand_on(conn, key, decided, audit_id=edge.new_id(), now=edge.now())
        return PaymentAnswer(payment_object(await find_payment(conn, organization_id, payment_id)))

    return await edge.answer(request, do)


@get("/payments/{lago_id:str}", opt=answers(PaymentAnswer))
async def find(request: ApiRequest, edge: TheEdge, lago_id: FromPath[str]) -> Response[bytes]:
    """Read one payment."""

    async def look(conn: Conn) -> PaymentAnswer:
        details = await find_payment(conn, request.auth.organization_id, row_id(lago_id))
        return PaymentAnswer(payment_object(details))

    return await edge.read(request, look)


async def _list(
    request: ApiRequest,
    edge: TheEdge,
    external_customer_id: str | None,
    *,
    of_live_customer: bool = False,
) -> Response[bytes]:
    organization_id, page = request.auth.organization_id, wanted_page(request)

    async def look(conn: Conn) -> PaymentsAnswer:
        if of_live_customer and external_customer_id is not None:
            await find_customer(conn, organization_id, external_customer_id)
        wanted = PaymentFilter(
            invoice_id=dashed_id(request, "invoice_id"), external_customer_id=external_customer_id
        )
        found, total = await payments.page(conn, organization_id, wanted, page)
        return PaymentsAnswer([payment_object(details) for details in found], meta(page, total))

    return await edge.read(request, look)


routes = Router(
    "/",
    route_handlers=[create, find_all, find_all_of_customer, find, settle],
    tags=["payments"],
    opt=needs("payment"),
)

"""`/customers/{external_id}/payment_methods` (contract section 3.4), and our way to attach one."""

from __future__ import annotations

from urllib.parse import unquote

import msgspec
from litestar import Response, Router, delete, get, post, put
from litestar.params import FromPath, JSONBody
from msgspec import UNSET

from recoup.api.describe import PAGES, answers
from recoup.api.edge import ApiRequest, TheEdge, required
from recoup.api.identifiers import row_id
from recoup.api.needs import needs
from recoup.api.paging import wanted_page
from recoup.flows.attach_payment_method import attach_payment_method
from recoup.flows.find_customer import find_customer
from recoup.flows.manage_payment_methods import (
    delete_payment_method,
    set_default_payment_method,
)
from recoup.rules.lago.pages import Meta, meta
from recoup.rules.lago.payment_methods import PaymentMethodObject, payment_method_object
from recoup.rules.scalars import Text
from recoup.store import payment_methods
from recoup.store.db import Conn


class PaymentMethodInput(msgspec.Struct):
    """What a caller says of a payment method: the provider's own id of it, never a card number."""

    provider_method_id: Text = UNSET


class PaymentMethodBody(msgspec.Struct):
    """`{"payment_method": {…}}` as a caller sends it."""

    payment_method: PaymentMethodInput | None = None


class PaymentMethodAnswer(msgspec.Struct):
    """`{"payment_method": {…}}` as we answer it."""

    payment_method: PaymentMethodObject


class PaymentMethodsAnswer(msgspec.Struct):
    """One page of payment methods."""

    payment_methods: list[PaymentMethodObject]
    meta: Meta


@get("/customers/{external_id:str}/payment_methods", opt=answers(PaymentMethodsAnswer, query=PAGES))
async def find_all(
    request: ApiRequest, edge: TheEdge, external_id: FromPath[str]
) -> Response[bytes]:
    """List a customer's payment methods, newest first."""
    wanted = wanted_page(request)

    async def look(conn: Conn) -> PaymentMethodsAnswer:
        customer = await find_customer(conn, request.auth.organization_id, unquote(external_id))
        found, total = await payment_methods.page(conn, customer, wanted)
        return PaymentMethodsAnswer(
            [payment_method_object(method) for method in found], meta(wanted, total)
        )

    return await edge.read(request, look)


@post(
    "/customers/{external_id:str}/payment_methods",
    status_code=200,
    opt=answers(PaymentMethodAnswer),
)
async def attach(
    request: ApiRequest,
    edge: TheEdge,
    external_id: FromPath[str],
    data: JSONBody[PaymentMethodBody | None] = None,
) -> Response[bytes]:
    """Attach a payment method that the provider has: the first one becomes the default."""
    asked: PaymentMethodInput = required(request, data, "payment_method")

    async def do() -> PaymentMethodAnswer:
        method = await attach_payment_method(
            edge.pool,
            edge.providers,
            request.auth.organization_id,
            unquote(external_id),
            asked.provider_method_id,
            method_id=edge.new_id(),
            now=edge.now(),
        )
        return PaymentMethodAnswer(payment_method_object(method))

    return await edge.answer_outside(request, do)


@put(
    "/customers/{external_id:str}/payment_methods/{lago_id:str}/set_as_default",
    opt=answers(PaymentMethodAnswer, refuses=[422]),
)
async def set_as_default(
    request: ApiRequest, edge: TheEdge, external_id: FromPath[str], lago_id: FromPath[str]
) -> Response[bytes]:
    """Make a payment method its customer's default."""

    async def do(conn: Conn) -> PaymentMethodAnswer:
        method = await set_default_payment_method(
            conn, request.auth.organization_id, unquote(external_id), row_id(lago_id)
        )
        return PaymentMethodAnswer(payment_method_object(method))

    return await edge.answer(request, do)


@delete(
    "/customers/{external_id:str}/payment_methods/{lago_id:str}",
    status_code=200,
    opt=answers(PaymentMethodAnswer, refuses=[422]),
)
async def destroy(
    request: ApiRequest, edge: TheEdge, external_id: FromPath[str], lago_id: FromPath[str]
) -> Response[bytes]:
    """Delete a payment method; if it was the default, the oldest that remains becomes it."""

    async def do(conn: Conn) -> PaymentMethodAnswer:
        method = await delete_payment_method(
            conn,
            request.auth.organization_id,
            unquote(external_id),
            row_id(lago_id),
            now=edge.now(),
        )
        return PaymentMethodAnswer(payment_method_object(method))

    return await edge.answer(request, do)


routes = Router(
    "/",
    route_handlers=[find_all, attach, set_as_default, destroy],
    tags=["payment_methods"],
    opt=needs("payment_method"),
)

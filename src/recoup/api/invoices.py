"""`/invoices` (contract section 3.7), but for retries, which have a module of their own."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import msgspec
from litestar import Response, Router, get, post, route
from litestar.enums import HttpMethod
from litestar.params import FromPath, JSONBody

from recoup.api.describe import PAGES, answers
from recoup.api.edge import ApiRequest, Edge, TheEdge, required
from recoup.api.identifiers import row_id
from recoup.api.invoice_filters import FILTERS, wanted_invoices
from recoup.api.needs import needs
from recoup.api.paging import wanted_page
from recoup.flows.create_invoice import create_invoice
from recoup.flows.credit_voided_invoice import AskedBack
from recoup.flows.find_customer import find_customer
from recoup.flows.find_invoices import find_invoice, list_invoices
from recoup.flows.lose_dispute import lose_dispute
from recoup.flows.open_document import download_invoice
from recoup.flows.update_invoice import InvoiceChange, update_invoice
from recoup.flows.void_invoice import void_invoice
from recoup.rules.lago.invoices import Include, InvoiceObject
from recoup.rules.lago.pages import Meta, meta
from recoup.rules.one_off_asks import InvoiceInput
from recoup.rules.refusal import Refusal, RefusalKind, Refused, not_found
from recoup.rules.scalars import is_true
from recoup.store.db import Conn


class InvoiceBody(msgspec.Struct):
    """`{"invoice": {…}}` as a caller sends it to issue one."""

    invoice: InvoiceInput | None = None


class InvoiceChangeBody(msgspec.Struct):
    """`{"invoice": {…}}` as a caller sends it to change one."""

    invoice: InvoiceChange | None = None


class VoidBody(msgspec.Struct):
    """What a void may be told, at the top level; the body may be absent."""

    generate_credit_note: Any = None
    refund_amount: Any = None
    credit_amount: Any = None


class InvoiceAnswer(msgspec.Struct):
    """`{"invoice": {…}}` as we answer it."""

    invoice: InvoiceObject


class InvoicesAnswer(msgspec.Struct):
    """One page of invoices."""

    invoices: list[InvoiceObject]
    meta: Meta


@post("/invoices", status_code=200, opt=answers(InvoiceAnswer, refuses=[404]))
async def create(
    request: ApiRequest, edge: TheEdge, data: JSONBody[InvoiceBody | None] = None
) -> Response[bytes]:
    """Issue a one-off invoice, and begin to collect it unless told otherwise."""
    asked = required(request, data, "invoice")

    async def do(conn: Conn) -> InvoiceAnswer:
        details = await create_invoice(
            conn,
            request.auth.organization_id,
            asked,
            invoice_id=edge.new_id(),
            collect=edge.collect,
            now=edge.now(),
        )
        return InvoiceAnswer(edge.invoice(details))

    return await edge.answer(request, do)


@get("/invoices", opt=answers(InvoicesAnswer, refuses=[404, 422], query=[*PAGES, *FILTERS]))
async def find_all(request: ApiRequest, edge: TheEdge) -> Response[bytes]:
    """List invoices, latest issued first."""
    wanted, page = wanted_invoices(request), wanted_page(request)

    async def look(conn: Conn) -> InvoicesAnswer:
        found, total = await list_invoices(conn, request.auth.organization_id, wanted, page)
        return InvoicesAnswer(
            [edge.invoice(details, Include.LISTED) for details in found], meta(page, total)
        )

    return await edge.read(request, look)


@get(
    "/customers/{external_id:str}/invoices",
    opt=answers(InvoicesAnswer, refuses=[422], query=[*PAGES, *FILTERS]),
)
async def find_all_of_customer(
    request: ApiRequest, edge: TheEdge, external_id: FromPath[str]
) -> Response[bytes]:
    """List a customer's invoices, latest issued first."""
    whose = unquote(external_id)

    async def look(conn: Conn) -> InvoicesAnswer:
        await find_customer(conn, request.auth.organization_id, whose)
        wanted, page = wanted_invoices(request, external_customer_id=whose), wanted_page(request)
        found, total = await list_invoices(conn, request.auth.organization_id, wanted, page)
        return InvoicesAnswer(
            [edge.invoice(details, Include.LISTED) for details in found], meta(page, total)
        )

    return await edge.read(request, look)


@get("/invoices/{lago_id:str}", opt=answers(InvoiceAnswer))
async def find(request: ApiRequest, edge: TheEdge, lago_id: FromPath[str]) -> Response[bytes]:
    """Read one invoice."""

    async def look(conn: Conn) -> InvoiceAnswer:
        details = await find_invoice(conn, request.auth.organization_id, row_id(lago_id))
        return InvoiceAnswer(edge.invoice(details))

    return await edge.read(request, look)


@route(
    "/invoices/{lago_id:str}",
    http_method=[HttpMethod.PUT, HttpMethod.PATCH],
    status_code=200,
    opt=answers(InvoiceAnswer, refuses=[405]),
)
async def update(
    request: ApiRequest,
    edge: TheEdge,
    lago_id: FromPath[str],
    data: JSONBody[InvoiceChangeBody | None] = None,
) -> Response[bytes]:
    """Change an invoice's payment status or its metadata."""
    asked = required(request, data, "invoice")

    async def do(conn: Conn) -> InvoiceAnswer:
        details = await update_invoice(
            conn,
            request.auth.organization_id,
            row_id(lago_id),
            asked,
            change_id=edge.new_id(),
            now=edge.now(),
        )
        return InvoiceAnswer(edge.invoice(details))

    return await edge.answer(request, do)


@post(
    "/invoices/{lago_id:str}/void",
    status_code=200,
    opt=answers(InvoiceAnswer, refuses=[405]),
)
async def void(
    request: ApiRequest,
    edge: TheEdge,
    lago_id: FromPath[str],
    data: JSONBody[VoidBody | None] = None,
) -> Response[bytes]:
    """Void an invoice: nothing of it is due any more.

    With `generate_credit_note`, `refund_amount` and `credit_amount` go back to its customer.
    """
    asked_back = None
    if data is not None and is_true(data.generate_credit_note):
        asked_back = AskedBack(data.refund_amount, data.credit_amount)

    async def do(conn: Conn) -> InvoiceAnswer:
        details = await void_invoice(
            conn,
            request.auth.organization_id,
            row_id(lago_id),
            asked_back=asked_back,
            now=edge.now(),
        )
        return InvoiceAnswer(edge.invoice(details))

    return await edge.answer(request, do)


# Lago has POST alone, and its Python client sends PUT (contract section 10, point 3).
@route(
    "/invoices/{lago_id:str}/lose_dispute",
    http_method=[HttpMethod.POST, HttpMethod.PUT],
    status_code=200,
    opt=answers(InvoiceAnswer, refuses=[405]),
)
async def lose(request: ApiRequest, edge: TheEdge, lago_id: FromPath[str]) -> Response[bytes]:
    """Mark a dispute about an invoice as lost."""

    async def do(conn: Conn) -> InvoiceAnswer:
        details = await lose_dispute(
            conn,
            request.auth.organization_id,
            row_id(lago_id),
            change_id=edge.new_id(),
            now=edge.now(),
        )
        return InvoiceAnswer(edge.invoice(details))

    return await edge.answer(request, do)


@post(
    "/invoices/{lago_id:str}/download",
    status_code=200,
    opt=answers(InvoiceAnswer, may_be_empty=True),
)
async def download(request: ApiRequest, edge: TheEdge, lago_id: FromPath[str]) -> Response[bytes]:
    """Answer an invoice with its PDF's address, `file_url`.

    Where the PDF is not made yet the body is empty: it is being made, and `invoice.generated` tells
    when it is there.
    """
    return await _download(request, edge, lago_id)


@post(
    "/invoices/{lago_id:str}/download_pdf",
    status_code=200,
    opt=answers(InvoiceAnswer, may_be_empty=True),
)
async def download_pdf(
    request: ApiRequest, edge: TheEdge, lago_id: FromPath[str]
) -> Response[bytes]:
    """Another name of `download`."""
    return await _download(request, edge, lago_id)


async def _download(request: ApiRequest, edge: Edge, lago_id: str) -> Response[bytes]:
    async def do(conn: Conn) -> InvoiceAnswer | None:
        details = await download_invoice(
            conn, request.auth.organization_id, row_id(lago_id), now=edge.now()
        )
        return None if details is None else InvoiceAnswer(edge.invoice(details, Include.NOTHING))

    return await edge.answer(request, do)


@post(
    "/invoices/{lago_id:str}/download_xml",
    status_code=200,
    opt=answers(refuses=[403]),
)
async def download_xml(
    request: ApiRequest, edge: TheEdge, lago_id: FromPath[str]
) -> Response[bytes]:
    """Electronic invoices are not made here: 403 `feature_unavailable` for one that there is."""

    async def do(conn: Conn) -> None:
        details = await find_invoice(conn, request.auth.organization_id, row_id(lago_id))
        if details.invoice.status != "finalized":
            raise Refused(not_found("invoice"))
        raise Refused(Refusal(RefusalKind.FORBIDDEN, "feature_unavailable"))

    return await edge.answer(request, do)


routes = Router(
    "/",
    route_handlers=[
        create,
        find_all,
        find_all_of_customer,
        find,
        update,
        void,
        lose,
        download,
        download_pdf,
        download_xml,
    ],
    tags=["invoices"],
    opt=needs("invoice"),
)

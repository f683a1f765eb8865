"""Mails to customers that a caller asks for (contract sections 3.7.15 and 3.12)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from litestar import Response, Router, post
from litestar.params import FromPath, JSONBody

from recoup.api.describe import JSON, answers
from recoup.api.edge import ApiRequest, Edge, TheEdge
from recoup.api.identifiers import row_id
from recoup.api.needs import needs
from recoup.flows.resend_mail import (
    Resend,
    resend_credit_note_mail,
    resend_invoice_mail,
    resend_receipt_mail,
)
from recoup.store.db import Conn


class ResendBody(msgspec.Struct):
    """To whom it goes, at the top level; without `to`, to the customer."""

    to: Any = None
    cc: Any = None
    bcc: Any = None


class Nothing(msgspec.Struct, frozen=True):
    """An answer without a body."""


Flow = Callable[..., Awaitable[None]]


@post("/invoices/{lago_id:str}/resend_email", status_code=200, opt=answers(refuses=[405, 422]))
async def resend_invoice(
    request: ApiRequest,
    edge: TheEdge,
    lago_id: FromPath[str],
    data: JSONBody[ResendBody | None] = None,
) -> Response[bytes]:
    """Mail a finalized invoice, with a link to the page where it is paid."""
    return await _resend(request, edge, lago_id, data, resend_invoice_mail)


@post(
    "/credit_notes/{lago_id:str}/resend_email",
    status_code=200,
    opt=answers(refuses=[405, 422]) | needs("credit_note"),
    tags=["credit_notes"],
)
async def resend_credit_note(
    request: ApiRequest,
    edge: TheEdge,
    lago_id: FromPath[str],
    data: JSONBody[ResendBody | None] = None,
) -> Response[bytes]:
    """Mail a credit note, with its PDF."""
    return await _resend(request, edge, lago_id, data, resend_credit_note_mail)


@post(
    "/payment_receipts/{lago_id:str}/resend_email",
    status_code=200,
    opt=answers(refuses=[405, 422]),
    tags=["payment receipts"],
)
async def resend_receipt(
    request: ApiRequest,
    edge: TheEdge,
    lago_id: FromPath[str],
    data: JSONBody[ResendBody | None] = None,
) -> Response[bytes]:
    """Mail a payment's receipt, with its PDF."""
    return await _resend(request, edge, lago_id, data, resend_receipt_mail)


async def _resend(
    request: ApiRequest, edge: Edge, lago_id: str, data: ResendBody | None, flow: Flow
) -> Response[bytes]:
    async def do(conn: Conn) -> Nothing:
        resend = Resend(
            asked=data or ResendBody(), mail_id=edge.new_id(), can_send=edge.can_send_mail
        )
        organization_id = request.auth.organization_id
        await flow(conn, organization_id, row_id(lago_id), resend, now=edge.now())
        return Nothing()

    answer = await edge.answer(request, do)
    # The contract's answer has no body.
    return Response(b"", headers=answer.headers, media_type=JSON)


of_invoices = Router("/", route_handlers=[resend_invoice], tags=["invoices"])
routes = Router(
    "/",
    route_handlers=[of_invoices, resend_credit_note, resend_receipt],
    opt=needs("invoice"),
)

"""Mails to customers that a caller asks for (contract section 3.7.15)."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Response, Router, post
from litestar.params import FromPath, JSONBody

from recoup.api.describe import JSON, answers
from recoup.api.edge import ApiRequest, TheEdge
from recoup.api.identifiers import row_id
from recoup.api.needs import needs
from recoup.flows.resend_invoice_mail import resend_invoice_mail
from recoup.store.db import Conn


class ResendBody(msgspec.Struct):
    """To whom it goes, at the top level; without `to`, to the customer."""

    to: Any = None
    cc: Any = None
    bcc: Any = None


class Nothing(msgspec.Struct, frozen=True):
    """An answer without a body."""


@post("/invoices/{lago_id:str}/resend_email", status_code=200, opt=answers(refuses=[405, 422]))
async def resend_invoice(
    request: ApiRequest,
    edge: TheEdge,
    lago_id: FromPath[str],
    data: JSONBody[ResendBody | None] = None,
) -> Response[bytes]:
    """Mail a finalized invoice, with a link to the page where it is paid."""

    async def do(conn: Conn) -> Nothing:
        await resend_invoice_mail(
            conn,
            request.auth.organization_id,
            row_id(lago_id),
            data or ResendBody(),
            mail_id=edge.new_id(),
            can_send=edge.can_send_mail,
            now=edge.now(),
        )
        return Nothing()

    answer = await edge.answer(request, do)
    return Response(
        b"", headers=answer.headers, media_type=JSON
    )  # the contract's answer has no body


routes = Router("/", route_handlers=[resend_invoice], tags=["invoices"], opt=needs("invoice"))

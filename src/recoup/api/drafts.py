"""Invoices that are not final (contract sections 3.7.6, 3.7.7, 3.7.9, 3.7.12 and 3.7.15).

What would surprise you: Lago answers 403 to finalize and refresh for a one-off draft, since it has
none. Ours are (docs/decisions/0011), so here they are simply done.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, NoReturn

import msgspec
from litestar import Response, Router, delete, post, put
from litestar.params import FromPath, JSONBody

from recoup.api.describe import answers
from recoup.api.edge import ApiRequest, TheEdge
from recoup.api.front import sent
from recoup.api.identifiers import row_id
from recoup.api.invoices import InvoiceAnswer
from recoup.api.needs import needs
from recoup.flows.delete_draft import delete_draft
from recoup.flows.finalize_draft import finalize_draft
from recoup.flows.find_invoices import find_invoice
from recoup.flows.refresh_draft import refresh_draft
from recoup.rules.refusal import Refusal, RefusalKind, Refused, missing_root, not_allowed
from recoup.store.db import Conn

# What is described and not enforced: what else is sent gets this operation's own refusal.
OBJECT: Final = msgspec.Meta(extra_json_schema={"type": "object"})
LIST: Final = msgspec.Meta(extra_json_schema={"type": "array"})


class PreviewBody(msgspec.Struct):
    """What Lago previews: whom a subscription is for, and which; all at the top level."""

    customer: Annotated[Any, OBJECT] = None
    subscriptions: Annotated[Any, OBJECT] = None
    coupons: Annotated[Any, LIST] = None


@put(
    "/invoices/{lago_id:str}/finalize",
    status_code=200,
    opt=answers(InvoiceAnswer, refuses=[422]),
)
async def finalize(request: ApiRequest, edge: TheEdge, lago_id: FromPath[str]) -> Response[bytes]:
    """Issue a draft now: it is worked out a last time, numbered, and collected."""

    async def do(conn: Conn) -> InvoiceAnswer:
        details = await finalize_draft(
            conn,
            request.auth.organization_id,
            row_id(lago_id),
            collect=edge.collect,
            now=edge.now(),
        )
        return InvoiceAnswer(edge.invoice(details))

    return await edge.answer(request, do)


@put(
    "/invoices/{lago_id:str}/refresh",
    status_code=200,
    opt=answers(InvoiceAnswer, refuses=[422]),
)
async def refresh(request: ApiRequest, edge: TheEdge, lago_id: FromPath[str]) -> Response[bytes]:
    """Work a draft out anew, with today's prices and taxes. Other invoices stay as they are."""

    async def do(conn: Conn) -> InvoiceAnswer:
        details = await refresh_draft(
            conn, request.auth.organization_id, row_id(lago_id), now=edge.now()
        )
        return InvoiceAnswer(edge.invoice(details))

    return await edge.answer(request, do)


@delete(
    "/invoices/{lago_id:str}",
    status_code=200,
    opt=answers(InvoiceAnswer, refuses=[405]),
)
async def destroy(request: ApiRequest, edge: TheEdge, lago_id: FromPath[str]) -> Response[bytes]:
    """Delete a draft, and answer what it was."""

    async def do(conn: Conn) -> InvoiceAnswer:
        details = await delete_draft(
            conn, request.auth.organization_id, row_id(lago_id), now=edge.now()
        )
        return InvoiceAnswer(edge.invoice(details))

    return await edge.answer(request, do)


@post(
    "/invoices/{lago_id:str}/retry",
    status_code=200,
    opt=answers(InvoiceAnswer, refuses=[405]),
)
async def retry_taxes(
    request: ApiRequest, edge: TheEdge, lago_id: FromPath[str]
) -> Response[bytes]:
    """Refused: we work out taxes ourselves, so no invoice ever waits for somebody else's.

    Lago works failed ones out anew by it. To charge an invoice again is `retry_payment`.
    """

    async def look(conn: Conn) -> NoReturn:
        await find_invoice(conn, request.auth.organization_id, row_id(lago_id))
        raise Refused(not_allowed("invalid_status"))

    return await edge.read(request, look)


@post(
    "/invoices/preview",
    status_code=200,
    opt=answers(InvoiceAnswer, refuses=[403]),
)
async def preview(
    request: ApiRequest,
    data: JSONBody[PreviewBody | None] = None,  # noqa: ARG001  it describes what is sent
) -> Response[bytes]:
    """Refused: what Lago previews is a subscription's next invoice, and we have no subscriptions.

    A one-off invoice is seen before it is issued by making it a draft.
    """
    asked = sent(request.scope)
    if not isinstance(asked.get("customer"), dict):
        raise Refused(missing_root("customer"))
    # Null is what Lago's Python client sends of what it was not given.
    if not isinstance(asked.get("coupons"), list | None):
        raise Refused(Refusal(RefusalKind.MALFORMED, "coupons_must_be_an_array"))
    if not isinstance(asked.get("subscriptions"), dict | None):
        raise Refused(Refusal(RefusalKind.MALFORMED, "subscriptions_must_be_an_object"))
    raise Refused(Refusal(RefusalKind.FORBIDDEN, "feature_unavailable"))


routes = Router(
    "/",
    route_handlers=[finalize, refresh, destroy, retry_taxes, preview],
    tags=["invoices"],
    opt=needs("invoice"),
)

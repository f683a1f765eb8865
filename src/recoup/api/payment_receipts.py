"""`/payment_receipts` (contract section 3.12)."""

from __future__ import annotations

from typing import Final
from uuid import UUID

import msgspec
from litestar import Response, Router, get
from litestar.params import FromPath

from recoup.api.describe import PAGES, Query, answers
from recoup.api.edge import ApiRequest, TheEdge
from recoup.api.filters import dashed_id
from recoup.api.identifiers import row_id
from recoup.api.needs import needs
from recoup.api.paging import wanted_page
from recoup.flows.find_payment_receipts import find_payment_receipt
from recoup.rules.lago.pages import Meta, meta
from recoup.rules.lago.payment_receipts import PaymentReceiptObject
from recoup.store import payment_receipts
from recoup.store.db import Conn
from recoup.store.payment_receipts import ReceiptFilter

OF_INVOICE: Final = Query("invoice_id", "The receipts of what was paid of this invoice.", UUID)


class PaymentReceiptAnswer(msgspec.Struct):
    """`{"payment_receipt": {…}}` as we answer it."""

    payment_receipt: PaymentReceiptObject


class PaymentReceiptsAnswer(msgspec.Struct):
    """One page of receipts."""

    payment_receipts: list[PaymentReceiptObject]
    meta: Meta


@get(
    "/payment_receipts",
    opt=answers(PaymentReceiptsAnswer, refuses=[422], query=[*PAGES, OF_INVOICE]),
)
async def find_all(request: ApiRequest, edge: TheEdge) -> Response[bytes]:
    """List receipts, newest first."""
    page = wanted_page(request)
    wanted = ReceiptFilter(invoice_id=dashed_id(request, "invoice_id"))

    async def look(conn: Conn) -> PaymentReceiptsAnswer:
        found, total = await payment_receipts.page(conn, request.auth.organization_id, wanted, page)
        return PaymentReceiptsAnswer(
            [edge.payment_receipt(details) for details in found], meta(page, total)
        )

    return await edge.read(request, look)


@get("/payment_receipts/{lago_id:str}", opt=answers(PaymentReceiptAnswer))
async def find(request: ApiRequest, edge: TheEdge, lago_id: FromPath[str]) -> Response[bytes]:
    """Read one receipt."""

    async def look(conn: Conn) -> PaymentReceiptAnswer:
        details = await find_payment_receipt(conn, request.auth.organization_id, row_id(lago_id))
        return PaymentReceiptAnswer(edge.payment_receipt(details))

    return await edge.read(request, look)


routes = Router(
    "/", route_handlers=[find_all, find], tags=["payment receipts"], opt=needs("invoice")
)

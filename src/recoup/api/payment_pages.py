"""The provider's hosted pages: `payment_url` of an invoice, `checkout_url` of a customer.

Contract sections 3.7.11 and 3.3. Both call the provider while the caller waits.
"""

from __future__ import annotations

from urllib.parse import unquote
from uuid import UUID

import msgspec
from litestar import Response, Router, post
from litestar.params import FromPath

from recoup.api.describe import answers
from recoup.api.edge import ApiRequest, TheEdge
from recoup.api.identifiers import row_id
from recoup.api.needs import needs
from recoup.flows.open_payment_page import open_payment_page
from recoup.flows.open_set_up_page import open_set_up_page
from recoup.rules.lago.checkout_urls import CheckoutUrlObject, checkout_url_object


class PaymentUrlObject(msgspec.Struct, frozen=True):
    """Where the payer of an invoice goes to pay it."""

    lago_customer_id: UUID
    external_customer_id: str
    payment_provider: str | None
    lago_invoice_id: UUID
    payment_url: str


class PaymentUrlAnswer(msgspec.Struct, frozen=True):
    """`{"invoice_payment_details": {…}}` as we answer it."""

    invoice_payment_details: PaymentUrlObject


class CheckoutUrlAnswer(msgspec.Struct, frozen=True):
    """`{"customer": {…}}` as we answer it."""

    customer: CheckoutUrlObject


@post(
    "/invoices/{lago_id:str}/payment_url",
    status_code=200,
    opt=answers(PaymentUrlAnswer, refuses=[405, 422]),
)
async def payment_url(
    request: ApiRequest, edge: TheEdge, lago_id: FromPath[str]
) -> Response[bytes]:
    """Open the provider's payment page for an invoice, or answer the one that is open."""

    async def do() -> PaymentUrlAnswer:
        page = await open_payment_page(
            edge.pool,
            edge.providers,
            request.auth.organization_id,
            row_id(lago_id),
            new_id=edge.new_id,
            now=edge.now,
        )
        return PaymentUrlAnswer(
            PaymentUrlObject(
                lago_customer_id=page.debt.customer_id,
                external_customer_id=page.link.external_customer_id,
                payment_provider=page.link.payment_provider,
                lago_invoice_id=page.debt.id,
                payment_url=page.url,
            )
        )

    return await edge.answer_outside(request, do)


@post(
    "/customers/{external_id:str}/checkout_url",
    status_code=200,
    opt=answers(CheckoutUrlAnswer, refuses=[422]) | needs("customer"),
)
async def checkout_url(
    request: ApiRequest, edge: TheEdge, external_id: FromPath[str]
) -> Response[bytes]:
    """Open a page of the provider's where the customer leaves a payment method."""

    async def do() -> CheckoutUrlAnswer:
        page = await open_set_up_page(
            edge.pool,
            edge.providers,
            request.auth.organization_id,
            unquote(external_id),
            page_id=edge.new_id(),
            now=edge.now,
        )
        return CheckoutUrlAnswer(checkout_url_object(page.customer, page.url))

    return await edge.answer_outside(request, do)


routes = Router(
    "/",
    route_handlers=[payment_url, checkout_url],
    tags=["hosted pages"],
    opt=needs("invoice"),
)

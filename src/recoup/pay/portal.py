"""`/customer-portal/{token}`: a customer's own invoices, for people with a link and no key.

What would surprise you: the link is the key, so it is told to nobody: no referrer, no cache, no
log. To pay is a POST, so that whoever merely looks at a link (a mail filter, a preview) opens no
payment page; its answer leads on to the provider's page by a link of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import structlog
from litestar import Request, Response, Router, get, post
from litestar.params import FromPath

from recoup.flows.open_payment_page import open_payment_page
from recoup.flows.open_provider import Providers
from recoup.flows.portal_links import PortalLinks
from recoup.flows.show_portal import Portal, is_of_customer, show_portal
from recoup.pay import pages
from recoup.rules.payer_words import words_for
from recoup.rules.records.keys import RowKey
from recoup.rules.refusal import Refused
from recoup.store.db import DATABASE_AWAY, Pool
from recoup.store.secret_box import WrongSecretKeyError

log = structlog.get_logger()

HEADERS: Final = {
    "Content-Security-Policy": pages.POLICY,
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}
AnyRequest = Request[Any, Any, Any]


def make_routes(
    pool: Pool,
    providers: Providers,
    links: PortalLinks,
    *,
    new_id: Callable[[], UUID],
    now: Callable[[], datetime],
) -> Router:
    """Build the pages. `links` reads the tokens that it has made."""

    async def opened(token: str, *, page: int = 1) -> tuple[RowKey, Portal] | None:
        customer = links.read(token, now=now())
        portal = await show_portal(pool, customer, page=page) if customer else None
        return (customer, portal) if customer and portal else None

    @get("/customer-portal/{token:str}", include_in_schema=False)
    async def show(request: AnyRequest, token: FromPath[str]) -> Response[str]:
        """The customer's invoices, latest first."""
        found = await opened(token, page=_page(request.query_params.get("page")))
        if found is None:
            return _html(pages.link_is_old(words_for()), status=404)
        return _html(pages.invoices(found[1], token=token))

    @post(
        "/customer-portal/{token:str}/invoices/{invoice_id:uuid}/pay",
        status_code=200,
        include_in_schema=False,
    )
    async def pay(token: FromPath[str], invoice_id: FromPath[UUID]) -> Response[str]:
        """Open the provider's page for an invoice, or the one that is open, and lead there."""
        found = await opened(token)
        if found is None:
            return _html(pages.link_is_old(words_for()), status=404)
        customer, portal = found
        if not await is_of_customer(pool, customer, invoice_id):
            return _html(pages.cannot_pay(portal.words, token=token), status=404)
        try:
            page = await open_payment_page(
                pool, providers, customer.organization_id, invoice_id, new_id=new_id, now=now
            )
        except Refused:
            return _html(pages.cannot_pay(portal.words, token=token), status=409)
        return _html(pages.go_on(portal.words, url=page.url, token=token))

    # Each that the API has a handler for is named: the nearest class wins, not the nearest router.
    return Router(
        "/",
        route_handlers=[show, pay],
        exception_handlers={Exception: _failed, WrongSecretKeyError: _failed},
    )


def _failed(_request: AnyRequest, error: Exception) -> Response[str]:
    """The database is away, a key is wrong, or a bug of ours. The path opens the page: no log."""
    away = isinstance(error, (*DATABASE_AWAY, WrongSecretKeyError))
    log.error(
        "portal_failed", error=type(error).__name__, away=away, exc_info=None if away else error
    )
    return _html(pages.failed(words_for()), status=503 if away else 500)


def _html(text: str, *, status: int = 200) -> Response[str]:
    return Response(text, status_code=status, media_type="text/html", headers=HEADERS)


def _page(said: str | None) -> int:
    digits = (said or "").lstrip("0")
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 8 else 1

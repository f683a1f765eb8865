"""The pages that a payer opens in a browser, over HTTP."""

from collections.abc import Callable
from datetime import datetime
from urllib.parse import parse_qs

from aiohttp import web

from recoup.sandbox import hosted_page, set_up_page
from recoup.sandbox.acquirer import Acquirer
from recoup.sandbox.bank_sheet import SECURITY_HEADERS
from recoup.sandbox.charge_book import Entry
from recoup.sandbox.charges import Status
from recoup.sandbox.set_ups import SetUps
from recoup.sandbox.tokens import AUTHENTICATION_FAILED, ON_A_PAGE


class PayerPages:
    """What a payer sees and clicks."""

    def __init__(self, acquirer: Acquirer, set_ups: SetUps, *, now: Callable[[], datetime]) -> None:
        self._acquirer = acquirer
        self._set_ups = set_ups
        self._now = now

    def routes(self) -> list[web.RouteDef]:
        """List the routes."""
        return [
            web.get("/pay/{id}", self.show_page),
            web.post("/pay/{id}/approve", self.approve),
            web.post("/pay/{id}/decline", self.decline),
            web.get("/set_up/{id}", self.show_set_up_page),
            web.post("/set_up/{id}", self.leave_method),
        ]

    async def show_page(self, request: web.Request) -> web.Response:
        """`GET /pay/{id}`: the payer's page."""
        entry = self._acquirer.find(request.match_info["id"])
        text = hosted_page.render(entry.charge) if entry else hosted_page.render_not_found()
        return web.Response(
            text=text,
            status=200 if entry else 404,
            content_type="text/html",
            headers=SECURITY_HEADERS,
        )

    async def approve(self, request: web.Request) -> web.Response:
        """`POST /pay/{id}/approve`: the payer's yes. Then the page says how it stands."""
        if entry := self._waiting_for_payer(request):
            self._acquirer.approve(entry)
        raise web.HTTPSeeOther(f"/pay/{request.match_info['id']}")

    async def decline(self, request: web.Request) -> web.Response:
        """`POST /pay/{id}/decline`: the payer's no. Then the page says how it stands."""
        entry = self._waiting_for_payer(request)
        if entry and entry.charge.payment_method != ON_A_PAGE:  # there they may try again
            self._acquirer.fail(entry, AUTHENTICATION_FAILED)
        raise web.HTTPSeeOther(f"/pay/{request.match_info['id']}")

    async def show_set_up_page(self, request: web.Request) -> web.Response:
        """`GET /set_up/{id}`: the page on which a customer leaves a method."""
        page = self._set_ups.find(request.match_info["id"])
        return web.Response(
            text=(
                set_up_page.render(page, now=self._now())
                if page
                else set_up_page.render_not_found()
            ),
            status=200 if page else 404,
            content_type="text/html",
            headers=set_up_page.HEADERS,
        )

    async def leave_method(self, request: web.Request) -> web.Response:
        """`POST /set_up/{id}`: the customer's choice. Then they go on to the shop.

        What cannot be done leads back to the page, which says why.
        """
        page_id, form = request.match_info["id"], parse_qs((await request.read()).decode("latin-1"))
        [method_id] = form.get("payment_method", [])[:1] or [""]
        if used := self._set_ups.leave(page_id, method_id):
            raise web.HTTPSeeOther(used.success_redirect_url)
        raise web.HTTPSeeOther(f"/set_up/{page_id}")

    def _waiting_for_payer(self, request: web.Request) -> Entry | None:
        entry = self._acquirer.find(request.match_info["id"])
        if entry is None or entry.charge.status is not Status.REQUIRES_ACTION:
            return None  # the second click changes nothing
        return entry

"""The pages that a payer opens in a browser, over HTTP."""

from aiohttp import web

from recoup.sandbox import hosted_page
from recoup.sandbox.acquirer import Acquirer
from recoup.sandbox.charge_book import Entry
from recoup.sandbox.charges import Status
from recoup.sandbox.tokens import AUTHENTICATION_FAILED, ON_A_PAGE


class PayerPages:
    """What a payer sees and clicks."""

    def __init__(self, acquirer: Acquirer) -> None:
        self._acquirer = acquirer

    def routes(self) -> list[web.RouteDef]:
        """List the routes."""
        return [
            web.get("/pay/{id}", self.show_page),
            web.post("/pay/{id}/approve", self.approve),
            web.post("/pay/{id}/decline", self.decline),
        ]

    async def show_page(self, request: web.Request) -> web.Response:
        """`GET /pay/{id}`: the payer's page."""
        entry = self._acquirer.find(request.match_info["id"])
        text = hosted_page.render(entry.charge) if entry else hosted_page.render_not_found()
        return web.Response(
            text=text,
            status=200 if entry else 404,
            content_type="text/html",
            headers=hosted_page.SECURITY_HEADERS,
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

    def _waiting_for_payer(self, request: web.Request) -> Entry | None:
        entry = self._acquirer.find(request.match_info["id"])
        if entry is None or entry.charge.status is not Status.REQUIRES_ACTION:
            return None  # the second click changes nothing
        return entry

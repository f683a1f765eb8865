"""What an account keeps beside its charges, over HTTP: methods, and where its events go.

Every test method can be charged for every customer, left or not: a test needs no page.
"""

from typing import Annotated, Final

import msgspec
from aiohttp import web

from recoup.sandbox.answers import Answer, invalid_request, json_answer
from recoup.sandbox.bodies import read_body
from recoup.sandbox.books import Books
from recoup.sandbox.calls import account_of_call, key_of_call
from recoup.sandbox.set_ups import SetUps
from recoup.sandbox.tokens import TOKENS
from recoup.sandbox.trouble import Think, Trouble, plain

METHOD_NOT_FOUND: Final = invalid_request(
    "payment_method_unknown", "There is no such payment method.", status=404
)


class EndpointBody(msgspec.Struct, frozen=True):
    """The body of `POST /v1/webhook_endpoints`."""

    url: Annotated[str, msgspec.Meta(pattern=r"\Ahttps?://[^\s]+\Z", max_length=2048)]
    secret: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


class AccountApi:
    """What an account asks for about its customers' methods and its own endpoints."""

    def __init__(self, set_ups: SetUps, books: Books, *, public_url: str | None) -> None:
        self._set_ups = set_ups
        self._books = books
        self._public_url = public_url

    def routes(self, trouble: Trouble) -> list[web.RouteDef]:
        """List the routes, with trouble around those that Recoup asks in earnest."""
        return [
            web.get("/v1/payment_methods/{id}", trouble.around(self.show_method)),
            web.get("/v1/customers/{id}/payment_methods", trouble.around(self.list_methods)),
            web.post("/v1/set_up_pages", trouble.around(self.open_set_up_page)),
            web.post("/v1/webhook_endpoints", self.save_endpoint),
            web.get("/v1/webhook_endpoints", self.list_endpoints),
        ]

    async def show_method(self, request: web.Request, think: Think) -> Answer:
        """`GET /v1/payment_methods/{id}`: every test method is every customer's."""
        account_of_call(request)
        await think()
        method = request.match_info["id"]
        if method not in TOKENS:
            return METHOD_NOT_FOUND
        return json_answer(
            {"payment_method": {"id": method, "customer": request.query.get("customer", "")}}
        )

    async def list_methods(self, request: web.Request, think: Think) -> Answer:
        """`GET /v1/customers/{id}/payment_methods`: what they have left, the default first."""
        account = account_of_call(request)
        await think()
        return json_answer(
            {"payment_methods": self._set_ups.methods(account, request.match_info["id"])}
        )

    async def open_set_up_page(self, request: web.Request, think: Think) -> Answer:
        """`POST /v1/set_up_pages`: a page where a customer leaves a method, one for each key."""
        account, key = account_of_call(request), key_of_call(request)
        body = await request.read()
        await think()
        base = self._public_url or str(request.url.origin())
        return self._set_ups.open(account, key, body, page_url=f"{base}/set_up/{{}}".format)

    async def save_endpoint(self, request: web.Request) -> web.Response:
        """`POST /v1/webhook_endpoints`: say where this account wants its events."""
        account = account_of_call(request)
        body = read_body(await request.read(), EndpointBody)
        self._books.events.save_endpoint(account, body.url, body.secret)
        return plain(json_answer({"webhook_endpoint": {"url": body.url}}))

    async def list_endpoints(self, request: web.Request) -> web.Response:
        """`GET /v1/webhook_endpoints`: where this account's events go. Secrets stay here."""
        endpoints = self._books.events.endpoints(account_of_call(request))
        listed = [{"url": endpoint.url} for endpoint in endpoints]
        return plain(json_answer({"webhook_endpoints": listed}))

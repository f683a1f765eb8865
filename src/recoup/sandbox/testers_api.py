"""What testers read and turn, over HTTP: the whole books, the faults, and whether it answers."""

from random import Random
from typing import Final

import msgspec
from aiohttp import web

from recoup.sandbox.acquirer import Acquirer
from recoup.sandbox.answers import invalid_request, json_answer
from recoup.sandbox.bodies import read_body
from recoup.sandbox.charges import Charge
from recoup.sandbox.faults import Faults, FaultsError
from recoup.sandbox.refunds import Refunds
from recoup.sandbox.trouble import plain

LISTED: Final = (
    *("id", "amount", "currency", "status", "idempotency_key", "payment_method"),
    *("customer", "metadata", "created_at"),
)


class FaultsBody(msgspec.Struct, frozen=True):
    """The body of `POST /_faults`; without a seed, chance goes on as it was."""

    faults: str
    seed: int | None = None


class TestersApi:
    """What no provider offers. It asks for no key."""

    def __init__(
        self, acquirer: Acquirer, refunds: Refunds, *, faults: Faults, rng: Random
    ) -> None:
        self._acquirer = acquirer
        self._refunds = refunds
        self._faults = faults
        self._rng = rng

    def routes(self) -> list[web.RouteDef]:
        """List the routes."""
        return [
            web.get("/charges", self.list_books),
            web.get("/refunds", self.list_refunds),
            web.post("/_faults", self.change_faults),
            web.get("/_faults", self.show_faults),
            web.get("/health", self.health),
        ]

    async def list_books(self, _request: web.Request) -> web.Response:
        """`GET /charges`: the whole books, for whoever compares them with their own."""
        listed = [_listed(charge) for charge in self._acquirer.charges()]
        return plain(json_answer({"charges": listed}))

    async def list_refunds(self, _request: web.Request) -> web.Response:
        """`GET /refunds`: the whole books, for whoever compares them with their own."""
        return plain(json_answer({"refunds": self._refunds.all()}))

    async def change_faults(self, request: web.Request) -> web.Response:
        """`POST /_faults`: other chances from now on, and other luck if a seed is given."""
        body = read_body(await request.read(), FaultsBody)
        try:
            self._faults.change(body.faults)
        except FaultsError as error:
            return plain(invalid_request("parameter_invalid", str(error)))
        if body.seed is not None:
            self._rng.seed(body.seed)
        return await self.show_faults(request)

    async def show_faults(self, _request: web.Request) -> web.Response:
        """`GET /_faults`: the chances, and how often each fault has struck since the start."""
        return plain(json_answer({"faults": self._faults.chances, "done": self._faults.done}))

    async def health(self, _request: web.Request) -> web.Response:
        """`GET /health`: whether the sandbox answers."""
        return plain(json_answer({"status": "ok"}))


def _listed(charge: Charge) -> dict[str, object]:
    return {name: getattr(charge, name) for name in LISTED}

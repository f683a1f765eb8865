"""A caller of the served API who keeps every answer, to be held against the contract."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any
from urllib.parse import quote

import httpx
import msgspec

from demo.receiver import Receiver, Webhook
from tests.contract.contract import Contract
from tests.served import Organization, Served

Json = dict[str, Any]


class Exchange(msgspec.Struct, frozen=True):
    """One answer: of which operation, and what it said."""

    operation: str
    status: int
    body: Any  # None: it was empty
    text: str


class World:
    """An organization of its own, on the processes that all tests share."""

    def __init__(
        self,
        served: Served,
        organization: Organization,
        client: httpx.AsyncClient,
        receiver: Receiver,
        contract: Contract,
    ) -> None:
        self.served = served
        self.organization = organization
        self.receiver = receiver
        self.contract = contract
        self.exchanges: list[Exchange] = []
        self._client = client
        self._numbers = count(1)
        self._made: dict[str, asyncio.Future[Any]] = {}

    def name(self, what: str) -> str:
        """A name that nothing else has."""
        return f"{what}-{next(self._numbers)}"

    async def ask(
        self,
        operation: str,
        body: Any = None,
        *,
        query: Json | None = None,
        api_key: str | None = "",
        content: bytes | None = None,
        **names: str,
    ) -> Exchange:
        """Call an operation, as the contract names it, and keep the answer.

        :param api_key: another API key than the organization's; None: no key at all.
        :param content: a body that is not JSON.
        :param names: what stands in the path.
        """
        method, path = operation.split(" ")
        filled = path.format(**{name: quote(said, safe="") for name, said in names.items()})
        shown = self.organization.api_key if api_key == "" else api_key
        answer = await self._client.request(
            method,
            f"/api/v1{filled}",
            json=body,
            content=content,
            params=query,
            headers={"Authorization": f"Bearer {shown}"} if shown else {},
        )
        is_json = answer.headers.get("content-type", "").startswith("application/json")
        said = answer.json() if is_json and answer.content else (answer.text or None)
        exchange = Exchange(operation, answer.status_code, said, answer.text)
        self.exchanges.append(exchange)
        return exchange

    async def do(self, operation: str, body: Any = None, **names: Any) -> Any:
        """Call an operation that must do what it is asked, and answer the thing that it shows."""
        exchange = await self.ask(operation, body, **names)
        assert exchange.status == 200, f"{operation}: {exchange.status} {exchange.text}"
        if isinstance(exchange.body, dict) and "meta" not in exchange.body:
            (thing,) = exchange.body.values()
            return thing
        return exchange.body

    async def get(self, make: Callable[[World], Awaitable[Any]]) -> Any:
        """The thing that this makes: made once, and shared by whoever wants it."""
        name = f"{make.__module__}.{make.__qualname__}"
        if name not in self._made:
            self._made[name] = asyncio.ensure_future(make(self))
        return await self._made[name]

    async def told(self, kind: str, about: Callable[[Json], bool] = lambda _: True) -> Webhook:
        """The first event of this kind and about this thing that was really delivered."""
        return await asyncio.to_thread(self.receiver.wait_for, kind, about)

    def answers_of(self, operation: str) -> list[Exchange]:
        """Every answer of an operation so far."""
        return [one for one in self.exchanges if one.operation == operation]

"""A tenant with endpoints, and real receivers, kind and unkind: for tests of webhooks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_network
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
from cryptography.hazmat.primitives.asymmetric import rsa

from recoup import clock
from recoup.flows.create_organization import NewOrganization, create_organization
from recoup.flows.deliver_webhook import (
    EndpointsInFlight,
    Result,
    WebhookSigner,
    deliver_webhook,
)
from recoup.flows.tell import News, tell
from recoup.rules.records.keys import RowKey
from recoup.senders.webhook_headers import JwtSigner
from recoup.senders.webhooks import (
    WebhookSender,
)
from recoup.store import db, webhook_deliveries
from recoup.store.db import Pool
from recoup.store.secret_box import SecretBox

BOX = SecretBox.from_text(SecretBox.new_key())
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SIGNER = WebhookSigner(BOX, JwtSigner(RSA_KEY, issuer="https://recoup.test"))
LOOPBACK = [ip_network("127.0.0.0/8")]


class Got(msgspec.Struct, frozen=True):
    """A request as a receiver has it, headers by lower-case name."""

    path: str
    headers: dict[str, str]
    body: bytes


class Receivers:
    """Any number of receivers on one port, told apart by path, each with manners of its own.

    They are bytes that are answered, or a coroutine that does as it likes with the connection.
    """

    def __init__(self) -> None:
        self.manners: dict[str, bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]] = {}
        self.got: list[Got] = []
        self.port = 0
        self.release = asyncio.Event()  # those that hang hang until then
        self._serving: set[asyncio.Task[None]] = set()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def at(self, path: str) -> list[Got]:
        return [got for got in self.got if got.path == path]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            request, *lines = head.strip().splitlines()
            pairs = (line.partition(": ") for line in lines)
            headers = {name.lower(): value for name, _, value in pairs}
            body = await reader.readexactly(int(headers["content-length"]))
            path = request.split()[1]
            self.got.append(Got(path, headers, body))
            manner = self.manners[path]
            if isinstance(manner, bytes):
                writer.write(manner)
                await writer.drain()
            else:
                await manner(writer)
        writer.close()

    async def served(self) -> None:
        self.release.set()
        async with asyncio.timeout(5):
            while self._serving:
                await asyncio.wait(self._serving)

    async def hang(self, writer: asyncio.StreamWriter) -> None:
        await self.release.wait()

    async def take_long(self, writer: asyncio.StreamWriter) -> None:
        await self.release.wait()
        writer.write(status(200))

    async def begin_and_hang(self, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 2")
        await writer.drain()
        await self.release.wait()

    async def drip(self, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not self.release.is_set():
            writer.write(b"z")
            await writer.drain()
            with suppress(TimeoutError):
                async with asyncio.timeout(0.05):
                    await self.release.wait()

    async def reset(self, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async def pour(self, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        for _ in range(1_000):
            writer.write(b"x" * 100_000)
            await writer.drain()


def status(code: int, *headers: str) -> bytes:
    head = [f"HTTP/1.1 {code} So", "Content-Length: 0", *headers]
    return ("\r\n".join(head) + "\r\n\r\n").encode()


class World:
    """One tenant with endpoints, the worker's part of a process, and a clock that stands."""

    def __init__(
        self, pool: Pool, scout: Pool, owner: asyncpg.Connection, sender: WebhookSender
    ) -> None:
        self.pool = pool
        self.scout = scout
        self.owner = owner
        self.sender = sender
        self.busy = EndpointsInFlight()
        self.now = clock.now().replace(microsecond=0)
        self.organization_id = clock.new_id()
        self.hmac_key = clock.new_secret("")

    async def settle_in(self) -> None:
        asked = NewOrganization(
            "Acme Ltd", self.organization_id, clock.new_id(), clock.new_id(),
            clock.new_secret("recoup_"), self.hmac_key,
        )  # fmt: skip
        await create_organization(self.pool, asked, box=BOX, now=self.now)

    async def add_endpoint(
        self, url: str, *, algo: str = "jwt", event_types: Sequence[str] | None = None
    ) -> UUID:
        endpoint_id = clock.new_id()
        await self.owner.execute(
            "INSERT INTO webhook_endpoints (organization_id, id, webhook_url, signature_algo,"
            " event_types, created_at) VALUES ($1, $2, $3, $4, $5, $6)",
            self.organization_id, endpoint_id, url, algo, event_types, self.now,
        )  # fmt: skip
        return endpoint_id

    async def tell(self, *kinds: str) -> list[RowKey]:
        """Tell one event of each kind, and answer what is due then."""
        news = [
            News(
                self.organization_id, kind, "payment", {"note": "12 € <&>", "kind": kind},
                object_id=clock.new_id(), cause=clock.new_id(),
            )
            for kind in kinds
        ]  # fmt: skip
        async with db.transaction(self.pool, tenants=[self.organization_id]) as conn:
            await tell(conn, news, now=self.now)
        return await self.due()

    async def due(self) -> list[RowKey]:
        async with db.nameless(self.scout) as conn:
            return await webhook_deliveries.due(conn, now=self.now, most=1_000)

    async def deliver(self, key: RowKey, **instead: Any) -> Result:
        helpers = {"sender": self.sender, "signer": SIGNER, "busy": self.busy, **instead}
        return await deliver_webhook(
            helpers.pop("pool", self.pool), key, jitter=0.5, now=lambda: self.now, **helpers
        )

    async def deliver_all(self, keys: Iterable[RowKey]) -> list[Result]:
        return list(await asyncio.gather(*map(self.deliver, keys)))

    async def row(self, key: RowKey) -> asyncpg.Record:
        return await self.owner.fetchrow("SELECT * FROM webhook_deliveries WHERE id = $1", key.id)


@asynccontextmanager
async def some_receivers() -> AsyncIterator[Receivers]:
    """Receivers on a free port, with a kind one at `/good`."""
    opened = Receivers()
    opened.manners["/good"] = status(200)
    server = await asyncio.start_server(opened.serve, "127.0.0.1", 0)
    opened.port = server.sockets[0].getsockname()[1]
    async with server:
        yield opened
        await opened.served()


@asynccontextmanager
async def a_world(pool: Pool, scout: Pool, owner: asyncpg.Connection) -> AsyncIterator[World]:
    """A tenant that has settled in, and a sender that may call this machine."""
    async with WebhookSender(allowed=LOOPBACK, deadline_seconds=120) as sender:
        made = World(pool, scout, owner, sender)
        await made.settle_in()
        yield made

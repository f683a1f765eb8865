"""A caller of the API: the whole application, in process, on a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import aiohttp
import httpx
import msgspec
import pytest_asyncio

from recoup import clock
from recoup.api.app import make_app
from recoup.api.edge import Edge
from recoup.flows.create_organization import NewOrganization, create_organization
from recoup.flows.open_provider import Providers
from recoup.store.db import Pool
from recoup.store.secret_box import SecretBox

BOX = SecretBox.from_text(SecretBox.new_key())


class Tenant(msgspec.Struct, frozen=True):
    """An organization and a client that speaks for it."""

    organization_id: UUID
    api_key: str
    client: httpx.AsyncClient

    async def post(self, path: str, body: Any = None, **headers: str) -> httpx.Response:
        return await self.client.post(f"/api/v1{path}", json=body, headers=headers)

    async def get(self, path: str, **query: Any) -> httpx.Response:
        return await self.client.get(f"/api/v1{path}", params=query)

    async def put(self, path: str, body: Any = None) -> httpx.Response:
        return await self.client.put(f"/api/v1{path}", json=body)

    async def delete(self, path: str) -> httpx.Response:
        return await self.client.delete(f"/api/v1{path}")


@pytest_asyncio.fixture
async def app(pool: Pool, scout: Pool) -> AsyncIterator[Any]:
    """The application on this test's database. No provider answers: nothing is sent from here."""
    async with aiohttp.ClientSession() as http:
        providers = Providers(http, BOX, sandbox_base="http://127.0.0.1:9")
        edge = Edge(
            pool, scout=scout, providers=providers, now=clock.now, new_id=clock.new_id,
            public_url="https://recoup.test",
        )  # fmt: skip
        yield make_app(edge, servers=["http://recoup.test"])


async def new_tenant(pool: Pool, app: Any, name: str = "Acme Ltd") -> Tenant:
    """Create an organization, and a client with its key."""
    asked = NewOrganization(
        name, clock.new_id(), clock.new_id(), clock.new_id(),
        clock.new_secret("recoup_"), clock.new_secret(""),
    )  # fmt: skip
    await create_organization(pool, asked, box=BOX, now=clock.now())
    client = httpx.AsyncClient(
        transport=httpx.ASGITransport(app),
        base_url="http://recoup.test",
        headers={"Authorization": f"Bearer {asked.api_key}"},
    )
    return Tenant(asked.organization_id, asked.api_key, client)


@pytest_asyncio.fixture
async def tenant(pool: Pool, app: Any) -> AsyncIterator[Tenant]:
    made = await new_tenant(pool, app)
    yield made
    await made.client.aclose()


@pytest_asyncio.fixture
async def other_tenant(pool: Pool, app: Any) -> AsyncIterator[Tenant]:
    made = await new_tenant(pool, app, "Other GmbH")
    yield made
    await made.client.aclose()


@pytest_asyncio.fixture
async def visitor(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody without a key."""
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://recoup.test") as client:
        yield client

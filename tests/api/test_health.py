"""What a balancer and an orchestrator ask of a process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import httpx
import pytest_asyncio

from recoup import __version__, clock
from recoup.api.app import make_app
from recoup.api.edge import Edge
from recoup.flows.open_provider import Providers
from recoup.store import db
from recoup.store.db import Pool
from tests.api.conftest import BOX


def visitor_of(app: Any) -> httpx.AsyncClient:
    """Somebody without a key."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://recoup.test")


@pytest_asyncio.fixture
async def edge(pool: Pool, scout: Pool) -> AsyncIterator[Edge]:
    async with aiohttp.ClientSession() as http:
        providers = Providers(http, BOX, sandbox_base="http://127.0.0.1:9")
        yield Edge(pool, scout=scout, providers=providers, now=clock.now, new_id=clock.new_id)


async def test_a_process_whose_database_answers_is_healthy(edge: Edge) -> None:
    async with visitor_of(make_app(edge, servers=[])) as visitor:
        answer = await visitor.get("/health")
    assert answer.status_code == 200
    assert answer.json() == {"version": __version__, "github_url": "", "message": "Success"}


async def test_a_database_that_refuses_or_hangs_makes_it_unhealthy(edge: Edge) -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()  # until the other side gives up
        writer.close()

    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    for dsn in [
        f"postgresql://u@127.0.0.1:{port}/d?sslmode=disable",
        "postgresql://u@127.0.0.1:9/d?sslmode=disable",
        "postgresql:///d?host=/nowhere&user=u",
    ]:
        edge.scout = await db.connect(dsn, least=0)
        async with visitor_of(make_app(edge, servers=[])) as visitor:
            answer = await visitor.get("/health")
        assert answer.status_code == 500
        assert answer.json() == {
            "version": __version__, "github_url": "", "message": "Unhealthy",
            "details": "The database does not answer within 2 seconds.",
        }  # fmt: skip
        edge.scout.terminate()
    silent.close()
    await silent.wait_closed()


async def test_a_process_that_stops_says_so_first(edge: Edge) -> None:
    async with visitor_of(make_app(edge, servers=[])) as visitor:
        ready = await visitor.get("/ready")
        assert (ready.status_code, ready.json()) == (200, {"status": "ok"})
        edge.stopping = True
        leaving = await visitor.get("/ready")
        assert (leaving.status_code, leaving.json()) == (503, {"status": "shutting down"})
        assert (await visitor.get("/health")).status_code == 200

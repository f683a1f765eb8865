"""A provider account that hangs leaves slots for the others: real HTTP, a real worker and queue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import asyncpg
from aiohttp import web

from recoup.flows.calls_under_way import PER_FREE_SLOT
from recoup.flows.open_provider import Providers
from recoup.store.db import Pool
from tests.conftest import eventually
from tests.flows.test_provider_pace import ready
from tests.shop import BOX, SandboxServer, Shop
from tests.workers.test_worker import psp, working

__all__ = ["psp"]

SLOTS = 20
MOST = SLOTS * PER_FREE_SLOT // (PER_FREE_SLOT + 1)


class Front:
    """Stands before the sandbox: answers nobody of some accounts, and hands on what others ask."""

    def __init__(self, sandbox: str) -> None:
        self.base = ""
        self.hanging = 0
        self.most_hanging = 0
        self.mended = asyncio.Event()
        self.hung_keys: set[str] = set()
        self._sandbox = sandbox

    async def answer(self, request: web.Request) -> web.Response:
        if request.headers["Authorization"] in self.hung_keys and not self.mended.is_set():
            self.hanging += 1
            self.most_hanging = max(self.most_hanging, self.hanging)
            try:
                await self.mended.wait()
            finally:
                self.hanging -= 1
        async with (
            aiohttp.ClientSession() as http,
            http.request(
                request.method,
                self._sandbox + request.path_qs,
                data=await request.read(),
                headers=request.headers,
            ) as answer,
        ):
            return web.Response(
                body=await answer.read(), status=answer.status, content_type=answer.content_type
            )


@asynccontextmanager
async def front_of(psp: SandboxServer) -> AsyncIterator[Front]:
    front = Front(psp.base)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", front.answer)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    front.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield front
    finally:
        front.mended.set()
        await runner.cleanup()


async def test_an_account_that_hangs_leaves_room_for_another(
    pool: Pool, owner: asyncpg.Connection, scout: Pool, dsn: str, psp: SandboxServer
) -> None:
    async with front_of(psp) as front, aiohttp.ClientSession() as http:
        providers = Providers(http, BOX, sandbox_base=front.base, slots=SLOTS)
        slow = await Shop(pool, owner, providers, psp.clock).open()
        front.hung_keys.add(f"Bearer {slow.api_key}")
        await ready(slow, 3 * SLOTS)
        async with working(slow, scout, dsn, money_jobs_at_once=SLOTS):

            async def is_full() -> bool:
                return front.hanging >= MOST

            await eventually(is_full, what="the account to hang in all the slots that it may have")
            other = await Shop(pool, owner, providers, psp.clock).open()
            keys = await ready(other, 10)

            async def are_paid() -> bool:
                return {await other.state(key) for key in keys} == {"succeeded"}

            await eventually(are_paid, what="the other account's attempts to be paid")
            assert front.most_hanging == MOST
            front.mended.set()

"""A balancer as operators have one: asks each process whether it is ready, and never asks twice.

What a process does not answer is answered 502, and noted: nothing is tried again behind the back of
whoever called, so whatever goes wrong is seen.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

ASKS_EVERY_SECONDS = 0.1
FOR_ONE_HOP = {"connection", "host", "transfer-encoding", "keep-alive", "content-length"}


class Balancer:
    """Passes calls on to the processes that are ready, in turn."""

    def __init__(self) -> None:
        self.url = ""
        self.answered: Counter[int] = Counter()  # by status
        self.failed: list[str] = []  # no answer, or one that blames us
        self.webhooks: list[tuple[str, bytes, int]] = []  # signature, body, and our status
        self._ready: list[str] = []
        self._turn = count()
        self._http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        self._asking: dict[str, asyncio.Task[None]] = {}

    @classmethod
    @asynccontextmanager
    async def open(cls) -> AsyncIterator[Balancer]:
        """Listen on a free port of the loopback."""
        balancer = cls()
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", balancer.pass_on)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            balancer.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield balancer
        finally:
            for asking in balancer._asking.values():
                asking.cancel()
            await runner.cleanup()
            await balancer._http.close()

    def add(self, process: str) -> None:
        """Ask this process from now on, until it is away."""
        self._ready.append(process)
        self._asking[process] = asyncio.create_task(self._keep_asking(process))

    async def _keep_asking(self, process: str) -> None:
        while process in self._ready:
            await asyncio.sleep(ASKS_EVERY_SECONDS)
            try:
                async with self._http.get(f"{process}/ready") as answer:
                    is_ready = answer.status == 200
            except aiohttp.ClientError:
                is_ready = False
            if not is_ready:
                self._ready.remove(process)

    async def pass_on(self, request: web.Request) -> web.Response:
        """Pass one call on, once."""
        process = self._ready[next(self._turn) % len(self._ready)]
        sent = await request.read()
        try:
            async with self._http.request(
                request.method,
                f"{process}{request.raw_path}",
                headers=_without_hop(request.headers),
                data=sent,
            ) as answer:
                said, status = await answer.read(), answer.status
                headers = _without_hop(answer.headers)
        except aiohttp.ClientError as error:
            said, status, headers = type(error).__name__.encode(), 502, CIMultiDict()
        self.answered[status] += 1
        if status >= 500 or status == 401:
            self.failed.append(f"{status} to {request.method} {request.path}: {said.decode()}")
        if request.path.startswith("/webhooks/"):
            signature = request.headers.get("Sandbox-Signature", "")
            self.webhooks.append((signature, sent, status))
        return web.Response(status=status, body=said, headers=headers)


def _without_hop(headers: CIMultiDict[str]) -> CIMultiDict[str]:
    kept = ((name, said) for name, said in headers.items() if name.lower() not in FOR_ONE_HOP)
    return CIMultiDict(kept)

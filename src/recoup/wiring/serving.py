"""Run the API, the worker, or both, on what was opened."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import Final

import aiohttp

from recoup.flows.open_provider import Providers
from recoup.settings import Settings
from recoup.wiring.beating import beat, keep_beating, marker_of
from recoup.wiring.document_keeping import open_storage
from recoup.wiring.http_server import listen, outside_address, run_api, without_slash
from recoup.wiring.opening import opened
from recoup.wiring.working import run_worker

API_CONNECTIONS: Final = 8


async def serve(
    settings: Settings,
    *,
    host: str,
    port: int,
    with_api: bool = True,
    with_worker: bool = True,
    say: Callable[[str], None],
) -> None:
    """Run the API, the worker, or both, until SIGTERM or SIGINT; `say` tells when it is ready."""
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    listener = listen(host, port) if with_api else None
    try:
        async with opened(settings, connections=API_CONNECTIONS) as base:
            marker = marker_of(settings, base)
            await beat(settings, base, marker)  # before anything is sent
            address = outside_address(settings, host, listener)
            storage = await open_storage(settings)
            async with aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar()
            ) as http:
                providers = Providers(
                    http,
                    base.box,
                    sandbox_base=str(settings.sandbox_api_base),
                    stripe_base=without_slash(settings.stripe_api_base),
                    adyen_base=without_slash(settings.adyen_api_base),
                    gocardless_base=without_slash(settings.gocardless_api_base),
                )
                try:
                    async with asyncio.TaskGroup() as tasks:
                        tasks.create_task(keep_beating(settings, base, marker, stop))
                        if listener:
                            tasks.create_task(
                                run_api(
                                    settings,
                                    base,
                                    providers,
                                    storage,
                                    listener,
                                    address,
                                    stop,
                                    say,
                                )
                            )
                        if with_worker:
                            tasks.create_task(
                                run_worker(
                                    settings,
                                    base,
                                    providers,
                                    storage,
                                    address,
                                    stop,
                                    is_reached=bool(listener or settings.public_url),
                                )
                            )
                        if not with_api:
                            say("ready: working")
                finally:
                    await providers.close()
    finally:
        if listener:
            listener.close()

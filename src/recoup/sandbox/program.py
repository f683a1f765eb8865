"""Put the sandbox together, and run it until somebody ends it."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Final

from aiohttp import web

from recoup.sandbox.acquirer import Acquirer
from recoup.sandbox.api import errors_in_json, routes
from recoup.sandbox.books import Books
from recoup.sandbox.clock import utc_now
from recoup.sandbox.errands import Bell, Errands
from recoup.sandbox.faults import Faults
from recoup.sandbox.refunds import Refunds
from recoup.sandbox.set_ups import SetUps
from recoup.sandbox.trouble import Sleep, Trouble

HANG_SECONDS: Final = 30.0  # callers are expected to give up well before
SENDS_AT_ONCE: Final = 16
GRACE_SECONDS: Final = 1.0
ERRANDS: Final = web.AppKey("errands", Errands)


def make_app(
    books: Books,
    *,
    faults: Faults,
    rng: Random,
    now: Callable[[], datetime],
    sleep: Sleep = asyncio.sleep,
    hang_seconds: float = HANG_SECONDS,
    public_url: str | None = None,
    sends_at_once: int = SENDS_AT_ONCE,
    runs_errands: bool = True,
) -> web.Application:
    """Make the sandbox's application; whoever made the books closes them afterwards.

    `now` answers aware datetimes. `sleep` is how slow and hanging calls spend their seconds.
    `public_url` is where payers find the hosted page, by default where the caller found us.
    A simulation switches `runs_errands` off and awaits `app[ERRANDS].run_due()` itself, with
    `sends_at_once=1` if events shall arrive in order.
    """
    bell = Bell()
    acquirer = Acquirer(books, faults=faults, rng=rng, now=now, news=bell.ring)
    trouble = Trouble(faults, rng, sleep=sleep, hang_seconds=hang_seconds)
    refunds = Refunds(acquirer, books, now=now, news=bell.ring)
    set_ups = SetUps(acquirer, books, now=now, news=bell.ring)

    errands = Errands(acquirer, books, bell=bell, now=now, sends_at_once=sends_at_once)

    async def keep_errands(_app: web.Application) -> AsyncIterator[None]:
        async with errands.connected():
            running = asyncio.create_task(errands.run()) if runs_errands else None
            yield
            if running:
                running.cancel()
                await asyncio.wait({running})

    async def let_go(_app: web.Application) -> None:
        trouble.end_hangs()

    app = web.Application(middlewares=[errors_in_json])
    app[ERRANDS] = errands
    app.add_routes(
        routes(
            acquirer,
            refunds,
            set_ups,
            books,
            now=now,
            trouble=trouble,
            faults=faults,
            rng=rng,
            public_url=public_url,
        )
    )
    app.cleanup_ctx.append(keep_errands)
    app.on_shutdown.append(let_go)
    return app


async def serve(
    host: str = "127.0.0.1",
    port: int = 8400,
    ledger: Path | str = "sandbox.sqlite",
    faults_text: str = "",
    seed: int = 0,
    *,
    hang_seconds: float = HANG_SECONDS,
) -> None:
    """Run the sandbox until SIGTERM or SIGINT; print one line when it answers.

    :raises FaultsError: if `faults_text` cannot be read, before anything is opened.
    :raises OSError: if the address is taken.
    :raises sqlite3.Error: if `ledger` cannot be opened or is something else.
    """
    faults = Faults(faults_text)
    books = Books(ledger)
    rng = Random(seed)  # noqa: S311  chance that can be repeated is the point; nothing is secret
    app = make_app(books, faults=faults, rng=rng, now=utc_now, hang_seconds=hang_seconds)
    # Signals are ours, not the runner's: its way of stopping is an exception through the loop.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=GRACE_SECONDS)
    try:
        await runner.setup()
        site = web.TCPSite(runner, host, port)
        await site.start()
        told_to_stop = _stop_signals()
        sys.stdout.write(f"ready {_address(runner, host)}\n")
        sys.stdout.flush()
        await told_to_stop.wait()
    finally:
        await runner.cleanup()
        books.close()


def _stop_signals() -> asyncio.Event:
    told_to_stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told_to_stop.set)
    return told_to_stop


def _address(runner: web.AppRunner, host: str) -> str:
    """Tell where the sandbox listens; port 0 has become a real one by now."""
    port = runner.addresses[0][1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

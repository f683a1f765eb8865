"""The HTTP server: it listens, answers, and stops once it was taken out of the rotation."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from math import ceil
from typing import Final

import uvicorn
from litestar.types import ASGIApp

from recoup import clock
from recoup.api.app import make_app
from recoup.api.edge import Edge, OpenableDocuments
from recoup.api.limits import Limits
from recoup.documents.storage import DocumentStorage
from recoup.flows.open_provider import Providers
from recoup.pay import portal
from recoup.rules.call_pace import CallLimit
from recoup.settings import Settings, WrongSettingsError
from recoup.wiring.document_keeping import addresses_of
from recoup.wiring.http_protocol import HttpProtocol
from recoup.wiring.opening import Opened

FINISH_WITHIN_SECONDS: Final = 20
SECONDS_IN_HAND: Final = 10


class _Server(uvicorn.Server):
    """uvicorn that says when it answers, and leaves signals to us: it raises SIGTERM again."""

    def __init__(self, config: uvicorn.Config, when_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._when_ready = when_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._when_ready()

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        return nullcontext()


def make_server(
    app: ASGIApp, *, arrives_within: float, when_ready: Callable[[], None]
) -> uvicorn.Server:
    """Serve an application as Recoup's is: no log, no header and no signal of uvicorn's own.

    :param arrives_within: how many seconds a call has, from its first byte to its last.
    """
    config = uvicorn.Config(
        app,
        # A class to uvicorn's types, and to uvicorn whatever makes one.
        http=partial(HttpProtocol, arrives_within=arrives_within),  # type: ignore[arg-type]
        ws="none",  # there is nothing to upgrade to: such a call is a call like any other
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=FINISH_WITHIN_SECONDS,
    )
    return _Server(config, when_ready)


def listen(host: str, port: int) -> socket.socket:
    """Take the port before anything else is begun.

    :raises WrongSettingsError: somebody else has it, or the host is not one of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # What is accepted inherits it. Not every event loop sets it by itself, and without it a body
    # waits 40 ms for its headers to be acknowledged.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise WrongSettingsError(
            f"Nothing can listen on {host}:{port} ({error.strerror}):"
            " choose another --port or --host."
        ) from None
    listener.listen(1024)
    listener.setblocking(False)
    return listener


def outside_address(settings: Settings, host: str, listener: socket.socket | None) -> str:
    """The address at which the outside reaches us, without a slash at its end."""
    if settings.public_url:
        return str(settings.public_url).rstrip("/")
    port = listener.getsockname()[1] if listener else 8000
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


async def run_api(
    settings: Settings,
    base: Opened,
    providers: Providers,
    storage: DocumentStorage,
    listener: socket.socket,
    address: str,
    stop: asyncio.Event,
    say: Callable[[str], None],
) -> None:
    """Answer on `listener` until `stop`; `say` tells the address once it answers.

    From `stop` on `/ready` says no, and for as long as `RECOUP_DRAIN_SECONDS` all else is answered.
    """
    edge = Edge(
        base.pool,
        scout=base.scout,
        providers=providers,
        now=clock.now,
        new_id=clock.new_id,
        public_url=without_slash(settings.public_url),
        limits=limits_of(settings),
        address=address,
        can_send_mail=settings.smtp_url is not None,
        documents=OpenableDocuments(storage, addresses_of(base, address)),
    )
    pages = portal.make_routes(base.pool, providers, edge.links, new_id=clock.new_id, now=clock.now)
    app = make_app(edge, servers=settings.api_servers or (address,), pages=[pages])
    own = listener.getsockname()
    here = f"http://{f'[{own[0]}]' if ':' in own[0] else own[0]}:{own[1]}"
    server = make_server(
        app,
        arrives_within=settings.call_arrives_within_seconds,
        when_ready=lambda: say(f"ready {here}"),
    )
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    waiting = asyncio.create_task(stop.wait())
    await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
    edge.stopping = True
    if not serving.done():  # `/ready` says no from now on, and whoever has not heard it is answered
        await asyncio.wait({serving}, timeout=settings.drain_seconds)
    stop.set()
    server.should_exit = True
    await serving


def limits_of(settings: Settings) -> Limits:
    """How often a key may call and how much it may send, by the settings."""
    per_second = settings.api_calls_per_second
    at_once = settings.api_calls_at_once or max(1, ceil(SECONDS_IN_HAND * per_second))
    return Limits(
        calls=CallLimit(per_second, at_once) if per_second else None,
        most_body_bytes=settings.most_body_bytes,
        most_webhook_body_bytes=settings.most_webhook_body_bytes,
    )


def without_slash(said: object | None) -> str | None:
    """An address of the settings, so that a path can be put behind it."""
    return None if said is None else str(said).rstrip("/")

"""Put the parts together: the database, the keys, the edge, the worker, and their end.

What is opened here is closed here, in the reverse order, also when something fails half way.
"""

from __future__ import annotations

import asyncio
import hashlib
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from datetime import datetime
from random import Random
from typing import Final

import aiohttp
import asyncpg
import msgspec
import structlog
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from recoup import clock
from recoup.api import errors
from recoup.api.app import make_app
from recoup.api.edge import Edge
from recoup.flows.deliver_webhook import WebhookSigner
from recoup.flows.notice_restore import notice_restore
from recoup.flows.open_provider import Providers
from recoup.flows.prepare_installation import prepare
from recoup.flows.register_sandbox_webhooks import register_sandbox_webhooks
from recoup.rules.records.keys import RowKey
from recoup.senders.webhook_headers import JwtSigner
from recoup.senders.webhooks import WebhookSender
from recoup.settings import Settings, WrongSettingsError
from recoup.store import db, key_files
from recoup.store.db import DATABASE_AWAY, ROW_IS_HELD, Pool
from recoup.store.embedded_postgres import EmbeddedPostgres
from recoup.store.installation import Installation
from recoup.store.migrate import migrate
from recoup.store.sealed_columns import JWT_KEY
from recoup.store.secret_box import MasterKey, MasterKeys, SecretBox
from recoup.store.unavailable import DatabaseUnavailableError
from recoup.workers.worker import Worker

log = structlog.get_logger()

LOOK_FOR_ACCOUNTS_EVERY_SECONDS: Final = 5.0
BEAT_EVERY_SECONDS: Final = 5.0
FINISH_WITHIN_SECONDS: Final = 20
WAIT_FOR_DATABASE_SECONDS: Final = 30
API_CONNECTIONS: Final = 8
WORKER_CONNECTIONS: Final = 8
QUEUE_CONNECTIONS: Final = 6  # two queues: a listener and a dequeue each, and their logs


class Opened(msgspec.Struct, frozen=True):
    """The database, migrated, and what opens its secrets."""

    dsn: str
    pool: Pool
    scout: Pool
    box: SecretBox
    installation: Installation


@asynccontextmanager
async def opened(settings: Settings, *, connections: int = 2) -> AsyncIterator[Opened]:
    """Open the database and the installation's keys; make both at a first start.

    :raises WrongSettingsError: a setting is missing or wrong; it says which, and what to do.
    :raises DatabaseUnavailableError: the embedded PostgreSQL does not start.
    """
    box = _secret_box(settings)
    async with _database(settings) as dsn:
        await _migrate(dsn)
        pool = await db.connect(dsn, most=connections)
        try:
            scout = await db.connect(dsn, role="recoup_scout", most=2)
            try:
                installation = await prepare(pool, box=box, now=clock.now())
                yield Opened(dsn, pool, scout, box, installation)
            finally:
                await _close(scout)
        finally:
            await _close(pool)


async def _migrate(dsn: str) -> None:
    """Bring the tables up to date; wait for a database that starts at the same time as we do."""
    deadline = asyncio.get_running_loop().time() + WAIT_FOR_DATABASE_SECONDS
    while True:
        try:
            await migrate(dsn)
        except DATABASE_AWAY as error:
            if asyncio.get_running_loop().time() > deadline:
                raise DatabaseUnavailableError(
                    f"The database of RECOUP_DATABASE_URL does not answer ({type(error).__name__})."
                    " Start it, or correct the address."
                ) from None
            log.warning("waiting_for_database", error=type(error).__name__)
            await asyncio.sleep(1)
        except (
            asyncpg.InvalidAuthorizationSpecificationError,
            asyncpg.InvalidCatalogNameError,
        ) as error:
            raise DatabaseUnavailableError(
                f"RECOUP_DATABASE_URL is refused by PostgreSQL ({error}): correct its user,"
                " password or database."
            ) from None
        else:
            return


@asynccontextmanager
async def _database(settings: Settings) -> AsyncIterator[str]:
    if settings.database_url:
        yield settings.database_url
        return
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    async with await EmbeddedPostgres.start(settings.data_dir) as postgres:
        yield postgres.dsn


async def _close(pool: Pool) -> None:
    """Close a pool; one that will not close (the database has gone) is dropped."""
    try:
        async with asyncio.timeout(5):
            await pool.close()
    except (*DATABASE_AWAY,):
        pool.terminate()


def _secret_box(settings: Settings) -> SecretBox:
    if settings.secret_key:
        current = _key(settings.secret_key, "RECOUP_SECRET_KEY")
        return SecretBox(MasterKeys(current, _previous(settings)))
    if settings.database_url:
        raise WrongSettingsError(
            "RECOUP_SECRET_KEY is missing, and an external database needs it: all processes share"
            " one key. Make it once, and keep it safe:"
            " python3 -c 'import base64, os; print(base64.b64encode(os.urandom(32)).decode())'"
        )
    previous = _previous(settings)

    def read() -> MasterKeys:
        keys = key_files.read(settings.data_dir)
        return MasterKeys(keys.current, (*keys.others, *previous))

    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        key_files.make(settings.data_dir, temporary=clock.new_id())
        return SecretBox(read(), read_again=read)
    except key_files.WrongKeyFileError as error:
        raise WrongSettingsError(f"{error}. It must be base64 of 32 bytes.") from None
    except OSError as error:
        raise WrongSettingsError(
            f"RECOUP_DATA_DIR is wrong ({error.strerror}: {error.filename})."
            " Set it to a folder that this user may write."
        ) from None


def _previous(settings: Settings) -> tuple[MasterKey, ...]:
    said = settings.previous_secret_key
    return (_key(said, "RECOUP_PREVIOUS_SECRET_KEY"),) if said else ()


def _key(text: str, where: str) -> MasterKey:
    try:
        return MasterKey.from_text(text)
    except ValueError as error:
        raise WrongSettingsError(
            f"{where} is wrong: {error}. It must be base64 of 32 bytes."
        ) from None


class _Http(HttpToolsProtocol):
    """uvicorn's HTTP, which refuses in JSON what is none, as everything above it refuses."""

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  uvicorn's own words, in English
        status, body = errors.encoded(errors.UNREADABLE)
        head = (
            f"HTTP/1.1 {status} Bad Request\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()


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
    listener = _listen(host, port) if with_api else None
    try:
        async with opened(settings, connections=API_CONNECTIONS) as base:
            await _beat(settings, base)  # before anything is sent
            address = _address(settings, host, listener)
            async with aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar()
            ) as http:
                providers = Providers(
                    http,
                    base.box,
                    sandbox_base=str(settings.sandbox_api_base),
                    stripe_base=_base(settings.stripe_api_base),
                    adyen_base=_base(settings.adyen_api_base),
                    gocardless_base=_base(settings.gocardless_api_base),
                )
                try:
                    async with asyncio.TaskGroup() as tasks:
                        tasks.create_task(_keep_beating(settings, base, stop))
                        if listener:
                            tasks.create_task(
                                _run_api(settings, base, providers, listener, address, stop, say)
                            )
                        if with_worker:
                            tasks.create_task(
                                _run_worker(
                                    settings,
                                    base,
                                    providers,
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


async def _beat(settings: Settings, base: Opened) -> None:
    """Say in the database and beside it that it is served from; hold all back if it is restored."""
    folder = ""
    if not settings.database_url:
        stat = settings.data_dir.stat()
        folder = f"{stat.st_dev}/{stat.st_ino}"
    # One folder may serve several databases in turn: each has a marker of its own.
    name = hashlib.sha256(base.installation.jwt_public_key.encode()).hexdigest()[:16]
    await notice_restore(
        base.pool,
        base.scout,
        folder=folder,
        marker=settings.data_dir / f"last-beat-{name}",
        new_id=clock.new_id,
        now=clock.now(),
    )


async def _keep_beating(settings: Settings, base: Opened, stop: asyncio.Event) -> None:
    while not stop.is_set():
        try:
            async with asyncio.timeout(BEAT_EVERY_SECONDS):
                await stop.wait()
        except TimeoutError:
            try:
                await _beat(settings, base)
            except (*DATABASE_AWAY, *ROW_IS_HELD) as error:
                log.warning("beat_missed", error=type(error).__name__)


def _base(said: object | None) -> str | None:
    return None if said is None else str(said).rstrip("/")


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
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


def _address(settings: Settings, host: str, listener: socket.socket | None) -> str:
    """The address at which the outside reaches us, without a slash at its end."""
    if settings.public_url:
        return str(settings.public_url).rstrip("/")
    port = listener.getsockname()[1] if listener else 8000
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


async def _run_api(
    settings: Settings,
    base: Opened,
    providers: Providers,
    listener: socket.socket,
    address: str,
    stop: asyncio.Event,
    say: Callable[[str], None],
) -> None:
    edge = Edge(
        base.pool,
        scout=base.scout,
        providers=providers,
        now=clock.now,
        new_id=clock.new_id,
        public_url=_base(settings.public_url),
    )
    app = make_app(edge, servers=settings.api_servers or (address,))
    own = listener.getsockname()
    here = f"http://{f'[{own[0]}]' if ':' in own[0] else own[0]}:{own[1]}"
    server = _Server(
        uvicorn.Config(
            app,
            http=_Http,
            ws="none",  # there is nothing to upgrade to: such a call is a call like any other
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_graceful_shutdown=FINISH_WITHIN_SECONDS,
        ),
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


async def _run_worker(
    settings: Settings,
    base: Opened,
    providers: Providers,
    address: str,
    stop: asyncio.Event,
    *,
    is_reached: bool,
) -> None:
    pool = await db.connect(base.dsn, most=WORKER_CONNECTIONS)
    queue = await db.connect(base.dsn, most=QUEUE_CONNECTIONS, by_index=False)
    sender = WebhookSender(allowed=settings.webhook_allow_networks)
    pem = base.box.open(
        base.installation.jwt_key_sealed, organization_id=None, row=None, field=JWT_KEY
    )
    signer = WebhookSigner(base.box, JwtSigner.load(pem, issuer=address))
    worker = Worker(
        pool,
        base.scout,
        queue,
        providers=providers,
        sender=sender,
        signer=signer,
        now=clock.now,
        new_id=clock.new_id,
        chance=Random(),  # noqa: S311  spreads work in time, keeps no secret
    )
    running = asyncio.create_task(worker.run())
    telling = asyncio.create_task(
        _tell_sandbox(pool, base.scout, providers, address, stop)
        if is_reached
        else _warn_that_nobody_reaches_us()
    )
    try:
        await stop.wait()
        worker.stop()
        await asyncio.wait({running, telling}, timeout=FINISH_WITHIN_SECONDS)
    finally:
        for task in (running, telling):
            task.cancel()  # what is cut off here is `sent`, and looked up by the next worker
        await asyncio.gather(running, telling, return_exceptions=True)
        await sender.close()
        await _close(queue)
        await _close(pool)


async def _warn_that_nobody_reaches_us() -> None:
    """A worker alone does not know where the API is, so it can tell no provider."""
    log.warning("no_public_url", do="set RECOUP_PUBLIC_URL to the address of `recoup api`")


async def _tell_sandbox(
    pool: Pool, scout: Pool, providers: Providers, address: str, stop: asyncio.Event
) -> None:
    """Register our webhook address with the sandbox, for accounts that are there or will be."""
    told: dict[RowKey, datetime] = {}
    not_told = 0
    while not stop.is_set():
        before = not_told
        try:
            not_told = await register_sandbox_webhooks(
                pool, scout, providers, told, public_url=address, now=clock.now()
            )
            if not_told != before:  # once, and not every few seconds
                log.warning("sandbox_not_told_of_our_webhooks", accounts=not_told)
        except DATABASE_AWAY as error:
            log.warning("database_away", error=type(error).__name__)
        try:
            async with asyncio.timeout(LOOK_FOR_ACCOUNTS_EVERY_SECONDS):
                await stop.wait()
        except TimeoutError:
            continue

"""`recoup serve`, `api`, `work` and `sandbox`: the programs that keep running."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from recoup.cli.running import DataDir, fail, log_json, run_in_loop, settings_or_end
from recoup.settings import Settings, WrongSettingsError


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes any free one.")] = 8000,
    data_dir: DataDir = None,
) -> None:
    """Run the API, the workers and the schedule in one process."""
    _serve(data_dir, host=host, port=port)


def api(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes any free one.")] = 8000,
    data_dir: DataDir = None,
) -> None:
    """Run the API alone: any number of them, on any number of hosts."""
    _serve(data_dir, host=host, port=port, with_worker=False)


def work(data_dir: DataDir = None) -> None:
    """Run the workers and the schedule alone: any number of them, on any number of hosts."""
    _serve(data_dir, host="127.0.0.1", port=0, with_api=False)


def sandbox(
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes any free one.")] = 8400,
    ledger: Annotated[Path, typer.Option(help="Its books: an SQLite file.")] = Path(
        "sandbox.sqlite"
    ),
    faults: Annotated[str, typer.Option(help="drop_before=0.05,slow=0.1, …")] = "",
    seed: Annotated[int, typer.Option(help="Makes random faults repeatable.")] = 0,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Run a payment provider to play with: a program of its own, with its own books."""
    import sqlite3  # only here: no other command needs it, nor the sandbox

    from recoup.sandbox.faults import FaultsError
    from recoup.sandbox.program import serve as run_sandbox

    try:
        asyncio.run(run_sandbox(host, port, str(ledger), faults, seed))
    except (FaultsError, OSError, sqlite3.Error) as error:
        fail(str(error))


def _serve(data_dir: Path | None, **how: Any) -> None:
    from recoup.store.unavailable import DatabaseUnavailableError

    settings = settings_or_end(data_dir)
    with _postgres_starting(settings):
        from recoup.flows.prepare_installation import SecretKeyChangedError
        from recoup.wiring.serving import serve as run

        log_json(settings.log_level)
        try:
            run_in_loop(run(settings, say=lambda line: print(line, flush=True), **how))  # noqa: T201
        except (WrongSettingsError, DatabaseUnavailableError, SecretKeyChangedError) as error:
            fail(str(error))


@contextmanager
def _postgres_starting(settings: Settings) -> Iterator[None]:
    """Start the embedded PostgreSQL while the rest is still being imported: each takes a second.

    `wiring` joins the one that runs then, and says what is wrong where none does.
    """
    from recoup.store.embedded_postgres import EmbeddedPostgres
    from recoup.store.unavailable import DatabaseUnavailableError

    if settings.database_url:
        yield
        return
    with suppress(OSError):
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(max_workers=1) as thread:
        starting = thread.submit(lambda: asyncio.run(EmbeddedPostgres.start(settings.data_dir)))
        try:
            yield
        finally:
            with suppress(DatabaseUnavailableError):
                asyncio.run(starting.result().stop())

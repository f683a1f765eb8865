"""What every command is run by: its settings, the opened database, the log, and its answer."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import traceback
from collections.abc import Callable, Coroutine
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn, TypeGuard, TypeVar
from uuid import UUID

import structlog
import typer

from recoup.settings import Settings, WrongSettingsError, read_settings

DataDir = Annotated[Path | None, typer.Option(help="Folder of the embedded database and keys.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
OrganizationId = Annotated[UUID, typer.Option("--organization", help="The organization's id.")]
By = Annotated[str, typer.Option(help="Who says so: it is kept in the audit log.")]
Answer = TypeVar("Answer")


def with_database(
    data_dir: Path | None, run: Callable[[Any], Coroutine[Any, Any, dict[str, Any]]]
) -> dict[str, Any]:
    """Run a command on the opened database; a refusal ends it with its code."""
    from recoup.flows.prepare_installation import SecretKeyChangedError
    from recoup.rules.refusal import Refused
    from recoup.store.db import DATABASE_AWAY, ROW_IS_HELD
    from recoup.store.secret_box import WrongSecretKeyError
    from recoup.store.unavailable import DatabaseUnavailableError
    from recoup.wiring.opening import opened

    settings = settings_or_end(data_dir)
    log_json(settings.log_level)

    async def opened_and_run() -> dict[str, Any]:
        async with opened(settings) as base:
            return await run(base)

    try:
        return run_in_loop(opened_and_run())
    except Refused as error:
        fail(f"Refused: {error.refusal.code} {json.dumps(error.refusal.details or {})}")
    except (WrongSettingsError, DatabaseUnavailableError, SecretKeyChangedError) as error:
        fail(str(error))
    except WrongSecretKeyError as error:
        fail(
            f"What is sealed ({error}) does not open with the keys of this command, and nothing was"
            " done. Set the key that has sealed it as RECOUP_PREVIOUS_SECRET_KEY: docs/secrets.md"
            " says how. Where that one is lost, remove the provider's account and add it anew."
        )
    except ROW_IS_HELD:
        fail("Somebody else is at this very row: nothing was done. Try again.")
    except DATABASE_AWAY as error:
        fail(f"The database has gone away ({type(error).__name__}): try again when it is back.")


def run_in_loop(work: Coroutine[Any, Any, Answer]) -> Answer:
    """Run it to its end, as fast as the loop can be."""
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def settings_or_end(data_dir: Path | None) -> Settings:
    """Read the settings; name those that are wrong, and end."""
    try:
        return read_settings(data_dir=data_dir)
    except WrongSettingsError as error:
        fail(str(error))


# What sends to providers writes addresses, headers and whole bodies below WARNING, and in them
# stand keys: no level that is asked for lets those lines out.
_DEEPEST: Final = 5  # errors behind an error that a line names
CARRY_SECRETS: Final = (
    "Adyen", "aiohttp", "gocardless_pro", "httpcore", "httpx", "requests", "stripe", "urllib3",
)  # fmt: skip


def log_json(level: str) -> None:
    """JSON lines on standard error, whoever writes them: standard output is for answers."""
    number = logging.getLevelName(level)
    complete: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
        _format_where_alone,
    ]
    render = structlog.processors.JSONRenderer()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        processors=[*complete, render],
    )
    others = logging.StreamHandler(sys.stderr)  # uvicorn's lines, asyncio's, and Python's warnings
    others.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=complete,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    logging.basicConfig(level=number, handlers=[others])
    logging.captureWarnings(True)
    for writer in ("pgqueuer", *CARRY_SECRETS):
        logging.getLogger(writer).setLevel(max(number, logging.WARNING))
    if number > logging.DEBUG:  # each start and stop is four lines of uvicorn's
        logging.getLogger("uvicorn").setLevel(max(number, logging.WARNING))


def _format_where_alone(
    _logger: Any, _method: str, line: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Say what kind of error it was and where; its text can hold a whole request, or a row."""
    error = line.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, tuple):
        error = error[1]
    if not isinstance(error, BaseException):
        return line
    kinds: list[str] = []
    seen: BaseException | None = error
    while seen is not None and len(kinds) < _DEEPEST:
        kinds.append(type(seen).__qualname__)
        seen = seen.__cause__ or seen.__context__
    line["exception"] = " < ".join(kinds) + "\n" + "".join(traceback.format_tb(error.__traceback__))
    return line


def show_answer(answer: dict[str, Any], *, as_json: bool) -> None:
    """Print what a command answers. Tenants' texts are in it: none of them is read as markup."""
    if as_json:
        print(json.dumps(answer))  # noqa: T201
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(soft_wrap=True, highlight=False)
    for name, value in answer.items():
        if _are_rows(value):
            console.print(Text.assemble((name, "bold"), ":"))
            for row in value:
                console.print(Text(f"  {json.dumps(row)}"))
            continue
        said = value if isinstance(value, str) and value.isprintable() else json.dumps(value)
        console.print(Text.assemble((name, "bold"), ": ", said))


def _are_rows(value: object) -> TypeGuard[list[dict[str, Any]]]:
    """A list of things, of which each gets a line: a hundred in one line nobody reads."""
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)


def instant(at: datetime | None) -> str | None:
    """An instant as commands print it."""
    return at.isoformat() if at else None


def fail(message: str) -> NoReturn:
    """Say what is wrong, and end with status 1."""
    print(message, file=sys.stderr)  # noqa: T201
    raise typer.Exit(1)

"""`recoup secrets`: change the master key under which everything secret is stored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from recoup.cli.running import (
    AsJson,
    DataDir,
    fail,
    settings_or_end,
    show_answer,
    with_database,
)

secrets = typer.Typer(
    no_args_is_help=True, help="The master key that seals what is stored: see docs/secrets.md."
)


@secrets.command("rotate")
def rotate(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Make a new master key in the data folder; the old one still opens. Then: `reseal`."""
    from recoup import clock
    from recoup.flows.rotate_key_file import rotate_key_file
    from recoup.wiring.opening import Opened

    folder = _folder_of_key_files(
        data_dir,
        otherwise="The master key is RECOUP_SECRET_KEY, so it is changed there: docs/secrets.md"
        " says in which order. A new one is made by `openssl rand -base64 32`.",
    )

    async def run(base: Opened) -> dict[str, Any]:
        with _said_in_a_sentence():
            await rotate_key_file(
                base.pool, base.scout, folder, box=base.box, temporary=clock.new_id()
            )
        return _keys(base) | {"next": "recoup secrets reseal"}

    show_answer(with_database(data_dir, run), as_json=as_json)


@secrets.command("reseal")
def reseal_command(
    by: Annotated[str, typer.Option(help="Who asks: it is kept in the audit log.")] = "operator",
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Seal everything with the current master key, while the service runs; exit 1 if some is left.

    May be run at any time, and again after it was interrupted.
    """
    from recoup import clock
    from recoup.flows.rotate_secret_key import reseal
    from recoup.wiring.opening import Opened

    async def run(base: Opened) -> dict[str, Any]:
        done = await reseal(
            base.pool, base.scout, box=base.box, by=by, new_id=clock.new_id, now=clock.now()
        )
        many = sum(done.left.values())
        return _keys(base) | {
            "resealed": done.resealed,
            "left": many,
            "left_by_column": done.left,
            "unreadable": list(done.unreadable),
            "next": _what_follows(many, unreadable=bool(done.unreadable)),
        }

    answer = with_database(data_dir, run)
    show_answer(answer, as_json=as_json)
    if answer["left"]:
        raise typer.Exit(1)


@secrets.command("forget")
def forget(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Delete the previous master key from the data folder, once nothing is sealed with it."""
    from recoup.flows.rotate_key_file import forget_previous_key
    from recoup.wiring.opening import Opened

    folder = _folder_of_key_files(
        data_dir,
        otherwise="The previous master key is RECOUP_PREVIOUS_SECRET_KEY: once `recoup secrets"
        " reseal` says that nothing is left, unset it and start the processes again.",
    )

    async def run(base: Opened) -> dict[str, Any]:
        with _said_in_a_sentence():
            await forget_previous_key(base.pool, base.scout, folder, box=base.box)
        return _keys(base)

    show_answer(with_database(data_dir, run), as_json=as_json)


@contextmanager
def _said_in_a_sentence() -> Iterator[None]:
    from recoup.flows.rotate_key_file import NOT_RESEALED
    from recoup.rules.refusal import Refused

    try:
        yield
    except Refused as error:
        if error.refusal.code != NOT_RESEALED:
            raise
        left = ", ".join(
            f"{many} of {name}" for name, many in (error.refusal.details or {}).items()
        )
        fail(f"Still sealed with the previous key: {left}. Run `recoup secrets reseal` first.")


def _keys(base: Any) -> dict[str, Any]:
    keys = base.box.keys
    return {"key_id": keys.current.id.hex(), "still_open": [one.id.hex() for one in keys.others]}


def _folder_of_key_files(data_dir: Path | None, *, otherwise: str) -> Path:
    settings = settings_or_end(data_dir)
    if settings.secret_key or settings.database_url:
        fail(otherwise)
    return settings.data_dir


def _what_follows(left: int, *, unreadable: bool) -> str:
    if unreadable:
        return (
            "some values open with neither key: give the one that sealed them as"
            " RECOUP_PREVIOUS_SECRET_KEY, and run this again"
        )
    if left:
        return "run this again: what is left was held by somebody, or sealed meanwhile"
    return "nothing needs the previous key: `recoup secrets forget`, or unset it"

"""`python -m tests.planted [WORD …]`: plant each bug in turn, and say which tests noticed.

Each is planted in a copy of `src`, never in the working tree, and the tests that should notice it
run on that copy. First they all run on a copy without a bug: a test that fails there notices
nothing. With words, only the bugs whose names hold one of them are planted.

Exit status 1: a bug got through, or its text is no longer in its file.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import asyncpg
import msgspec

from recoup.store.embedded_postgres import EmbeddedPostgres
from tests.planted.bugs import BUGS
from tests.planted.bugs.bug import Bug

ROOT: Final = Path(__file__).parents[2]
AT_ONCE: Final = 2
LONGEST_SECONDS: Final = 900  # with one bug
LONGEST_SECONDS_WITHOUT: Final = 3_600  # with none: then the tests of all bugs run, nearly all
SHOWN: Final = 3
OPTIONS: Final = ("-q", "--tb=short", "-rfE", "--maxfail=10", "-p", "no:cacheprovider")
NOTHING_FAILED, TESTS_FAILED = 0, 1  # pytest's exit statuses; the others are no verdict


class NotPlantedError(Exception):
    """The bug's text is not there once, or what came of it cannot be run."""


class Run(msgspec.Struct, frozen=True):
    """What pytest said."""

    status: int
    failed: tuple[str, ...]  # the names of the tests
    said: str


def plant(bug: Bug, package: Path) -> None:
    """Make the mistake in this copy of the package.

    :raises NotPlantedError: a text to replace is not there, or more than once.
    """
    for edit in bug.edits:
        path = package / edit.file
        text = path.read_text("utf-8")
        if (count := text.count(edit.old)) != 1:
            raise NotPlantedError(f"its text is {count} times in {edit.file}: plant it anew")
        path.write_text(text.replace(edit.old, edit.new), "utf-8")


async def run_tests(
    source: Path, tests: Sequence[str], server: str, *, longest_seconds: int = LONGEST_SECONDS
) -> Run:
    """Run these tests on this copy of `src`.

    :raises NotPlantedError: they take longer.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pytest", *OPTIONS, *tests,
        cwd=ROOT,
        env=os.environ
        | {"PYTHONPATH": f"{source}", "RECOUP_TEST_DATABASE_URL": server}
        | {"PYTHONDONTWRITEBYTECODE": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        async with asyncio.timeout(longest_seconds):
            out, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise NotPlantedError(f"its tests took longer than {longest_seconds} seconds") from None
    said = out.decode(errors="replace")
    marks = [line.split(" - ")[0].split(maxsplit=1) for line in said.splitlines()]
    failed = [mark[1] for mark in marks if len(mark) == 2 and mark[0] in {"FAILED", "ERROR"}]
    assert process.returncode is not None, "it has ended"
    return Run(process.returncode, tuple(dict.fromkeys(failed)), said)


async def noticed_by(bug: Bug, server: str) -> tuple[str, ...]:
    """Plant a bug in a copy, and answer the tests that noticed; none: it got through.

    :raises NotPlantedError: it could not be planted, or its tests said nothing.
    """
    with TemporaryDirectory(prefix="recoup-planted-") as folder:
        source = copy(Path(folder))
        plant(bug, source / "recoup")
        run = await run_tests(source, bug.tests, server)
    if run.status not in {NOTHING_FAILED, TESTS_FAILED}:
        raise NotPlantedError(f"pytest gave no verdict (status {run.status}):\n{run.said[-2_000:]}")
    return run.failed


def copy(folder: Path) -> Path:
    """A copy of `src` in this folder."""
    ignored = shutil.ignore_patterns("__pycache__")
    return Path(shutil.copytree(ROOT / "src", folder / "src", ignore=ignored))


async def nothing_is_noticed_without_a_bug(bugs: Sequence[Bug], server: str) -> bool:
    """Run all the tests on a copy without a bug, and say whether they pass there."""
    with TemporaryDirectory(prefix="recoup-planted-") as folder:
        tests = sorted({test for bug in bugs for test in bug.tests})
        # Of a few bugs the tests are done before more processes have begun.
        at_once = ("-n", str(AT_ONCE), "--dist", "loadfile") if len(bugs) > AT_ONCE else ()
        try:
            run = await run_tests(
                copy(Path(folder)), [*at_once, *tests], server,
                longest_seconds=LONGEST_SECONDS_WITHOUT,
            )  # fmt: skip
        except NotPlantedError as error:
            print(f"without any bug: {error}")
            return False
    if run.status != NOTHING_FAILED:
        print(f"without any bug these tests do not pass:\n{run.said[-4_000:]}")
    return run.status == NOTHING_FAILED


async def judge(bug: Bug, server: str, turn: asyncio.Semaphore) -> bool:
    """Plant a bug, print who noticed, and answer whether anybody did."""
    async with turn:
        try:
            names = await noticed_by(bug, server)
        except NotPlantedError as error:
            print(f"UNPLANTED    {bug.name}\n             {error}", flush=True)
            return False
    if not names:
        print(f"GOT THROUGH  {bug.name}\n             {bug.why}", flush=True)
        return False
    print(f"noticed      {bug.name}")
    for name in names[:SHOWN]:
        print(f"             by {name}")
    if len(names) > SHOWN:
        print(f"             and {len(names) - SHOWN} more")
    sys.stdout.flush()
    return True


@asynccontextmanager
async def a_server() -> AsyncIterator[str]:
    """One PostgreSQL for all runs."""
    if given := os.environ.get("RECOUP_TEST_DATABASE_URL"):
        yield given
        return
    with TemporaryDirectory(prefix="recoup-planted-") as folder:
        async with await EmbeddedPostgres.start(Path(folder)) as postgres:
            conn = await asyncpg.connect(postgres.dsn)
            for setting in ("fsync", "full_page_writes"):  # nothing here outlives a power cut
                await conn.execute(f"ALTER SYSTEM SET {setting} = off")
            await conn.execute("SELECT pg_reload_conf()")
            await conn.close()
            yield postgres.dsn


async def main(words: Sequence[str]) -> int:
    """Plant the bugs whose names hold one of these words (all of them without any)."""
    bugs = [bug for bug in BUGS if not words or any(word in bug.name for word in words)]
    if not bugs:
        print(f"no bug's name holds {' or '.join(words)}")
        return 1
    began = time.monotonic()
    async with a_server() as server:
        if not await nothing_is_noticed_without_a_bug(bugs, server):
            return 1
        turn = asyncio.Semaphore(AT_ONCE)
        noticed = await asyncio.gather(*(judge(bug, server, turn) for bug in bugs))
    seconds = time.monotonic() - began
    print(f"{sum(noticed)} of {len(bugs)} planted bugs were noticed, in {seconds:.0f} s")
    return 0 if all(noticed) else 1


if __name__ == "__main__":
    raise SystemExit(asyncio.run(main(sys.argv[1:])))

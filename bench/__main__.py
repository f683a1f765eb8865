"""`make bench`: measure, print the table, keep the figures.

The order is a promise to the figures: what settles comes before what leaves attempts behind.

  e  starting and memory         `recoup serve` on an empty folder, then again
  b  settling                    one worker, a provider that answers at once
  a  retries                     one API process, 32 callers, beside pgbench at the same writes
  c  a and b among many          the same with 1,000,000 unrelated invoices instead of 10,000
  d  the bulk path               100,000 invoices, 10,000 a call
  f  lists                       every filter, among 10,000 rows and among 1,000,000
  g  lists that are full         pages of 100 invoices
  h  lists of a large tenant     what has to look at 10,000, 100,000 or 1,000,000 rows of its own
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from bench import figures
from bench.measuring import FULL, QUICK, Bench, console

PARTS: Final = "abcdefgh"
WHOLE_RUN_SECONDS: Final = 25 * 60
LOG_CHARACTERS: Final = 2_000  # shown of each log, should the run fail


async def main(parts: str, *, quick: bool, database_url: str | None) -> None:
    """Measure; print and keep what was measured, also when a later part fails."""
    _end_by_sigterm()
    size = QUICK if quick else FULL
    load_before, started = os.getloadavg()[0], time.monotonic()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="recoup-bench-")))
        bench = Bench(stack, folder, size=size, database_url=database_url)
        try:
            async with asyncio.timeout(WHOLE_RUN_SECONDS) as limit:
                await bench.measure(parts)
        except TimeoutError:
            if not limit.expired():
                raise
            raise SystemExit(f"stopped after {WHOLE_RUN_SECONDS / 60:.0f} minutes") from None
        except Exception:
            _show_logs(folder)
            raise
        finally:
            if bench.figures:
                seconds = time.monotonic() - started
                path = figures.keep(
                    bench.figures, quick=quick, seconds=seconds, load_before=load_before
                )
                figures.show(bench.figures)
                console.print(f"{seconds:.0f} s; kept in {path}")


def _show_logs(folder: Path) -> None:
    """Print what the programs said last, before their logs are gone."""
    for log in sorted(folder.rglob("log")):
        if said := log.read_text(errors="replace")[-LOG_CHARACTERS:].strip():
            console.print(f"{log}:\n{said}", markup=False)


def _end_by_sigterm() -> None:
    """Let SIGTERM end this run in good order: once, so that a second one cannot disturb that."""
    task = asyncio.current_task()
    assert task is not None, "this is a coroutine"
    loop = asyncio.get_running_loop()

    def end() -> None:
        loop.add_signal_handler(signal.SIGTERM, lambda: None)
        task.cancel()

    loop.add_signal_handler(signal.SIGTERM, end)


def _parts(said: str) -> str:
    parts = said.replace(",", "")
    if not parts or set(parts) - set(PARTS):
        raise argparse.ArgumentTypeError(f"name some of {','.join(PARTS)}")
    return parts


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="make bench", description="Measure Recoup from outside.")
    parser.add_argument("--quick", action="store_true", help="short and rough")
    parser.add_argument("--only", type=_parts, default=PARTS, help="these parts: a,b,…")
    parser.add_argument("--database-url", help="a PostgreSQL to make databases on; else our own")
    given = parser.parse_args()
    asyncio.run(main(given.only, quick=given.quick, database_url=given.database_url))

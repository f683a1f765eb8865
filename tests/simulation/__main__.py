"""`python -m tests.simulation N [--seed S] [--steps K]`: run N worlds, and say how they ended."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from recoup.store.embedded_postgres import EmbeddedPostgres
from recoup.store.migrate import migrate
from tests.simulation.run import STEPS, WorldFailed, run_world
from tests.simulation.world import Database


async def simulate(worlds: int, *, seed: int, steps: int, trace: bool) -> int:
    """Run the worlds, and answer how many of them failed."""
    failed, happened, began = 0, Counter[str](), time.monotonic()
    with TemporaryDirectory() as folder:
        async with await EmbeddedPostgres.start(Path(folder)) as postgres:
            await migrate(postgres.dsn)
            async with Database.open(postgres.dsn) as database:
                for number in range(seed, seed + worlds):
                    try:
                        _, what = await run_world(
                            database, number, steps=steps, tell=print if trace else None
                        )
                    except WorldFailed as failure:
                        failed += 1
                        print(failure, flush=True)
                    else:
                        happened += what
                    _progress(number - seed + 1, worlds, failed, time.monotonic() - began)
    for what, times in sorted(happened.items()):
        print(f"{times:9,} {what}")
    print(f"{worlds - failed} passed, {failed} failed")
    return failed


def _progress(done: int, worlds: int, failed: int, seconds: float) -> None:
    if done % 10 == 0 or done == worlds:
        print(f"{done}/{worlds} worlds, {failed} failed, {seconds:.0f} s", flush=True)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("worlds", nargs="?", type=int, default=100, help="how many")
    parser.add_argument("--seed", type=int, default=0, help="the first one")
    parser.add_argument("--steps", type=int, default=STEPS, help="what happens before it settles")
    parser.add_argument("--trace", action="store_true", help="show what happens")
    asked = parser.parse_args()
    if asyncio.run(simulate(asked.worlds, seed=asked.seed, steps=asked.steps, trace=asked.trace)):
        sys.exit(1)


if __name__ == "__main__":
    main()

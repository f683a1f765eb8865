"""Start programs, wait until they say that they are ready, and end them: by process id alone.

What would surprise you: a program runs in a session of its own, so that Ctrl-C reaches this run
first, which then ends what it started in the right order.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import psutil

READY_WITHIN_SECONDS: Final = 60.0
END_WITHIN_SECONDS: Final = 40.0
RECOUP: Final = str(Path(sys.executable).with_name("recoup"))


class ProgramFailedError(Exception):
    """A program did not start, or ended with an error; the message holds what it said last."""


class Program:
    """A program that is running, and how long it took until it was ready."""

    def __init__(
        self, process: asyncio.subprocess.Process, ready: str, seconds_to_ready: float
    ) -> None:
        self._process = process
        self.ready = ready
        self.seconds_to_ready = seconds_to_ready

    @property
    def address(self) -> str:
        """Where it listens: the last word of its line."""
        return self.ready.split()[-1]

    def busy_seconds(self) -> float:
        """How much of a processor's time it has used until now."""
        used = psutil.Process(self._process.pid).cpu_times()
        return used.user + used.system

    def resident_megabytes(self) -> float:
        """How much memory it holds now, shared libraries included."""
        return psutil.Process(self._process.pid).memory_info().rss / 1e6


@asynccontextmanager
async def running(*command: str, log: Path, env: Mapping[str, str]) -> AsyncIterator[Program]:
    """Run a program that prints one line when it is ready, until the block is left.

    :raises ProgramFailedError: it ended before, or said nothing in time.
    """
    started = time.perf_counter()
    with log.open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            *command,
            env=env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
    try:
        assert process.stdout is not None, "it was asked for"
        try:
            async with asyncio.timeout(READY_WITHIN_SECONDS):
                line = await process.stdout.readline()
        except TimeoutError:
            line = b""
        if b"ready" not in line:
            raise ProgramFailedError(f"{' '.join(command)} is not ready: {_end_of(log)}")
        yield Program(process, line.decode().strip(), time.perf_counter() - started)
    finally:
        await _end(process)


async def run(*command: str, env: Mapping[str, str], asked: bytes = b"") -> str:
    """Run a program to its end, and answer what it printed.

    :raises ProgramFailedError: it ended with an error.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        env=env,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        said, errors = await process.communicate(asked)
    finally:
        await _end(process)
    if process.returncode != 0:
        tail = errors.decode(errors="replace")[-2000:]
        raise ProgramFailedError(f"{' '.join(command)} ended with {process.returncode}: {tail}")
    return said.decode()


async def _end(process: asyncio.subprocess.Process) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is not None:
            return
        process.send_signal(number)
        try:
            async with asyncio.timeout(END_WITHIN_SECONDS):
                await process.wait()
        except TimeoutError:
            continue


def _end_of(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:].strip() or "it said nothing"

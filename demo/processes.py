"""Start the programs of the demo, wait until they answer, and end them whatever happens."""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

RECOUP: Final = str(Path(sys.executable).with_name("recoup"))
HOST: Final = "127.0.0.1"
READY_WITHIN_SECONDS: Final = 120.0  # a first start makes a database, on a slow disk perhaps
END_WITHIN_SECONDS: Final = 60.0
LOG_LINES: Final = 15
SIGNAL_WHEN_PARENT_DIES: Final = 1  # PR_SET_PDEATHSIG of <linux/prctl.h>


class DemoError(Exception):
    """Something did not go as it should; the message says what, for a newcomer."""


class Program:
    """One program that serves, from its start to its end."""

    def __init__(self, *arguments: str, environment: dict[str, str], log: Path) -> None:
        self.command = " ".join(("recoup", *arguments))
        self.log = log
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [RECOUP, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment,
                start_new_session=True,  # Ctrl-C is for us: we end them in the right order
                preexec_fn=_end_with_parent if sys.platform == "linux" else None,
            )

    def wait_until_ready(self) -> str:
        """Return the address that the program tells of when it answers."""
        assert self._process.stdout is not None
        told = b""
        deadline = time.monotonic() + READY_WITHIN_SECONDS
        while not told.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._process.stdout], [], [], left)[0]:
                raise DemoError(
                    f"`{self.command}` is not ready after {READY_WITHIN_SECONDS:.0f} s."
                )
            if not (more := os.read(self._process.stdout.fileno(), 4096)):
                raise DemoError(f"`{self.command}` ended before it was ready.")
            told += more
        return told.decode().split()[-1]

    def wait_until_over(self) -> None:
        """Return when the program has ended by itself."""
        self._process.wait()

    def last_lines(self) -> list[str]:
        """The end of its log."""
        return self.log.read_text(errors="replace").splitlines()[-LOG_LINES:]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(END_WITHIN_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()


def ask_recoup(*arguments: str, environment: dict[str, str]) -> dict[str, Any]:
    """Run a command of Recoup's to its end, and return the JSON that it prints."""
    done = subprocess.run(
        [RECOUP, *arguments, "--json"], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise DemoError(f"`recoup {' '.join(arguments)}` failed: {done.stderr.strip()}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def own_environment(data_dir: Path, **settings: str) -> dict[str, str]:
    """The environment without anybody's settings for Recoup: no database of yours is touched."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RECOUP_")}
    return kept | {"RECOUP_DATA_DIR": str(data_dir)} | settings


def free_port(wanted: int) -> int:
    """Answer the wanted port, or 0 for any free one where somebody has taken it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, wanted))
        except OSError:
            return 0
    return wanted


def _end_with_parent() -> None:
    """Ask Linux for a SIGTERM when the demo dies without a chance to end its programs."""
    ctypes.CDLL(None).prctl(SIGNAL_WHEN_PARENT_DIES, signal.SIGTERM)

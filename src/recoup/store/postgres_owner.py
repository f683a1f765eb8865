"""As whom PostgreSQL runs, which refuses to run as root, and what that user has to reach.

Called by `store/postgres_cluster` alone.
"""

import os
import pwd
import shutil
import stat
import subprocess
import time
from pathlib import Path
from typing import Final

from recoup.store.unavailable import DatabaseUnavailableError

SYSTEM_USER: Final = "recoup"  # made where root starts the first cluster of a folder root owns
POLL_SECONDS: Final = 0.02


def choose_owner(folder: Path) -> pwd.struct_passwd:
    """Say as whom PostgreSQL runs: as us or, where we are root, as the folder's owner."""
    uid = folder.stat().st_uid
    if os.geteuid() != 0:
        if folder.name == "postgres" and uid != os.geteuid():
            raise DatabaseUnavailableError(
                f"{folder} belongs to user {user_of(uid).pw_name}: run Recoup as that user, or"
                " choose another RECOUP_DATA_DIR."
            )
        return user_of(os.geteuid())
    return user_of(uid) if uid != 0 else _system_user()


def user_of(uid: int) -> pwd.struct_passwd:
    """The user with this number, also where it has no name."""
    try:
        return pwd.getpwuid(uid)
    except KeyError:  # a container's number without a name: all but initdb can do without
        return pwd.struct_passwd((str(uid), "", uid, uid, "", "/", ""))


def _system_user() -> pwd.struct_passwd:
    """Find the user that PostgreSQL runs as under root, or make it."""
    useradd = ["useradd", "--system", "--user-group", "--shell", "/usr/sbin/nologin", SYSTEM_USER]
    deadline = time.monotonic() + 5
    while True:  # useradd gives up when another one is at work, perhaps at making this user
        try:
            return pwd.getpwnam(SYSTEM_USER)
        except KeyError:
            if time.monotonic() > deadline or shutil.which("useradd") is None:
                raise DatabaseUnavailableError(
                    f"PostgreSQL refuses to run as root, and the user {SYSTEM_USER} cannot be"
                    f" made: run Recoup as another user, or make {SYSTEM_USER} yourself."
                ) from None
        subprocess.run(useradd, check=False, capture_output=True)  # noqa: S603
        time.sleep(POLL_SECONDS)


def let_pass(owner: pwd.struct_passwd, data_dir: Path, programs: Path) -> None:
    """Let `owner` reach the data folder and run the programs, as root alone can until now."""
    for folder in {data_dir, *data_dir.parents, *programs.parents}:
        if folder.stat().st_uid != owner.pw_uid:
            _add_mode(folder, stat.S_IXOTH)
    for part in (programs, programs / "bin", programs / "lib", programs / "share"):
        for path in (part, *(part.rglob("*") if part != programs else ())):
            executable = path.stat().st_mode & stat.S_IXUSR
            _add_mode(path, stat.S_IROTH | (stat.S_IXOTH if executable else 0))


def _add_mode(path: Path, wanted: int) -> None:
    mode = path.stat().st_mode
    if mode & wanted != wanted:
        path.chmod(mode | wanted)

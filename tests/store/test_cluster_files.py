"""By its files a cluster is known from a copy of it; what else is done to them is no sign."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from recoup.store.cluster_files import read_files


@pytest.fixture
def cluster(tmp_path: Path) -> Path:
    """As much of a cluster's folder as is looked at."""
    folder = tmp_path / "data" / "postgres"
    (folder / "global").mkdir(parents=True)
    (folder / "PG_VERSION").write_text("18\n")
    (folder / "global" / "pg_control").write_bytes(b"a state")
    return folder


def test_a_copy_that_is_put_in_its_place_is_another(cluster: Path, tmp_path: Path) -> None:
    before = read_files(cluster)
    shutil.copytree(cluster, tmp_path / "backup")  # with its times, as `cp -a` copies
    shutil.rmtree(cluster)
    shutil.copytree(tmp_path / "backup", cluster)  # its inodes may be the very same
    assert read_files(cluster).sign != before.sign


def test_a_copy_of_only_what_had_changed_is_another(cluster: Path) -> None:
    """`rsync` leaves alone what is alike, and puts the rest in the place of what is there."""
    before = read_files(cluster)
    new = cluster / "global" / ".pg_control.x"
    new.write_bytes(b"an older state")
    new.replace(cluster / "global" / "pg_control")
    assert read_files(cluster).sign != before.sign


def test_use_and_care_change_nothing(cluster: Path, tmp_path: Path) -> None:
    before = read_files(cluster)
    with (cluster / "global" / "pg_control").open("r+b") as control:  # as PostgreSQL writes it
        control.write(b"another")
    for path in (cluster / "PG_VERSION", cluster / "global" / "pg_control"):
        path.chmod(0o640)
        os.chown(path, path.stat().st_uid, path.stat().st_gid)
        os.utime(path, (0, 0))
    moved = tmp_path / "moved"
    cluster.rename(moved)
    assert read_files(moved).sign == before.sign

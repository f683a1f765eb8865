"""The file that holds the last beat, and how often it is said that there can be none."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from structlog.testing import capture_logs

from recoup import clock
from recoup.store.beat_marker import BeatMarker

BEAT = datetime(2027, 3, 1, 12, tzinfo=UTC)
WRITER = UUID(int=1)


def marker_at(path: Path) -> BeatMarker:
    return BeatMarker(path, writer=clock.new_id())


def beats(marker: BeatMarker, times: int) -> None:
    for number in range(times):
        marker.read()
        marker.write(BEAT + timedelta(seconds=number))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    marker = marker_at(tmp_path / "data" / "last-beat-1")
    assert marker.read() is None
    with capture_logs() as said:
        beats(marker, 3)
    assert marker.read() == BEAT + timedelta(seconds=2)
    assert marker_at(tmp_path / "data" / "last-beat-1").read() == BEAT + timedelta(seconds=2)
    assert said == []


def test_each_trouble_is_said_once_and_so_is_its_end(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.write_text("no folder")
    marker = BeatMarker(folder / "last-beat-1", writer=WRITER)
    with capture_logs() as said:
        beats(marker, 3)
        folder.unlink()
        (folder / f"last-beat-1.{WRITER}.new").mkdir(parents=True)
        beats(marker, 3)
        (folder / f"last-beat-1.{WRITER}.new").rmdir()
        beats(marker, 3)
    assert [(one["event"], one.get("error")) for one in said] == [
        ("marker_unreadable", "ENOTDIR"),
        ("marker_not_written", "EEXIST"),
        ("marker_not_written", "EISDIR"),
        ("marker_written_again", None),
    ]
    assert marker.read() == BEAT + timedelta(seconds=2)


def test_what_cannot_be_read_is_said_once_and_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "last-beat-1"
    path.write_text("yesterday")
    marker = marker_at(path)
    with capture_logs() as said:
        assert marker.read() is None
        assert marker.read() is None
        beats(marker, 2)
    assert [one["event"] for one in said] == ["marker_unreadable", "marker_written_again"]
    assert marker_at(path).read() == BEAT + timedelta(seconds=1)


def test_processes_that_share_a_folder_are_not_in_each_others_way(tmp_path: Path) -> None:
    path = tmp_path / "last-beat-1"
    markers = [marker_at(path) for _ in range(4)]
    markers[0].write(BEAT)
    with capture_logs() as said, ThreadPoolExecutor(len(markers)) as processes:
        for done in [processes.submit(beats, marker, 200) for marker in markers]:
            done.result()
    assert said == []
    assert markers[0].read() == BEAT + timedelta(seconds=199)

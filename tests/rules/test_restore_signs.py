"""By which signs a database is known to be restored, and by which it is not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from recoup.rules.restore_signs import Files, Identity, Signs, why_restored

BEAT = datetime(2027, 3, 1, 12, tzinfo=UTC)
KEPT = Signs("7", "00000001", 16_384, "1/2", BEAT)
FILES = Files(device=40, volume=0xA1B2, once_written=261, born_ns=9, rewritten=301)


@pytest.mark.parametrize("last_beat", [None, BEAT, BEAT - timedelta(days=9)])
def test_a_restart_is_no_restore(last_beat: datetime | None) -> None:
    """The file outside may be gone, or older: it is written after the commit."""
    assert why_restored(KEPT, KEPT.identity, last_beat) is None


def test_a_first_start_is_no_restore() -> None:
    assert why_restored(None, KEPT.identity, None) is None


@pytest.mark.parametrize(
    ("changed", "sign"),
    [
        ({"system_identifier": "8"}, "another_cluster"),
        ({"database_oid": 5}, "another_database"),
        ({"timeline": "00000002"}, "another_timeline"),
        ({"folder": "1/3"}, "another_folder"),
    ],
)
def test_another_identity_is_a_restore(changed: dict[str, object], sign: str) -> None:
    found: Identity = msgspec.structs.replace(KEPT.identity, **changed)
    assert why_restored(KEPT, found, None) == sign


@pytest.mark.parametrize("volume", [0xA1B2, 0, 40], ids=["btrfs", "nfs", "xfs"])
def test_a_reboot_that_numbers_the_devices_anew_is_no_restore(volume: int) -> None:
    """NFS has no number of its own, and XFS takes the device's for it."""
    before = msgspec.structs.replace(FILES, volume=volume)
    after = msgspec.structs.replace(before, device=41, volume=41 if volume == 40 else volume)
    kept = msgspec.structs.replace(KEPT, folder=before.sign)
    found = msgspec.structs.replace(KEPT.identity, folder=after.sign)
    assert why_restored(kept, found, BEAT) is None


@pytest.mark.parametrize("changed", ["volume", "once_written", "born_ns", "rewritten"])
def test_files_that_were_copied_back_are_others(changed: str) -> None:
    """Another subvolume of btrfs, another inode, one used again; of what had changed alone."""
    assert msgspec.structs.replace(FILES, **{changed: 7}).sign != FILES.sign


@pytest.mark.parametrize("kept", [KEPT, None])
def test_a_state_older_than_what_was_seen_of_it_is_a_restore(kept: Signs | None) -> None:
    seen = BEAT + timedelta(seconds=1)
    assert why_restored(kept, KEPT.identity, seen) == "older_than_its_last_beat"

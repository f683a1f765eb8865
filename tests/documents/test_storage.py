from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from recoup import clock
from recoup.documents.bucket import Bucket
from recoup.documents.folder import UNFINISHED, Folder
from recoup.documents.storage import DocumentStorage, StorageError, file_of
from recoup.settings import WrongSettingsError, read_settings
from recoup.wiring.document_keeping import open_storage
from tests.documents.s3_stand_in import ACCESS, Shelf, s3_stand_in

NAME = file_of(clock.new_id(), clock.new_id())


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    for name, value in ACCESS.items():
        monkeypatch.setenv(name, value)
    with s3_stand_in() as running:
        yield running


@pytest.fixture(params=["folder", "bucket"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> DocumentStorage:
    """Each of the two, for what holds of both."""
    if request.param == "folder":
        return Folder(tmp_path / "documents")
    shelf: Shelf = request.getfixturevalue("shelf")
    return Bucket("papers", folder="recoup", endpoint=shelf.base)


async def test_what_was_written_is_read_until_it_is_removed(storage: DocumentStorage) -> None:
    await storage.check(clock.new_id())
    assert await storage.read(NAME) is None
    await storage.write(NAME, b"first")
    await storage.write(NAME, b"second")
    assert await storage.read(NAME) == b"second"
    await storage.remove(NAME)
    await storage.remove(NAME)
    assert await storage.read(NAME) is None


async def test_two_who_write_at_once_leave_one_whole_file(storage: DocumentStorage) -> None:
    contents = [bytes([number]) * 100_000 for number in range(8)]
    await asyncio.gather(*(storage.write(NAME, content) for content in contents))
    assert await storage.read(NAME) in contents


async def test_a_folder_leaves_nothing_beside_its_files(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "documents")
    await folder.check(clock.new_id())
    await folder.write(NAME, b"x")
    left = [path for path in (tmp_path / "documents").rglob("*") if path.is_file()]
    assert left == [tmp_path / "documents" / NAME]
    assert left[0].stat().st_mode & 0o077 == 0  # for this user alone


async def test_what_a_killed_process_left_is_removed_and_what_is_new_is_not(
    tmp_path: Path,
) -> None:
    folder = Folder(tmp_path)
    await folder.check(clock.new_id())
    old, new = tmp_path / UNFINISHED / "a", tmp_path / UNFINISHED / "b"
    old.touch()
    os.utime(old, (1, 1))
    new.touch()
    await folder.check(clock.new_id())
    assert not old.exists()
    assert new.exists()


async def test_a_start_looks_at_none_of_the_files_that_are_kept(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    await folder.write(NAME, b"x")
    kept = (tmp_path / NAME).parent
    os.utime(kept, ns=(1, 1))
    await folder.check(clock.new_id())
    assert kept.stat().st_atime_ns == 1
    if [*kept.iterdir()] and kept.stat().st_atime_ns == 1:
        pytest.skip("this file system does not tell when a folder was read")


async def test_a_folder_that_cannot_be_written_says_which(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="file"):
        await Folder(tmp_path / "file" / "documents").write(NAME, b"x")


async def test_a_bucket_is_asked_for_objects_alone_and_signed(shelf: Shelf) -> None:
    bucket = Bucket("papers", folder="recoup", endpoint=shelf.base)
    await bucket.check(clock.new_id())
    await bucket.write(NAME, b"x")
    assert shelf.objects == {f"/papers/recoup/{NAME}": b"x"}
    assert {method for method, _, _ in shelf.asked} == {"PUT", "GET", "DELETE"}
    assert all(path.startswith("/papers/recoup/") for _, path, _ in shelf.asked)
    assert all("Credential=AKIATEST/" in signed for _, _, signed in shelf.asked)


async def test_a_403_is_a_missing_object_only_as_long_as_reading_is_allowed(shelf: Shelf) -> None:
    bucket = Bucket("papers", endpoint=shelf.base)
    await bucket.check(clock.new_id())
    assert await bucket.read(NAME) is None
    shelf.refused = {"GET"}  # somebody has changed the bucket's policy
    with pytest.raises(StorageError, match="PermissionDenied"):
        await bucket.read(NAME)


@pytest.mark.parametrize("method", ["PUT", "GET", "DELETE"])
async def test_a_bucket_that_does_not_let_us_says_so(shelf: Shelf, method: str) -> None:
    shelf.refused = {method}
    with pytest.raises(StorageError, match="PermissionDenied"):
        await Bucket("papers", endpoint=shelf.base).check(clock.new_id())


async def test_a_bucket_in_trouble_is_no_missing_file(shelf: Shelf) -> None:
    bucket = Bucket("papers", endpoint=shelf.base)
    await bucket.check(clock.new_id())
    shelf.failing = True
    with pytest.raises(StorageError):
        await bucket.read(NAME)


async def test_the_settings_choose_the_folder_or_the_bucket(shelf: Shelf, tmp_path: Path) -> None:
    kept = await open_storage(read_settings(data_dir=tmp_path))
    await kept.write(NAME, b"x")
    assert (tmp_path / "documents" / NAME).read_bytes() == b"x"
    kept = await open_storage(
        read_settings(documents_url="s3://papers/a/b", documents_s3_endpoint=shelf.base)
    )
    await kept.write(NAME, b"y")
    assert shelf.objects == {f"/papers/a/b/{NAME}": b"y"}


async def test_a_wrong_bucket_is_named_at_the_start_with_what_to_do(shelf: Shelf) -> None:
    shelf.refused = {"PUT"}
    chosen = read_settings(documents_url="s3://papers", documents_s3_endpoint=shelf.base)
    with pytest.raises(WrongSettingsError, match=r"RECOUP_DOCUMENTS_URL.*s3:PutObject"):
        await open_storage(chosen)


async def test_a_wrong_folder_is_named_at_the_start_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "documents").touch()
    with pytest.raises(WrongSettingsError, match=r"RECOUP_DATA_DIR.*RECOUP_DOCUMENTS_URL"):
        await open_storage(read_settings(data_dir=tmp_path))


@pytest.mark.parametrize(
    "url", ["papers", "https://papers", "s3://", "s3://key:secret@papers", "s3://papers?x=1"]
)
def test_what_is_no_bucket_is_no_setting(url: str) -> None:
    with pytest.raises(WrongSettingsError, match="RECOUP_DOCUMENTS_URL is wrong"):
        read_settings(documents_url=url)

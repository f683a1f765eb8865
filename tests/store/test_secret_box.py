"""What a sealed value is bound to, and what two keys open."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4  # noqa: TID251  a test's own names

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from recoup.store import key_files
from recoup.store.secret_box import MasterKey, SecretBox, WrongSecretKeyError

OLD, NEW = SecretBox.new_key(), SecretBox.new_key()
PLACE: dict[str, Any] = {"organization_id": UUID(int=1), "row": UUID(int=2), "field": "secrets"}


def test_a_value_opens_at_its_own_place_alone() -> None:
    box = SecretBox.from_text(OLD)
    sealed = box.seal(b"moon", **PLACE)
    assert box.open(sealed, **PLACE) == b"moon"
    assert b"moon" not in sealed
    assert box.seal(b"moon", **PLACE) != sealed
    elsewhere = {"organization_id": UUID(int=3), "row": UUID(int=3), "field": "hmac_key"}
    for name, value in elsewhere.items():
        with pytest.raises(WrongSecretKeyError):
            box.open(sealed, **PLACE | {name: value})


def test_everything_is_sealed_with_the_current_key_and_opened_with_both() -> None:
    before = SecretBox.from_text(OLD).seal(b"moon", **PLACE)
    box = SecretBox.from_text(NEW, previous=OLD)
    assert box.open(before, **PLACE) == b"moon"
    assert not before.startswith(box.mark)
    after = box.seal(b"moon", **PLACE)
    assert after.startswith(box.mark)
    assert SecretBox.from_text(NEW).open(after, **PLACE) == b"moon"
    for box_, sealed in ((SecretBox.from_text(OLD), after), (SecretBox.from_text(NEW), before)):
        with pytest.raises(WrongSecretKeyError, match=r"\Asecrets\Z"):
            box_.open(sealed, **PLACE)


def test_a_value_says_which_key_it_needs_and_no_other_is_tried() -> None:
    box = SecretBox.from_text(NEW, previous=OLD)
    sealed = bytearray(box.seal(b"moon", **PLACE))
    sealed[1:9] = MasterKey.from_text(OLD).id
    with pytest.raises(WrongSecretKeyError):
        box.open(bytes(sealed), **PLACE)


def test_values_from_before_keys_had_ids_still_open() -> None:
    key = AESGCM(base64.b64decode(OLD))
    place = f"{PLACE['organization_id']}|{PLACE['row']}|secrets".encode()
    sealed = b"\x01" + b"n" * 12 + key.encrypt(b"n" * 12, b"moon", place)
    for box in (SecretBox.from_text(OLD), SecretBox.from_text(NEW, previous=OLD)):
        assert box.open(sealed, **PLACE) == b"moon"
        assert not sealed.startswith(box.mark)
    with pytest.raises(WrongSecretKeyError):
        SecretBox.from_text(NEW).open(sealed, **PLACE)


@pytest.mark.parametrize("length", [0, 1, 5, 9, 15, 30])
def test_what_is_cut_off_does_not_open(length: int) -> None:
    box = SecretBox.from_text(OLD)
    with pytest.raises(WrongSecretKeyError):
        box.open(box.seal(b"moon", **PLACE)[:length], **PLACE)


@pytest.mark.parametrize(
    "text",
    ["", "moonmoon", "ä" * 44, OLD + OLD, OLD[:-4]],
    ids=["nothing", "short", "not ASCII", "two keys", "most of one"],  # the keys are new each time
)
def test_what_is_no_key_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(ValueError) as error:
        SecretBox.from_text(text)
    assert not text or text not in str(error.value)


def box_of(folder: Path) -> SecretBox:
    return SecretBox(key_files.read(folder), read_again=lambda: key_files.read(folder))


def test_a_running_process_hears_of_a_rotation(tmp_path: Path) -> None:
    key_files.make(tmp_path, temporary=uuid4())
    running, idle = box_of(tmp_path), box_of(tmp_path)
    before = running.seal(b"moon", **PLACE)
    key_files.rotate(tmp_path, temporary=uuid4())
    after = box_of(tmp_path).seal(b"sun", **PLACE)
    assert idle.open(after, **PLACE) == b"sun"  # which it has never heard of
    assert running.seal(b"moon", **PLACE).startswith(box_of(tmp_path).mark)
    assert running.open(before, **PLACE) == b"moon"
    key_files.forget_previous(tmp_path)
    with pytest.raises(WrongSecretKeyError):
        box_of(tmp_path).open(before, **PLACE)


def test_keys_are_whole_their_owners_alone_and_left_over_by_nothing(tmp_path: Path) -> None:
    key_files.make(tmp_path, temporary=uuid4())
    first = (tmp_path / "secret.key").read_text()
    key_files.make(tmp_path, temporary=uuid4())
    assert (tmp_path / "secret.key").read_text() == first
    key_files.rotate(tmp_path, temporary=uuid4())
    assert (tmp_path / "secret.key.previous").read_text() == first
    assert (tmp_path / "secret.key").read_text() != first
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {"secret.key": 0o600, "secret.key.previous": 0o600}


def test_a_file_that_cannot_be_read_any_more_leaves_the_keys_as_they_were(tmp_path: Path) -> None:
    key_files.make(tmp_path, temporary=uuid4())
    box = box_of(tmp_path)
    (tmp_path / "secret.key").write_text("nothing")
    assert box.open(box.seal(b"moon", **PLACE), **PLACE) == b"moon"
    with pytest.raises(key_files.WrongKeyFileError, match=r"secret\.key is wrong"):
        key_files.read(tmp_path)

"""The master key as files in the data folder: `secret.key`, and `secret.key.previous` beside it.

Where the environment gives no key. Each file is whole or not there, and its owner's alone to read.

What would surprise you: whoever reads them reads `secret.key` first. A rotation puts the previous
one there before it changes the current one, so that no reader ends up without the old key.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final
from uuid import UUID

import structlog

from recoup.store.secret_box import MasterKey, MasterKeys, SecretBox

log = structlog.get_logger()

CURRENT: Final = "secret.key"
PREVIOUS: Final = "secret.key.previous"


class WrongKeyFileError(ValueError):
    """A file holds no key. The message names it, and nothing of what it holds."""


def read(data_dir: Path) -> MasterKeys:
    """Read the keys.

    :raises WrongKeyFileError: a file holds something else.
    :raises OSError: there is no current key, or it may not be read.
    """
    current = _key(data_dir / CURRENT)
    try:
        return MasterKeys(current, (_key(data_dir / PREVIOUS),))
    except FileNotFoundError:
        return MasterKeys(current)


def make(data_dir: Path, *, temporary: UUID) -> None:
    """Make the first key, unless there is one; the first of two processes wins."""
    path = data_dir / CURRENT
    if path.exists():
        return
    made = _written(data_dir, SecretBox.new_key(), temporary)
    try:
        path.hardlink_to(made)
    except FileExistsError:
        log.debug("secret_key_made_by_another_process")
    finally:
        made.unlink()
    _keep(data_dir)


def rotate(data_dir: Path, *, temporary: UUID) -> None:
    """Make a new current key; the one that was current is the previous one from now on.

    Killed between the two steps, both files hold the old key, and nothing has happened. A previous
    key that was there is gone: the caller has seen to it that nothing is sealed with it.
    """
    old = (data_dir / CURRENT).read_text("utf-8")
    _written(data_dir, old, temporary).replace(data_dir / PREVIOUS)
    _keep(data_dir)
    _written(data_dir, SecretBox.new_key(), temporary).replace(data_dir / CURRENT)
    _keep(data_dir)


def forget_previous(data_dir: Path) -> None:
    """Delete the previous key: the caller has seen to it that nothing is sealed with it."""
    (data_dir / PREVIOUS).unlink(missing_ok=True)


def _key(path: Path) -> MasterKey:
    try:
        return MasterKey.from_text(path.read_text("utf-8"))
    except UnicodeDecodeError:
        raise WrongKeyFileError(f"{path} is wrong: it is no base64") from None
    except ValueError as error:
        raise WrongKeyFileError(f"{path} is wrong: {error}") from None


def _written(data_dir: Path, text: str, temporary: UUID) -> Path:
    """A file of its own that holds this key, on the disk and not merely on its way there."""
    path = data_dir / f"{CURRENT}.{temporary}"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text.strip() + "\n")
        file.flush()
        os.fsync(file.fileno())
    return path


def _keep(data_dir: Path) -> None:
    """Have the folder's new names outlive a power cut, as what is sealed with the key will."""
    descriptor = os.open(data_dir, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

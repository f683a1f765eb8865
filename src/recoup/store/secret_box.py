"""Seal what must not be read in a copy of the database: AES-256-GCM under the installation's key.

The organization, the row and the field go in as associated data, so that a sealed value copied to
another row or tenant does not open; and so does the id of the key, which stands before the value.

Two keys at a time: everything is sealed with the current one, and opened with both, so that one
takes the place of the other while the service runs. How: docs/secrets.md.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Callable
from hashlib import sha256
from typing import Final
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_KEY_BYTES: Final = 32
_KEY_ID_BYTES: Final = 8
_NONCE_BYTES: Final = 12  # what GCM is made for
# The form of what follows: a nonce and the sealed value; before them, in the second one, a key id.
_WITHOUT_KEY_ID: Final = b"\x01"
_WITH_KEY_ID: Final = b"\x02"


class WrongSecretKeyError(Exception):
    """The sealed value does not open: another key, or a value from another place."""


class MasterKey:
    """One key, and the id by which a sealed value names it."""

    def __init__(self, key: bytes) -> None:
        # One-way, of 256 random bits: whoever reads the id is no nearer to the key.
        self.id = sha256(b"recoup key id|" + key).digest()[:_KEY_ID_BYTES]
        self.cipher = AESGCM(key)

    @classmethod
    def from_text(cls, text: str) -> MasterKey:
        """Read a key as `RECOUP_SECRET_KEY` and the file `secret.key` hold it: base64 of 32 bytes.

        :raises ValueError: it is something else.
        """
        try:
            key = base64.b64decode(text.strip(), validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("it is no base64") from None  # the cause may quote what it read
        if len(key) != _KEY_BYTES:
            raise ValueError(f"it holds {len(key)} bytes, not {_KEY_BYTES}")
        return cls(key)


class MasterKeys(msgspec.Struct, frozen=True):
    """The key that seals, and others that still open, or open already: one, during a rotation."""

    current: MasterKey
    others: tuple[MasterKey, ...] = ()

    @property
    def all(self) -> tuple[MasterKey, ...]:
        """All that open, the likeliest first."""
        return (self.current, *self.others)


class SecretBox:
    """Seals with the current master key, and opens with the others, too.

    `read_again` is for keys that come from files: they are read before each seal, and for a value
    under a key that is not known, so that a running process hears of a rotation by itself.
    """

    def __init__(
        self, keys: MasterKeys, read_again: Callable[[], MasterKeys] | None = None
    ) -> None:
        self._keys = keys
        self._read_again = read_again

    @classmethod
    def from_text(cls, text: str, previous: str | None = None) -> SecretBox:
        """A box with these keys, each in the form of `MasterKey.from_text`.

        :raises ValueError: one is something else.
        """
        others = (MasterKey.from_text(previous),) if previous else ()
        return cls(MasterKeys(MasterKey.from_text(text), others))

    @staticmethod
    def new_key() -> str:
        """Make a key, in the form that `from_text` reads."""
        return base64.b64encode(os.urandom(_KEY_BYTES)).decode()

    @property
    def keys(self) -> MasterKeys:
        """The keys as they are now."""
        self._refresh()
        return self._keys

    @property
    def mark(self) -> bytes:
        """With what every value begins that is sealed with the current key."""
        return _WITH_KEY_ID + self.keys.current.id

    def seal(
        self, value: bytes, *, organization_id: UUID | None, row: UUID | None, field: str
    ) -> bytes:
        """Seal a value for one field of one row; both ids are None for the installation's own."""
        key = self.keys.current
        nonce = os.urandom(_NONCE_BYTES)
        place = key.id + _place(organization_id, row, field)
        return _WITH_KEY_ID + key.id + nonce + key.cipher.encrypt(nonce, value, place)

    def open(
        self, sealed: bytes, *, organization_id: UUID | None, row: UUID | None, field: str
    ) -> bytes:
        """Open a value that was sealed for this very place.

        :raises WrongSecretKeyError: it was sealed with another key, or for another place.
        """
        place = _place(organization_id, row, field)
        opened = self._opened(sealed, place)
        if opened is None and self._refresh():
            opened = self._opened(sealed, place)
        if opened is None:
            raise WrongSecretKeyError(field)
        return opened

    def _opened(self, sealed: bytes, place: bytes) -> bytes | None:
        form, rest = sealed[:1], sealed[1:]
        if form == _WITHOUT_KEY_ID:
            fitting = self._keys.all
        elif form == _WITH_KEY_ID:
            key_id, rest = rest[:_KEY_ID_BYTES], rest[_KEY_ID_BYTES:]
            place = key_id + place
            fitting = tuple(key for key in self._keys.all if key.id == key_id)
        else:
            return None
        nonce, value = rest[:_NONCE_BYTES], rest[_NONCE_BYTES:]
        for key in fitting:
            try:
                return key.cipher.decrypt(nonce, value, place)
            except (InvalidTag, ValueError):  # ValueError: it is too short to be a sealed value
                continue
        return None

    def _refresh(self) -> bool:
        """Read the keys again, and tell whether they have changed."""
        if self._read_again is None:
            return False
        try:
            keys = self._read_again()
        except (OSError, ValueError):
            return False  # a file that cannot be read now: those of before are still good
        changed = [key.id for key in keys.all] != [key.id for key in self._keys.all]
        self._keys = keys
        return changed


def _place(organization_id: UUID | None, row: UUID | None, field: str) -> bytes:
    return f"{organization_id}|{row}|{field}".encode()

"""Seal what must not be read in a copy of the database: AES-256-GCM under the installation's key.

The organization, the row and the field go in as associated data, so that a sealed value copied to
another row or tenant does not open.
"""

from __future__ import annotations

import base64
import binascii
import os
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12  # what GCM is made for
_VERSION: Final = b"\x01"  # the form of what follows, for a later one to be told apart


class WrongSecretKeyError(Exception):
    """The sealed value does not open: another key, or a value from another place."""


class SecretBox:
    """Seals and opens with one master key."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    @classmethod
    def from_text(cls, text: str) -> SecretBox:
        """Read a key as `RECOUP_SECRET_KEY` and the file `secret.key` hold it: base64 of 32 bytes.

        :raises ValueError: it is something else.
        """
        try:
            key = base64.b64decode(text.strip(), validate=True)
        except binascii.Error as error:
            raise ValueError("it is no base64") from error
        if len(key) != _KEY_BYTES:
            raise ValueError(f"it holds {len(key)} bytes, not {_KEY_BYTES}")
        return cls(key)

    @staticmethod
    def new_key() -> str:
        """Make a key, in the form that `from_text` reads."""
        return base64.b64encode(os.urandom(_KEY_BYTES)).decode()

    def seal(
        self, value: bytes, *, organization_id: UUID | None, row: UUID | None, field: str
    ) -> bytes:
        """Seal a value for one field of one row; both ids are None for the installation's own."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, value, _place(organization_id, row, field))
        return _VERSION + nonce + sealed

    def open(
        self, sealed: bytes, *, organization_id: UUID | None, row: UUID | None, field: str
    ) -> bytes:
        """Open a value that was sealed for this very place.

        :raises WrongSecretKeyError: it was sealed with another key, or for another place.
        """
        nonce = sealed[1 : 1 + _NONCE_BYTES]
        place = _place(organization_id, row, field)
        try:
            return self._cipher.decrypt(nonce, sealed[1 + _NONCE_BYTES :], place)
        except InvalidTag:
            raise WrongSecretKeyError(field) from None


def _place(organization_id: UUID | None, row: UUID | None, field: str) -> bytes:
    return f"{organization_id}|{row}|{field}".encode()

"""Make what an installation needs at its first start, and know its secret key at every later one.

Called once per process, before it serves anybody. Processes that start at the same moment agree:
the first row stays, and all of them use it.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from recoup.store import db, installation
from recoup.store.db import Pool
from recoup.store.installation import Installation
from recoup.store.sealed_columns import JWT_KEY, KEY_CHECK
from recoup.store.secret_box import SecretBox, WrongSecretKeyError

KEY_BITS: Final = 2048
_KNOWN_TEXT: Final = b"recoup"


class SecretKeyChangedError(WrongSecretKeyError):
    """The process was given no secret key that this database is sealed with."""

    def __init__(self) -> None:
        super().__init__(
            "The secret key is not the one that this database was sealed with: nothing in it could"
            " be opened. Start with the old key, from RECOUP_SECRET_KEY or the file secret.key in"
            " the data folder. If a new key is to take its place, give the old one as"
            " RECOUP_PREVIOUS_SECRET_KEY beside it, and run `recoup secrets reseal`."
        )


async def prepare(pool: Pool, *, box: SecretBox, now: datetime) -> Installation:
    """Read the installation's keys; make and seal them where there are none yet.

    :raises SecretKeyChangedError: `box` has other keys than the one they were sealed with.
    """
    async with db.nameless(pool) as conn:
        found = await installation.read(conn)
    if found is None:
        made = await asyncio.to_thread(_new_installation, box, now)  # an RSA key takes its time
        async with db.nameless(pool) as conn:
            await installation.insert(conn, made)
            found = await installation.read(conn)  # another process may have been the first
        assert found is not None, "it was inserted, or was there"
    try:
        box.open(found.key_check, organization_id=None, row=None, field=KEY_CHECK)
    except WrongSecretKeyError:
        raise SecretKeyChangedError from None
    return found


def _new_installation(box: SecretBox, now: datetime) -> Installation:
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),  # the box encrypts it
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return Installation(
        key_check=box.seal(_KNOWN_TEXT, organization_id=None, row=None, field=KEY_CHECK),
        jwt_key_sealed=box.seal(private, organization_id=None, row=None, field=JWT_KEY),
        jwt_public_key=public.decode(),
        created_at=now,
    )

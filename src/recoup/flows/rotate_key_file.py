"""Put a new master key in the place of the one in the data folder, and take the old one away.

For keys that are files: one from the environment is changed there. Running processes read the files
again by themselves, so none has to be started anew.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from uuid import UUID

from recoup.flows.rotate_secret_key import count_left
from recoup.rules.refusal import Refusal, RefusalKind, Refused
from recoup.store import db, key_files, sealed_columns
from recoup.store.db import Pool
from recoup.store.secret_box import SecretBox

IN_USE: Final = Refusal(RefusalKind.CONFLICT, "secret_key_rotation_in_use")
NOT_RESEALED: Final = "secrets_not_resealed"


async def rotate_key_file(
    pool: Pool, scout: Pool, data_dir: Path, *, box: SecretBox, temporary: UUID
) -> None:
    """Make a new key, and keep the current one as the previous. Nothing is sealed anew yet.

    :raises Refused: 405 `secrets_not_resealed` with the columns: the key before this one is still
        needed, and there is no place for three. 409: somebody else is at it.
    """
    async with _alone(pool):
        if len(box.keys.all) > 1:
            await _all_must_be_resealed(pool, scout, box)
        key_files.rotate(data_dir, temporary=temporary)


async def forget_previous_key(pool: Pool, scout: Pool, data_dir: Path, *, box: SecretBox) -> None:
    """Delete the previous key's file.

    :raises Refused: as for `rotate_key_file`.
    """
    async with _alone(pool):
        await _all_must_be_resealed(pool, scout, box)
        key_files.forget_previous(data_dir)


@asynccontextmanager
async def _alone(pool: Pool) -> AsyncIterator[None]:
    async with db.nameless(pool) as conn:
        if not await sealed_columns.hold_rotation(conn):
            raise Refused(IN_USE)
        yield


async def _all_must_be_resealed(pool: Pool, scout: Pool, box: SecretBox) -> None:
    left = {name: many for name, many in (await count_left(pool, scout, box=box)).items() if many}
    if left:
        raise Refused(Refusal(RefusalKind.NOT_ALLOWED, NOT_RESEALED, left))

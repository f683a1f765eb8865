"""Documents as objects of a bucket: Amazon's S3, or any store that speaks its protocol.

Credentials come as everybody's tools read them: from `AWS_…` variables, from a web identity, from
the container's or the machine's own role. Three permissions are enough: to put, get and delete
objects; nothing is ever listed.

What would surprise you: to whom nothing may be listed, a store does not say that an object is
missing, but 403, as it does where nothing may be read. Which of the two it is shows a small object
that stays: where that can be written and read, the other one is missing.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError
from obstore.store import S3Store

from recoup.documents.storage import StorageError, try_out

if TYPE_CHECKING:
    from obstore.store import S3Config  # of its stubs alone

TIMEOUT: Final = timedelta(seconds=10)
RETRY_FOR: Final = timedelta(seconds=20)
MOST_RETRIES: Final = 2  # a job comes back by itself
LONGEST_REASON: Final = 200
READABLE: Final = "check/readable.txt"
WHY_READABLE: Final = b"Recoup reads this to know whether it may read. It may be removed.\n"


class Bucket:
    """A bucket, or a folder of it."""

    def __init__(self, bucket: str, *, folder: str = "", endpoint: str | None = None) -> None:
        """
        :param folder: before every name; empty: the bucket is ours alone.
        :param endpoint: of a store that is not Amazon's: `http://minio.internal:9000`.
        :raises StorageError: the settings do not fit together.
        """
        plain_http = endpoint is not None and endpoint.startswith("http://")
        # One by one: the call for many at once is one that not every store has.
        config: S3Config = {"disable_bulk_delete": True}
        if endpoint is not None:
            config["endpoint"] = endpoint
        try:
            self._store = S3Store(
                bucket,
                prefix=folder or None,
                client_options={"allow_http": plain_http, "timeout": TIMEOUT},
                retry_config={"max_retries": MOST_RETRIES, "retry_timeout": RETRY_FOR},
                config=config,
            )
        except (BaseError, ValueError) as error:
            raise StorageError(_reason(error)) from None

    async def write(self, name: str, content: bytes) -> None:
        """Keep a file, whole or not at all.

        :raises StorageError: it is not kept.
        """
        try:
            await obstore.put_async(self._store, name, content, use_multipart=False)
        except (BaseError, OSError, ValueError) as error:
            raise StorageError(_reason(error)) from None

    async def read(self, name: str) -> bytes | None:
        """A file; None: it is not there.

        :raises StorageError: nobody can tell.
        """
        try:
            return await self._get(name)
        except PermissionDeniedError:
            await self._make_sure_of_reading()
            return None
        except (BaseError, OSError, ValueError) as error:
            raise StorageError(_reason(error)) from None

    async def remove(self, name: str) -> None:
        """Let a file go; one that is not there is gone already.

        :raises StorageError: it may be there still.
        """
        try:
            await obstore.delete_async(self._store, name)
        except FileNotFoundError:
            return
        except (BaseError, OSError, ValueError) as error:
            raise StorageError(_reason(error)) from None

    async def check(self, probe: UUID) -> None:
        """Try the bucket out: put, get, delete.

        :raises StorageError: one of these is not allowed, or the bucket does not answer.
        """
        await try_out(self, probe)

    async def _get(self, name: str) -> bytes | None:
        try:
            found = await obstore.get_async(self._store, name)
            return bytes(await found.bytes_async())
        except FileNotFoundError:
            return None

    async def _make_sure_of_reading(self) -> None:
        await self.write(READABLE, WHY_READABLE)
        try:
            await self._get(READABLE)
        except (BaseError, OSError, ValueError) as error:
            raise StorageError(_reason(error)) from None


def _reason(error: Exception) -> str:
    """What happened, in a few words: a store's answer can be long, and is not ours to repeat."""
    said = " ".join(str(error).split())
    return f"{type(error).__name__}: {said[:LONGEST_REASON]}"

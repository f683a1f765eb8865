"""Where documents are kept: a folder, or a bucket of an S3-compatible store.

Called by the flows that make and show documents, never inside a transaction. A file is named by its
organization and document, so writing it again replaces it by the same.
"""

from __future__ import annotations

from typing import Protocol
from uuid import UUID


class StorageError(Exception):
    """The store does not answer, or does not let us; the message is for the operator."""


class DocumentStorage(Protocol):
    """Keeps files by their names. Nothing here is cached."""

    async def write(self, name: str, content: bytes) -> None:
        """Keep a file, whole or not at all.

        :raises StorageError: it is not kept.
        """

    async def read(self, name: str) -> bytes | None:
        """A file; None: it is not there.

        :raises StorageError: nobody can tell.
        """

    async def remove(self, name: str) -> None:
        """Let a file go; one that is not there is gone already.

        :raises StorageError: it may be there still.
        """

    async def check(self, probe: UUID) -> None:
        """Write a small file, read it and remove it, so that a wrong setting shows at the start.

        :raises StorageError: one of these is not possible.
        """


def file_of(organization_id: UUID, document_id: UUID) -> str:
    """The name of a document's file."""
    return f"{organization_id}/{document_id}.pdf"


async def try_out(storage: DocumentStorage, probe: UUID) -> None:
    """What `check` does, in terms of the rest.

    :raises StorageError: one of these is not possible.
    """
    name, content = f"check/{probe}.txt", b"Recoup writes here at its start, and removes it.\n"
    await storage.write(name, content)
    if await storage.read(name) != content:
        raise StorageError("what was written is not what is read")
    await storage.remove(name)

"""Which row: every tenant's row is named by its organization and its id."""

from __future__ import annotations

from uuid import UUID

import msgspec


class RowKey(msgspec.Struct, frozen=True, order=True):
    """A tenant's row. Keys sort in the order in which rows are locked."""

    organization_id: UUID
    id: UUID

    def __str__(self) -> str:
        return f"{self.organization_id}/{self.id}"

    @classmethod
    def read(cls, text: str) -> RowKey:
        """Read what `str` wrote."""
        organization, _, row = text.partition("/")
        return cls(UUID(organization), UUID(row))

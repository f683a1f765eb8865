"""A document: what stands on it, and how far its file has come."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from recoup.rules.records.document_pages import DocumentKind
from recoup.rules.records.keys import RowKey


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `documents`: one version. Its page never changes."""

    organization_id: UUID
    id: UUID
    kind: DocumentKind
    of_id: UUID  # the invoice, credit note or receipt that it is about
    version: int  # from 1; a later one takes its place
    page: str  # JSON, see `rules/records/document_pages`
    logo_id: UUID | None
    tries: int  # that failed, since it was last asked for
    typeset_tries: int  # of these, the page's own fault
    make_at: datetime | None
    failed_because: str | None
    given_up_at: datetime | None
    made_at: datetime | None  # the first time
    has_file: bool
    replaced_at: datetime | None
    created_at: datetime

    @property
    def key(self) -> RowKey:
        """Which document this is."""
        return RowKey(self.organization_id, self.id)

    @property
    def of(self) -> RowKey:
        """What it is about."""
        return RowKey(self.organization_id, self.of_id)

"""Rows of `documents` and `logos`: what stands on a document, and how far its file has come.

One that waits, and no other, has a `make_at`. While somebody is at it that is the end of their
lease, when it is due again, whoever had it. A version that was replaced waits, too: until its file
is removed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from recoup.rules.records.document_pages import DocumentKind
from recoup.rules.records.documents import Document
from recoup.rules.records.keys import RowKey
from recoup.store.db import Conn
from recoup.store.rows import key_arrays, row_key

# The column that names what a document is about.
_OF: Final[Mapping[DocumentKind, str]] = {
    DocumentKind.INVOICE: "invoice_id",
    DocumentKind.CREDIT_NOTE: "credit_note_id",
    DocumentKind.PAYMENT_RECEIPT: "payment_receipt_id",
}
_COLUMNS: Final = ", ".join(
    f"coalesce({', '.join(_OF.values())}) AS of_id" if field == "of_id" else field
    for field in Document.__struct_fields__
)

_INSERT: Final = """
    INSERT INTO documents
           (organization_id, id, kind, {of}, version, page, logo_id, make_at, created_at)
    SELECT u.organization_id, u.id, $3, u.of_id, u.version, u.page, u.logo_id, $8, $8
      FROM unnest($1::uuid[], $2::uuid[], $4::uuid[], $5::int[], $6::text[], $7::uuid[])
           AS u (organization_id, id, of_id, version, page, logo_id)
        ON CONFLICT DO NOTHING  -- asked for twice at once
"""

_ONE: Final = f"""
    SELECT {_COLUMNS} FROM documents WHERE organization_id = $1 AND id = $2
"""

# One that nobody has touched is due whatever the clock says: the host that made it and the one that
# works may not agree on the time.
_LOCK_DUE: Final = f"""
    SELECT {_COLUMNS} FROM documents
     WHERE organization_id = $1 AND id = $2 AND (make_at <= $3 OR make_at = created_at)
       FOR NO KEY UPDATE
"""

_CURRENT: Final = f"""
    SELECT {_COLUMNS} FROM documents
     WHERE organization_id = $1 AND {{of}} = $2 AND replaced_at IS NULL
"""
_LOCK_CURRENT: Final = f"""{_CURRENT}
       FOR NO KEY UPDATE
"""

_PUT_OFF: Final = "UPDATE documents SET make_at = $3 WHERE organization_id = $1 AND id = $2"

_MADE: Final = """
    UPDATE documents d
       SET made_at = coalesce(d.made_at, $3), has_file = true, make_at = NULL, tries = 0,
           typeset_tries = 0, failed_because = NULL, given_up_at = NULL,
           logo_id = coalesce(d.logo_id, $4)
      FROM (SELECT organization_id, id, made_at FROM documents
             WHERE organization_id = $1 AND id = $2 AND replaced_at IS NULL
               FOR NO KEY UPDATE) AS before
     WHERE (d.organization_id, d.id) = (before.organization_id, before.id)
 RETURNING before.made_at IS NULL AS is_first
"""

_FAILED: Final = """
    UPDATE documents
       SET tries = tries + 1, typeset_tries = typeset_tries + $6::int, make_at = $4,
           failed_because = $5,
           given_up_at = CASE WHEN $4::timestamptz IS NULL THEN $7::timestamptz END
     WHERE organization_id = $1 AND id = $2 AND make_at = $3 AND replaced_at IS NULL
"""

_REPLACE: Final = """
    UPDATE documents
       SET replaced_at = $3, has_file = false, make_at = $4, given_up_at = NULL
     WHERE organization_id = $1 AND id = $2
"""

_REMOVED: Final = "UPDATE documents SET make_at = NULL WHERE organization_id = $1 AND id = $2"

# Whoever is at it already, or will be, is left alone.
_MAKE_AGAIN: Final = """
    UPDATE documents
       SET has_file = false, tries = 0, typeset_tries = 0, given_up_at = NULL, make_at = $3
     WHERE organization_id = $1 AND id = $2 AND make_at IS NULL AND replaced_at IS NULL
"""

_SHOWN: Final = """
    SELECT d.organization_id, d.{of} AS of_id, d.id
      FROM unnest($1::uuid[], $2::uuid[]) AS asked (organization_id, {of})
      JOIN documents d USING (organization_id, {of})
     WHERE d.replaced_at IS NULL AND d.has_file
"""

_DUE: Final = """
    SELECT organization_id, id FROM documents WHERE make_at <= $1 ORDER BY make_at LIMIT $2
"""

_GIVEN_UP: Final = f"""
    SELECT {_COLUMNS} FROM documents
     WHERE organization_id = $1 AND given_up_at IS NOT NULL
     ORDER BY given_up_at, id LIMIT $2
"""

_KEEP_LOGO: Final = """
    INSERT INTO logos (organization_id, id, svg, created_at) VALUES ($1, $2, $3, $4)
        ON CONFLICT DO NOTHING
"""

_LOGO: Final = "SELECT svg FROM logos WHERE organization_id = $1 AND id = $2"


class NewDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A version that is to be added."""

    id: UUID
    of: RowKey  # the row that it is about
    version: int = 1
    page: str  # JSON
    logo_id: UUID | None = None


async def insert(
    conn: Conn, kind: DocumentKind, added: Sequence[NewDocument], *, now: datetime
) -> None:
    """Add versions, to be made at once. Where there is another that is current nothing is added."""
    await conn.execute(
        _INSERT.format(of=_OF[kind]),
        [one.of.organization_id for one in added],
        [one.id for one in added],
        kind.value,
        [one.of.id for one in added],
        [one.version for one in added],
        [one.page for one in added],
        [one.logo_id for one in added],
        now,
    )


async def one(conn: Conn, key: RowKey) -> Document | None:
    """Read a document."""
    return _document(await conn.fetchrow(_ONE, key.organization_id, key.id))


async def lock_due(conn: Conn, key: RowKey, *, now: datetime) -> Document | None:
    """Lock a document that is to be made, or removed, now.

    None: nothing is to be done about it, its time has not come, or somebody is at it.
    """
    return _document(await conn.fetchrow(_LOCK_DUE, key.organization_id, key.id, now))


async def current(conn: Conn, kind: DocumentKind, of: RowKey) -> Document | None:
    """Read the current version of what this row's document is; None: it has none."""
    return _document(await conn.fetchrow(_CURRENT.format(of=_OF[kind]), of.organization_id, of.id))


async def lock_current(conn: Conn, kind: DocumentKind, of: RowKey) -> Document | None:
    """Lock the current version of what this row's document is; None: it has none."""
    return _document(
        await conn.fetchrow(_LOCK_CURRENT.format(of=_OF[kind]), of.organization_id, of.id)
    )


async def put_off(conn: Conn, key: RowKey, *, until: datetime) -> None:
    """Let a locked document be due then, and nobody's before."""
    await conn.execute(_PUT_OFF, key.organization_id, key.id, until)


async def made(conn: Conn, key: RowKey, *, logo_id: UUID | None, now: datetime) -> bool | None:
    """Note that the file is there, and say whether it is the first time.

    None: another version has taken its place meanwhile, and nothing is noted.
    """
    row = await conn.fetchrow(_MADE, key.organization_id, key.id, now, logo_id)
    return None if row is None else bool(row["is_first"])


async def failed(
    conn: Conn,
    key: RowKey,
    *,
    leased_until: datetime,
    next_make_at: datetime | None,
    why: str,
    is_pages_fault: bool,
    now: datetime,
) -> None:
    """Note a failed try, and when the next one is due; without one the document is given up.

    Nothing is noted where the lease had run out, and somebody else took over.
    """
    await conn.execute(
        _FAILED, key.organization_id, key.id, leased_until, next_make_at, why,
        int(is_pages_fault), now,
    )  # fmt: skip


async def replace(conn: Conn, key: RowKey, *, remove_at: datetime, now: datetime) -> None:
    """Let a locked version be current no more; its file is removed at that time."""
    await conn.execute(_REPLACE, key.organization_id, key.id, now, remove_at)


async def removed(conn: Conn, key: RowKey) -> None:
    """Note that a replaced version has no file any more."""
    await conn.execute(_REMOVED, key.organization_id, key.id)


async def make_again(conn: Conn, key: RowKey, *, now: datetime) -> bool:
    """Let a document be made that has no file, or was given up; False: it waits already."""
    done: str = await conn.execute(_MAKE_AGAIN, key.organization_id, key.id, now)
    return done != "UPDATE 0"


async def shown(conn: Conn, kind: DocumentKind, of: Collection[RowKey]) -> dict[RowKey, UUID]:
    """The documents of these rows that can be opened, by the rows; the others are left out."""
    rows = await conn.fetch(_SHOWN.format(of=_OF[kind]), *key_arrays(of))
    return {RowKey(row["organization_id"], row["of_id"]): row["id"] for row in rows}


async def due(scout: Conn, *, now: datetime, most: int) -> list[RowKey]:
    """Documents of all tenants that are due, the longest waiting first."""
    return [row_key(row) for row in await scout.fetch(_DUE, now, most)]


async def given_up(conn: Conn, organization_id: UUID, *, most: int) -> list[Document]:
    """The organization's documents that nobody tries to make any more, oldest first."""
    rows = await conn.fetch(_GIVEN_UP, organization_id, most)
    return [msgspec.convert(dict(row), Document) for row in rows]


async def keep_logo(conn: Conn, key: RowKey, svg: str, *, now: datetime) -> None:
    """Keep a picture; one that is there is the same."""
    await conn.execute(_KEEP_LOGO, key.organization_id, key.id, svg, now)


async def logo(conn: Conn, key: RowKey) -> str | None:
    """A picture that was kept, as SVG."""
    svg: str | None = await conn.fetchval(_LOGO, key.organization_id, key.id)
    return svg


def _document(row: Any) -> Document | None:
    return msgspec.convert(dict(row), Document) if row else None

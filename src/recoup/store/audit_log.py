"""Rows of `audit_log`: what people did by hand, and why. They are added, never changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from recoup.store.db import Conn


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a person did."""

    organization_id: UUID
    id: UUID
    actor: str  # who, in their own words
    action: str  # `payment.settled_by_hand`
    object_id: UUID  # what it was done to
    detail: Mapping[str, Any]


_INSERT: Final = """
    INSERT INTO audit_log (organization_id, id, at, actor, action, object_id, detail)
    SELECT u.organization_id, u.id, $7, u.actor, u.action, u.object_id, u.detail::jsonb
      FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::uuid[], $6::text[])
           AS u (organization_id, id, actor, action, object_id, detail)
"""


async def write(conn: Conn, entries: Sequence[AuditEntry], *, now: datetime) -> None:
    """Add entries, in the transaction that did what they tell of."""
    if not entries:
        return
    await conn.execute(
        _INSERT,
        [entry.organization_id for entry in entries],
        [entry.id for entry in entries],
        [entry.actor for entry in entries],
        [entry.action for entry in entries],
        [entry.object_id for entry in entries],
        [msgspec.json.encode(entry.detail).decode() for entry in entries],
        now,
    )

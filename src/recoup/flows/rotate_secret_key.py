"""Seal every stored secret with the current master key, while the service runs.

In small transactions, each whole: killed between two, what is done is done, and the next run goes
on. What is sealed with the current key already is left alone, so that it may be run at any time.

What would surprise you: rows that somebody else holds are passed over, not waited for. They are
among those that are left, and the next round or run finds them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from recoup.rules.persons_word import unsaid
from recoup.rules.refusal import Refused, invalid
from recoup.store import audit_log, db, sealed_columns
from recoup.store.audit_log import AuditEntry
from recoup.store.db import Conn, Pool
from recoup.store.sealed_columns import SEALED, SealedColumn, SealedValue
from recoup.store.secret_box import SecretBox, WrongSecretKeyError

TENANTS_AT_ONCE: Final = 100
ROUNDS: Final = 3  # a row that is held is free a moment later


class Resealed(msgspec.Struct, frozen=True):
    """What a run has done, and what is left."""

    resealed: int
    left: dict[str, int]  # by column; of all sealed columns
    unreadable: tuple[str, ...]  # `column of row`: sealed with a key that is neither of the two

    @property
    def is_done(self) -> bool:
        """Whether the previous key may be taken away."""
        return not any(self.left.values())


async def reseal(
    pool: Pool,
    scout: Pool,
    *,
    box: SecretBox,
    by: str,
    new_id: Callable[[], UUID],
    now: datetime,
) -> Resealed:
    """Seal what is not sealed with the current key; `by` is who asks, for the audit log.

    :raises Refused: 422 for a blank `by`.
    """
    if broken := unsaid(by=by):
        raise Refused(invalid(broken))
    resealed = 0
    unreadable: set[str] = set()
    for _ in range(ROUNDS):
        done = 0
        for some in await _tenants(scout):
            async with db.transaction(pool, tenants=some) as conn:
                changed = await _reseal_some(conn, some, box, unreadable)
                await audit_log.write(
                    conn, [_entry(one, changed, box, by, new_id()) for one in changed], now=now
                )
            done += sum(changed.values())
        async with db.nameless(pool) as conn:
            for column in (one for one in SEALED if one.tenant is None):
                done += len(await _reseal_column(conn, column, (), box, unreadable))
        resealed += done
        left = await count_left(pool, scout, box=box)
        if not any(left.values()) or not done:
            break
    return Resealed(resealed, left, tuple(sorted(unreadable)))


async def count_left(pool: Pool, scout: Pool, *, box: SecretBox) -> dict[str, int]:
    """How many values of each sealed column are not sealed with the current key."""
    left = {column.name: 0 for column in SEALED}
    mark = box.mark
    for some in await _tenants(scout):
        async with db.transaction(pool, tenants=some) as conn:
            for column in (one for one in SEALED if one.tenant is not None):
                left[column.name] += await sealed_columns.count_otherwise(conn, column, mark, some)
    async with db.nameless(pool) as conn:
        for column in (one for one in SEALED if one.tenant is None):
            left[column.name] += await sealed_columns.count_otherwise(conn, column, mark, ())
    return left


async def _tenants(scout: Pool) -> list[list[UUID]]:
    async with db.nameless(scout) as conn:
        found = await sealed_columns.tenants(conn)
    starts = range(0, len(found), TENANTS_AT_ONCE)
    return [found[start : start + TENANTS_AT_ONCE] for start in starts]


async def _reseal_some(
    conn: Conn, tenants: Sequence[UUID], box: SecretBox, unreadable: set[str]
) -> dict[UUID, int]:
    """Seal these tenants' values anew, and answer how many there were of each that had some."""
    changed: dict[UUID, int] = {}
    for column in (one for one in SEALED if one.tenant is not None):
        for value in await _reseal_column(conn, column, tenants, box, unreadable):
            assert value.organization_id, "a tenant's value has a tenant"
            changed[value.organization_id] = changed.get(value.organization_id, 0) + 1
    return changed


async def _reseal_column(
    conn: Conn,
    column: SealedColumn,
    tenants: Sequence[UUID],
    box: SecretBox,
    unreadable: set[str],
) -> list[SealedValue]:
    anew = []
    for value in await sealed_columns.lock_otherwise(conn, column, box.mark, tenants):
        try:
            opened = box.open(
                value.sealed,
                organization_id=value.organization_id,
                row=value.row,
                field=column.field,
            )
        except WrongSecretKeyError:
            unreadable.add(f"{column.name} of {value.row or 'the installation'}")
            continue
        sealed = box.seal(
            opened, organization_id=value.organization_id, row=value.row, field=column.field
        )
        anew.append(msgspec.structs.replace(value, sealed=sealed))
    if anew:
        await sealed_columns.write(conn, column, anew)
    return anew


def _entry(
    tenant: UUID, changed: dict[UUID, int], box: SecretBox, by: str, entry_id: UUID
) -> AuditEntry:
    return AuditEntry(
        organization_id=tenant,
        id=entry_id,
        actor=by.strip(),
        action="secrets.resealed",
        object_id=tenant,
        detail={"values": changed[tenant], "key_id": box.keys.current.id.hex()},
    )

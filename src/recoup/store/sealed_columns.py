"""Which columns hold sealed values, and under which name and place each is sealed.

The one list: whoever seals names its field here, and a rotation of the master key goes through all
of it. A test compares it with the database's columns, so that a new one cannot be forgotten.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final
from uuid import UUID

import msgspec

from recoup.store.db import Conn

SECRETS: Final = "secrets"
HMAC_KEY: Final = "hmac_key"
JWT_KEY: Final = "jwt_key"
KEY_CHECK: Final = "key_check"


class SealedColumn(msgspec.Struct, frozen=True):
    """A column of sealed values. `tenant` and `row` are the columns with the ids of their place."""

    table: str
    column: str
    field: str
    tenant: str | None = "organization_id"  # None, both: the one row of the installation
    row: str | None = "id"

    @property
    def name(self) -> str:
        """`provider_accounts.secrets_sealed`."""
        return f"{self.table}.{self.column}"


SEALED: Final = (
    SealedColumn("provider_accounts", "secrets_sealed", SECRETS),
    SealedColumn("organizations", "hmac_key_sealed", HMAC_KEY, tenant="id"),
    SealedColumn("installation", "jwt_key_sealed", JWT_KEY, tenant=None, row=None),
    # Last, by which a process that knows the old key alone is refused at its start.
    SealedColumn("installation", "key_check", KEY_CHECK, tenant=None, row=None),
)


class SealedValue(msgspec.Struct, frozen=True):
    """One sealed value, and the ids of its place; both None for the installation's own."""

    organization_id: UUID | None
    row: UUID | None
    sealed: bytes


_OTHERWISE: Final = "substring({column} FROM 1 FOR length($1::bytea)) <> $1"


_ROTATION: Final = 7_261_885_006_414_120_722  # any number that nobody else locks


async def hold_rotation(conn: Conn) -> bool:
    """Keep others from changing the keys until the transaction ends; False: another does."""
    return bool(await conn.fetchval("SELECT pg_try_advisory_xact_lock($1)", _ROTATION))


async def tenants(scout: Conn) -> list[UUID]:
    """Every organization: all sealed values but the installation's own belong to one."""
    return [row["id"] for row in await scout.fetch("SELECT id FROM organizations ORDER BY id")]


async def count_otherwise(
    conn: Conn, one: SealedColumn, mark: bytes, among: Collection[UUID]
) -> int:
    """How many values of these tenants do not begin with `mark`. Of the installation's, all."""
    asked = f"SELECT count(*) FROM {one.table} WHERE {_OTHERWISE.format(column=one.column)}"
    if one.tenant is None:
        return int(await conn.fetchval(asked, mark))
    return int(await conn.fetchval(f"{asked} AND {one.tenant} = ANY ($2)", mark, list(among)))


async def lock_otherwise(
    conn: Conn, one: SealedColumn, mark: bytes, among: Collection[UUID]
) -> list[SealedValue]:
    """Lock the values that do not begin with `mark`; rows that others hold are left out."""
    unlike = _OTHERWISE.format(column=one.column)
    held = "FOR NO KEY UPDATE SKIP LOCKED"  # whoever merely refers to the row is in nobody's way
    if one.tenant is None:
        found = await conn.fetch(
            f"SELECT {one.column} AS sealed FROM {one.table} WHERE {unlike} {held}", mark
        )
        return [SealedValue(None, None, row["sealed"]) for row in found]
    found = await conn.fetch(
        f"SELECT {one.tenant} AS tenant, {one.row} AS row, {one.column} AS sealed FROM {one.table}"
        f" WHERE {unlike} AND {one.tenant} = ANY ($2) ORDER BY 1, 2 {held}",
        mark,
        list(among),
    )
    return [SealedValue(row["tenant"], row["row"], row["sealed"]) for row in found]


async def write(conn: Conn, one: SealedColumn, values: Sequence[SealedValue]) -> None:
    """Write values that `lock_otherwise` has locked, sealed anew."""
    if one.tenant is None:
        for value in values:
            await conn.execute(f"UPDATE {one.table} SET {one.column} = $1", value.sealed)
        return
    await conn.execute(
        f"UPDATE {one.table} t SET {one.column} = u.sealed"
        " FROM unnest($1::uuid[], $2::uuid[], $3::bytea[]) AS u (tenant, row, sealed)"
        f" WHERE t.{one.tenant} = u.tenant AND t.{one.row} = u.row",
        [value.organization_id for value in values],
        [value.row for value in values],
        [value.sealed for value in values],
    )

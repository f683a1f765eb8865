"""All rows of a tenant, over all tables that there are: what it is called, whether it changed.

Read from the database's catalogue as its owner, so that a table of tomorrow is among them.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final
from uuid import UUID

import asyncpg
import msgspec

# A column whose name ends like this holds what somebody may call a row by.
NAMES_A_ROW: Final = re.compile(r"(^|_)(id|code|number|slug|key|url|email)$")


class Table(msgspec.Struct, frozen=True):
    """A table of tenants' rows, with the columns that can be written."""

    name: str
    tenant: str  # the column that holds the tenant
    columns: tuple[str, ...]

    @property
    def naming(self) -> list[str]:
        return [
            column
            for column in self.columns
            if NAMES_A_ROW.search(column) and column != "organization_id"
        ]


class Rows:
    """The rows of the tenants in one database, as its owner sees them."""

    def __init__(self, owner: asyncpg.Connection, tables: tuple[Table, ...]) -> None:
        self._owner = owner
        self.tables = tables

    @classmethod
    async def of(cls, owner: asyncpg.Connection) -> Rows:
        """Find the tables: those with an `organization_id`, and the organizations themselves."""
        columns: dict[str, list[str]] = {}
        for found in await owner.fetch(
            """SELECT table_name AS name, column_name AS column FROM information_schema.columns
                WHERE table_schema = 'public' AND is_generated = 'NEVER'
                ORDER BY table_name, ordinal_position"""
        ):
            columns.setdefault(found["name"], []).append(found["column"])
        tables = [
            Table(name, "id" if name == "organizations" else "organization_id", tuple(held))
            for name, held in columns.items()
            if "organization_id" in held or name == "organizations"
        ]
        return cls(owner, tuple(tables))

    async def digest(self, tenant: UUID) -> Mapping[str, str]:
        """A digest of all that the tenant has, by table, and of what is promised for it."""
        asks = [
            f"SELECT '{table.name}' AS name, md5(string_agg(t::text, ';' ORDER BY t::text)) AS rows"
            f" FROM {table.name} t WHERE {table.tenant} = $1"
            for table in self.tables
        ]
        asks.append(
            "SELECT 'jobs', md5(string_agg(j::text, ';' ORDER BY id)) FROM pgqueuer j"
            " WHERE starts_with(convert_from(payload, 'UTF8'), $1::text)"
        )
        found = await self._owner.fetch(" UNION ALL ".join(asks), tenant)
        return {row["name"]: row["rows"] or "" for row in found}

    async def words(self, tenant: UUID) -> frozenset[str]:
        """All that the tenant's rows are called by."""
        asks = [
            f"SELECT DISTINCT {column}::text AS word FROM {table.name} WHERE {table.tenant} = $1"
            for table in self.tables
            for column in table.naming
        ]
        found = await self._owner.fetch(" UNION ".join(asks), tenant)
        return frozenset(row["word"] for row in found if row["word"])

    @asynccontextmanager
    async def kept(self, tenant: UUID) -> AsyncIterator[Kept]:
        """Remember the tenant's rows, for putting them back as they are now."""
        await self._owner.execute("CREATE SCHEMA kept")
        for table in self.tables:
            await self._owner.execute(
                f"CREATE TABLE kept.{table.name} AS SELECT * FROM {table.name}"
                f" WHERE {table.tenant} = '{tenant}'"
            )
        try:
            yield Kept(self._owner, self.tables, tenant)
        finally:
            await self._owner.execute("DROP SCHEMA kept CASCADE")


class Kept:
    """A tenant's rows as they were."""

    def __init__(self, owner: asyncpg.Connection, tables: tuple[Table, ...], tenant: UUID) -> None:
        self._owner = owner
        parts = ["SET session_replication_role = replica"]  # no triggers, no foreign keys
        for table in tables:
            columns = ", ".join(table.columns)
            parts.append(f"DELETE FROM {table.name} WHERE {table.tenant} = '{tenant}'")
            parts.append(
                f"INSERT INTO {table.name} ({columns}) SELECT {columns} FROM kept.{table.name}"
            )
        parts.append("RESET session_replication_role")
        self._statement = ";\n".join(parts)

    async def put_back(self) -> None:
        """Make the tenant's rows what they were; nobody else's are touched."""
        async with self._owner.transaction():
            await self._owner.execute(self._statement)

"""Rows of `organizations` and `billing_entities`."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final
from uuid import UUID

from recoup.rules.records.keys import RowKey
from recoup.rules.records.organizations import BillingEntity, Organization
from recoup.store.db import Conn
from recoup.store.rows import columns, insertion, key_arrays, row_key, update, values

_ORGANIZATIONS: Final = (
    f"SELECT {columns(Organization)} FROM organizations WHERE id = ANY ($1::uuid[])"
)

# Not FOR UPDATE: rows that refer to the organization may be added meanwhile.
_LOCK: Final = f"""
    SELECT {columns(Organization)} FROM organizations WHERE id = $1 FOR NO KEY UPDATE
"""

_ENTITIES: Final = f"""
    SELECT {columns(BillingEntity)} FROM billing_entities
     WHERE organization_id = $1 ORDER BY created_at, id
"""

_ENTITIES_BY_IDS: Final = f"""
    SELECT {columns(BillingEntity, "b")}
      FROM unnest($1::uuid[], $2::uuid[]) AS asked (organization_id, id)
      JOIN billing_entities b USING (organization_id, id)
"""

_INSERT_ORGANIZATION: Final = insertion("organizations", Organization)
_UPDATE_ORGANIZATION: Final = update("organizations", Organization, key=("id",))
_INSERT_ENTITY: Final = insertion("billing_entities", BillingEntity)
_UPDATE_ENTITY: Final = update("billing_entities", BillingEntity, key=("organization_id", "id"))


async def by_ids(conn: Conn, ids: Collection[UUID]) -> dict[UUID, Organization]:
    """The organizations with these ids, as far as the transaction's tenants reach."""
    rows = await conn.fetch(_ORGANIZATIONS, list(ids))
    return {row["id"]: Organization(**dict(row)) for row in rows}


async def lock(conn: Conn, organization_id: UUID) -> Organization:
    """Read the organization and keep its row until the transaction ends: one change at a time."""
    return Organization(**dict(await conn.fetchrow(_LOCK, organization_id)))


async def insert(conn: Conn, organization: Organization) -> None:
    """Add a tenant."""
    await conn.execute(_INSERT_ORGANIZATION, *values(organization))


async def write(conn: Conn, organization: Organization) -> None:
    """Write every field of a tenant that exists."""
    await conn.execute(_UPDATE_ORGANIZATION, *values(organization))


async def billing_entities(conn: Conn, organization_id: UUID) -> list[BillingEntity]:
    """The organization's billing entities, oldest first."""
    return [BillingEntity(**dict(row)) for row in await conn.fetch(_ENTITIES, organization_id)]


async def entities(conn: Conn, keys: Collection[RowKey]) -> dict[RowKey, BillingEntity]:
    """These billing entities, of however many organizations."""
    rows = await conn.fetch(_ENTITIES_BY_IDS, *key_arrays(keys))
    return {row_key(row): BillingEntity(**dict(row)) for row in rows}


async def insert_billing_entity(conn: Conn, entity: BillingEntity) -> None:
    """Add a billing entity.

    :raises asyncpg.UniqueViolationError: the organization has one with this code.
    """
    await conn.execute(_INSERT_ENTITY, *values(entity))


async def write_billing_entity(conn: Conn, entity: BillingEntity) -> None:
    """Write every field of a billing entity that exists."""
    await conn.execute(_UPDATE_ENTITY, *values(entity))

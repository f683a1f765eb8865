"""One tenant's few rows among many of others', for what a list must not read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from uuid import UUID

import asyncpg

from bench.later_stock import lay_in_later
from bench.list_stock import Tenant, lay_in_lists
from recoup.store import db
from recoup.store.db import Pool
from tests.databases import as_owner, own_database
from tests.store.plans import BIG, Bound

OURS, ENTITY = UUID(int=0xA), UUID(int=0xE)
ROWS, OUR_ROWS, OUR_CUSTOMERS = 100_000, 400, 200

# A page of twenty invoices shows their customers, metadata and taxes: 420 pages in memory, however
# the twenty were found.
A_FEW: Final = Bound(rows=60, pages=130)
OUR_OWN: Final = Bound(rows=5 * OUR_ROWS // 2, pages=700)
OUR_INDEX: Final = Bound(rows=3 * OUR_ROWS // 2, pages=130)  # all in it, and of twenty the rows

_TENANT: Final = """
    INSERT INTO organizations (id, name, slug, document_number_prefix, hmac_key_sealed,
           created_at, updated_at)
    VALUES ($1, 'Ours', 'ours', 'OUR', '', now(), now())
"""
_ENTITY: Final = """
    INSERT INTO billing_entities (organization_id, id, code, name, is_default,
           document_number_prefix, created_at, updated_at)
    VALUES ($1, $2, 'first', 'First', true, 'OUR', now(), now())
"""

# The stock lays in a tenant's customers together. They come one by one, and lie among everybody's.
_SCATTER_CUSTOMERS: Final = (
    "CREATE INDEX scattered ON customers (md5(organization_id::text || id::text))",
    "CLUSTER customers USING scattered",
    "DROP INDEX scattered",
    "VACUUM ANALYZE customers",
)

_NOT_YET_VISIBLE: Final = """
    SELECT oid::regclass::text FROM pg_class
     WHERE relname = ANY ($1::text[]) AND relkind = 'r' AND relallvisible < relpages
"""
LONGEST_SECONDS: Final = 120


@asynccontextmanager
async def few_among_many(
    server_dsn: str, template: str, *, later: bool = False
) -> AsyncIterator[Pool]:
    """The application's connections to a database in which we are few among many.

    `later`: with what comes after invoices and payments, too.
    """
    async with own_database(server_dsn, template) as dsn:
        owner = await asyncpg.connect(as_owner(dsn))
        await owner.execute(_TENANT, OURS)
        await owner.execute(_ENTITY, OURS, ENTITY)
        tenant = Tenant(str(OURS), str(ENTITY), customers=OUR_CUSTOMERS)
        await lay_in_lists(as_owner(dsn), tenant, rows=ROWS, ours=OUR_ROWS)
        for statement in _SCATTER_CUSTOMERS:
            await owner.execute(statement)
        if later:
            await lay_in_later(as_owner(dsn), tenant, rows=ROWS, ours=OUR_ROWS)
        await _make_visible(owner)
        await owner.close()
        pool = await db.connect(dsn, least=1, most=1)
        yield pool
        await pool.close()


async def _make_visible(owner: asyncpg.Connection) -> None:
    """Vacuum until an index alone can answer: what autovacuum was looking at is left out."""
    async with asyncio.timeout(LONGEST_SECONDS):
        while tables := await owner.fetch(_NOT_YET_VISIBLE, list(BIG)):
            for table in tables:
                await owner.execute(f"VACUUM {table[0]}")

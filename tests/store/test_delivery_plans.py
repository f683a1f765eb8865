"""What a list of deliveries reads, where one endpoint has all of them and another has none."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from recoup.rules.delivery_state import DeliveryState
from recoup.rules.lago.pages import Page
from recoup.store import db, delivery_lists
from recoup.store.db import Conn, Pool
from recoup.store.delivery_lists import DeliveryFilter
from tests.databases import as_owner, own_database
from tests.store.plans import PLANS, explained, statements_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

OURS, BUSY, QUIET = UUID(int=0xA), UUID(int=0xB), UUID(int=0xC)
MANY: Final = 50_000
SIZE: Final = 20
MOST_PAGES: Final = 250  # of 8 kB: for 21 rows and what hangs on them

_TENANT: Final = """
    INSERT INTO organizations (id, name, slug, document_number_prefix, hmac_key_sealed,
           created_at, updated_at)
    VALUES ($1, 'Ours', 'ours', 'OUR', '', now(), now())
"""
_ENDPOINT: Final = """
    INSERT INTO webhook_endpoints (organization_id, id, webhook_url, created_at)
    VALUES ($1, $2, $3, now())
"""
_EVENTS: Final = """
    INSERT INTO events (organization_id, id, webhook_type, object_id, body, created_at)
    SELECT $1, md5('event' || n)::uuid, 'payment.succeeded', md5('object' || n)::uuid, '{}',
           now() - n * interval '1 minute'
      FROM generate_series(1, $2::int) AS n
"""
_DELIVERIES: Final = """
    INSERT INTO webhook_deliveries
           (organization_id, id, event_id, endpoint_id, state, created_at, ended_at)
    SELECT e.organization_id, e.id, e.id, $1, 'delivered', e.created_at, e.created_at FROM events e
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def history(server_dsn: str, template: str) -> AsyncIterator[Pool]:
    """The application's connections to a database of one tenant that was told much."""
    async with own_database(server_dsn, template) as dsn:
        owner = await asyncpg.connect(as_owner(dsn))
        await owner.execute(_TENANT, OURS)
        for endpoint in (BUSY, QUIET):
            await owner.execute(_ENDPOINT, OURS, endpoint, f"https://{endpoint}.example")
        await owner.execute(_EVENTS, OURS, MANY)
        await owner.execute(_DELIVERIES, BUSY)
        await owner.execute("ANALYZE")
        await owner.close()
        pool = await db.connect(dsn, least=1, most=1)
        yield pool
        await pool.close()


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"state": DeliveryState.GIVEN_UP},
        {"webhook_type": "payment.succeeded"},
        {"object_id": UUID(int=1)},
        {"created_from": datetime(2000, 1, 1, tzinfo=UTC)},
        {"created_to": datetime(2100, 1, 1, tzinfo=UTC)},
        {"endpoint_id": BUSY},
        {"endpoint_id": QUIET},
        {"endpoint_id": QUIET, "webhook_type": "payment.succeeded"},
    ],
    ids=lambda wanted: "-".join(wanted) or "all",
)
async def test_a_list_reads_a_page_and_not_all_that_was_told(
    history: Pool, wanted: dict[str, Any]
) -> None:
    chosen = DeliveryFilter(**wanted)

    async def ask(conn: Conn, _page: Page) -> None:
        await delivery_lists.piece(conn, OURS, chosen, after=None, most=SIZE)
        await delivery_lists.lock_ended(conn, OURS, chosen, after=None, most=SIZE)

    for plan_for in PLANS:
        async with db.transaction(history, tenants=[OURS]) as conn:
            asked = await statements_of(conn, ask)
            assert len(asked) == 2
            await conn.execute(f"SET LOCAL plan_cache_mode = {plan_for}")
            plans = [await explained(conn, one) for one in asked]
        for plan in plans:
            assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] <= MOST_PAGES

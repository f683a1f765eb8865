"""What is past its time is forgotten, and nothing else."""

from __future__ import annotations

from datetime import timedelta

import asyncpg

from recoup.flows.answer_once import answer_once
from recoup.flows.tidy import tidy
from recoup.store.db import Conn, Pool
from recoup.store.idempotency_keys import Receipt
from tests.shop import Shop


async def test_old_keys_and_the_old_job_log_are_forgotten(
    shop: Shop, pool: Pool, scout: Pool, owner: asyncpg.Connection
) -> None:
    async def do(_conn: Conn) -> bytes:
        return b"{}"

    now = await owner.fetchval("SELECT now()")  # the queue's log goes by the database's clock
    for key, age in [("old", 31), ("young", 29)]:
        receipt = Receipt(shop.organization_id, "POST", "/x", key, "digest")
        at = now - timedelta(days=age)
        await answer_once(pool, shop.organization_id, do, receipt=receipt, now=at)
    await shop.begun(await shop.sell("pm_sandbox_ok"))
    await owner.execute("UPDATE pgqueuer_log SET created = $1", now - timedelta(days=2))
    await shop.begun(await shop.sell("pm_sandbox_ok"))
    await tidy(pool, scout, now=now)
    assert [row["key"] for row in await owner.fetch("SELECT key FROM idempotency_keys")] == [
        "young"
    ]
    assert await owner.fetchval("SELECT count(*) FROM pgqueuer_log") == 1
    assert await owner.fetchval("SELECT count(*) FROM pgqueuer") == 2  # promises still stand

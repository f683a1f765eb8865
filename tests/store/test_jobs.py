"""Promises of work are rows as the queue's own library writes them, and are kept once."""

from __future__ import annotations

from uuid import UUID

import asyncpg
from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
from pgqueuer.adapters.persistence.queries import Queries

from recoup import clock
from recoup.rules.records.keys import RowKey
from recoup.store import db, jobs
from recoup.store.db import Pool
from recoup.store.jobs import Job

KEYS = [RowKey(UUID(int=1), clock.new_id()) for _ in range(3)]
QUEUED = """
    SELECT to_jsonb(job) - ARRAY['id', 'created', 'updated', 'heartbeat', 'execute_after'] AS said,
           job.execute_after <= now() AS is_due
      FROM pgqueuer job ORDER BY payload
"""
LOGGED = """
    SELECT to_jsonb(log) - ARRAY['id', 'job_id', 'created'] AS said,
           log.job_id IN (SELECT id FROM pgqueuer) AS has_its_job
      FROM pgqueuer_log log ORDER BY log.id
"""


async def rows(owner: asyncpg.Connection) -> list[tuple[object, ...]]:
    found = [*await owner.fetch(QUEUED), *await owner.fetch(LOGGED)]
    await owner.execute("TRUNCATE pgqueuer, pgqueuer_log")
    return [tuple(row) for row in found]


async def test_a_promise_is_what_the_library_would_have_written(
    pool: Pool, owner: asyncpg.Connection
) -> None:
    names = [str(key) for key in KEYS]
    for job in Job:
        async with db.nameless(pool) as conn:
            await jobs.promise(conn, job, KEYS)
        ours = await rows(owner)
        async with db.nameless(pool) as conn:
            await Queries(AsyncpgDriver(conn)).enqueue(
                [job.value] * 3,
                [name.encode() for name in names],
                [jobs.PRIORITY[job]] * 3,
                dedupe_key=[f"{job}/{name}" for name in names],
                on_conflict="skip",
            )
        assert ours == await rows(owner)
        assert len(ours) == 6


async def test_what_waits_or_runs_is_not_promised_twice_and_what_is_done_is(
    pool: Pool, owner: asyncpg.Connection
) -> None:
    count = "SELECT count(*) FROM pgqueuer"
    for status in ("queued", "picked"):
        async with db.nameless(pool) as conn:
            await jobs.promise(conn, Job.APPLY_EVENT, KEYS)
            await jobs.promise(conn, Job.APPLY_EVENT, KEYS)
        assert await owner.fetchval(count) == 3
        assert await owner.fetchval("SELECT count(*) FROM pgqueuer_log") == 3
        await owner.execute("UPDATE pgqueuer SET status = $1::pgqueuer_status", status)
    await owner.execute("DELETE FROM pgqueuer")
    async with db.nameless(pool) as conn:
        await jobs.promise(conn, Job.APPLY_EVENT, KEYS)
    assert await owner.fetchval(count) == 3

"""What is past its time is forgotten, and nothing else."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from recoup import clock
from recoup.flows.answer_once import answer_once
from recoup.flows.check_books import check_books
from recoup.flows.replay_webhooks import replay_delivery
from recoup.flows.tidy import AT_ONCE, Retention, tidy
from recoup.rules.records.keys import RowKey
from recoup.store import db, events, provider_events
from recoup.store.db import Conn, Pool
from recoup.store.events import Event
from recoup.store.idempotency_keys import Receipt
from recoup.store.provider_events import ProviderEvent
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


class Told:
    """Events, each with a delivery that stands as it is made to, so many days ago."""

    def __init__(self, shop: Shop, owner: asyncpg.Connection) -> None:
        self._shop, self._owner = shop, owner
        self.now = shop.clock.now()

    async def endpoint(self) -> None:
        await self._owner.execute(
            "INSERT INTO webhook_endpoints (organization_id, id, webhook_url, created_at)"
            " VALUES ($1, $2, 'https://example.com', $3)",
            self._shop.organization_id, clock.new_id(), self.now,
        )  # fmt: skip

    async def tell(self, days_ago: float) -> UUID:
        """An event of then, and the delivery that waits if there is an endpoint."""
        told = Event(
            self._shop.organization_id, clock.new_id(), "invoice.voided", clock.new_id(), "{}"
        )
        async with db.transaction(self._shop.pool, tenants=[told.organization_id]) as conn:
            await events.insert(conn, [told], now=self.now - timedelta(days=days_ago))
        return told.id

    async def end(self, event: UUID, days_ago: float, state: str = "delivered") -> None:
        at = self.now - timedelta(days=days_ago)
        delivery = await self._owner.fetchval(
            "UPDATE webhook_deliveries SET state = $1, deliver_at = NULL, ended_at = $2, tries = 1"
            " WHERE event_id = $3 RETURNING id",
            state, at, event,
        )  # fmt: skip
        await self._owner.execute(
            "INSERT INTO webhook_tries VALUES ($1, $2, 1, 'https://example.com', $3, 200, NULL)",
            self._shop.organization_id, delivery, at,
        )  # fmt: skip

    async def deliveries(self) -> set[UUID]:
        """The events whose deliveries are there."""
        rows = await self._owner.fetch("SELECT event_id FROM webhook_deliveries")
        return {row["event_id"] for row in rows}

    async def with_body(self) -> set[UUID]:
        rows = await self._owner.fetch(
            "SELECT id, body, body_forgotten_at FROM events WHERE webhook_type = 'invoice.voided'"
        )
        for row in rows:
            assert (row["body"] == "") == (row["body_forgotten_at"] is not None)
        return {row["id"] for row in rows if row["body"]}


@pytest.fixture
def told(shop: Shop, owner: asyncpg.Connection) -> Told:
    return Told(shop, owner)


async def test_a_delivery_is_forgotten_so_long_after_its_end_with_its_tries(
    told: Told, pool: Pool, scout: Pool, owner: asyncpg.Connection
) -> None:
    await told.endpoint()
    ages = {"old": 91.0, "young": 89.0}
    by_age: dict[str, UUID] = {}
    for age, ended in ages.items():
        for state in ("delivered", "given_up"):
            by_age[f"{age} {state}"] = event = await told.tell(days_ago=95)
            await told.end(event, ended, state)
    by_age["waiting"] = await told.tell(days_ago=400)
    await tidy(pool, scout, now=told.now)
    left = {name for name, event in by_age.items() if event in await told.deliveries()}
    assert left == {"young delivered", "young given_up", "waiting"}
    assert await owner.fetchval("SELECT count(*) FROM webhook_tries") == 2
    await tidy(pool, scout, keep=Retention(webhook_deliveries=None), now=told.now)
    assert len(await told.deliveries()) == 3


async def test_an_event_keeps_its_body_while_it_may_be_sent(
    told: Told, pool: Pool, scout: Pool, owner: asyncpg.Connection
) -> None:
    alone = await told.tell(days_ago=366)
    young = await told.tell(days_ago=364)
    await told.endpoint()
    waiting = await told.tell(days_ago=5_000)
    lately_ended = await told.tell(days_ago=5_000)
    await told.end(lately_ended, 1)
    long_ended = await told.tell(days_ago=5_000)
    await told.end(long_ended, 91)
    await tidy(pool, scout, now=told.now)
    assert await told.with_body() == {young, waiting, lately_ended}
    facts = await owner.fetch("SELECT id FROM events WHERE webhook_type = 'invoice.voided'")
    assert {row["id"] for row in facts} == {alone, young, waiting, lately_ended, long_ended}
    await tidy(pool, scout, now=told.now + timedelta(days=5_000))
    assert await told.with_body() == {waiting}, "one that is not delivered yet never goes"


async def test_bodies_are_kept_as_long_as_what_may_be_sent_again(
    told: Told, pool: Pool, scout: Pool
) -> None:
    event = await told.tell(days_ago=50)
    days = timedelta(days=1)
    for keep, is_kept in (
        (Retention(event_bodies=None), True),
        (Retention(event_bodies=10 * days, webhook_deliveries=None), True),
        (Retention(event_bodies=10 * days, webhook_deliveries=60 * days), True),
        (Retention(event_bodies=10 * days, webhook_deliveries=20 * days), False),
    ):
        await tidy(pool, scout, keep=keep, now=told.now)
        assert (event in await told.with_body()) is is_kept


async def test_a_delivery_that_is_sent_again_meanwhile_is_not_forgotten(
    told: Told, shop: Shop, pool: Pool, scout: Pool
) -> None:
    await told.endpoint()
    held, other = await told.tell(days_ago=95), await told.tell(days_ago=95)
    for event in (held, other):
        await told.end(event, 91)
    async with db.transaction(pool, tenants=[shop.organization_id]) as conn:
        [delivery] = [
            row["id"]
            for row in await conn.fetch(
                "SELECT id FROM webhook_deliveries WHERE event_id = $1", held
            )
        ]
        await replay_delivery(conn, RowKey(shop.organization_id, delivery), now=told.now)
        await tidy(pool, scout, now=told.now)  # it waits for nobody
        assert await told.deliveries() == {held}
    await tidy(pool, scout, now=told.now)
    assert await told.deliveries() == {held}


async def test_a_providers_event_loses_its_body_once_it_is_long_applied_and_stays_known(
    shop: Shop, pool: Pool, scout: Pool, owner: asyncpg.Connection
) -> None:
    account = await owner.fetchval("SELECT id FROM provider_accounts")
    now = shop.clock.now()
    for name, applied in (("old", 366), ("young", 364), ("waiting", None)):
        at = None if applied is None else now - timedelta(days=applied)
        await owner.execute(
            "INSERT INTO provider_events (organization_id, id, provider_account_id,"
            " provider_event_id, body, received_at, applied_at)"
            " VALUES ($1, $2, $3, $4, 'said', $5, $6)",
            shop.organization_id, clock.new_id(), account, name, now - timedelta(days=900), at,
        )  # fmt: skip
    await tidy(pool, scout, now=now)
    rows = await owner.fetch("SELECT provider_event_id, body FROM provider_events")
    kept = {row["provider_event_id"]: row["body"] for row in rows}
    assert kept == {"old": "", "young": "said", "waiting": "said"}
    again = ProviderEvent(shop.organization_id, clock.new_id(), account, "old", "said")
    async with db.transaction(pool, tenants=[shop.organization_id]) as conn:
        assert await provider_events.keep(conn, [again], now=now) == [], "it is no news"


async def test_a_mail_is_forgotten_so_long_after_its_end(
    shop: Shop, pool: Pool, scout: Pool, owner: asyncpg.Connection
) -> None:
    now = shop.clock.now()

    async def kept() -> set[tuple[str, int]]:
        rows = await owner.fetch("SELECT state, tries FROM mails")
        return {(row["state"], row["tries"]) for row in rows}

    for age in (366, 364):
        at = now - timedelta(days=age)
        for state, send_at, ended_at in (
            ("sent", None, at), ("given_up", None, at), ("waiting", at, None),
        ):  # fmt: skip
            await owner.execute(
                "INSERT INTO mails (organization_id, id, kind, object_id, recipients, state, tries,"
                " send_at, created_at, ended_at)"
                " VALUES ($1, $2, 'invoice.finalized', $2, '{a@example.com}', $3, $4, $5, $6, $7)",
                shop.organization_id, clock.new_id(), state, age, send_at, at, ended_at,
            )  # fmt: skip
    young = {("sent", 364), ("given_up", 364)}
    waiting = {("waiting", 366), ("waiting", 364)}
    await tidy(pool, scout, keep=Retention(mails=None), now=now)
    assert await kept() == young | waiting | {("sent", 366), ("given_up", 366)}
    await tidy(pool, scout, now=now)
    assert await kept() == young | waiting


async def test_more_than_a_piece_is_forgotten_of_every_tenant(
    told: Told, shop: Shop, pool: Pool, scout: Pool, owner: asyncpg.Connection
) -> None:
    await told.endpoint()
    event = await told.tell(days_ago=95)
    await told.end(event, 95)
    await owner.execute(
        """
        WITH copied AS (
            INSERT INTO events (organization_id, id, webhook_type, object_id, body, created_at)
            SELECT organization_id, gen_random_uuid(), webhook_type, object_id, body, created_at
              FROM events, generate_series(1, $2) WHERE id = $1 RETURNING organization_id, id)
        INSERT INTO webhook_deliveries (organization_id, id, event_id, endpoint_id, state,
               created_at, ended_at)
        SELECT d.organization_id, gen_random_uuid(), copied.id, d.endpoint_id, d.state,
               d.created_at, d.ended_at
          FROM webhook_deliveries d JOIN copied USING (organization_id) WHERE d.event_id = $1
        """,
        event, 2 * AT_ONCE,
    )  # fmt: skip
    await tidy(pool, scout, now=told.now)
    assert await told.deliveries() == set()


async def test_what_money_is_known_by_stays_for_ever_and_the_books_agree(
    shop: Shop, pool: Pool, scout: Pool, owner: asyncpg.Connection
) -> None:
    attempt = await shop.collect(await shop.sell("pm_sandbox_ok"))
    assert await shop.state(attempt) == "succeeded"

    async def rows() -> dict[str, int]:
        return {
            table: await owner.fetchval(f"SELECT count(*) FROM {table}")
            for table in ("payments", "payment_invoices", "ledger_entries", "decisions", "events",
                          "invoices", "contradictions", "refunds", "audit_log")
        }  # fmt: skip

    before = await rows()
    books = await check_books(pool, scout, now=shop.clock.now())
    shortest = Retention(
        webhook_deliveries=timedelta(days=1), event_bodies=timedelta(days=1),
        provider_event_bodies=timedelta(days=1), mails=timedelta(days=1),
        idempotency_keys=timedelta(days=1),
    )  # fmt: skip
    later = shop.clock.now() + timedelta(days=10_000)
    await tidy(pool, scout, keep=shortest, now=later)
    assert await rows() == before
    assert before["ledger_entries"] > 0
    assert await owner.fetchval("SELECT count(*) FROM events WHERE body <> ''") == 0
    assert await check_books(pool, scout, now=shop.clock.now()) == books

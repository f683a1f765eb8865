"""What Prometheus reads, and that it is true."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4  # noqa: TID251  a test's own ids

import asyncpg
import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from recoup import clock
from recoup.api.metrics import Calls, Measured
from recoup.rules.attempt_state import FINAL, State
from recoup.rules.records.keys import RowKey
from recoup.store import db, events, figures, jobs
from recoup.store.db import Pool
from recoup.store.events import Event
from recoup.store.figures import Waiting
from recoup.store.jobs import Job
from tests.api.billing import has_customer, issue
from tests.api.conftest import Tenant

NOW = clock.now()


async def scraped(visitor: httpx.AsyncClient) -> dict[tuple[str, ...], float]:
    """Every sample by its name and its labels' values."""
    answer = await visitor.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


async def test_calls_are_counted_by_route_never_by_what_callers_make_up(
    tenant: Tenant, visitor: httpx.AsyncClient
) -> None:
    for code in ["one", "two", "a%2Fb"]:
        await tenant.get(f"/taxes/{code}")
    await tenant.client.request("BREW", "/api/v1/taxes/pot")
    await visitor.get("/wp-admin")
    await visitor.get("/api/v1/taxes/x")
    read = await scraped(visitor)
    route = "/api/v1/taxes/{code}"
    assert read["recoup_http_request_seconds_count", "GET", route, "404"] == 3
    assert read["recoup_http_request_seconds_count", "GET", route, "401"] == 1
    assert read["recoup_http_request_seconds_count", "other", "none", "404"] == 1
    assert read["recoup_http_request_seconds_count", "GET", "none", "404"] == 1
    labels = ("GET", route, "404")
    assert read["recoup_http_request_seconds_sum", *labels] > 0
    assert read["recoup_http_request_seconds_bucket", "+Inf", *labels] == 3
    text = (await visitor.get("/metrics")).text
    assert "wp-admin" not in text
    assert "BREW" not in text
    assert str(tenant.organization_id) not in text


async def test_a_call_that_breaks_is_counted_as_a_500() -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise ArithmeticError

    calls = Calls()
    scope: Any = {"type": "http", "method": "GET", "path_template": "/x"}
    with pytest.raises(ArithmeticError):
        await Measured(broken, calls)(scope, None, None)  # type: ignore[arg-type]
    assert {sample.labels["status"] for sample in next(calls.collect()).samples} == {"500"}


def test_calls_are_sorted_by_how_long_they_took() -> None:
    calls = Calls()
    for seconds in [0.001, 0.002, 0.3, 9.0]:
        calls.count("GET", "/x", 200, seconds)
    family = next(calls.collect())
    told = {sample.labels.get("le", sample.name): sample.value for sample in family.samples}
    assert (told["0.002"], told["0.25"], told["0.5"], told["5.0"], told["+Inf"]) == (2, 2, 3, 3, 4)
    assert told["recoup_http_request_seconds_sum"] == pytest.approx(9.303)


async def test_an_empty_database_has_figures_too(visitor: httpx.AsyncClient) -> None:
    read = await scraped(visitor)
    for state in State:
        assert (("recoup_payment_attempts", state.value) in read) == (state not in FINAL)
    for name in [
        "recoup_oldest_unknown_attempt_seconds", "recoup_attempts_needing_review",
        "recoup_contradictions_total", "recoup_queue_lag_seconds", "recoup_webhooks_waiting",
        "recoup_oldest_due_webhook_seconds", "recoup_provider_events_waiting",
        "recoup_oldest_provider_event_seconds",
    ]:  # fmt: skip
        assert read[(name,)] == 0, name


async def add_attempts(owner: asyncpg.Connection, organization_id: UUID) -> UUID:
    """One ended attempt of an hour ago, two unknown ones, one for a person; a contradiction."""
    account_id, customer_id = uuid4(), uuid4()
    await owner.execute(
        """INSERT INTO provider_accounts
           (organization_id, id, kind, code, name, secrets_sealed, created_at)
           VALUES ($1, $2, 'sandbox', 's', 's', '', $3)""",
        organization_id, account_id, NOW,
    )  # fmt: skip
    await owner.execute(
        """INSERT INTO customers
           (organization_id, id, external_id, sequential_id, slug, billing_entity_id, created_at,
            updated_at)
           SELECT $1, $2, 'c', 1, 'c', id, $3, $3 FROM billing_entities WHERE organization_id = $1
        """,
        organization_id, customer_id, NOW,
    )  # fmt: skip
    attempts = [("succeeded", 60), ("unknown", 5), ("unknown", 90), ("needs_review", 2000)]
    for state, minutes_ago in attempts:
        at = NOW - timedelta(minutes=minutes_ago)
        await owner.execute(
            """INSERT INTO payments
               (organization_id, id, customer_id, state, payment_type, amount_cents, currency,
                asked_by, provider_account_id, request, created_at, sent_at, ended_at)
               VALUES ($1, $2, $3, $4, 'provider', 100, 'EUR', 'api', $5, '{}', $6, $6, $7)""",
            organization_id, uuid4(), customer_id, state, account_id, at,
            at if state == "succeeded" else None,
        )  # fmt: skip
    await owner.execute(
        """INSERT INTO contradictions
           (organization_id, id, payment_id, was, told, reason, currency, created_at)
           SELECT organization_id, id, id, 'failed', 'succeeded', 'late', 'EUR', $1 FROM payments
            WHERE organization_id = $2 AND state = 'succeeded'""",
        NOW, organization_id,
    )  # fmt: skip
    await owner.execute(
        """INSERT INTO provider_events
           (organization_id, id, provider_account_id, provider_event_id, body, received_at,
            applied_at)
           VALUES ($1, $2, $4, 'waits', '', $5, NULL), ($1, $3, $4, 'done', '', $5, $5)""",
        organization_id, uuid4(), uuid4(), account_id, NOW - timedelta(minutes=3),
    )  # fmt: skip
    return account_id


async def test_what_waits_is_counted_over_all_tenants(
    tenant: Tenant, other_tenant: Tenant, pool: Pool, scout: Pool, owner: asyncpg.Connection,
    visitor: httpx.AsyncClient,
) -> None:  # fmt: skip
    for one in [tenant, other_tenant]:
        await add_attempts(owner, one.organization_id)
    await tenant.post(
        "/webhook_endpoints", {"webhook_endpoint": {"webhook_url": "https://example.com"}}
    )
    told = [Event(tenant.organization_id, uuid4(), "invoice.created", uuid4(), "") for _ in "abc"]
    async with db.transaction(pool, tenants=[tenant.organization_id]) as conn:
        await events.insert(conn, told, now=NOW)
        keys = [RowKey(tenant.organization_id, uuid4()) for _ in "ab"]
        await jobs.promise(conn, Job.SUBMIT_ATTEMPT, keys)
        await jobs.promise(conn, Job.DELIVER_WEBHOOK, keys[:1])
    await owner.execute(
        """UPDATE webhook_deliveries SET state = 'delivered', deliver_at = NULL, ended_at = $1
            WHERE id = (SELECT min(id::text)::uuid FROM webhook_deliveries)""",
        NOW,
    )
    due = await owner.fetchval("SELECT min(execute_after) FROM pgqueuer")
    now = max(NOW, due) + timedelta(seconds=30)
    read = await figures.read(scout, now=now)

    def ago(**more: float) -> float:  # added up as durations: sums of floats differ in the last bit
        return (now - NOW + timedelta(**more)).total_seconds()

    unknown, review = ago(minutes=90), ago(minutes=2000)
    assert read.attempts == {"unknown": Waiting(4, unknown), "needs_review": Waiting(2, review)}
    assert read.contradictions == 2
    assert {name: waiting.count for name, waiting in read.jobs.items()} == {
        "submit_attempt": 2, "deliver_webhook": 1,
    }  # fmt: skip
    lag = max(waiting.oldest_seconds for waiting in read.jobs.values())
    assert lag == (now - due).total_seconds()
    assert read.webhooks == Waiting(2, ago())
    assert read.provider_events == Waiting(2, ago(seconds=180))

    shown = await scraped(visitor)
    assert shown["recoup_payment_attempts", "unknown"] == 4
    assert shown["recoup_payment_attempts", "processing"] == 0
    assert shown["recoup_oldest_unknown_attempt_seconds",] >= 90 * 60
    assert shown["recoup_attempts_needing_review",] == 2
    assert shown["recoup_contradictions_total",] == 2
    assert shown["recoup_queued_jobs", "submit_attempt"] == 2
    assert shown["recoup_webhooks_waiting",] == 2
    assert shown["recoup_provider_events_waiting",] == 2


async def test_what_is_due_later_has_no_age_yet(tenant: Tenant, pool: Pool, scout: Pool) -> None:
    keys = [RowKey(tenant.organization_id, uuid4())]
    async with db.transaction(pool, tenants=[tenant.organization_id]) as conn:
        await jobs.promise(conn, Job.SUBMIT_ATTEMPT, keys)
    read = await figures.read(scout, now=NOW - timedelta(days=1))
    assert read.jobs == {"submit_attempt": Waiting(1, 0.0)}


async def test_mails_and_drafts_that_are_due_are_told_of(
    tenant: Tenant, owner: asyncpg.Connection, scout: Pool, visitor: httpx.AsyncClient
) -> None:
    before = await figures.read(scout, now=NOW)
    assert (before.mails, before.drafts) == (Waiting(), Waiting())
    await owner.execute(
        """INSERT INTO mails (organization_id, id, kind, object_id, recipients, state, send_at,
                              created_at, ended_at)
           SELECT $1, gen_random_uuid(), 'invoice.finalized', gen_random_uuid(), '{a@b.example}',
                  CASE WHEN due IS NULL THEN 'sent' ELSE 'waiting' END, due, $2, $2
             FROM unnest($3::timestamptz[]) AS due""",
        tenant.organization_id, NOW,
        [NOW - timedelta(minutes=7), NOW + timedelta(minutes=1), None],
    )  # fmt: skip
    await has_customer(tenant, "c")
    lines = [{"add_on_code": "x", "unit_amount_cents": 100}]
    await tenant.post("/add_ons", {"add_on": {
        "name": "X", "code": "x", "amount_cents": 100, "amount_currency": "EUR"}})  # fmt: skip
    await issue(tenant, external_customer_id="c", currency="EUR", fees=lines, draft=True)
    await owner.execute("UPDATE invoices SET finalize_at = $1", NOW - timedelta(minutes=3))
    read = await figures.read(scout, now=NOW)
    assert read.mails == Waiting(2, 7 * 60)
    assert read.drafts == Waiting(1, 3 * 60)
    shown = await scraped(visitor)
    assert shown["recoup_mails_waiting",] == 2
    assert shown["recoup_oldest_due_mail_seconds",] >= 7 * 60
    assert shown["recoup_oldest_due_draft_seconds",] >= 3 * 60

"""Migrations: by whom they may be run, a second time, and by two at the same moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest_asyncio

from recoup.store import db
from recoup.store.embedded_postgres import EmbeddedPostgres
from recoup.store.migrate import migrate


@pytest_asyncio.fixture
async def empty_dsn(tmp_path: Path) -> AsyncIterator[str]:
    """A new server's database, of a user who may make databases and roles, and nothing else."""
    async with await EmbeddedPostgres.start(tmp_path) as postgres:
        conn = await asyncpg.connect(postgres.dsn)
        await conn.execute("CREATE ROLE operator LOGIN CREATEDB CREATEROLE")
        await conn.execute("ALTER DATABASE recoup OWNER TO operator")
        await conn.close()
        yield postgres.dsn.replace("postgres@", "operator@")


async def test_no_superuser_is_needed_to_migrate_and_to_act_as_our_roles(empty_dsn: str) -> None:
    await migrate(empty_dsn)
    for role in ("recoup_app", "recoup_scout"):
        pool = await db.connect(empty_dsn, role=role)
        assert await pool.fetchval("SELECT current_user") == role
        await pool.close()


async def test_processes_that_start_at_once_migrate_once(empty_dsn: str) -> None:
    applied = await asyncio.gather(*(migrate(empty_dsn) for _ in range(3)))
    assert sorted(map(bool, applied)) == [False, False, True]
    assert await migrate(empty_dsn) == []


# Rows as they were before the migration, written past every check: the rest of them is no matter.
BEFORE_0012 = """
    DROP INDEX one_refund_per_provider_id;
    CREATE INDEX refunds_by_provider_id ON refunds
        (organization_id, provider_account_id, provider_refund_id);
    ALTER TABLE contradictions DROP COLUMN refund_id, DROP COLUMN provider_refund_id;
    DELETE FROM migrations WHERE name = '0012_refund_contradictions';
    SET session_replication_role = replica;
    INSERT INTO organizations (id, name, slug, document_number_prefix, hmac_key_sealed, created_at,
           updated_at)
    VALUES ('00000000-0000-4000-8000-000000000000', 'Acme', 'acme', 'ACM', '', now(), now());
    INSERT INTO refunds (organization_id, id, payment_id, contradiction_id, state, amount_cents,
           currency, asked_by, provider_account_id, provider_payment_id, request,
           provider_refund_id, created_at, sent_at, ended_at)
    SELECT '00000000-0000-4000-8000-000000000000', gen_random_uuid(), gen_random_uuid(),
           gen_random_uuid(), 'succeeded', 1000, 'EUR', said.whose, said.account::uuid, 'ch_1',
           '{}', said.known_as, now() - said.age, now(), now()
      FROM (VALUES ('oldest', '00000000-0000-4000-8000-00000000000a', 're_1', interval '3 days'),
                   ('newer', '00000000-0000-4000-8000-00000000000a', 're_1', interval '2 days'),
                   ('newest', '00000000-0000-4000-8000-00000000000a', 're_1', interval '1 day'),
                   ('elsewhere', '00000000-0000-4000-8000-00000000000b', 're_1', interval '1 day'),
                   ('another', '00000000-0000-4000-8000-00000000000a', 're_2', interval '1 day'))
           AS said (whose, account, known_as, age)
"""


async def test_refunds_that_share_an_id_do_not_hold_the_migration_up(empty_dsn: str) -> None:
    await migrate(empty_dsn)
    conn = await asyncpg.connect(empty_dsn.replace("operator@", "postgres@"))
    try:
        await conn.execute(BEFORE_0012)
        assert await migrate(empty_dsn) == ["0012_refund_contradictions"]
        known = dict(await conn.fetch("SELECT asked_by, provider_refund_id FROM refunds"))
        assert known == {
            "oldest": "re_1", "newer": None, "newest": None, "elsewhere": "re_1", "another": "re_2",
        }  # fmt: skip
        noted = await conn.fetch(
            """SELECT r.asked_by, a.detail->>'provider_refund_id' AS was, kept.asked_by AS kept_by
                 FROM audit_log a JOIN refunds r ON r.id = a.object_id
                 JOIN refunds kept ON kept.id = (a.detail->>'kept_by')::uuid ORDER BY r.asked_by"""
        )
        assert [tuple(one) for one in noted] == [
            ("newer", "re_1", "oldest"), ("newest", "re_1", "oldest"),
        ]  # fmt: skip
        forced = await conn.fetch(
            "SELECT relname FROM pg_class WHERE relforcerowsecurity"
            " AND relname IN ('refunds', 'audit_log')"
        )
        assert len(forced) == 2
    finally:
        await conn.close()


# Payments as they were before there were receipts.
BEFORE_0018 = """
    ALTER TABLE documents DROP COLUMN payment_receipt_id;
    DROP TABLE payment_receipts, payment_receipt_counters, payment_request_invoices;
    ALTER TABLE payments DROP COLUMN payment_request_id;
    DROP TABLE payment_requests;
    ALTER TABLE payment_invoices DROP COLUMN next_try_before;
    DELETE FROM migrations WHERE name = '0018_payment_requests';
    SET session_replication_role = replica;
    INSERT INTO customers (organization_id, id, external_id, sequential_id, slug,
           billing_entity_id, created_at, updated_at)
    SELECT '00000000-0000-4000-8000-000000000000', format('00000000-0000-4000-8000-%s',
           lpad(one::text, 12, '0'))::uuid, 'c' || one, one, 'ACM-' || one, gen_random_uuid(),
           now(), now()
      FROM generate_series(1, 2) AS one;
    INSERT INTO payments (organization_id, id, payment_type, customer_id, amount_cents, currency,
           asked_by, state, reference, created_at, ended_at)
    SELECT '00000000-0000-4000-8000-000000000000', gen_random_uuid(), 'manual', format(
           '00000000-0000-4000-8000-%s', lpad(said.customer::text, 12, '0'))::uuid, 1, 'EUR', 'api',
           said.state, said.name, now() - said.age,
           CASE WHEN said.state <> 'ready' THEN now() - said.age END
      FROM (VALUES (1, 'succeeded', 'second', interval '1 day'),
                   (1, 'succeeded', 'first', interval '2 days'),
                   (1, 'failed', 'declined', interval '3 days'),
                   (1, 'ready', 'waits', interval '3 days'),
                   (2, 'succeeded', 'other', interval '1 day'))
           AS said (customer, state, name, age)
"""


async def test_what_had_succeeded_before_has_a_receipt_since(empty_dsn: str) -> None:
    await migrate(empty_dsn)
    conn = await asyncpg.connect(empty_dsn.replace("operator@", "postgres@"))
    try:
        await conn.execute(BEFORE_0018)
        assert await migrate(empty_dsn) == ["0018_payment_requests"]
        numbers = dict(
            await conn.fetch(
                "SELECT p.reference, r.number FROM payment_receipts r"
                "  JOIN payments p ON p.id = r.payment_id"
            )
        )
        assert numbers == {
            "first": "ACM-1-RCPT-000001", "second": "ACM-1-RCPT-000002",
            "other": "ACM-2-RCPT-000001",
        }  # fmt: skip
        counted = await conn.fetch("SELECT last FROM payment_receipt_counters ORDER BY last")
        assert [row["last"] for row in counted] == [1, 2]
        forced = await conn.fetch(
            "SELECT relname FROM pg_class WHERE relforcerowsecurity"
            " AND relname IN ('payments', 'customers')"
        )
        assert len(forced) == 2
    finally:
        await conn.close()


# A credit note as it was before it kept two facts of its invoice.
BEFORE_0026 = """
    ALTER TABLE credit_notes DROP COLUMN billing_entity_id, DROP COLUMN self_billed;
    ALTER TABLE customers
        DROP COLUMN has_tax_number, DROP COLUMN state_start, DROP COLUMN zipcode_start;
    CREATE INDEX credit_notes_newest_first ON credit_notes (organization_id);
    CREATE INDEX customers_newest_first ON customers (organization_id);
    DROP INDEX refunds_open;
    DELETE FROM migrations WHERE name = '0026_more_list_indexes';
    SET session_replication_role = replica;
    INSERT INTO invoices (organization_id, id, customer_id, billing_entity_id, number, currency,
           self_billed, status, payment_status, sequential_id, issuing_date, payment_due_date,
           created_at, updated_at)
    SELECT org, org, org, format('00000000-0000-4000-8000-%s', lpad(one::text, 12, '0'))::uuid,
           'INV', 'EUR', one = 1, 'finalized', 'pending', 1, current_date, current_date, now(),
           now()
      FROM generate_series(1, 2) AS one,
           LATERAL (SELECT format('00000000-0000-4000-8000-%s', lpad(one::text, 12, '1'))::uuid
                    AS org) AS made;
    INSERT INTO credit_notes (organization_id, id, invoice_id, customer_id, sequential_id, number,
           issuing_date, reason, currency, total_cents, sub_total_excluding_taxes_amount_cents,
           taxes_amount_cents, precise_total_cents, precise_taxes_cents, taxes_rate, offset_cents,
           created_at, updated_at)
    SELECT organization_id, id, id, customer_id, 1, number, issuing_date, 'other', 'EUR', 1, 1, 0,
           1, 0, 0, 1, now(), now()
      FROM invoices;
    INSERT INTO billing_entities (organization_id, id, code, name, document_number_prefix,
           created_at, updated_at)
    SELECT organization_id, billing_entity_id, 'one', 'One', 'ONE', now(), now() FROM invoices
"""


async def test_the_notes_of_before_have_their_invoices_facts(empty_dsn: str) -> None:
    await migrate(empty_dsn)
    conn = await asyncpg.connect(empty_dsn.replace("operator@", "postgres@"))
    try:
        await conn.execute(BEFORE_0026)
        assert await migrate(empty_dsn) == ["0026_more_list_indexes"]
        kept = await conn.fetch(
            "SELECT n.self_billed, n.billing_entity_id = i.billing_entity_id AS is_its_invoices"
            "  FROM credit_notes n JOIN invoices i USING (organization_id, id) ORDER BY n.id"
        )
        assert [tuple(row) for row in kept] == [(True, True), (False, True)]
        forced = await conn.fetch(
            "SELECT relname FROM pg_class WHERE relforcerowsecurity"
            " AND relname IN ('credit_notes', 'invoices')"
        )
        assert len(forced) == 2
    finally:
        await conn.close()

"""Tenants cannot meet: every table is held to it, those of tomorrow included.

The tables and their keys are read from the database's own catalogue, so that a new one fails here
until it is guarded, and until it has a row below.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final
from uuid import UUID, uuid5

import asyncpg
import msgspec
import pytest
import pytest_asyncio

from recoup.store import db
from recoup.store.db import Pool
from recoup.store.migrate import migrate
from tests.databases import as_owner, own_database

OURS, THEIRS = UUID(int=0xA), UUID(int=0xB)

# The queue's tables and the installation's belong to no tenant.
NOBODYS: Final = {
    "database_signs", "installation", "migrations", "pgqueuer", "pgqueuer_log",
    "pgqueuer_schedules", "pgqueuer_statistics",
}  # fmt: skip
ONLY_GROW: Final = {"ledger_entries", "audit_log"}
# What says that a row is about one thing alone: in the way where one is made to be about another.
OF_ONE_KIND: Final = {"documents": ("document_of_a_credit_note", "document_of_a_receipt")}

# What the sweeps and the figures may see of all tenants: ids, states and times. No amounts, no
# names, no bodies, no secrets.
SCOUTED: Final = {
    "organizations": {"id"},
    "payments": {
        "organization_id", "id", "state", "payment_type", "look_up_at", "created_at", "sent_at",
        "ended_at", "send_at", "provider_account_id",
    },
    "invoices": {
        "organization_id", "id", "status", "payment_status", "payment_overdue",
        "payment_due_date", "payment_dispute_lost_at", "next_try_at", "held_because",
        "finalize_at",
    },
    "mails": {"organization_id", "id", "send_at", "ended_at"},
    "webhook_deliveries": {
        *("organization_id", "id", "endpoint_id", "event_id", "state"),
        *("deliver_at", "created_at", "ended_at"),
    },
    "events": {"organization_id", "id", "created_at", "body_forgotten_at"},
    "provider_events": {
        *("organization_id", "id", "received_at", "applied_at", "apply_at", "body_forgotten_at"),
    },
    "provider_health": {
        *("organization_id", "provider_account_id"),
        *("open_until", "slow_until", "key_refused_at"),
    },
    "refunds": {
        *("organization_id", "id", "state", "provider_account_id"),
        *("look_up_at", "created_at", "ended_at", "send_at"),
    },
    "provider_accounts": {"organization_id", "id", "kind", "code", "deleted_at"},
    "contradictions": {"organization_id", "id", "created_at"},
    "quarantines": {"organization_id", "provider_account_id", "began_at", "released_at"},
    "reconciliation_findings": {"organization_id", "id", "resolved_at", "what"},
    "idempotency_keys": {"organization_id", "created_at"},
    "documents": {"organization_id", "id", "make_at", "tries", "given_up_at"},
    "dunnings": {"organization_id", "customer_id", "look_at"},
    "dunning_wakes": {"organization_id", "asked_at"},
    "dunning_campaigns": {"organization_id"},
}  # fmt: skip

# One row of every table for one tenant. {o} is the organization, {name} an id of that tenant's.
ROWS: Final = {
    "organizations": "(id, name, slug, document_number_prefix, hmac_key_sealed, created_at,"
        " updated_at) VALUES ({o}, 'A', 'a', 'A', '', now(), now())",
    "api_keys": "(organization_id, id, digest, last4, created_at)"
        " VALUES ({o}, {key}, {key}::text, '1234', now())",
    "dunning_campaigns": "(organization_id, id, code, name, days_between_attempts, max_attempts,"
        " terms_changed_at, created_at, updated_at)"
        " VALUES ({o}, {campaign}, 'd', 'D', 1, 1, now(), now(), now())",
    "dunning_thresholds": "VALUES ({o}, {campaign}, 'EUR', 0)",
    "billing_entities": "(organization_id, id, code, name, document_number_prefix, created_at,"
        " updated_at) VALUES ({o}, {entity}, 'a', 'A', 'A', now(), now())",
    "taxes": "(organization_id, id, code, name, rate, created_at, updated_at)"
        " VALUES ({o}, {tax}, 'vat', 'VAT', 20, now(), now())",
    "billing_entity_taxes": "VALUES ({o}, {entity}, {tax})",
    "add_ons": "(organization_id, id, code, name, amount_cents, amount_currency, created_at,"
        " updated_at) VALUES ({o}, {add_on}, 'a', 'A', 1, 'EUR', now(), now())",
    "add_on_taxes": "VALUES ({o}, {add_on}, {tax})",
    "provider_accounts": "(organization_id, id, kind, code, name, secrets_sealed, created_at)"
        " VALUES ({o}, {account}, 'sandbox', 's', 'S', '', now())",
    "provider_health": "(organization_id, provider_account_id) VALUES ({o}, {account})",
    "customers": "(organization_id, id, external_id, sequential_id, slug, billing_entity_id,"
        " created_at, updated_at) VALUES ({o}, {customer}, 'c', 1, 'c', {entity}, now(), now())",
    "customer_metadata": "(organization_id, id, customer_id, key, value, created_at)"
        " VALUES ({o}, {metadatum}, {customer}, 'k', 'v', now())",
    "customer_taxes": "VALUES ({o}, {customer}, {tax})",
    "provider_customers": "(organization_id, id, customer_id, provider_account_id, created_at)"
        " VALUES ({o}, {link}, {customer}, {account}, now())",
    "payment_methods": "(organization_id, id, customer_id, provider_customer_id,"
        " provider_method_id, created_at) VALUES ({o}, {method}, {customer}, {link}, 'pm', now())",
    "invoices": "(organization_id, id, customer_id, billing_entity_id, number, status,"
        " payment_status, currency, created_at, updated_at) VALUES"
        " ({o}, {invoice}, {customer}, {entity}, 'N', 'finalized', 'pending', 'EUR', now(), now())",
    "logos": "VALUES ({o}, {logo}, '<svg/>', now())",
    "documents": "(organization_id, id, kind, invoice_id, version, page, logo_id, created_at)"
        " VALUES ({o}, {document}, 'invoice', {invoice}, 1, '{{}}', {logo}, now())",
    "invoice_metadata": "(organization_id, id, invoice_id, key, value, created_at)"
        " VALUES ({o}, {metadatum}, {invoice}, 'k', 'v', now())",
    "fees": "(organization_id, id, invoice_id, position, add_on_id, item_code, item_name, units,"
        " unit_amount_cents, precise_unit_amount, amount_cents, precise_amount_cents,"
        " taxes_amount_cents, taxes_precise_amount_cents, taxes_rate, amount_currency, created_at)"
        " VALUES ({o}, {fee}, {invoice}, 0, {add_on}, 'a', 'A', 1, 1, 1, 1, 1, 0, 0, 0, 'EUR',"
        " now())",
    "applied_taxes": "(organization_id, id, invoice_id, fee_id, tax_id, tax_name, tax_code,"
        " tax_rate, amount_cents, amount_currency, fees_amount_cents, created_at)"
        " VALUES ({o}, {applied}, {invoice}, {fee}, {tax}, 'VAT', 'vat', 20, 0, 'EUR', 0, now())",
    "payment_requests": "(organization_id, id, customer_id, billing_entity_id, amount_cents,"
        " currency, created_at, updated_at)"
        " VALUES ({o}, {request}, {customer}, {entity}, 1, 'EUR', now(), now())",
    "payment_request_invoices": "VALUES ({o}, {request}, {invoice}, 1)",
    "payments": "(organization_id, id, payment_type, customer_id, amount_cents, currency,"
        " asked_by, provider_account_id, payment_method_id, created_at, payment_request_id) VALUES"
        " ({o}, {payment}, 'provider', {customer}, 1, 'EUR', 'api', {account}, {method}, now(),"
        " {request})",
    "payment_receipt_counters": "VALUES ({o}, {customer}, 1)",
    "payment_receipts": "(organization_id, id, payment_id, customer_id, sequential_id, number,"
        " created_at) VALUES ({o}, {receipt}, {payment}, {customer}, 1, 'R', now())",
    "payment_invoices": "(organization_id, payment_id, invoice_id, amount_cents,"
        " payment_status_before) VALUES ({o}, {payment}, {invoice}, 1, 'pending')",
    "contradictions": "(organization_id, id, payment_id, was, told, reason, currency, created_at)"
        " VALUES ({o}, {contradiction}, {payment}, 'failed', 'succeeded', 'r', 'EUR', now())",
    "refunds": "(organization_id, id, payment_id, contradiction_id, amount_cents, currency,"
        " asked_by, provider_account_id, provider_payment_id, created_at) VALUES ({o}, {refund},"
        " {payment}, {contradiction}, 1, 'EUR', 'ann', {account}, 'ch', now())",
    "credit_notes": "(organization_id, id, invoice_id, customer_id, billing_entity_id, self_billed,"
        " sequential_id, number, issuing_date, reason, currency, total_cents,"
        " sub_total_excluding_taxes_amount_cents, taxes_amount_cents, precise_total_cents,"
        " precise_taxes_cents, taxes_rate, offset_cents, created_at, updated_at) VALUES"
        " ({o}, {note}, {invoice}, {customer}, {entity}, false, 1, 'N-CN001', now(), 'other',"
        " 'EUR', 1, 1, 0, 1, 0, 0, 1, now(), now())",
    "credit_note_items": "(organization_id, id, credit_note_id, fee_id, position, amount_cents,"
        " precise_amount_cents, amount_currency, created_at)"
        " VALUES ({o}, {item}, {note}, {fee}, 0, 1, 1, 'EUR', now())",
    "credit_note_applied_taxes": "(organization_id, id, credit_note_id, tax_id, tax_name,"
        " tax_code, tax_rate, base_amount_cents, amount_cents, amount_currency, created_at)"
        " VALUES ({o}, {noted}, {note}, {tax}, 'VAT', 'vat', 20, 1, 0, 'EUR', now())",
    "quarantines": "(organization_id, id, provider_account_id, because, compare_since, began_at)"
        " VALUES ({o}, {quarantine}, {account}, 'r', now(), now())",
    "reconciliations": "(organization_id, id, provider_account_id, since, before, began_at)"
        " VALUES ({o}, {comparison}, {account}, now(), now(), now())",
    "reconciliation_charges": "VALUES ({o}, {comparison}, {payment})",
    "reconciliation_findings": "(organization_id, id, provider_account_id, what, idempotency_key,"
        " amount_cents, currency, found_at) VALUES ({o}, {finding}, {account}, 'unknown_here',"
        " 'k', 1, 'EUR', now())",
    "provider_events": "(organization_id, id, provider_account_id, provider_event_id, body,"
        " received_at) VALUES ({o}, {told}, {account}, 'evt', '', now())",
    "events": "(organization_id, id, webhook_type, object_id, body, created_at)"
        " VALUES ({o}, {event}, 'invoice.voided', {invoice}, '', now())",
    "webhook_endpoints": "(organization_id, id, webhook_url, created_at)"
        " VALUES ({o}, {endpoint}, 'https://a.test', now())",
    "webhook_deliveries": "(organization_id, id, event_id, endpoint_id, created_at)"
        " VALUES ({o}, {delivery}, {event}, {endpoint}, now())",
    "webhook_tries": "VALUES ({o}, {delivery}, 1, 'https://a.test', now(), 200, NULL)",
    "ledger_entries": "VALUES"
        " ({o}, {transaction}, 0, 'receivable', 0, 'EUR', {invoice}, {payment}, now())",
    "idempotency_keys": "VALUES ({o}, 'POST', '/', 'k', 'd', 200, '{{}}', '', now())",
    "decisions": "(organization_id, id, invoice_id, decided, because, at)"
        " VALUES ({o}, {decision}, {invoice}, 'stop', 'never', now())",
    "mails": "(organization_id, id, kind, object_id, recipients, send_at, created_at)"
        " VALUES ({o}, {mail}, 'k', {invoice}, '{{a@b.example}}', now(), now())",
    "dunnings": "(organization_id, customer_id, dunning_campaign_id, look_at)"
        " VALUES ({o}, {customer}, {campaign}, now())",
    "dunning_counters": "VALUES ({o}, {customer}, 'EUR', 1, now())",
    "dunning_wakes": "(organization_id, asked_at) VALUES ({o}, now())",
    "audit_log": "VALUES ({o}, {entry}, now(), 'ann', 'a', {payment}, '{{}}')",
}  # fmt: skip


class Ids(dict[str, str]):
    """A tenant's ids by name, made as they are asked for."""

    def __init__(self, organization_id: UUID) -> None:
        super().__init__(o=f"'{organization_id}'")
        self._organization_id = organization_id

    def __missing__(self, name: str) -> str:
        return f"'{uuid5(self._organization_id, name)}'"


class Catalogue(msgspec.Struct, frozen=True):
    """Two tenants in one database, and what the database says of its tables."""

    dsn: str
    app: Pool
    owner: asyncpg.Connection
    columns: dict[str, list[str]]  # by table, generated ones left out

    def tenant_column(self, table: str) -> str:
        return "id" if table == "organizations" else "organization_id"


@pytest_asyncio.fixture(scope="module")
async def catalogue(server_dsn: str, template: str) -> AsyncIterator[Catalogue]:
    async with own_database(server_dsn, template) as dsn:
        owner = await asyncpg.connect(as_owner(dsn))
        for tenant in (OURS, THEIRS):
            for table, row in ROWS.items():
                await owner.execute(f"INSERT INTO {table} {row.format_map(Ids(tenant))}")
        columns: dict[str, list[str]] = {}
        for found in await owner.fetch(
            """SELECT table_name, column_name FROM information_schema.columns
                WHERE table_schema = 'public' AND is_generated = 'NEVER'
                ORDER BY table_name, ordinal_position"""
        ):
            columns.setdefault(found["table_name"], []).append(found["column_name"])
        app = await db.connect(dsn, least=1, most=1)
        yield Catalogue(dsn, app, owner, columns)
        await app.close()
        await owner.close()


@asynccontextmanager
async def as_us(catalogue: Catalogue, *tenants: UUID) -> AsyncIterator[Any]:
    """A transaction of the application that names these tenants, and is undone in the end."""
    async with catalogue.app.acquire() as conn:
        undone = conn.transaction()
        await undone.start()
        try:
            named = ",".join(str(tenant) for tenant in tenants)
            await conn.execute(f"SET LOCAL recoup.tenants = '{{{named}}}'")
            yield conn
        finally:
            await undone.rollback()


async def test_every_table_is_known_here(catalogue: Catalogue) -> None:
    """A new table is a tenant's, with a row in `ROWS`, or nobody's."""
    tables = {
        row["relname"]
        for row in await catalogue.owner.fetch(
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'f')"
            " AND relnamespace = 'public'::regnamespace"
        )
    }
    assert tables == set(ROWS) | NOBODYS
    for table in NOBODYS:
        assert "organization_id" not in catalogue.columns[table]


each_table = pytest.mark.parametrize("table", ROWS)


@each_table
async def test_row_level_security_is_forced_for_what_is_read_and_written(
    catalogue: Catalogue, table: str
) -> None:
    row = await catalogue.owner.fetchrow(
        "SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE relname = $1", table
    )
    assert tuple(row) == (True, True)
    policies = await catalogue.owner.fetch(
        "SELECT policyname, roles, cmd, permissive, qual, with_check FROM pg_policies"
        " WHERE tablename = $1 AND NOT roles = '{recoup_scout}'",
        table,
    )
    shown_digests = [one for one in policies if one["policyname"] == "shown_digests"]
    assert bool(shown_digests) == (table == "api_keys")  # how a caller's tenant is found
    [own] = [one for one in policies if one not in shown_digests]
    assert (own["roles"], own["cmd"]) == (["recoup_app"], "ALL")
    assert "recoup_tenants()" in own["qual"]
    assert "recoup_tenants()" in own["with_check"]


@each_table
async def test_nothing_is_seen_where_no_tenant_is_named(catalogue: Catalogue, table: str) -> None:
    assert await catalogue.owner.fetchval(f"SELECT count(*) FROM {table}") == 2
    async with as_us(catalogue) as conn:
        assert await conn.fetchval(f"SELECT count(*) FROM {table}") == 0
    async with catalogue.app.acquire() as conn:  # nor where nobody has thought of naming one
        assert await conn.fetchval(f"SELECT count(*) FROM {table}") == 0


@each_table
async def test_only_the_named_tenants_rows_are_seen(catalogue: Catalogue, table: str) -> None:
    tenant = catalogue.tenant_column(table)
    async with as_us(catalogue, OURS) as conn:
        seen = await conn.fetch(f"SELECT {tenant} FROM {table}")
        assert [row[tenant] for row in seen] == [OURS]
        asked = f"SELECT count(*) FROM {table} WHERE {tenant} = $1"
        assert await conn.fetchval(asked, THEIRS) == 0
    async with as_us(catalogue, OURS, THEIRS) as conn:
        assert await conn.fetchval(f"SELECT count(*) FROM {table}") == 2


@each_table
async def test_another_tenants_rows_are_neither_changed_nor_deleted(
    catalogue: Catalogue, table: str
) -> None:
    tenant = catalogue.tenant_column(table)
    for statement in (
        f"UPDATE {table} SET {tenant} = {tenant} WHERE {tenant} = $1",
        f"DELETE FROM {table} WHERE {tenant} = $1",
    ):
        async with as_us(catalogue, OURS) as conn:
            with suppress(asyncpg.InsufficientPrivilegeError):  # its own rows, too
                assert (await conn.execute(statement, THEIRS)).endswith(" 0")


@each_table
async def test_no_row_is_put_into_another_tenant(catalogue: Catalogue, table: str) -> None:
    tenant, columns = catalogue.tenant_column(table), catalogue.columns[table]
    values = ", ".join("$1" if column == tenant else column for column in columns)
    async with as_us(catalogue, OURS) as conn:
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            await conn.execute(
                f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM {table}", THEIRS
            )
    async with as_us(catalogue, OURS) as conn:
        with pytest.raises(
            asyncpg.InsufficientPrivilegeError, match=r"row-level security|permission denied"
        ):
            await conn.execute(f"UPDATE {table} SET {tenant} = $1", THEIRS)


async def test_a_shown_digest_shows_its_key_and_no_other(catalogue: Catalogue) -> None:
    digest = uuid5(THEIRS, "key")
    async with as_us(catalogue, OURS) as conn:
        await conn.execute(f"SET LOCAL recoup.key_digests = '{{{digest}}}'")
        found = await conn.fetch("SELECT organization_id FROM api_keys ORDER BY 1")
        assert [row["organization_id"] for row in found] == [OURS, THEIRS]
        assert await conn.execute("UPDATE api_keys SET name = 'mine'") == "UPDATE 1"


@pytest.mark.parametrize("role", ["recoup_app", "recoup_scout"])
async def test_the_roles_own_nothing_and_stand_above_nothing(
    catalogue: Catalogue, role: str
) -> None:
    able = await catalogue.owner.fetchrow(
        "SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb FROM pg_roles"
        " WHERE rolname = $1",
        role,
    )
    assert tuple(able) == (False, False, False, False)
    owned = await catalogue.owner.fetchval(
        "SELECT count(*) FROM pg_class WHERE relowner = $1::regrole", role
    )
    assert owned == 0
    of_others = await catalogue.owner.fetchval(
        "SELECT count(*) FROM pg_auth_members WHERE member = $1::regrole", role
    )
    assert of_others == 0
    async with db.nameless(catalogue.app) as conn:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await conn.execute("CREATE TABLE mine (id int)")


async def test_the_scout_may_read_these_columns_and_no_others(catalogue: Catalogue) -> None:
    granted: dict[str, set[str]] = {}
    for row in await catalogue.owner.fetch(
        """SELECT table_name, column_name, privilege_type
             FROM information_schema.column_privileges
            WHERE grantee = 'recoup_scout' AND table_schema = 'public'"""
    ):
        assert row["privilege_type"] == "SELECT"
        granted.setdefault(row["table_name"], set()).add(row["column_name"])
    assert granted.pop("pgqueuer") == set(catalogue.columns["pgqueuer"])
    assert granted == SCOUTED


@each_table
async def test_the_scout_sees_all_tenants_and_changes_nothing(
    catalogue: Catalogue, table: str
) -> None:
    scout = await db.connect(catalogue.dsn, role="recoup_scout", least=1, most=1)
    tenant, columns = catalogue.tenant_column(table), SCOUTED.get(table, set())
    denied = [
        f"DELETE FROM {table}",
        f"UPDATE {table} SET {tenant} = {tenant}",
        f"INSERT INTO {table} ({tenant}) SELECT {tenant} FROM {table}",
        *(f"SELECT {column} FROM {table}" for column in {*catalogue.columns[table]} - columns),
    ]
    try:
        if columns:
            seen = await scout.fetch(f"SELECT {', '.join(columns)} FROM {table}")
            assert len(seen) == 2
        for statement in denied:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await scout.execute(statement)
    finally:
        await scout.close()


@pytest.mark.parametrize("table", sorted(ONLY_GROW))
async def test_what_only_grows_is_neither_changed_nor_deleted_by_anybody(
    catalogue: Catalogue, table: str
) -> None:
    statements = (
        f"UPDATE {table} SET organization_id = organization_id",
        f"DELETE FROM {table}",
        f"TRUNCATE {table}",
    )
    for statement in statements:
        async with as_us(catalogue, OURS) as conn:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await conn.execute(statement)
        with pytest.raises(asyncpg.CheckViolationError, match="only grows"):
            await catalogue.owner.execute(statement)


@pytest.mark.parametrize(
    "table", ["payments", "payment_invoices", "invoices", "customers", "events"]
)
async def test_what_others_refer_to_is_not_deleted_by_the_application(
    catalogue: Catalogue, table: str
) -> None:
    async with as_us(catalogue, OURS) as conn:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await conn.execute(f"DELETE FROM {table}")


async def test_no_row_points_into_another_tenant(catalogue: Catalogue) -> None:
    """Every foreign key carries the organization, and refuses the other tenant's row."""
    keys = await catalogue.owner.fetch(
        """SELECT conrelid::regclass::text AS table, confrelid::regclass::text AS referred,
                  (SELECT array_agg(attname::text ORDER BY u.n) FROM unnest(conkey)
                     WITH ORDINALITY AS u (k, n) JOIN pg_attribute
                       ON attrelid = conrelid AND attnum = k) AS columns,
                  (SELECT array_agg(attname::text ORDER BY u.n) FROM unnest(confkey)
                     WITH ORDINALITY AS u (k, n) JOIN pg_attribute
                       ON attrelid = confrelid AND attnum = k) AS referred_columns
             FROM pg_constraint WHERE contype = 'f'"""
    )
    refused = 0
    for key in keys:
        table, columns = key["table"], key["columns"]
        if key["referred"] == "organizations":
            assert columns == ["organization_id"]
            continue
        assert columns[0] == key["referred_columns"][0] == "organization_id", (table, columns)
        assert key["referred_columns"][1:] == ["id"], (table, columns)
        [column] = columns[1:]
        undone = catalogue.owner.transaction()
        await undone.start()
        try:
            if table in ONLY_GROW:
                await catalogue.owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
            for check in OF_ONE_KIND.get(table, ()):
                await catalogue.owner.execute(f"ALTER TABLE {table} DROP CONSTRAINT {check}")
            with pytest.raises(asyncpg.ForeignKeyViolationError):
                await catalogue.owner.execute(
                    f"UPDATE {table} SET {column} = (SELECT id FROM {key['referred']}"
                    " WHERE organization_id = $2) WHERE organization_id = $1",
                    OURS,
                    THEIRS,
                )
            refused += 1
        finally:
            await undone.rollback()
    assert refused > 25


async def test_each_column_that_names_a_tenants_row_is_a_foreign_key(catalogue: Catalogue) -> None:
    """What ends in `_id` is a foreign key, or is named here with the reason why it is none."""
    free = {
        "events.object_id", "mails.object_id",  # an invoice, a payment or a customer
        "audit_log.object_id",  # anything
        "reconciliation_findings.invoice_id",  # a provider's word: it need not be here
        "events.ask_id", "decisions.ask_id",  # an accepted ask may have made no row
        "decisions.payment_id",  # written in the batch that writes the payment
        "ledger_entries.transaction_id",  # a payment, an invoice, a contradiction or a voiding
        "payments.wanted_method_id", "invoices.payment_method_id",  # a caller's word
        # What the outside calls things.
        "customers.external_id", "customers.sequential_id", "customers.external_salesforce_id",
        "invoices.sequential_id", "invoices.entity_sequential_id", "credit_notes.sequential_id",
        "payment_receipts.sequential_id",
        "payments.provider_customer_id", "payments.provider_method_id",
        "payments.provider_payment_id", "contradictions.provider_payment_id",
        "contradictions.provider_refund_id",
        "refunds.provider_payment_id", "refunds.provider_refund_id",
        "payment_methods.provider_method_id", "provider_customers.provider_customer_id",
        "provider_events.provider_event_id",
        "dunning_wakes.after_customer_id",  # how far it has come: a place, whoever had it
        # Of a campaign that may be deleted: what it asked for stays.
        "dunnings.dunning_campaign_id", "payment_requests.dunning_campaign_id",
    }  # fmt: skip
    keyed = {
        f"{row['table']}.{row['column']}"
        for row in await catalogue.owner.fetch(
            """SELECT conrelid::regclass::text AS table, attname::text AS column
                 FROM pg_constraint CROSS JOIN unnest(conkey) AS k
                 JOIN pg_attribute ON attrelid = conrelid AND attnum = k
                WHERE contype = 'f'"""
        )
    }
    named = {
        f"{table}.{column}"
        for table in ROWS
        for column in catalogue.columns[table]
        if column.endswith("_id")
    }
    assert named - keyed == free


async def test_migrating_twice_changes_nothing(catalogue: Catalogue) -> None:
    assert await migrate(catalogue.dsn) == []

"""Rows for the lists: one tenant's few among many of other tenants', and large tenants apart.

What would surprise you: the measured tenant's rows lie evenly among the others', as rows of one day
do. A thousand of them are on as many pages of a table of a million, and on a tenth of those of a
table of ten thousand; whoever reads rows where an index would do pays for that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import asyncpg
import msgspec

from bench.numbered import Kind, sql_id
from bench.stock import AT_ONCE, CUSTOMERS_EACH, HANDS, OTHER_TENANTS, OTHERS

OURS: Final = 1_000  # rows of the measured tenant, however many the others have
FIRST_DAY: Final = "date '2026-01-01'"

# One entity more than the tenant began with, so that the lists have something to tell apart.
_SECOND_ENTITY: Final = f"""
    INSERT INTO billing_entities (organization_id, id, code, name, document_number_prefix,
           created_at, updated_at)
    VALUES ($1, {sql_id(Kind.ENTITY, "0")}, 'second', 'Second', 'SEC', now(), now())
"""

_ADD_ONS: Final = f"""
    INSERT INTO add_ons (organization_id, id, code, name, amount_cents, amount_currency,
           created_at, updated_at)
    SELECT id, {sql_id(Kind.ADD_ON, "0")}, 'seat', 'Seat', 100, 'EUR', now(), now()
      FROM organizations ON CONFLICT DO NOTHING
"""

_CUSTOMERS: Final = f"""
    INSERT INTO customers (organization_id, id, external_id, sequential_id, slug,
           billing_entity_id, account_type, customer_type, name, firstname, lastname, email,
           legal_name, tax_identification_number, country, state, zipcode, currency, created_at,
           updated_at)
    SELECT $1, {sql_id(Kind.CUSTOMER, "c")}, 'customer-' || c, c, 'LST-' || c,
           CASE WHEN c % 4 = 0 THEN {sql_id(Kind.ENTITY, "0")} ELSE $2::uuid END,
           CASE WHEN c % 20 = 0 THEN 'partner' ELSE 'customer' END,
           CASE c % 4 WHEN 0 THEN 'company' WHEN 1 THEN 'individual' END,
           'Name ' || c, 'First ' || c, 'Last ' || c, 'payer-' || c || '@example.com',
           'Legal ' || c, CASE WHEN c % 2 = 0 THEN 'TAX' || c END,
           CASE WHEN c % 3 = 0 THEN 'FR' ELSE 'DE' END, 'State ' || c % 10, 'Zip ' || c % 50,
           CASE WHEN c % 5 = 0 THEN 'USD' ELSE 'EUR' END,
           {FIRST_DAY} + make_interval(mins => c::int), now()
      FROM generate_series(0, $3::bigint - 1) c
"""

_CUSTOMER_METADATA: Final = f"""
    INSERT INTO customer_metadata (organization_id, id, customer_id, key, value, created_at)
    SELECT $1, {sql_id(Kind.METADATUM, "c")}, {sql_id(Kind.CUSTOMER, "c")}, 'tier',
           'tier-' || c % 50, now()
      FROM generate_series(0, $2::bigint - 1) c WHERE c % 2 = 0
"""

_CUSTOMER: Final = f"CASE WHEN ours THEN k % $6::bigint ELSE k % {CUSTOMERS_EACH} END"

# Number `n` of all is number `k` of its tenant's. $1, $2: the tenant; $3 to $4: which numbers;
# $5: one in so many is this tenant's; $6: how many customers it has.
NUMBERED: Final = f"""
    SELECT n, CASE WHEN ours THEN $1::uuid ELSE {sql_id(Kind.ORGANIZATION, "other")} END AS tenant,
           CASE WHEN NOT ours THEN {sql_id(Kind.ENTITY, "other")}
                WHEN k % 4 = 0 THEN {sql_id(Kind.ENTITY, "0")} ELSE $2::uuid END AS entity,
           {sql_id(Kind.CUSTOMER, _CUSTOMER)} AS customer,
           ours, k, {FIRST_DAY} - (k % 365)::int AS day,
           1000 + k * 7919 % 100000 AS total,
           CASE WHEN k % 10 < 7 THEN 'succeeded' WHEN k % 10 < 9 THEN 'pending' ELSE 'failed' END
               AS shown
      FROM (SELECT n, n % $5::bigint = 0 AS ours, 1 + n % {OTHER_TENANTS} AS other,
                   CASE WHEN n % $5::bigint = 0 THEN n / $5::bigint ELSE n / {OTHER_TENANTS} END
                       AS k
              FROM generate_series($3::bigint, $4::bigint - 1) n) counted
"""

_ROWS: Final = f"""
    WITH numbered AS MATERIALIZED ({NUMBERED}), invoiced AS (
        INSERT INTO invoices (organization_id, id, customer_id, billing_entity_id, sequential_id,
               number, purchase_order_number, status, payment_status, issuing_date,
               payment_due_date, payment_overdue, payment_dispute_lost_at, currency,
               fees_amount_cents, total_cents, paid_cents, self_billed, created_at, updated_at)
        SELECT tenant, {sql_id(Kind.INVOICE, "n")}, customer, entity, n,
               'LST-' || lpad(k::text, 9, '0'), CASE WHEN k % 2 = 0 THEN 'PO-' || k END,
               CASE k % 40 WHEN 1 THEN 'voided' WHEN 2 THEN 'draft' ELSE 'finalized' END, shown,
               day, day + 30, k % 10 = 9, CASE WHEN k % 100 = 9 THEN now() END,
               CASE WHEN k % 5 = 0 THEN 'USD' ELSE 'EUR' END, total, total,
               CASE WHEN shown = 'succeeded' THEN total WHEN k % 10 = 8 THEN total / 2 ELSE 0 END,
               k % 100 = 3, day + make_interval(secs => k::int), now()
          FROM numbered
    ), described AS (
        INSERT INTO invoice_metadata (organization_id, id, invoice_id, key, value, created_at)
        SELECT tenant, {sql_id(Kind.METADATUM, "n")}, {sql_id(Kind.INVOICE, "n")}, 'order',
               'order-' || k % 100, now()
          FROM numbered WHERE k % 2 = 0
    ), charged AS (
        INSERT INTO payments (organization_id, id, state, payment_type, customer_id, amount_cents,
               currency, asked_by, request, provider_status, created_at, sent_at, ended_at)
        SELECT tenant, {sql_id(Kind.PAYMENT, "n")},
               CASE WHEN shown = 'succeeded' THEN 'succeeded' ELSE 'failed' END, 'provider',
               customer, total, 'EUR', 'api', '{{}}', shown, day + make_interval(secs => k::int),
               day, day
          FROM numbered
    ), covered AS (
        INSERT INTO payment_invoices (organization_id, payment_id, invoice_id, amount_cents,
               payment_status_before, open)
        SELECT tenant, {sql_id(Kind.PAYMENT, "n")}, {sql_id(Kind.INVOICE, "n")}, total, 'pending',
               false
          FROM numbered
    )
    INSERT INTO fees (organization_id, id, invoice_id, position, add_on_id, item_code, item_name,
           units, unit_amount_cents, precise_unit_amount, amount_cents, precise_amount_cents,
           taxes_amount_cents, taxes_precise_amount_cents, taxes_rate, amount_currency, created_at)
    SELECT tenant, {sql_id(Kind.FEE, "n")}, {sql_id(Kind.INVOICE, "n")}, 0,
           {sql_id(Kind.ADD_ON, "0")}, 'seat', 'Seat', 1, total, total, total, total, 0, 0, 0,
           CASE WHEN k % 5 = 0 THEN 'USD' ELSE 'EUR' END, day + make_interval(secs => k::int)
      FROM numbered
"""


class Tenant(msgspec.Struct, frozen=True):
    """Whose rows are laid in."""

    organization_id: str
    entity_id: str  # its own billing entity; a second one is laid in
    customers: int


class Among(msgspec.Struct, frozen=True):
    """How a tenant's rows lie among all: numbered from `first`, one in `step` is the tenant's."""

    first: int
    rows: int
    step: int


async def lay_in_lists(dsn: str, tenant: Tenant, *, rows: int, ours: int = OURS) -> None:
    """Lay in so many invoices, payments and fees of which `ours` of each are the tenant's.

    `dsn` is the database as somebody sees it whom no row-level security holds back.
    """
    owner = await asyncpg.connect(dsn, command_timeout=600)
    try:
        for statement in OTHERS:
            await owner.execute(statement)
    finally:
        await owner.close()
    await lay_in_rows(dsn, tenant, Among(first=0, rows=rows, step=rows // ours))


async def lay_in_rows(dsn: str, tenant: Tenant, among: Among) -> None:
    """Lay in the tenant's customers, and the rows, by several hands; let the planner know them."""
    owner = await asyncpg.connect(dsn, command_timeout=600)
    try:
        await owner.execute(_SECOND_ENTITY, tenant.organization_id)
        await owner.execute(_ADD_ONS)
        await owner.execute(_CUSTOMERS, tenant.organization_id, tenant.entity_id, tenant.customers)
        await owner.execute(_CUSTOMER_METADATA, tenant.organization_id, tenant.customers)
        await lay_in_numbered(dsn, tenant, among, [_ROWS])
        await owner.execute("VACUUM ANALYZE")
    finally:
        await owner.close()


async def lay_in_numbered(
    dsn: str, tenant: Tenant, among: Among, statements: Sequence[str]
) -> None:
    """Run these statements, each of which begins with `NUMBERED`, for all rows, by several hands.

    A piece at a time, so what one statement lays in is there for those behind it.
    """
    async with asyncio.TaskGroup() as tasks:
        for hand in range(HANDS):
            tasks.create_task(_lay_in_part(dsn, tenant, among, statements, hand))


async def _lay_in_part(
    dsn: str, tenant: Tenant, among: Among, statements: Sequence[str], hand: int
) -> None:
    conn = await asyncpg.connect(dsn, command_timeout=600)
    try:
        with suppress(asyncpg.InsufficientPrivilegeError):
            # Rows like these need no check that they point at each other.
            await conn.execute("SET session_replication_role = replica")
        await conn.execute("SET synchronous_commit = off")
        for start in range(hand * AT_ONCE, among.rows, HANDS * AT_ONCE):
            for statement in statements:
                await conn.execute(
                    statement,
                    tenant.organization_id,
                    tenant.entity_id,
                    among.first + start,
                    among.first + min(start + AT_ONCE, among.rows),
                    among.step,
                    tenant.customers,
                )
    finally:
        await conn.close()

"""Invoices to retry, and invoices that are merely there: rows made by SQL, many at once.

The tenant's invoices are finalized and have failed before, so that a retry changes the invoice as
well. Each is used once. They are dealt round-robin over the customers, as invoices of a day are.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

import asyncpg

from bench.installation import Shop
from bench.numbered import Kind, number_of, numbered_id, sql_id

CUSTOMERS: Final = 10_000
OTHER_TENANTS: Final = 99
CUSTOMERS_EACH: Final = 100
OURS_AMONG_UNRELATED: Final = 10  # one in so many is the measured tenant's own
UNRELATED_FROM: Final = 10**9  # their numbers begin here, far from those of the stock
AT_ONCE: Final = 25_000
HANDS: Final = 2  # connections that lay in at the same time

_CUSTOMERS: Final = f"""
    INSERT INTO customers (organization_id, id, external_id, sequential_id, slug,
           billing_entity_id, payment_provider, payment_provider_code, currency, created_at,
           updated_at)
    SELECT $1, {sql_id(Kind.CUSTOMER, "n")}, 'customer-' || n, n, 'BEN-' || n, $2, 'sandbox',
           'loopback', 'EUR', now(), now()
      FROM generate_series(0, $3::bigint - 1) n
"""

_LINKS: Final = f"""
    INSERT INTO provider_customers (organization_id, id, customer_id, provider_account_id,
           provider_customer_id, created_at)
    SELECT $1, {sql_id(Kind.LINK, "n")}, {sql_id(Kind.CUSTOMER, "n")}, $2, 'cus_' || n, now()
      FROM generate_series(0, $3::bigint - 1) n
"""

_METHODS: Final = f"""
    INSERT INTO payment_methods (organization_id, id, customer_id, provider_customer_id,
           provider_method_id, is_default, created_at)
    SELECT $1, {sql_id(Kind.METHOD, "n")}, {sql_id(Kind.CUSTOMER, "n")},
           {sql_id(Kind.LINK, "n")}, 'pm_sandbox_ok', true, now()
      FROM generate_series(0, $2::bigint - 1) n
"""

_INVOICES: Final = f"""
    INSERT INTO invoices (organization_id, id, customer_id, billing_entity_id, sequential_id,
           number, status, payment_status, issuing_date, payment_due_date, currency,
           fees_amount_cents, sub_total_excluding_taxes_amount_cents,
           sub_total_including_taxes_amount_cents, total_cents, created_at, updated_at)
    SELECT $1, {sql_id(Kind.INVOICE, "n")}, {sql_id(Kind.CUSTOMER, "n % $5::bigint")}, $2, n,
           'BEN-' || n, 'finalized', 'failed', current_date, current_date + 30, 'EUR',
           1000 + n % 9000, 1000 + n % 9000, 1000 + n % 9000, 1000 + n % 9000, now(), now()
      FROM generate_series($3::bigint, $4::bigint - 1) n
"""

OTHERS: Final = (
    f"""
    INSERT INTO organizations (id, name, slug, document_number_prefix, hmac_key_sealed,
           created_at, updated_at)
    SELECT {sql_id(Kind.ORGANIZATION, "t")}, 'Other ' || t, 'other-' || t, 'OTH', '', now(), now()
      FROM generate_series(1, {OTHER_TENANTS}::bigint) t
    """,
    f"""
    INSERT INTO billing_entities (organization_id, id, code, name, is_default,
           document_number_prefix, created_at, updated_at)
    SELECT {sql_id(Kind.ORGANIZATION, "t")}, {sql_id(Kind.ENTITY, "t")}, 'other', 'Other', true,
           'OTH', now(), now()
      FROM generate_series(1, {OTHER_TENANTS}::bigint) t
    """,
    f"""
    INSERT INTO customers (organization_id, id, external_id, sequential_id, slug,
           billing_entity_id, created_at, updated_at)
    SELECT {sql_id(Kind.ORGANIZATION, "t")}, {sql_id(Kind.CUSTOMER, "c")}, 'customer-' || c, c,
           'OTH-' || c, {sql_id(Kind.ENTITY, "t")}, now(), now()
      FROM generate_series(1, {OTHER_TENANTS}::bigint) t,
           generate_series(0, {CUSTOMERS_EACH}::bigint - 1) c
    """,
)

# Paid or given up long ago, one charge each.
_UNRELATED: Final = f"""
    WITH numbered AS (
        SELECT n, CASE WHEN n % {OURS_AMONG_UNRELATED} = 0 THEN $1::uuid
                       ELSE {sql_id(Kind.ORGANIZATION, f"1 + n % {OTHER_TENANTS}")} END AS tenant,
               CASE WHEN n % {OURS_AMONG_UNRELATED} = 0 THEN $2::uuid
                    ELSE {sql_id(Kind.ENTITY, f"1 + n % {OTHER_TENANTS}")} END AS entity,
               {sql_id(Kind.CUSTOMER, f"n / {OTHER_TENANTS} % {CUSTOMERS_EACH}")} AS customer,
               CASE WHEN n % 10 < 9 THEN 'succeeded' ELSE 'failed' END AS ended,
               now() - interval '90 days' AS at
          FROM generate_series($3::bigint, $4::bigint - 1) n
    ), invoiced AS (
        INSERT INTO invoices (organization_id, id, customer_id, billing_entity_id, sequential_id,
               number, status, payment_status, issuing_date, payment_due_date, currency,
               total_cents, paid_cents, created_at, updated_at)
        SELECT tenant, {sql_id(Kind.INVOICE, "n")}, customer, entity, n, 'OTH-' || n, 'finalized',
               ended, at::date, current_date + 30, 'EUR', 5000,
               CASE ended WHEN 'succeeded' THEN 5000 ELSE 0 END, at, at
          FROM numbered
    ), charged AS (
        INSERT INTO payments (organization_id, id, state, payment_type, customer_id, amount_cents,
               currency, asked_by, request, provider_status, created_at, sent_at, ended_at)
        SELECT tenant, {sql_id(Kind.PAYMENT, "n")}, ended, 'provider', customer, 5000, 'EUR',
               'api', '{{"amount":5000,"currency":"EUR"}}', ended, at, at, at
          FROM numbered
    )
    INSERT INTO payment_invoices (organization_id, payment_id, invoice_id, amount_cents,
           payment_status_before, open)
    SELECT tenant, {sql_id(Kind.PAYMENT, "n")}, {sql_id(Kind.INVOICE, "n")}, 5000, 'pending', false
      FROM numbered
"""


_LAST_USED: Final = """
    SELECT invoice_id FROM payment_invoices
     WHERE organization_id = $1 AND invoice_id < $2
     ORDER BY invoice_id DESC LIMIT 1
"""


class Stock:
    """The measured tenant's invoices, numbered from 0; those below `used` have been retried."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._conn: asyncpg.Connection = shop.owner
        self.made = 0
        self.used = 0

    async def open(self, *, unrelated: int) -> None:
        """Lay in the customers, and as many invoices that are merely there."""
        ours = self._shop.organization_id
        await self._conn.execute(_CUSTOMERS, ours, self._shop.entity_id, CUSTOMERS)
        await self._conn.execute(_LINKS, ours, self._shop.account_id, CUSTOMERS)
        await self._conn.execute(_METHODS, ours, CUSTOMERS)
        for statement in OTHERS:
            await self._conn.execute(statement)
        async with asyncio.TaskGroup() as tasks:
            for part in range(HANDS):
                tasks.create_task(self._lay_in_unrelated(part, unrelated))

    async def _lay_in_unrelated(self, part: int, unrelated: int) -> None:
        conn = await asyncpg.connect(self._shop.installation.dsn, command_timeout=600)
        try:
            with suppress(asyncpg.InsufficientPrivilegeError):
                # Rows like these need no check that they point at each other.
                await conn.execute("SET session_replication_role = replica")
            await conn.execute("SET synchronous_commit = off")
            for first in range(part * AT_ONCE, unrelated, HANDS * AT_ONCE):
                await conn.execute(
                    _UNRELATED,
                    self._shop.organization_id,
                    self._shop.entity_id,
                    UNRELATED_FROM + first,
                    UNRELATED_FROM + min(first + AT_ONCE, unrelated),
                )
        finally:
            await conn.close()

    async def lay_in(self, wanted: int) -> None:
        """See to it that so many unused invoices are there, known to the planner, and on disk."""
        missing = wanted - (self.made - self.used)
        if missing > 0:
            await self._conn.execute(
                _INVOICES,
                self._shop.organization_id,
                self._shop.entity_id,
                self.made,
                self.made + missing,
                CUSTOMERS,
            )
            self.made += missing
            await self._conn.execute("VACUUM ANALYZE")
        await self._conn.execute("CHECKPOINT")  # so that no round pays for what came before

    async def count_used(self) -> None:
        """Note which have been retried meanwhile: all up to the last one that was."""
        last = await self._conn.fetchval(
            _LAST_USED, self._shop.organization_id, numbered_id(Kind.INVOICE, UNRELATED_FROM)
        )
        if last is not None:
            self.used = max(self.used, number_of(last) + 1)

"""What comes after invoices and payments, for the lists of it: one of each for each invoice.

And a payment method for each customer.

Laid in behind `bench/list_stock.py`, with its numbers: row `n` of each table is about invoice `n`.
"""

from __future__ import annotations

from typing import Final

import asyncpg

from bench.list_stock import NUMBERED, Among, Tenant, lay_in_numbered
from bench.numbered import Kind, sql_id

_AT: Final = "day + make_interval(secs => k::int)"
_CURRENCY: Final = "CASE WHEN k % 5 = 0 THEN 'USD' ELSE 'EUR' END"
_ACCOUNT: Final = sql_id(Kind.ACCOUNT, "0")

_OF_EACH_TENANT: Final = (
    f"""
    INSERT INTO provider_accounts (organization_id, id, kind, code, name, secrets_sealed,
           created_at)
    SELECT id, {_ACCOUNT}, 'sandbox', 'sandbox', 'Sandbox', '', now() FROM organizations
    """,
    f"""
    INSERT INTO webhook_endpoints (organization_id, id, webhook_url, created_at)
    SELECT o.id, {sql_id(Kind.ENDPOINT, "e")}, 'https://example.com/' || e, now()
      FROM organizations o, generate_series(0, 1) e
    """,
)

# One method of each customer, whose ids are the customer's own.
_METHODS: Final = (
    f"""
    INSERT INTO provider_customers (organization_id, id, customer_id, provider_account_id,
           provider_customer_id, created_at)
    SELECT organization_id, id, id, {_ACCOUNT}, 'cus_' || id, created_at FROM customers
    """,
    """
    INSERT INTO payment_methods (organization_id, id, customer_id, provider_customer_id,
           provider_method_id, is_default, created_at)
    SELECT organization_id, id, id, id, 'pm_' || id, true, created_at FROM customers
    """,
)

_NOTES: Final = f"""
    INSERT INTO credit_notes (organization_id, id, invoice_id, customer_id, billing_entity_id,
           self_billed, sequential_id, number, issuing_date, credit_status, refund_status, reason,
           currency, total_cents, sub_total_excluding_taxes_amount_cents, taxes_amount_cents,
           precise_total_cents, precise_taxes_cents, taxes_rate, credit_cents, refund_cents,
           offset_cents, balance_cents, created_at, updated_at)
    SELECT tenant, {sql_id(Kind.NOTE, "n")}, {sql_id(Kind.INVOICE, "n")}, customer, entity,
           k % 100 = 3, 1,
           'LST-' || lpad(k::text, 9, '0') || '-CN001', day,
           CASE k % 4 WHEN 0 THEN CASE k % 40 WHEN 0 THEN 'voided' ELSE 'available' END END,
           CASE WHEN k % 4 = 1 THEN shown END,
           CASE WHEN k % 20 = 0 THEN 'fraudulent_charge' ELSE 'other' END, {_CURRENCY}, total,
           total, 0, total, 0, 0, CASE k % 4 WHEN 0 THEN total ELSE 0 END,
           CASE k % 4 WHEN 1 THEN total ELSE 0 END, CASE WHEN k % 4 > 1 THEN total ELSE 0 END, 0,
           {_AT}, now()
      FROM ({NUMBERED}) numbered
"""

_NOTE_ITEMS: Final = f"""
    INSERT INTO credit_note_items (organization_id, id, credit_note_id, fee_id, position,
           amount_cents, precise_amount_cents, amount_currency, created_at)
    SELECT tenant, {sql_id(Kind.NOTE_ITEM, "n")}, {sql_id(Kind.NOTE, "n")},
           {sql_id(Kind.FEE, "n")}, 0, total, total, {_CURRENCY}, {_AT}
      FROM ({NUMBERED}) numbered
"""

_REQUESTS: Final = f"""
    INSERT INTO payment_requests (organization_id, id, customer_id, billing_entity_id,
           amount_cents, currency, payment_status, created_at, updated_at)
    SELECT tenant, {sql_id(Kind.REQUEST, "n")}, customer, entity, total, {_CURRENCY}, shown, {_AT},
           now()
      FROM ({NUMBERED}) numbered
"""

_REQUEST_INVOICES: Final = f"""
    INSERT INTO payment_request_invoices (organization_id, payment_request_id, invoice_id,
           amount_cents)
    SELECT tenant, {sql_id(Kind.REQUEST, "n")}, {sql_id(Kind.INVOICE, "n")}, total
      FROM ({NUMBERED}) numbered
"""

_RECEIPTS: Final = f"""
    INSERT INTO payment_receipts (organization_id, id, payment_id, customer_id, sequential_id,
           number, created_at)
    SELECT tenant, {sql_id(Kind.RECEIPT, "n")}, {sql_id(Kind.PAYMENT, "n")}, customer, n + 1,
           'LST-RCPT-' || n, {_AT}
      FROM ({NUMBERED}) numbered
"""

_REFUNDS: Final = f"""
    INSERT INTO refunds (organization_id, id, payment_id, credit_note_id, state, amount_cents,
           currency, asked_by, provider_account_id, provider_payment_id, request, created_at,
           sent_at, ended_at)
    SELECT tenant, {sql_id(Kind.REFUND, "n")}, {sql_id(Kind.PAYMENT, "n")},
           {sql_id(Kind.NOTE, "n")}, stands, total, {_CURRENCY}, 'api', {_ACCOUNT}, 'pi_' || n,
           '{{}}', {_AT}, day, CASE stands WHEN 'succeeded' THEN day END
      FROM (SELECT *, CASE k % 50 WHEN 1 THEN 'needs_review' WHEN 2 THEN 'unknown'
                                  WHEN 3 THEN 'ready' ELSE 'succeeded' END AS stands
              FROM ({NUMBERED}) numbered) known
"""

_FINDINGS: Final = f"""
    INSERT INTO reconciliation_findings (organization_id, id, provider_account_id, what,
           idempotency_key, amount_cents, currency, found_at, resolved_at, resolved_because)
    SELECT tenant, {sql_id(Kind.FINDING, "n")}, {_ACCOUNT}, 'unknown_there', 'payment-' || n, total,
           {_CURRENCY}, {_AT}, CASE WHEN k % 20 > 0 THEN now() END,
           CASE WHEN k % 20 > 0 THEN 'mended' END
      FROM ({NUMBERED}) numbered
"""

_EVENTS: Final = f"""
    INSERT INTO events (organization_id, id, webhook_type, object_id, body, created_at)
    SELECT tenant, {sql_id(Kind.EVENT, "n")},
           CASE WHEN k % 40 = 0 THEN 'invoice.voided' ELSE 'invoice.payment_status_updated' END,
           {sql_id(Kind.INVOICE, "n")}, '{{}}', {_AT}
      FROM ({NUMBERED}) numbered
"""

_DELIVERIES: Final = f"""
    INSERT INTO webhook_deliveries (organization_id, id, event_id, endpoint_id, state, deliver_at,
           created_at, ended_at)
    SELECT tenant, {sql_id(Kind.DELIVERY, "n")}, {sql_id(Kind.EVENT, "n")},
           {sql_id(Kind.ENDPOINT, "CASE WHEN k % 20 = 0 THEN 1 ELSE 0 END")}, stands,
           CASE stands WHEN 'waiting' THEN day END, {_AT},
           CASE WHEN stands <> 'waiting' THEN day END
      FROM (SELECT *, CASE k % 40 WHEN 1 THEN 'given_up' WHEN 2 THEN 'waiting' ELSE 'delivered'
                      END AS stands
              FROM ({NUMBERED}) numbered) known
"""

_MAILS: Final = f"""
    INSERT INTO mails (organization_id, id, kind, object_id, recipients, state, created_at,
           ended_at)
    SELECT tenant, {sql_id(Kind.MAIL, "n")}, 'invoice.finalized', {sql_id(Kind.INVOICE, "n")},
           ARRAY['payer@example.com'], CASE WHEN k % 40 = 1 THEN 'given_up' ELSE 'sent' END, {_AT},
           day
      FROM ({NUMBERED}) numbered
"""

# Each needs those before it, where foreign keys are checked.
_LATER: Final = (
    _NOTES, _NOTE_ITEMS, _REQUESTS, _REQUEST_INVOICES, _RECEIPTS, _REFUNDS, _FINDINGS, _EVENTS,
    _DELIVERIES, _MAILS,
)  # fmt: skip


async def lay_in_later(dsn: str, tenant: Tenant, *, rows: int, ours: int) -> None:
    """Lay in one of each for each invoice of `lay_in_lists`; let the planner know them.

    `dsn` is the database as somebody sees it whom no row-level security holds back.
    """
    owner = await asyncpg.connect(dsn, command_timeout=600)
    try:
        for statement in (*_OF_EACH_TENANT, *_METHODS):
            await owner.execute(statement)
        among = Among(first=0, rows=rows, step=rows // ours)
        await lay_in_numbered(dsn, tenant, among, _LATER)
        await owner.execute("VACUUM ANALYZE")
    finally:
        await owner.close()

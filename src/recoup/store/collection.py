"""What a retry reads and writes: invoices under lock, how to charge their customers, decisions.

Everything here takes and answers many rows: one ask and a thousand take the same round trips.
Locks are taken on invoices first and on payments after, each in the order of their keys.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from recoup.rules.manner import Manner
from recoup.rules.records.collection import Covered, Debt, Link, Method
from recoup.rules.records.keys import RowKey
from recoup.store.db import Conn
from recoup.store.rows import key_arrays

DEBT: Final = """
    i.organization_id, i.id, i.customer_id, i.number, i.status, i.payment_status, i.due_cents,
    i.currency, i.skip_psp, i.self_billed, i.payment_method_type, i.payment_method_id,
    i.held_because, i.issuing_date, i.invoice_type, i.billing_entity_id,
    b.name AS billing_entity_name, b.country AS billing_entity_country
"""

_FIND: Final = f"""
    SELECT {DEBT}
      FROM unnest($1::uuid[], $2::uuid[]) AS asked (organization_id, id)
      JOIN invoices i USING (organization_id, id)
      JOIN billing_entities b
        ON (b.organization_id, b.id) = (i.organization_id, i.billing_entity_id)
"""

_LOCK: Final = f"""
    {_FIND}
     ORDER BY i.organization_id, i.id  -- everybody locks in this order, so batches cannot deadlock
       FOR NO KEY UPDATE OF i
"""

_LOCK_COVERED: Final = f"""
    SELECT {DEBT}, pi.payment_id, pi.amount_cents, pi.payment_status_before
      FROM unnest($1::uuid[], $2::uuid[]) AS asked (organization_id, payment_id)
      JOIN payment_invoices pi USING (organization_id, payment_id)
      JOIN invoices i ON (i.organization_id, i.id) = (pi.organization_id, pi.invoice_id)
      JOIN billing_entities b
        ON (b.organization_id, b.id) = (i.organization_id, i.billing_entity_id)
     ORDER BY i.organization_id, i.id
       FOR NO KEY UPDATE OF i
"""

# Whoever withdraws what is open for an invoice locks what that covers besides.
_LOCK_TOGETHER: Final = """
    WITH named AS (
        SELECT * FROM unnest($1::uuid[], $2::uuid[]) AS asked (organization_id, id)
    ), wanted AS (
        SELECT organization_id, id FROM named
         UNION
        SELECT pi.organization_id, pi.invoice_id
          FROM unnest($3::uuid[], $4::uuid[]) AS asked (organization_id, payment_id)
          JOIN payment_invoices pi USING (organization_id, payment_id)
         UNION
        SELECT besides.organization_id, besides.invoice_id
          FROM named
          JOIN payment_invoices busy
            ON (busy.organization_id, busy.invoice_id) = (named.organization_id, named.id)
               AND busy.open
          JOIN payment_invoices besides
            ON (besides.organization_id, besides.payment_id)
             = (busy.organization_id, busy.payment_id)
    )
    SELECT i.id FROM wanted JOIN invoices i USING (organization_id, id)
     ORDER BY i.organization_id, i.id
       FOR NO KEY UPDATE OF i
"""

# LATERAL with LIMIT asks per row: while few attempts are open the planner would walk them all, and
# keep doing so when they are many.
_OPEN_OR_DECIDED: Final = """
    SELECT asked.organization_id, asked.invoice_id, held.payment_id, NULL AS decision_id,
           NULL AS because, p.manner, p.expires_at, p.state = 'customer_needed' AS waits_for_payer
      FROM unnest($1::uuid[], $2::uuid[]) AS asked (organization_id, invoice_id)
     CROSS JOIN LATERAL (
           SELECT pi.payment_id FROM payment_invoices pi
            WHERE pi.organization_id = asked.organization_id AND pi.invoice_id = asked.invoice_id
              AND pi.open LIMIT 1) held
      JOIN payments p ON (p.organization_id, p.id) = (asked.organization_id, held.payment_id)
     UNION ALL
    SELECT asked.organization_id, asked.invoice_id, d.payment_id, d.id, d.because, NULL, NULL,
           NULL
      FROM unnest($1::uuid[], $2::uuid[], $3::uuid[])
           AS asked (organization_id, invoice_id, decision_id)
     CROSS JOIN LATERAL (
           SELECT id, payment_id, because FROM decisions
            WHERE decisions.organization_id = asked.organization_id
              AND decisions.id = asked.decision_id LIMIT 1) d
"""

_OPEN_ATTEMPT: Final = """
    SELECT organization_id, payment_id FROM payment_invoices
     WHERE organization_id = $1 AND invoice_id = $2 AND open
"""

_LINKS: Final = """
    SELECT c.organization_id, c.id AS customer_id, c.external_id, c.payment_provider,
           c.payment_provider_code, pa.id AS account_id, pc.provider_customer_id,
           m.id AS method_id, m.provider_method_id, m.is_default, c.email, c.country,
           pc.provider_payment_methods
      FROM unnest($1::uuid[], $2::uuid[]) AS asked (organization_id, id)
      JOIN customers c USING (organization_id, id)
      LEFT JOIN provider_customers pc
        ON (pc.organization_id, pc.customer_id) = (c.organization_id, c.id)
       AND pc.discarded_at IS NULL
      LEFT JOIN provider_accounts pa
        ON (pa.organization_id, pa.id) = (pc.organization_id, pc.provider_account_id)
       AND pa.deleted_at IS NULL
      LEFT JOIN payment_methods m
        ON (m.organization_id, m.provider_customer_id) = (pc.organization_id, pc.id)
       AND m.deleted_at IS NULL AND (m.is_default OR m.id = ANY ($3::uuid[]))
"""

_DECIDED: Final = """
    INSERT INTO decisions
           (organization_id, id, invoice_id, payment_id, decided, because, at, retry_at, ask_id)
    SELECT u.organization_id, u.id, u.invoice_id, u.payment_id, u.decided, u.because, $8,
           u.retry_at, u.ask_id
      FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::text[],
                  $7::timestamptz[], $9::uuid[])
           AS u (organization_id, id, invoice_id, payment_id, decided, because, retry_at, ask_id)
        ON CONFLICT DO NOTHING  -- decided before, by this very flow
"""

_SETTLED_AT_ZERO: Final = """
    UPDATE invoices i
       SET payment_status = 'succeeded', payment_overdue = false, next_try_at = NULL,
           updated_at = $3
      FROM unnest($1::uuid[], $2::uuid[]) AS asked (organization_id, id)
     WHERE (i.organization_id, i.id) = (asked.organization_id, asked.id)
"""


class OpenAttempt(msgspec.Struct, frozen=True):
    """The open attempt of an invoice."""

    payment_id: UUID
    manner: Manner = Manner.OFF_SESSION
    expires_at: datetime | None = None
    waits_for_payer: bool = False


class DecidedBefore(msgspec.Struct, frozen=True):
    """What this very ask came to when it was run before."""

    payment_id: UUID | None
    because: str


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """Why something was done, or not, about an invoice's collection."""

    invoice: RowKey
    id: UUID
    payment_id: UUID | None
    decided: str  # attempt, no_attempt, retry_at, stop
    because: str
    retry_at: datetime | None = None
    ask_id: UUID | None = None  # the accepted retry that it answers, and whose end is told


async def lock(conn: Conn, keys: Collection[RowKey]) -> dict[RowKey, Debt]:
    """Lock these invoices until the transaction ends; those that do not exist are left out."""
    rows = await conn.fetch(_LOCK, *key_arrays(keys))
    return {debt.key: debt for debt in (Debt(**dict(row)) for row in rows)}


async def find(conn: Conn, keys: Collection[RowKey]) -> dict[RowKey, Debt]:
    """Read these invoices without a lock; those that do not exist are left out."""
    rows = await conn.fetch(_FIND, *key_arrays(keys))
    return {debt.key: debt for debt in (Debt(**dict(row)) for row in rows)}


async def lock_covered(conn: Conn, attempts: Collection[RowKey]) -> dict[RowKey, list[Covered]]:
    """Lock the invoices that these attempts cover, and answer them by attempt.

    An attempt that is named twice is asked for once: it would owe everything twice.
    """
    covered: dict[RowKey, list[Covered]] = defaultdict(list)
    for row in await conn.fetch(_LOCK_COVERED, *key_arrays(dict.fromkeys(attempts))):
        fields: dict[str, Any] = dict(row)
        payment_id = fields.pop("payment_id")
        amount, before = fields.pop("amount_cents"), fields.pop("payment_status_before")
        debt = Debt(**fields)
        covered[RowKey(debt.organization_id, payment_id)].append(
            Covered(payment_id, debt, amount, before)
        )
    return covered


async def lock_together(
    conn: Conn, invoices: Collection[RowKey], attempts: Collection[RowKey]
) -> None:
    """Lock at once these invoices, what these attempts cover, and what is open for the former.

    Those are all the invoices that whoever takes in news of both has to lock: in two goes, each in
    order, two who do so would wait for each other.
    """
    await conn.execute(_LOCK_TOGETHER, *key_arrays(invoices), *key_arrays(attempts))


async def open_or_decided(
    conn: Conn, invoices: Sequence[RowKey], decision_ids: Sequence[UUID]
) -> tuple[dict[RowKey, OpenAttempt], dict[UUID, DecidedBefore]]:
    """The open attempt of each of these invoices, and which of these decisions were made.

    Both sequences are one per ask. A statement of its own after the lock, not a sub-select of it:
    that one would see the time before the wait.
    """
    busy: dict[RowKey, OpenAttempt] = {}
    decided: dict[UUID, DecidedBefore] = {}
    for row in await conn.fetch(_OPEN_OR_DECIDED, *key_arrays(invoices), list(decision_ids)):
        if row["decision_id"] is None:
            busy[RowKey(row["organization_id"], row["invoice_id"])] = OpenAttempt(
                row["payment_id"],
                Manner(row["manner"]),
                row["expires_at"],
                waits_for_payer=row["waits_for_payer"],
            )
        else:
            decided[row["decision_id"]] = DecidedBefore(row["payment_id"], row["because"])
    return busy, decided


async def open_attempt(conn: Conn, invoice: RowKey) -> RowKey | None:
    """The open attempt of this invoice, whatever it is."""
    row = await conn.fetchrow(_OPEN_ATTEMPT, invoice.organization_id, invoice.id)
    return RowKey(row["organization_id"], row["payment_id"]) if row else None


async def links(
    conn: Conn, customers: Collection[RowKey], wanted_methods: Collection[UUID]
) -> dict[RowKey, Link]:
    """How these customers can be charged: their default method, and those of `wanted_methods`."""
    found: dict[RowKey, Link] = {}
    if not customers:
        return found
    for row in await conn.fetch(_LINKS, *key_arrays(customers), list(wanted_methods)):
        key = RowKey(row["organization_id"], row["customer_id"])
        method: tuple[Method, ...] = ()
        if row["method_id"] is not None:
            method = (Method(row["method_id"], row["provider_method_id"], row["is_default"]),)
        found[key] = Link(
            customer=key,
            external_customer_id=row["external_id"],
            payment_provider=row["payment_provider"],
            payment_provider_code=row["payment_provider_code"],
            account_id=row["account_id"],
            provider_customer_id=row["provider_customer_id"],
            methods=(found[key].methods if key in found else ()) + method,
            email=row["email"],
            country=row["country"],
            provider_payment_methods=tuple(row["provider_payment_methods"] or ()),
        )
    return found


async def decide(conn: Conn, decisions: Sequence[Decision], *, now: datetime) -> None:
    """Keep why these things were done."""
    if not decisions:
        return
    await conn.execute(
        _DECIDED,
        [one.invoice.organization_id for one in decisions],
        [one.id for one in decisions],
        [one.invoice.id for one in decisions],
        [one.payment_id for one in decisions],
        [one.decided for one in decisions],
        [one.because for one in decisions],
        [one.retry_at for one in decisions],
        now,
        [one.ask_id for one in decisions],
    )


async def settle_at_zero(conn: Conn, keys: Collection[RowKey], *, now: datetime) -> None:
    """Mark invoices of which nothing is due as paid."""
    if keys:
        await conn.execute(_SETTLED_AT_ZERO, *key_arrays(keys), now)

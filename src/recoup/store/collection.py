"""What a retry reads and writes: invoices under lock, how to charge their customers, new attempts.

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
from recoup.rules.records.collection import AskedBy, Covered, Debt, Link, Method
from recoup.rules.records.keys import RowKey
from recoup.store.db import Conn

_DEBT: Final = """
    i.organization_id, i.id, i.customer_id, i.number, i.status, i.payment_status, i.due_cents,
    i.currency, i.skip_psp, i.self_billed, i.payment_method_type, i.payment_method_id,
    i.held_because, i.issuing_date, i.invoice_type, i.billing_entity_id,
    b.name AS billing_entity_name
"""

_FIND: Final = f"""
    SELECT {_DEBT}
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
    SELECT {_DEBT}, pi.payment_id, pi.amount_cents, pi.payment_status_before
      FROM unnest($1::uuid[], $2::uuid[]) AS asked (organization_id, payment_id)
      JOIN payment_invoices pi USING (organization_id, payment_id)
      JOIN invoices i ON (i.organization_id, i.id) = (pi.organization_id, pi.invoice_id)
      JOIN billing_entities b
        ON (b.organization_id, b.id) = (i.organization_id, i.billing_entity_id)
     ORDER BY i.organization_id, i.id
       FOR NO KEY UPDATE OF i
"""

# LATERAL with LIMIT asks per row: while few attempts are open the planner would walk them all, and
# keep doing so when they are many.
_OPEN_OR_DECIDED: Final = """
    SELECT asked.organization_id, asked.invoice_id, held.payment_id, NULL AS decision_id,
           NULL AS because, p.manner, p.expires_at
      FROM unnest($1::uuid[], $2::uuid[]) AS asked (organization_id, invoice_id)
     CROSS JOIN LATERAL (
           SELECT pi.payment_id FROM payment_invoices pi
            WHERE pi.organization_id = asked.organization_id AND pi.invoice_id = asked.invoice_id
              AND pi.open LIMIT 1) held
      JOIN payments p ON (p.organization_id, p.id) = (asked.organization_id, held.payment_id)
     UNION ALL
    SELECT asked.organization_id, asked.invoice_id, d.payment_id, d.id, d.because, NULL, NULL
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
           m.id AS method_id, m.provider_method_id, m.is_default, c.email, c.country
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

_BEGIN: Final = """
    WITH asked AS (
        SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::bigint[],
                             $6::text[], $7::text[], $8::uuid[], $9::uuid[], $10::text[],
                             $11::uuid[], $12::text[], $13::text[], $15::text[], $16::uuid[],
                             $17::timestamptz[])
            AS asked (organization_id, id, invoice_id, customer_id, amount_cents, currency,
                      asked_by, wanted_method_id, provider_account_id, provider_customer_id,
                      payment_method_id, provider_method_id, payment_status_before, manner, ask_id,
                      expires_at)
    ), begun AS (
        INSERT INTO payments (organization_id, id, payment_type, customer_id, amount_cents,
               currency, asked_by, wanted_method_id, provider_account_id, provider_customer_id,
               payment_method_id, provider_method_id, created_at, manner, ask_id, expires_at)
        SELECT organization_id, id, 'provider', customer_id, amount_cents, currency, asked_by,
               wanted_method_id, provider_account_id, provider_customer_id, payment_method_id,
               provider_method_id, $14, manner, ask_id, expires_at
          FROM asked
    ), covered AS (
        INSERT INTO payment_invoices
               (organization_id, payment_id, invoice_id, amount_cents, payment_status_before)
        SELECT organization_id, id, invoice_id, amount_cents, payment_status_before FROM asked
    )
    UPDATE invoices i SET payment_status = 'pending', next_try_at = NULL, updated_at = $14
      FROM asked
     WHERE (i.organization_id, i.id) = (asked.organization_id, asked.invoice_id)
       AND (i.payment_status <> 'pending' OR i.next_try_at IS NOT NULL)
       AND asked.manner <> 'page'  -- it may never be used: the invoice shows nothing of it
"""

# Made anew from a provider's record: it was sent, and what exactly was sent nobody knows any more.
_RECREATE: Final = """
    WITH made AS (
        INSERT INTO payments (organization_id, id, payment_type, customer_id, amount_cents,
               currency, asked_by, provider_account_id, provider_payment_id, provider_customer_id,
               state, request, sent_at, look_up_at, created_at)
        VALUES ($1, $2, 'provider', $4, $5, $6, $7, $8, $9, $10, 'sent', '', $11, $12, $11)
    )
    INSERT INTO payment_invoices
           (organization_id, payment_id, invoice_id, amount_cents, payment_status_before)
    VALUES ($1, $2, $3, $5, $13)
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

_NO_MORE_TRIES: Final = """
    UPDATE invoices i SET next_try_at = NULL
      FROM unnest($1::uuid[], $2::uuid[]) AS asked (organization_id, id)
     WHERE (i.organization_id, i.id) = (asked.organization_id, asked.id)
       AND i.next_try_at IS NOT NULL
"""

# Past what is locked: whoever has it settles it or gives it back, and the next sweep finds it as it
# is then. What is not due any more was planned anew meanwhile, or has ended.
_PUT_OFF_TRIES: Final = """
    WITH due AS (
        SELECT i.organization_id, i.id
          FROM unnest($1::uuid[], $2::uuid[]) AS asked (organization_id, id)
          JOIN invoices i USING (organization_id, id)
         WHERE i.next_try_at <= $4
         ORDER BY i.organization_id, i.id
           FOR NO KEY UPDATE OF i SKIP LOCKED
    )
    UPDATE invoices i SET next_try_at = $3
      FROM due
     WHERE (i.organization_id, i.id) = (due.organization_id, due.id)
"""

_HOLD: Final = """
    UPDATE invoices i SET held_because = $3, next_try_at = NULL
      FROM unnest($1::uuid[], $2::uuid[]) AS asked (organization_id, id)
     WHERE (i.organization_id, i.id) = (asked.organization_id, asked.id)
"""

_RELEASE: Final = """
    UPDATE invoices i SET held_because = NULL
      FROM unnest($1::uuid[], $2::uuid[]) AS asked (organization_id, id)
     WHERE (i.organization_id, i.id) = (asked.organization_id, asked.id)
"""

_HELD: Final = """
    SELECT organization_id, id FROM invoices
     WHERE organization_id = $1 AND held_because IS NOT NULL ORDER BY id LIMIT $2
"""

_DUE_FOR_A_TRY: Final = """
    SELECT organization_id, id FROM invoices
     WHERE next_try_at <= $1 ORDER BY next_try_at LIMIT $2
"""


# Whoever chose a method for an invoice did not choose the new one, unless theirs is gone.
_OPEN_INVOICES: Final = """
    SELECT i.organization_id, i.id FROM invoices i
     WHERE i.organization_id = $1 AND i.customer_id = $2 AND i.status = 'finalized'
       AND i.payment_status IN ('pending', 'failed') AND i.due_cents > 0
       AND NOT i.skip_psp AND NOT i.self_billed AND i.held_because IS NULL
       AND i.payment_dispute_lost_at IS NULL
       AND i.payment_method_type IS DISTINCT FROM 'manual'
       AND NOT EXISTS (SELECT FROM payment_methods m
            WHERE m.organization_id = i.organization_id AND m.id = i.payment_method_id
              AND m.deleted_at IS NULL AND NOT m.is_default)
       AND NOT EXISTS (SELECT FROM payment_invoices pi
              JOIN payments p ON (p.organization_id, p.id) = (pi.organization_id, pi.payment_id)
             WHERE pi.organization_id = i.organization_id AND pi.invoice_id = i.id AND pi.open
               AND p.manner <> 'page')  -- that is closed first, where nobody has paid on it
       AND (SELECT count(*)
              FROM payment_invoices pi
              JOIN payments p ON (p.organization_id, p.id) = (pi.organization_id, pi.payment_id)
             WHERE pi.organization_id = i.organization_id AND pi.invoice_id = i.id
               AND p.sent_at > $3) < $4
     ORDER BY i.payment_due_date, i.created_at, i.id LIMIT $5
"""


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that is to be inserted."""

    key: RowKey
    debt: Debt
    asked_by: AskedBy
    wanted_method_id: UUID | None
    link: Link
    method: Method | None  # None: the payer chooses, on the provider's page
    payment_status_before: str
    manner: Manner = Manner.OFF_SESSION
    ask_id: UUID | None = None  # None: the ask of its own id
    expires_at: datetime | None = None


class OpenAttempt(msgspec.Struct, frozen=True):
    """The open attempt of an invoice."""

    payment_id: UUID
    is_page: bool = False  # a hosted page, where the payer may be paying
    expires_at: datetime | None = None


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
    rows = await conn.fetch(_LOCK, *_ids(keys))
    return {debt.key: debt for debt in (Debt(**dict(row)) for row in rows)}


async def find(conn: Conn, keys: Collection[RowKey]) -> dict[RowKey, Debt]:
    """Read these invoices without a lock; those that do not exist are left out."""
    rows = await conn.fetch(_FIND, *_ids(keys))
    return {debt.key: debt for debt in (Debt(**dict(row)) for row in rows)}


async def lock_covered(conn: Conn, attempts: Collection[RowKey]) -> dict[RowKey, list[Covered]]:
    """Lock the invoices that these attempts cover, and answer them by attempt.

    An attempt that is named twice is asked for once: it would owe everything twice.
    """
    covered: dict[RowKey, list[Covered]] = defaultdict(list)
    for row in await conn.fetch(_LOCK_COVERED, *_ids(dict.fromkeys(attempts))):
        fields: dict[str, Any] = dict(row)
        payment_id = fields.pop("payment_id")
        amount, before = fields.pop("amount_cents"), fields.pop("payment_status_before")
        debt = Debt(**fields)
        covered[RowKey(debt.organization_id, payment_id)].append(
            Covered(payment_id, debt, amount, before)
        )
    return covered


async def open_or_decided(
    conn: Conn, invoices: Sequence[RowKey], decision_ids: Sequence[UUID]
) -> tuple[dict[RowKey, OpenAttempt], dict[UUID, DecidedBefore]]:
    """The open attempt of each of these invoices, and which of these decisions were made.

    Both sequences are one per ask. A statement of its own after the lock, not a sub-select of it:
    that one would see the time before the wait.
    """
    busy: dict[RowKey, OpenAttempt] = {}
    decided: dict[UUID, DecidedBefore] = {}
    for row in await conn.fetch(_OPEN_OR_DECIDED, *_ids(invoices), list(decision_ids)):
        if row["decision_id"] is None:
            busy[RowKey(row["organization_id"], row["invoice_id"])] = OpenAttempt(
                row["payment_id"], row["manner"] == Manner.PAGE, row["expires_at"]
            )
        else:
            decided[row["decision_id"]] = DecidedBefore(row["payment_id"], row["because"])
    return busy, decided


async def open_attempt(conn: Conn, invoice: RowKey) -> RowKey | None:
    """The open attempt of this invoice, whatever it is."""
    row = await conn.fetchrow(_OPEN_ATTEMPT, invoice.organization_id, invoice.id)
    return RowKey(row["organization_id"], row["payment_id"]) if row else None


async def open_invoices(
    conn: Conn, customer: RowKey, *, sent_since: datetime, sent_at_most: int, most: int
) -> list[RowKey]:
    """The customer's invoices that can be collected with its default method, longest due first.

    Leaves those out for which `sent_at_most` charges or more were sent since `sent_since`.
    """
    rows = await conn.fetch(
        _OPEN_INVOICES, customer.organization_id, customer.id, sent_since, sent_at_most, most
    )
    return [RowKey(row["organization_id"], row["id"]) for row in rows]


async def links(
    conn: Conn, customers: Collection[RowKey], wanted_methods: Collection[UUID]
) -> dict[RowKey, Link]:
    """How these customers can be charged: their default method, and those of `wanted_methods`."""
    found: dict[RowKey, Link] = {}
    if not customers:
        return found
    for row in await conn.fetch(_LINKS, *_ids(customers), list(wanted_methods)):
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
        )
    return found


async def begin(conn: Conn, begun: Sequence[Begun], *, now: datetime) -> None:
    """Insert these attempts, in state `ready`, and show their invoices as pending."""
    if not begun:
        return
    await conn.execute(
        _BEGIN,
        [one.key.organization_id for one in begun],
        [one.key.id for one in begun],
        [one.debt.id for one in begun],
        [one.debt.customer_id for one in begun],
        [one.debt.due_cents for one in begun],
        [one.debt.currency for one in begun],
        [one.asked_by.value for one in begun],
        [one.wanted_method_id for one in begun],
        [one.link.account_id for one in begun],
        [one.link.provider_customer_id for one in begun],
        [one.method.id if one.method else None for one in begun],
        [one.method.provider_method_id if one.method else None for one in begun],
        [one.payment_status_before for one in begun],
        now,
        [one.manner.value for one in begun],
        [one.ask_id for one in begun],
        [one.expires_at for one in begun],
    )


async def recreate(
    conn: Conn,
    attempt: RowKey,
    debt: Debt,
    *,
    account_id: UUID,
    provider_payment_id: str,
    provider_customer_id: str,
    amount_cents: int,
    currency: str,
    sent_at: datetime,
    now: datetime,
) -> None:
    """Insert an attempt that a restore has lost, as `sent`; the locked invoice has no other open.

    `sent_at` is so long ago that its key counts as dead: it is asked about, and never re-sent.
    """
    await conn.execute(
        _RECREATE,
        attempt.organization_id,
        attempt.id,
        debt.id,
        debt.customer_id,
        amount_cents,
        currency,
        AskedBy.PROVIDER.value,
        account_id,
        provider_payment_id,
        provider_customer_id,
        sent_at,
        now,
        debt.payment_status,
    )


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
        await conn.execute(_SETTLED_AT_ZERO, *_ids(keys), now)


async def plan_no_more_tries(conn: Conn, keys: Collection[RowKey]) -> None:
    """Take these invoices off the schedule."""
    if keys:
        await conn.execute(_NO_MORE_TRIES, *_ids(keys))


async def put_off_tries(
    conn: Conn, keys: Collection[RowKey], *, until: datetime | None, now: datetime
) -> None:
    """Let the schedule come back to these invoices `until` then, or, with None, never.

    Leaves alone what is no longer due, and what somebody holds at this moment.
    """
    if keys:
        await conn.execute(_PUT_OFF_TRIES, *_ids(keys), until, now)


async def hold(conn: Conn, keys: Collection[RowKey], *, because: str) -> None:
    """Let nobody be charged for these locked invoices until a person lets them go."""
    if keys:
        await conn.execute(_HOLD, *_ids(keys), because)


async def release(conn: Conn, keys: Collection[RowKey]) -> None:
    """Let these locked invoices be collected again."""
    await conn.execute(_RELEASE, *_ids(keys))


async def held(conn: Conn, organization_id: UUID, *, most: int) -> list[RowKey]:
    """The organization's invoices that are held, oldest first."""
    rows = await conn.fetch(_HELD, organization_id, most)
    return [RowKey(row["organization_id"], row["id"]) for row in rows]


async def due_for_a_try(scout: Conn, *, now: datetime, most: int) -> list[RowKey]:
    """Invoices of all tenants that the schedule wants tried by now, longest waiting first."""
    return [
        RowKey(row["organization_id"], row["id"])
        for row in await scout.fetch(_DUE_FOR_A_TRY, now, most)
    ]


def _ids(keys: Collection[RowKey]) -> tuple[list[UUID], list[UUID]]:
    return [key.organization_id for key in keys], [key.id for key in keys]

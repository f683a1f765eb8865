"""Which invoices are tried, when, and which are held back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

from recoup.rules.declines import Decline, DeclineClass
from recoup.rules.records.keys import RowKey
from recoup.rules.records.provider_accounts import ProviderKind
from recoup.rules.retry_policy import Failure, not_before
from recoup.store.db import Conn
from recoup.store.rows import key_arrays

_DUE_FOR_A_TRY: Final = """
    SELECT organization_id, id FROM invoices
     WHERE next_try_at <= $1 ORDER BY next_try_at LIMIT $2
"""

_PLAN_TRIES: Final = """
    UPDATE invoices i SET next_try_at = plan.at
      FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[]) AS plan (organization_id, id, at)
     WHERE (i.organization_id, i.id) = (plan.organization_id, plan.id)
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
               -- Those are closed first, where nobody has paid yet.
               AND p.manner NOT IN ('page', 'transfer'))
       AND (SELECT count(*)
              FROM payment_invoices pi
              JOIN payments p ON (p.organization_id, p.id) = (pi.organization_id, pi.payment_id)
             WHERE pi.organization_id = i.organization_id AND pi.invoice_id = i.id
               AND p.sent_at > $3) < $4
     ORDER BY i.payment_due_date, i.created_at, i.id LIMIT $5
"""

_FAILURES: Final = """
    SELECT pi.organization_id, pi.invoice_id, p.ended_at, p.decline_class, p.error_code,
           p.decline_code, p.network_decline_code, p.advice_code, p.network_advice_code, a.kind
      FROM unnest($1::uuid[], $2::uuid[], $3::uuid[])
           AS asked (organization_id, invoice_id, payment_method_id)
      JOIN payment_invoices pi
        ON (pi.organization_id, pi.invoice_id) = (asked.organization_id, asked.invoice_id)
      JOIN payments p ON (p.organization_id, p.id) = (pi.organization_id, pi.payment_id)
      JOIN provider_accounts a
        ON (a.organization_id, a.id) = (p.organization_id, p.provider_account_id)
     WHERE p.state = 'failed' AND p.decline_class IS NOT NULL
       AND p.payment_method_id IS NOT DISTINCT FROM asked.payment_method_id  -- NULL: made anew
     ORDER BY p.ended_at, p.id
"""

_LAST_DECLINE: Final = """
    SELECT decline_class FROM payments
     WHERE organization_id = $1 AND customer_id = $2 AND payment_method_id = $3
       AND state IN ('succeeded', 'failed')
     ORDER BY created_at DESC, id LIMIT 1
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


async def due_for_a_try(scout: Conn, *, now: datetime, most: int) -> list[RowKey]:
    """Invoices of all tenants that the schedule wants tried by now, longest waiting first."""
    return [
        RowKey(row["organization_id"], row["id"])
        for row in await scout.fetch(_DUE_FOR_A_TRY, now, most)
    ]


async def plan_tries(conn: Conn, plans: Mapping[RowKey, datetime | None]) -> None:
    """Write when the schedule tries each of these invoices again; None: not by itself."""
    if plans:
        await conn.execute(_PLAN_TRIES, *key_arrays(plans.keys()), list(plans.values()))


async def plan_no_more_tries(conn: Conn, keys: Collection[RowKey]) -> None:
    """Take these invoices off the schedule."""
    if keys:
        await conn.execute(_NO_MORE_TRIES, *key_arrays(keys))


async def put_off_tries(
    conn: Conn, keys: Collection[RowKey], *, until: datetime | None, now: datetime
) -> None:
    """Let the schedule come back to these invoices `until` then, or, with None, never.

    Leaves alone what is no longer due, and what somebody holds at this moment.
    """
    if keys:
        await conn.execute(_PUT_OFF_TRIES, *key_arrays(keys), until, now)


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


async def last_decline(conn: Conn, customer: RowKey, method_id: UUID) -> DeclineClass | None:
    """How this method was declined when it was charged last, for whatever; None: it was not."""
    decline_class: str | None = await conn.fetchval(
        _LAST_DECLINE, customer.organization_id, customer.id, method_id
    )
    return DeclineClass(decline_class) if decline_class else None


async def failures(
    conn: Conn, by_method: Mapping[RowKey, UUID | None]
) -> dict[RowKey, list[Failure]]:
    """The failed attempts of each of these invoices on the method named for it, oldest first."""
    found: dict[RowKey, list[Failure]] = defaultdict(list)
    for row in await conn.fetch(_FAILURES, *key_arrays(by_method.keys()), list(by_method.values())):
        decline = Decline(
            provider=ProviderKind(row["kind"]),
            code=row["error_code"],
            decline_code=row["decline_code"],
            network_decline_code=row["network_decline_code"],
            advice_code=row["advice_code"],
            network_advice_code=row["network_advice_code"],
        )
        found[RowKey(row["organization_id"], row["invoice_id"])].append(
            Failure(
                at=row["ended_at"],
                decline_class=DeclineClass(row["decline_class"]),
                not_before=not_before(decline, failed_at=row["ended_at"]),
            )
        )
    return found


async def hold(conn: Conn, keys: Collection[RowKey], *, because: str) -> None:
    """Let nobody be charged for these locked invoices until a person lets them go."""
    if keys:
        await conn.execute(_HOLD, *key_arrays(keys), because)


async def release(conn: Conn, keys: Collection[RowKey]) -> None:
    """Let these locked invoices be collected again."""
    await conn.execute(_RELEASE, *key_arrays(keys))


async def held(conn: Conn, organization_id: UUID, *, most: int) -> list[RowKey]:
    """The organization's invoices that are held, oldest first."""
    rows = await conn.fetch(_HELD, organization_id, most)
    return [RowKey(row["organization_id"], row["id"]) for row in rows]

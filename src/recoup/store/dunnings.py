"""Rows of `dunnings` and their counters: which late customers a campaign asks, and how often.

Locked after invoices, and before payments. Whoever is not late, or whom no campaign applies to, has
no row; one that is there all the same goes at the clock's next look.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final

from recoup.rules.records.collection import Debt
from recoup.rules.records.dunning import Count, Dunned, Dunning
from recoup.rules.records.keys import RowKey
from recoup.store.collection import DEBT
from recoup.store.db import Conn
from recoup.store.dunning_campaigns import COLUMNS, campaign_of
from recoup.store.rows import key_arrays

_TO_LOOK_AT: Final = """
    SELECT organization_id, customer_id FROM dunnings
     WHERE look_at <= $1 ORDER BY look_at LIMIT $2
"""

# In one order, so that two who wake the same customers do not wait for each other.
_WAKE: Final = """
    INSERT INTO dunnings (organization_id, customer_id, look_at)
    SELECT c.organization_id, c.id, $3
      FROM (SELECT DISTINCT * FROM unnest($1::uuid[], $2::uuid[]) AS u (organization_id, id)
           ) AS asked
      JOIN customers c USING (organization_id, id)
      JOIN billing_entities b
        ON (b.organization_id, b.id) = (c.organization_id, c.billing_entity_id)
     WHERE c.deleted_at IS NULL AND NOT c.exclude_from_dunning_campaign
       AND coalesce(c.applied_dunning_campaign_id, b.applied_dunning_campaign_id) IS NOT NULL
       AND EXISTS (SELECT FROM invoices i
            WHERE (i.organization_id, i.customer_id) = (c.organization_id, c.id)
              AND i.payment_overdue AND NOT i.self_billed)
     ORDER BY c.organization_id, c.id
        ON CONFLICT (organization_id, customer_id) DO
"""
_WAKE_THESE: Final = f"{_WAKE} UPDATE SET look_at = least(dunnings.look_at, excluded.look_at)"
_WAKE_MISSING: Final = f"{_WAKE} NOTHING"

_LOCK_OVERDUE: Final = f"""
    SELECT {DEBT}, i.next_try_at
      FROM unnest($1::uuid[], $2::uuid[]) AS asked (organization_id, customer_id)
      JOIN invoices i USING (organization_id, customer_id)
      JOIN billing_entities b
        ON (b.organization_id, b.id) = (i.organization_id, i.billing_entity_id)
     WHERE i.payment_overdue AND NOT i.self_billed
     ORDER BY i.organization_id, i.id
       FOR NO KEY UPDATE OF i
"""

_IS_LATE: Final = """
    SELECT EXISTS (SELECT FROM invoices
            WHERE organization_id = $1 AND customer_id = $2 AND payment_overdue AND NOT self_billed)
"""

_LOCK: Final = """
    SELECT d.organization_id, d.customer_id, d.dunning_campaign_id AS campaign_id,
           d.terms_changed_at, d.finished_at, d.look_at
      FROM unnest($1::uuid[], $2::uuid[]) AS asked (organization_id, customer_id)
      JOIN dunnings d USING (organization_id, customer_id)
     ORDER BY d.organization_id, d.customer_id
       FOR UPDATE OF d
"""

# What was asked for stays, whoever deletes a campaign, takes it off, or makes it anew.
_ASKED_LAST: Final = """
    SELECT r.organization_id, r.customer_id, max(r.created_at) AS at
      FROM unnest($1::uuid[], $2::uuid[]) AS asked (organization_id, customer_id)
      JOIN payment_requests r USING (organization_id, customer_id)
     WHERE r.dunning_campaign_id IS NOT NULL
     GROUP BY r.organization_id, r.customer_id
"""

_COUNTERS: Final = """
    SELECT n.organization_id, n.customer_id, n.currency, n.attempts, n.counted_since
      FROM unnest($1::uuid[], $2::uuid[]) AS asked (organization_id, customer_id)
      JOIN dunning_counters n USING (organization_id, customer_id)
"""

# What was paid is asked for here, at the clock's look, and not told by everybody who settles
# something: a charge, a hand, a credit note or a page cannot forget to.
_SETTLED: Final = """
    SELECT n.organization_id, n.customer_id, n.currency
      FROM unnest($1::uuid[], $2::uuid[]) AS asked (organization_id, customer_id)
      JOIN dunning_counters n USING (organization_id, customer_id)
     WHERE EXISTS (SELECT FROM payment_requests r
              JOIN payment_request_invoices pri
                ON (pri.organization_id, pri.payment_request_id) = (r.organization_id, r.id)
              JOIN invoices i ON (i.organization_id, i.id) = (pri.organization_id, pri.invoice_id)
             WHERE (r.organization_id, r.customer_id) = (n.organization_id, n.customer_id)
               AND r.created_at >= n.counted_since AND r.currency = n.currency
               AND r.dunning_campaign_id IS NOT NULL
               AND (i.payment_status = 'succeeded' OR i.status = 'voided'))
"""

_DUNNED: Final = """
    SELECT c.organization_id, c.id AS customer_id, c.external_id, c.currency, {campaign}
      FROM unnest($1::uuid[], $2::uuid[]) AS asked (organization_id, id)
      JOIN customers c USING (organization_id, id)
      JOIN billing_entities e
        ON (e.organization_id, e.id) = (c.organization_id, c.billing_entity_id)
      JOIN dunning_campaigns d
        ON d.organization_id = c.organization_id
       AND d.id = coalesce(c.applied_dunning_campaign_id, e.applied_dunning_campaign_id)
     WHERE c.deleted_at IS NULL AND NOT c.exclude_from_dunning_campaign
""".format(campaign=COLUMNS.replace("d.organization_id, d.id,", "d.id,", 1))

_WRITE: Final = """
    UPDATE dunnings
       SET dunning_campaign_id = $3, terms_changed_at = $4, finished_at = $5, look_at = $6
     WHERE organization_id = $1 AND customer_id = $2
"""
_DROP_COUNTERS: Final = """
    DELETE FROM dunning_counters
     WHERE organization_id = $1 AND customer_id = $2 AND currency <> ALL ($3::text[])
"""
_WRITE_COUNTERS: Final = """
    INSERT INTO dunning_counters (organization_id, customer_id, currency, attempts, counted_since)
    SELECT $1, $2, u.* FROM unnest($3::text[], $4::int[], $5::timestamptz[]) AS u
        ON CONFLICT (organization_id, customer_id, currency) DO UPDATE
       SET attempts = excluded.attempts, counted_since = excluded.counted_since
"""

_PUT_OFF: Final = """
    UPDATE dunnings SET look_at = $3
     WHERE organization_id = $1 AND customer_id = $2 AND look_at <= $4
"""

_FORGET: Final = """
    WITH gone AS (
        DELETE FROM dunnings d USING unnest($1::uuid[], $2::uuid[]) AS asked (organization_id, id)
         WHERE (d.organization_id, d.customer_id) = (asked.organization_id, asked.id)
     RETURNING d.organization_id, d.customer_id
    )
    DELETE FROM dunning_counters n USING gone
     WHERE (n.organization_id, n.customer_id) = (gone.organization_id, gone.customer_id)
"""
_FORGET_CAMPAIGN: Final = """
    WITH counted AS (
        SELECT organization_id, customer_id FROM dunnings
         WHERE organization_id = $1 AND dunning_campaign_id = $2
         ORDER BY organization_id, customer_id
           FOR UPDATE
    ), gone AS (
        DELETE FROM dunning_counters n USING counted
         WHERE (n.organization_id, n.customer_id) = (counted.organization_id, counted.customer_id)
    )
    UPDATE dunnings d
       SET dunning_campaign_id = NULL, terms_changed_at = NULL, finished_at = NULL
      FROM counted
     WHERE (d.organization_id, d.customer_id) = (counted.organization_id, counted.customer_id)
"""


async def to_look_at(scout: Conn, *, now: datetime, most: int) -> list[RowKey]:
    """Customers of all tenants that are to be looked at by now, longest waiting first."""
    return [
        RowKey(row["organization_id"], row["customer_id"])
        for row in await scout.fetch(_TO_LOOK_AT, now, most)
    ]


async def wake(
    conn: Conn, customers: Collection[RowKey], *, only_missing: bool = False, now: datetime
) -> None:
    """Have the clock look at those of these customers who are late and whom a campaign asks.

    :param only_missing: at those alone at whom it would not look otherwise.
    """
    if customers:
        statement = _WAKE_MISSING if only_missing else _WAKE_THESE
        await conn.execute(statement, *key_arrays(customers), now)


async def lock_overdue(
    conn: Conn, customers: Collection[RowKey]
) -> dict[RowKey, list[tuple[Debt, datetime | None]]]:
    """Lock these customers' overdue invoices; each with when the schedule charges it next.

    What we owe somebody ourselves is not among them.
    """
    found: dict[RowKey, list[tuple[Debt, datetime | None]]] = defaultdict(list)
    for row in await conn.fetch(_LOCK_OVERDUE, *key_arrays(customers)):
        fields: dict[str, Any] = dict(row)
        try_at = fields.pop("next_try_at")
        debt = Debt(**fields)
        found[debt.customer_key].append((debt, try_at))
    return found


async def is_late(conn: Conn, customer: RowKey) -> bool:
    """Whether something of this customer is overdue by now; nothing is locked."""
    late: bool = await conn.fetchval(_IS_LATE, customer.organization_id, customer.id)
    return late


async def lock(conn: Conn, customers: Collection[RowKey]) -> dict[RowKey, Dunning]:
    """Lock these customers' rows, after their invoices; those without one are left out."""
    rows = await conn.fetch(_LOCK, *key_arrays(customers))
    # Statements of their own after the lock: what waited for that sees what was asked and counted.
    asked = await conn.fetch(_ASKED_LAST, *key_arrays(customers))
    last = {RowKey(row["organization_id"], row["customer_id"]): row["at"] for row in asked}
    counts: dict[RowKey, dict[str, Count]] = defaultdict(dict)
    for row in await conn.fetch(_COUNTERS, *key_arrays(customers)):
        key = RowKey(row["organization_id"], row["customer_id"])
        counts[key][row["currency"]] = Count(row["attempts"], row["counted_since"])
    found: dict[RowKey, Dunning] = {}
    for row in rows:
        fields: dict[str, Any] = dict(row)
        key = RowKey(fields.pop("organization_id"), fields.pop("customer_id"))
        found[key] = Dunning(
            customer=key, last_attempt_at=last.get(key), counts=counts[key], **fields
        )
    return found


async def settled(conn: Conn, customers: Collection[RowKey]) -> dict[RowKey, set[str]]:
    """Of these customers, the currencies in which something asked for was paid since, or voided."""
    found: dict[RowKey, set[str]] = defaultdict(set)
    for row in await conn.fetch(_SETTLED, *key_arrays(customers)):
        found[RowKey(row["organization_id"], row["customer_id"])].add(row["currency"])
    return found


async def dunned(conn: Conn, customers: Collection[RowKey]) -> dict[RowKey, Dunned]:
    """These customers with the campaign that applies to each; those without one are left out."""
    return {
        RowKey(row["organization_id"], row["customer_id"]): Dunned(
            external_id=row["external_id"], currency=row["currency"], campaign=campaign_of(row)
        )
        for row in await conn.fetch(_DUNNED, *key_arrays(customers))
    }


async def write(conn: Conn, dunning: Dunning) -> None:
    """Write how far a campaign has come with a customer, whose row is locked.

    When it asked last is not written: its requests say so.
    """
    whose = (dunning.customer.organization_id, dunning.customer.id)
    await conn.execute(
        _WRITE, *whose, dunning.campaign_id, dunning.terms_changed_at, dunning.finished_at,
        dunning.look_at,
    )  # fmt: skip
    currencies: Sequence[str] = list(dunning.counts)
    counts = list(dunning.counts.values())
    await conn.execute(_DROP_COUNTERS, *whose, currencies)
    await conn.execute(
        _WRITE_COUNTERS, *whose, currencies, [one.attempts for one in counts],
        [one.since for one in counts],
    )  # fmt: skip


async def put_off(conn: Conn, customer: RowKey, *, until: datetime, now: datetime) -> None:
    """Have the clock look later at a customer who is to be looked at by now."""
    await conn.execute(_PUT_OFF, customer.organization_id, customer.id, until, now)


async def forget(conn: Conn, customers: Collection[RowKey]) -> None:
    """Count nothing of these customers any more."""
    if customers:
        await conn.execute(_FORGET, *key_arrays(customers))


async def forget_campaign(conn: Conn, campaign: RowKey) -> None:
    """Count nothing of this campaign's any more. Rows go at the clock's next look at them."""
    await conn.execute(_FORGET_CAMPAIGN, campaign.organization_id, campaign.id)

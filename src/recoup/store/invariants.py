"""What holds in every tenant's rows at every moment: for each, the query that finds what breaks it.

Read by `recoup check`. Each query is one statement, so it sees one moment, also while the service
runs. It answers (organization_id, id) of what is broken; what the id names its sentence says.

What would surprise you: most of these cannot be broken while the code and the constraints are
right. They are for the day when one of the two is not, or when rows came from a backup.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from recoup.rules.records.keys import RowKey
from recoup.store.db import Conn
from recoup.store.invariant import Invariant
from recoup.store.ledger_invariants import LEDGER_INVARIANTS
from recoup.store.note_invariants import NOTE_INVARIANTS
from recoup.store.request_invariants import REQUEST_INVARIANTS

MOST_EXAMPLES: Final = 5


class Offenders(msgspec.Struct, frozen=True):
    """How many rows break an invariant, and some of them."""

    count: int = 0
    examples: tuple[RowKey, ...] = ()


# A promised job is taken up within seconds, and the sweep finds after ten that one is gone.
_LOST_AFTER: Final = "interval '60 seconds'"

INVARIANTS: Final = (
    Invariant(
        "one_open_attempt_per_invoice",
        "No invoice has two open payment attempts.",
        """
        SELECT organization_id, invoice_id AS id FROM payment_invoices
         WHERE organization_id = ANY ($1::uuid[]) AND open
         GROUP BY organization_id, invoice_id HAVING count(*) > 1
        """,
    ),
    Invariant(
        "open_agrees_with_state",
        "A payment holds its invoices open exactly while it has not ended.",
        """
        SELECT DISTINCT p.organization_id, p.id
          FROM payments p
          JOIN payment_invoices pi
            ON (pi.organization_id, pi.payment_id) = (p.organization_id, p.id)
         WHERE p.organization_id = ANY ($1::uuid[])
           AND pi.open = (p.state IN ('succeeded', 'failed', 'withdrawn'))
        """,
    ),
    Invariant(
        "payment_covers_an_invoice",
        "Every payment covers an invoice.",
        """
        SELECT p.organization_id, p.id FROM payments p
         WHERE p.organization_id = ANY ($1::uuid[])
           AND NOT EXISTS (SELECT FROM payment_invoices pi
                WHERE (pi.organization_id, pi.payment_id) = (p.organization_id, p.id))
        """,
    ),
    Invariant(
        "payment_is_what_it_covers",
        "A payment's amount is the sum of what it covers of each invoice.",
        """
        SELECT p.organization_id, p.id FROM payments p
         WHERE p.organization_id = ANY ($1::uuid[])
           AND p.amount_cents <> (SELECT coalesce(sum(pi.amount_cents), p.amount_cents)
                  FROM payment_invoices pi
                 WHERE (pi.organization_id, pi.payment_id) = (p.organization_id, p.id))
        """,
    ),
    Invariant(
        "paid_is_what_was_applied",
        "What is paid of an invoice is what succeeded payments applied to it, and no others did.",
        """
        SELECT i.organization_id, i.id
          FROM invoices i
          LEFT JOIN (
               SELECT pi.organization_id, pi.invoice_id,
                      sum(pi.applied_cents) FILTER (WHERE p.state = 'succeeded') AS by_successes,
                      sum(pi.applied_cents) AS by_all
                 FROM payment_invoices pi
                 JOIN payments p ON (p.organization_id, p.id) = (pi.organization_id, pi.payment_id)
                WHERE pi.organization_id = ANY ($1::uuid[])
                GROUP BY pi.organization_id, pi.invoice_id
               ) AS applied
            ON (applied.organization_id, applied.invoice_id) = (i.organization_id, i.id)
         WHERE i.organization_id = ANY ($1::uuid[])
           AND (i.paid_cents <> coalesce(applied.by_successes, 0)
                OR i.paid_cents <> coalesce(applied.by_all, 0))
        """,
    ),
    Invariant(
        "never_paid_too_much",
        "No invoice was paid and credited for more than its total.",
        """
        SELECT organization_id, id FROM invoices
         WHERE organization_id = ANY ($1::uuid[]) AND paid_cents + offset_cents > total_cents
        """,
    ),
    Invariant(
        # A caller may declare an invoice paid (PUT), whatever is due: it is told of, then.
        "succeeded_is_paid_or_declared",
        "An invoice that shows `succeeded` and still owes something was declared so, and told of.",
        """
        SELECT i.organization_id, i.id FROM invoices i
         WHERE i.organization_id = ANY ($1::uuid[])
           AND i.payment_status = 'succeeded' AND i.due_cents > 0
           AND NOT EXISTS (SELECT FROM events e
                WHERE e.organization_id = i.organization_id AND e.object_id = i.id
                  AND e.webhook_type = 'invoice.payment_status_updated')
        """,
    ),
    Invariant(
        "schedule_holds_what_may_be_tried",
        "What is on the schedule is finalized, and neither paid, nor held, nor being charged.",
        """
        SELECT i.organization_id, i.id FROM invoices i
         WHERE i.organization_id = ANY ($1::uuid[]) AND i.next_try_at IS NOT NULL
           AND (i.status <> 'finalized' OR i.payment_status = 'succeeded'
                OR i.held_because IS NOT NULL
                OR EXISTS (SELECT FROM payment_invoices pi
                      JOIN payments p
                        ON (p.organization_id, p.id) = (pi.organization_id, pi.payment_id)
                     WHERE (pi.organization_id, pi.invoice_id) = (i.organization_id, i.id)
                       AND pi.open AND p.manner <> 'page'))
        """,
    ),
    Invariant(
        "drafts_are_not_collected",
        "A draft, deleted or not, has no number, no payment and no entry in the ledger.",
        """
        SELECT i.organization_id, i.id FROM invoices i
         WHERE i.organization_id = ANY ($1::uuid[]) AND i.status IN ('draft', 'deleted')
           AND (i.sequential_id IS NOT NULL OR i.paid_cents > 0
                OR EXISTS (SELECT FROM payment_invoices pi
                     WHERE (pi.organization_id, pi.invoice_id) = (i.organization_id, i.id))
                OR EXISTS (SELECT FROM ledger_entries l
                     WHERE (l.organization_id, l.invoice_id) = (i.organization_id, i.id)))
        """,
    ),
    *LEDGER_INVARIANTS,
    *NOTE_INVARIANTS,
    Invariant(
        "no_job_without_its_row",
        "Every queued job about money names a row that exists; the id is the row's.",
        # Webhook deliveries are left out: one that waits goes with its endpoint.
        """
        SELECT job.organization_id, job.id
          FROM (SELECT entrypoint,
                       split_part(convert_from(payload, 'UTF8'), '/', 1)::uuid AS organization_id,
                       split_part(convert_from(payload, 'UTF8'), '/', 2)::uuid AS id
                  FROM pgqueuer
                 WHERE entrypoint IN ('submit_attempt', 'look_up_attempt', 'apply_event')) AS job
         WHERE job.organization_id = ANY ($1::uuid[])
           AND NOT CASE job.entrypoint
               WHEN 'apply_event' THEN EXISTS (SELECT FROM provider_events e
                    WHERE (e.organization_id, e.id) = (job.organization_id, job.id))
               ELSE EXISTS (SELECT FROM payments p
                    WHERE (p.organization_id, p.id) = (job.organization_id, job.id))
               END
        """,
    ),
    Invariant(
        "ready_has_its_job",
        "No attempt waits to be sent for over a minute without a queued job.",
        f"""
        SELECT p.organization_id, p.id FROM payments p
         WHERE p.organization_id = ANY ($1::uuid[])
           AND p.state = 'ready'
           AND greatest(p.created_at, p.send_at) < $2::timestamptz - {_LOST_AFTER}
           AND NOT EXISTS (SELECT FROM quarantines q  -- it waits for the end of that
                WHERE q.organization_id = p.organization_id
                  AND q.provider_account_id = p.provider_account_id AND q.released_at IS NULL)
           AND NOT EXISTS (SELECT FROM pgqueuer job
                WHERE job.entrypoint = 'submit_attempt'
                  AND job.dedupe_key = format('submit_attempt/%s/%s', p.organization_id, p.id))
        """,
    ),
    Invariant(
        "provider_event_has_its_job",
        "No provider's event waits to be applied for over a minute without a queued job.",
        f"""
        SELECT e.organization_id, e.id FROM provider_events e
         WHERE e.organization_id = ANY ($1::uuid[])
           AND e.applied_at IS NULL
           AND greatest(e.received_at, e.apply_at) < $2::timestamptz - {_LOST_AFTER}
           AND NOT EXISTS (SELECT FROM pgqueuer job
                WHERE job.entrypoint = 'apply_event'
                  AND job.dedupe_key = format('apply_event/%s/%s', e.organization_id, e.id))
        """,
    ),
    Invariant(
        # `sent` included: whoever sends may die, and then nobody else would ask.
        "look_up_is_planned",
        "A look-up is planned for every attempt whose end only the provider knows, and no others.",
        """
        SELECT organization_id, id FROM payments
         WHERE organization_id = ANY ($1::uuid[])
           AND (state IN ('sent', 'unknown', 'processing', 'customer_needed'))
               <> (look_up_at IS NOT NULL)
        """,
    ),
    Invariant(
        "attempt_ends_in_one_event",
        "Every attempt that has ended was told of in exactly one event, and in the right words.",
        """
        SELECT p.organization_id, p.id
          FROM (SELECT organization_id, id, ask_id, state, payment_type, manner,
                       CASE WHEN payment_request_id IS NULL THEN 'invoice.payment_failure'
                            ELSE 'payment_request.payment_failure' END AS failure_is_told_as
                  FROM payments WHERE organization_id = ANY ($1::uuid[])) AS p
          LEFT JOIN events e
            ON (e.organization_id, e.ask_id) = (p.organization_id, coalesce(p.ask_id, p.id))
         WHERE p.payment_type = 'provider'
           AND p.manner <> 'page'  -- a payer opened it: nobody asked
           AND NOT EXISTS (SELECT FROM payments second  -- whose end is told instead
                WHERE second.organization_id = p.organization_id AND second.ask_id = p.id)
         GROUP BY p.organization_id, p.id, p.state, p.failure_is_told_as
        HAVING coalesce(array_agg(e.webhook_type) FILTER (WHERE e.id IS NOT NULL), '{}')
               <> CASE p.state
                  WHEN 'succeeded' THEN ARRAY['payment.succeeded']
                  WHEN 'failed' THEN ARRAY[p.failure_is_told_as]
                  WHEN 'withdrawn' THEN ARRAY[p.failure_is_told_as]
                  ELSE ARRAY[]::text[]
                  END
        """,
    ),
    Invariant(
        "ask_without_attempt_ends_in_one_event",
        "Every accepted retry that made no attempt was told of in exactly one event; its decision.",
        """
        SELECT d.organization_id, d.id FROM decisions d
         WHERE d.organization_id = ANY ($1::uuid[])
           AND d.decided = 'no_attempt' AND d.ask_id IS NOT NULL
           AND (SELECT count(*) FROM events e
                 WHERE (e.organization_id, e.ask_id) = (d.organization_id, d.ask_id)
                   AND e.webhook_type = CASE d.because
                       WHEN 'nothing_due' THEN 'invoice.payment_status_updated'
                       ELSE 'invoice.payment_failure' END) <> 1
        """,
    ),
    *REQUEST_INVARIANTS,
    Invariant(
        "waiting_delivery_is_planned",
        "A webhook delivery has a time for its next try exactly while it waits.",
        """
        SELECT organization_id, id FROM webhook_deliveries
         WHERE organization_id = ANY ($1::uuid[])
           AND (state = 'waiting') <> (deliver_at IS NOT NULL)
        """,
    ),
)


async def organizations(scout: Conn) -> list[UUID]:
    """The ids of all organizations, oldest first, as the scout sees them."""
    return [row["id"] for row in await scout.fetch("SELECT id FROM organizations ORDER BY id")]


async def offenders(
    conn: Conn, invariant: Invariant, tenants: Collection[UUID], *, now: datetime
) -> Offenders:
    """What breaks an invariant among the rows of these tenants, which the transaction has named."""
    rows = await conn.fetch(
        f"""
        SELECT organization_id, id, count(*) OVER () AS count
          FROM ({invariant.sql}) AS broken
         WHERE $1::uuid[] IS NOT NULL AND $2::timestamptz IS NOT NULL
         ORDER BY organization_id, id LIMIT {MOST_EXAMPLES}
        """,
        list(tenants),
        now,
    )
    if not rows:
        return Offenders()
    return Offenders(
        rows[0]["count"], tuple(RowKey(row["organization_id"], row["id"]) for row in rows)
    )

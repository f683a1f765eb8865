"""What holds of credit notes at every moment. Read by `recoup check`, as part of `invariants`."""

from __future__ import annotations

from typing import Final

from recoup.store.invariant import Invariant

NOTE_INVARIANTS: Final = (
    Invariant(
        "notes_take_off_what_there_is",
        "The credit notes of an invoice take no more off it than it has, or than was paid of it.",
        """
        SELECT i.organization_id, i.id
          FROM invoices i
          LEFT JOIN (
               SELECT organization_id, invoice_id, sum(total_cents) AS cents,
                      sum(refund_cents) AS refund_cents, sum(offset_cents) AS offset_cents
                 FROM credit_notes WHERE organization_id = ANY ($1::uuid[])
                GROUP BY organization_id, invoice_id
               ) AS noted
            ON (noted.organization_id, noted.invoice_id) = (i.organization_id, i.id)
         WHERE i.organization_id = ANY ($1::uuid[])
           AND (noted.cents > i.total_cents OR noted.refund_cents > i.paid_cents
                OR i.offset_cents <> coalesce(noted.offset_cents, 0))
        """,
    ),
    Invariant(
        "notes_take_off_what_fees_have",
        "No credit notes take more off a fee than it has; the id is the fee's.",
        """
        SELECT f.organization_id, f.id
          FROM credit_note_items t
          JOIN fees f ON (f.organization_id, f.id) = (t.organization_id, t.fee_id)
         WHERE t.organization_id = ANY ($1::uuid[])
         GROUP BY f.organization_id, f.id, f.amount_cents
        HAVING sum(t.amount_cents) > greatest(f.amount_cents, 0)
        """,
    ),
    Invariant(
        "notes_are_numbered_without_a_gap",
        "The credit notes of an invoice are numbered from one, without a gap; the invoice's id.",
        """
        SELECT organization_id, invoice_id AS id FROM credit_notes
         WHERE organization_id = ANY ($1::uuid[])
         GROUP BY organization_id, invoice_id HAVING count(*) <> max(sequential_id)
        """,
    ),
    Invariant(
        "note_refunds_are_covered",
        "The refunds of a credit note pay back what it says at most; the note's id.",
        """
        SELECT n.organization_id, n.id
          FROM refunds r
          JOIN credit_notes n
            ON (n.organization_id, n.id) = (r.organization_id, r.credit_note_id)
         WHERE r.organization_id = ANY ($1::uuid[])
         GROUP BY n.organization_id, n.id, n.refund_cents
        HAVING sum(r.amount_cents) > n.refund_cents
        """,
    ),
    Invariant(
        "note_refunds_were_paid",
        "What credit notes pay back of a charge is what it paid of their invoice at most.",
        """
        SELECT r.organization_id, r.payment_id AS id
          FROM refunds r
          JOIN credit_notes n
            ON (n.organization_id, n.id) = (r.organization_id, r.credit_note_id)
          LEFT JOIN payment_invoices pi
            ON (pi.organization_id, pi.payment_id, pi.invoice_id)
             = (r.organization_id, r.payment_id, n.invoice_id)
         WHERE r.organization_id = ANY ($1::uuid[])
         GROUP BY r.organization_id, r.payment_id, n.invoice_id, pi.applied_cents
        HAVING sum(r.amount_cents) > coalesce(pi.applied_cents, 0)
        """,
    ),
    Invariant(
        "notes_are_booked",
        "What credit notes have left as credit, or are still to give back, is in the ledger.",
        """
        SELECT i.organization_id, i.id
          FROM invoices i
          LEFT JOIN (
               SELECT organization_id, invoice_id, sum(balance_cents) AS balance,
                      sum(refund_cents) AS to_refund
                 FROM credit_notes WHERE organization_id = ANY ($1::uuid[])
                GROUP BY organization_id, invoice_id
               ) AS noted
            ON (noted.organization_id, noted.invoice_id) = (i.organization_id, i.id)
          LEFT JOIN (
               SELECT n.organization_id, n.invoice_id, sum(went.cents) AS cents
                 FROM (SELECT organization_id, id AS refund_id, amount_cents AS cents
                         FROM refunds WHERE state = 'succeeded'
                        UNION ALL
                       SELECT organization_id, refund_id,
                              CASE told WHEN 'refunded' THEN amount_cents ELSE -amount_cents END
                         FROM contradictions
                        WHERE refund_id IS NOT NULL AND told IN ('refunded', 'came_back')) AS went
                 JOIN refunds r
                   ON (r.organization_id, r.id) = (went.organization_id, went.refund_id)
                 JOIN credit_notes n
                   ON (n.organization_id, n.id) = (r.organization_id, r.credit_note_id)
                WHERE n.organization_id = ANY ($1::uuid[])
                GROUP BY n.organization_id, n.invoice_id
               ) AS back
            ON (back.organization_id, back.invoice_id) = (i.organization_id, i.id)
          LEFT JOIN (
               SELECT organization_id, invoice_id,
                      sum(amount_cents) FILTER (WHERE account = 'customer_credit') AS credit,
                      sum(amount_cents) FILTER (WHERE account = 'to_refund') AS to_refund
                 FROM ledger_entries
                WHERE organization_id = ANY ($1::uuid[])
                  AND account IN ('customer_credit', 'to_refund')
                GROUP BY organization_id, invoice_id
               ) AS booked
            ON (booked.organization_id, booked.invoice_id) = (i.organization_id, i.id)
         WHERE i.organization_id = ANY ($1::uuid[])
           AND (coalesce(noted.balance, 0) <> -coalesce(booked.credit, 0)
                OR coalesce(noted.to_refund, 0) - coalesce(back.cents, 0)
                   <> -coalesce(booked.to_refund, 0))
        """,
    ),
)

"""What holds of the ledger at every moment. Read by `recoup check`, as part of `invariants`."""

from __future__ import annotations

from typing import Final

from recoup.store.invariant import Invariant

LEDGER_INVARIANTS: Final = (
    Invariant(
        "transactions_sum_to_zero",
        "The entries of every ledger transaction sum to zero in every currency.",
        """
        SELECT DISTINCT organization_id, transaction_id AS id
          FROM (SELECT organization_id, transaction_id FROM ledger_entries
                 WHERE organization_id = ANY ($1::uuid[])
                 GROUP BY organization_id, transaction_id, currency
                HAVING sum(amount_cents) <> 0) AS uneven
        """,
    ),
    Invariant(
        "ledger_sums_to_zero",
        "All ledger entries of an organization sum to zero in every currency.",
        """
        SELECT DISTINCT organization_id, organization_id AS id
          FROM (SELECT organization_id FROM ledger_entries
                 WHERE organization_id = ANY ($1::uuid[])
                 GROUP BY organization_id, currency
                HAVING sum(amount_cents) <> 0) AS uneven
        """,
    ),
    Invariant(
        "receivable_is_what_is_due",
        "What the ledger holds as receivable of an invoice is what the invoice says is due.",
        """
        SELECT i.organization_id, i.id
          FROM invoices i
          LEFT JOIN (
               SELECT organization_id, invoice_id, sum(amount_cents) AS cents,
                      min(currency) AS least_currency, max(currency) AS most_currency
                 FROM ledger_entries
                WHERE organization_id = ANY ($1::uuid[]) AND account = 'receivable'
                GROUP BY organization_id, invoice_id
               ) AS booked
            ON (booked.organization_id, booked.invoice_id) = (i.organization_id, i.id)
         WHERE i.organization_id = ANY ($1::uuid[])
           AND (coalesce(booked.cents, 0)
                <> CASE WHEN i.status IN ('draft', 'deleted') THEN 0 ELSE i.due_cents END
                OR booked.least_currency <> i.currency OR booked.most_currency <> i.currency)
        """,
    ),
    Invariant(
        "success_is_booked",
        "A payment is in the ledger exactly if it succeeded.",
        """
        SELECT p.organization_id, p.id FROM payments p
         WHERE p.organization_id = ANY ($1::uuid[])
           AND (p.state = 'succeeded') <> EXISTS (SELECT FROM ledger_entries l
                WHERE (l.organization_id, l.transaction_id) = (p.organization_id, p.id))
        """,
    ),
    Invariant(
        # Money of a success that could not be applied is in the success's own transaction.
        "surprising_money_is_booked",
        "Money that contradicts what we hold is in the ledger.",
        """
        SELECT c.organization_id, c.id FROM contradictions c
         WHERE c.organization_id = ANY ($1::uuid[])
           AND c.told IN ('succeeded', 'refunded', 'came_back') AND c.amount_cents > 0
           AND NOT EXISTS (SELECT FROM ledger_entries l
                WHERE l.organization_id = c.organization_id
                  AND l.transaction_id = CASE
                      WHEN c.refund_id IS NOT NULL
                           OR c.reason IN ('a_second_charge', 'the_attempt_had_ended') THEN c.id
                      ELSE c.payment_id END)
        """,
    ),
)

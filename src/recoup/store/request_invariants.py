"""What holds of payment requests, dunning and receipts at every moment. Part of `invariants`.

What would surprise you: a request that was paid may leave something due, where its provider took
another amount, or an invoice was voided after the charge was sent. Then a contradiction says so.
"""

from __future__ import annotations

from typing import Final

from recoup.store.invariant import Invariant

REQUEST_INVARIANTS: Final = (
    Invariant(
        "payment_covers_its_request",
        "A payment of a request covers that request's invoices, all of them and no others.",
        """
        SELECT p.organization_id, p.id FROM payments p
         WHERE p.organization_id = ANY ($1::uuid[]) AND p.payment_request_id IS NOT NULL
           AND (SELECT array_agg(pi.invoice_id ORDER BY pi.invoice_id) FROM payment_invoices pi
                 WHERE (pi.organization_id, pi.payment_id) = (p.organization_id, p.id))
               IS DISTINCT FROM
               (SELECT array_agg(pri.invoice_id ORDER BY pri.invoice_id)
                  FROM payment_request_invoices pri
                 WHERE (pri.organization_id, pri.payment_request_id)
                     = (p.organization_id, p.payment_request_id))
        """,
    ),
    Invariant(
        "only_requests_cover_many",
        "A payment that is of no request covers one invoice.",
        """
        SELECT p.organization_id, p.id
          FROM payments p
          JOIN payment_invoices pi
            ON (pi.organization_id, pi.payment_id) = (p.organization_id, p.id)
         WHERE p.organization_id = ANY ($1::uuid[]) AND p.payment_request_id IS NULL
         GROUP BY p.organization_id, p.id HAVING count(*) > 1
        """,
    ),
    Invariant(
        "request_is_what_it_asks_for",
        "A payment request's amount is the sum of what was due of each of its invoices.",
        """
        SELECT r.organization_id, r.id FROM payment_requests r
         WHERE r.organization_id = ANY ($1::uuid[])
           AND r.amount_cents IS DISTINCT FROM (SELECT sum(pri.amount_cents)
                  FROM payment_request_invoices pri
                 WHERE (pri.organization_id, pri.payment_request_id) = (r.organization_id, r.id))
        """,
    ),
    Invariant(
        "request_shows_its_payments",
        "A payment request shows what became of the payments that were to collect it.",
        """
        SELECT r.organization_id, r.id
          FROM payment_requests r
          LEFT JOIN payments p
            ON (p.organization_id, p.payment_request_id) = (r.organization_id, r.id)
         WHERE r.organization_id = ANY ($1::uuid[])
         GROUP BY r.organization_id, r.id, r.payment_status
        HAVING r.payment_status <> CASE
               WHEN bool_or(p.state = 'succeeded') THEN 'succeeded'
               WHEN bool_and(p.ended_at IS NOT NULL) AND count(p.id) > 0 THEN 'failed'
               ELSE 'pending' END
        """,
    ),
    Invariant(
        "paid_request_settles_all_or_contradicts",
        "A payment request that was paid has paid all its invoices, or a contradiction says why.",
        """
        SELECT DISTINCT p.organization_id, p.id
          FROM payments p
          JOIN payment_invoices pi
            ON (pi.organization_id, pi.payment_id) = (p.organization_id, p.id)
         WHERE p.organization_id = ANY ($1::uuid[]) AND p.payment_request_id IS NOT NULL
           AND p.state = 'succeeded' AND pi.applied_cents <> pi.amount_cents
           AND NOT EXISTS (SELECT FROM contradictions c
                WHERE (c.organization_id, c.payment_id) = (p.organization_id, p.id))
        """,
    ),
    Invariant(
        "dunning_counts_what_it_asked",
        "A campaign has counted as many attempts at a customer as it asked, currency by currency.",
        """
        SELECT n.organization_id, n.customer_id AS id
          FROM dunning_counters n
         WHERE n.organization_id = ANY ($1::uuid[])
           AND n.attempts <> (SELECT count(DISTINCT r.created_at) FROM payment_requests r
                WHERE (r.organization_id, r.customer_id) = (n.organization_id, n.customer_id)
                  AND r.currency = n.currency AND r.created_at >= n.counted_since
                  AND r.dunning_campaign_id IS NOT NULL)
        """,
    ),
    Invariant(
        "success_has_its_receipt",
        "A payment has a receipt exactly if it succeeded.",
        """
        SELECT p.organization_id, p.id FROM payments p
         WHERE p.organization_id = ANY ($1::uuid[])
           AND (p.state = 'succeeded') <> EXISTS (SELECT FROM payment_receipts r
                WHERE (r.organization_id, r.payment_id) = (p.organization_id, p.id))
        """,
    ),
    Invariant(
        "receipts_are_numbered_without_a_gap",
        "The receipts of every customer are numbered from 1, without a gap; the customer.",
        """
        SELECT organization_id, customer_id AS id
          FROM (SELECT organization_id, customer_id, sequential_id, NULL::int AS last
                  FROM payment_receipts WHERE organization_id = ANY ($1::uuid[])
                 UNION ALL
                SELECT organization_id, customer_id, NULL, last
                  FROM payment_receipt_counters WHERE organization_id = ANY ($1::uuid[])) AS drawn
         GROUP BY organization_id, customer_id
        HAVING count(sequential_id) IS DISTINCT FROM max(last)::bigint
            OR coalesce(max(sequential_id), 0) IS DISTINCT FROM max(last)
        """,
    ),
)

"""What `recoup check` reports beside the invariants: nothing is wrong, and somebody has to look."""

from __future__ import annotations

from typing import Final

from recoup.store.invariant import Invariant

REPORTED: Final = (
    Invariant(
        "contradictions",
        "News that did not fit what we knew.",
        "SELECT organization_id, id FROM contradictions WHERE organization_id = ANY ($1::uuid[])",
    ),
    Invariant(
        "invoices_held",
        "Invoices that nobody is charged for until somebody has looked: `recoup invoice held`.",
        """
        SELECT organization_id, id FROM invoices
         WHERE organization_id = ANY ($1::uuid[]) AND held_because IS NOT NULL
        """,
    ),
    Invariant(
        "needs_review",
        "Payment attempts that wait for a person: `recoup payment list --needs-review`.",
        """
        SELECT organization_id, id FROM payments
         WHERE organization_id = ANY ($1::uuid[]) AND state = 'needs_review'
        """,
    ),
    Invariant(
        "reconciliation_findings",
        "What a provider and we do not say alike, and is open: `recoup reconciliation list`.",
        """
        SELECT organization_id, id FROM reconciliation_findings
         WHERE organization_id = ANY ($1::uuid[]) AND resolved_at IS NULL
        """,
    ),
    Invariant(
        "quarantines",
        "Provider accounts through which nothing is sent, after a restore: `recoup quarantine`.",
        """
        SELECT organization_id, provider_account_id AS id FROM quarantines
         WHERE organization_id = ANY ($1::uuid[]) AND released_at IS NULL
        """,
    ),
    Invariant(
        "drafts_overdue",
        "Drafts that should have been finalized over an hour ago: refresh one to see why not.",
        # One that could not be is tried again, later and later than its grace has ended.
        """
        SELECT organization_id, id FROM invoices
         WHERE organization_id = ANY ($1::uuid[]) AND status = 'draft' AND finalize_at IS NOT NULL
           AND issuing_date < ($2::timestamptz - interval '27 hours')::date
        """,
    ),
    Invariant(
        "mails_given_up",
        "Mails that no mail server took: `recoup mail list` says why.",
        """
        SELECT organization_id, id FROM mails
         WHERE organization_id = ANY ($1::uuid[]) AND state <> 'sent' AND state = 'given_up'
        """,
    ),
    Invariant(
        "look_ups_overdue",
        "Payment attempts whose look-up has been due for over an hour: do the workers run?",
        """
        SELECT organization_id, id FROM payments
         WHERE organization_id = ANY ($1::uuid[])
           AND look_up_at < $2::timestamptz - interval '1 hour'
        """,
    ),
)

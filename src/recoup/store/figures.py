"""How much is waiting, and for how long: what an operator's alarms look at, over all tenants.

Read by the scout, who sees ids, states and times. Each part walks an index that holds only what
waits, so a million ended payments cost nothing here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import msgspec

from recoup.store import db
from recoup.store.db import Pool


class Waiting(msgspec.Struct, frozen=True):
    """How many wait, and how long the one that is oldest, or due longest, has waited."""

    count: int = 0
    oldest_seconds: float = 0.0


class Figures(msgspec.Struct, frozen=True):
    """One look at everything that has not ended yet."""

    attempts: Mapping[str, Waiting]  # by state; a state without any is left out
    jobs: Mapping[str, Waiting]  # on the queue and not taken, by what is to be done
    webhooks: Waiting  # deliveries that wait for their next try; seconds past the time set for it
    provider_events: Waiting  # received and kept, not applied yet
    providers_down: Mapping[str, int]  # accounts that are left alone, by the provider's kind
    keys_refused: Mapping[str, int]  # accounts whose key the provider refuses, by its kind
    held_back: int  # attempts that wait until their account may be called
    contradictions: int  # news that did not fit what we knew: all there ever were
    quarantined: int  # provider accounts through which nothing is sent
    findings: Mapping[str, int]  # what comparisons found and nobody has resolved, by what
    documents_waiting: int  # to be made
    documents_failing: int  # of these, the last try failed
    documents_given_up: int  # nobody tries to make them until somebody asks again
    invoices_held: int  # nobody is charged for them until a person lets them go
    mails: Waiting  # to be sent, or tried again; seconds past the time set for it
    drafts: Waiting  # whose grace ends by itself; seconds since it ended


_READ: Final = """
    SELECT 'attempts' AS part, state AS name, count(*) AS count, min(created_at) AS since
      FROM payments WHERE ended_at IS NULL GROUP BY state
     UNION ALL
    SELECT 'jobs', entrypoint, count(*), min(execute_after)
      FROM pgqueuer WHERE status = 'queued' GROUP BY entrypoint
     UNION ALL
    SELECT 'webhooks', '', count(*), min(deliver_at)
      FROM webhook_deliveries WHERE deliver_at IS NOT NULL
     UNION ALL
    SELECT 'provider_events', '', count(*), min(received_at)
      FROM provider_events WHERE applied_at IS NULL
     UNION ALL
    SELECT 'providers_down', a.kind, count(*), NULL
      FROM provider_health h
      JOIN provider_accounts a
        ON (a.organization_id, a.id) = (h.organization_id, h.provider_account_id)
     WHERE h.open_until IS NOT NULL AND a.deleted_at IS NULL GROUP BY a.kind
     UNION ALL
    SELECT 'keys_refused', a.kind, count(*), NULL
      FROM provider_health h
      JOIN provider_accounts a
        ON (a.organization_id, a.id) = (h.organization_id, h.provider_account_id)
     WHERE h.key_refused_at IS NOT NULL AND a.deleted_at IS NULL GROUP BY a.kind
     UNION ALL
    SELECT 'held_back', '', count(*), NULL FROM payments
     WHERE state = 'ready' AND ended_at IS NULL AND send_at IS NOT NULL
     UNION ALL
    SELECT 'contradictions', '', count(*), NULL FROM contradictions
     UNION ALL
    SELECT 'quarantined', '', count(*), NULL FROM quarantines WHERE released_at IS NULL
     UNION ALL
    SELECT 'findings', what, count(*), NULL FROM reconciliation_findings
     WHERE resolved_at IS NULL GROUP BY what
     UNION ALL
    SELECT 'documents_waiting', '', count(*), NULL FROM documents WHERE make_at IS NOT NULL
     UNION ALL
    SELECT 'documents_failing', '', count(*), NULL FROM documents
     WHERE make_at IS NOT NULL AND tries > 0
     UNION ALL
    SELECT 'documents_given_up', '', count(*), NULL FROM documents WHERE given_up_at IS NOT NULL
     UNION ALL
    SELECT 'invoices_held', '', count(*), NULL FROM invoices WHERE held_because IS NOT NULL
     UNION ALL
    SELECT 'mails', '', count(*), min(send_at) FROM mails WHERE send_at IS NOT NULL
     UNION ALL
    SELECT 'drafts', '', count(*), min(finalize_at) FROM invoices WHERE finalize_at IS NOT NULL
"""


async def read(scout: Pool, *, now: datetime) -> Figures:
    """Read all figures in one round trip; `scout` acts as `recoup_scout`."""
    async with db.nameless(scout) as conn:
        rows = await conn.fetch(_READ)
    parts: dict[str, dict[str, Waiting]] = {}
    for row in rows:
        parts.setdefault(row["part"], {})[row["name"]] = Waiting(
            row["count"], _age_seconds(row["since"], now)
        )
    return Figures(
        attempts=parts.get("attempts", {}),
        jobs=parts.get("jobs", {}),
        webhooks=parts["webhooks"][""],
        provider_events=parts["provider_events"][""],
        providers_down={
            kind: waiting.count for kind, waiting in parts.get("providers_down", {}).items()
        },
        keys_refused={
            kind: waiting.count for kind, waiting in parts.get("keys_refused", {}).items()
        },
        held_back=parts["held_back"][""].count,
        contradictions=parts["contradictions"][""].count,
        quarantined=parts["quarantined"][""].count,
        findings={what: waiting.count for what, waiting in parts.get("findings", {}).items()},
        documents_waiting=parts["documents_waiting"][""].count,
        documents_failing=parts["documents_failing"][""].count,
        documents_given_up=parts["documents_given_up"][""].count,
        invoices_held=parts["invoices_held"][""].count,
        mails=parts["mails"][""],
        drafts=parts["drafts"][""],
    )


def _age_seconds(since: datetime | None, now: datetime) -> float:
    """What lies in the future, as a delivery's next try may, has no age."""
    return 0.0 if since is None else max(0.0, (now - since).total_seconds())

"""Rows of `reconciliation_findings`: what a comparison found, until it is so no more or resolved.

A finding's id is made from its facts. So the same, found again, is the same row, and what a person
has resolved stays resolved; other facts make another finding, and close the one before.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid5

import msgspec

from recoup.rules.lago.pages import Page
from recoup.rules.reconciliation import OF_REFUNDS, What
from recoup.rules.records.keys import RowKey
from recoup.store.db import Conn
from recoup.store.listing import ids_and_total
from recoup.store.rows import columns


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What the two sides do not say alike. Amounts are minor units."""

    what: What
    idempotency_key: str
    charge_known_as: str | None = None  # the provider's id, of a refund as well
    amount_cents: int = 0  # as the provider has it, where it has it at all
    currency: str = ""
    here: str = ""  # what we hold, in a word
    there: str = ""  # what the provider says, in a word
    here_cents: int | None = None  # where we hold another amount
    invoice_id: UUID | None = None  # by what was sent beside the charge; it need not be here
    detail: str = ""  # why it could not be mended, or what differs: no fact of its own

    def id_in(self, account: RowKey) -> UUID:
        """The id of a finding with these facts."""
        facts = (
            self.what, self.idempotency_key, self.charge_known_as or "", self.amount_cents,
            self.currency, self.here, self.there, self.here_cents,
        )  # fmt: skip
        return uuid5(account.id, "/".join(map(str, facts)))


class KeptFinding(Finding, frozen=True, kw_only=True):
    """A finding as it is kept."""

    organization_id: UUID
    provider_account_id: UUID
    id: UUID
    found_at: datetime
    seen_at: datetime  # when it was last found
    resolved_at: datetime | None
    resolved_because: str | None
    resolved_by: str | None  # a person; None: it closed by itself

    @property
    def account(self) -> RowKey:
        """The account in which it was found."""
        return RowKey(self.organization_id, self.provider_account_id)


_FIND: Final = """
    INSERT INTO reconciliation_findings (organization_id, provider_account_id, found_at, seen_at,
           id, what, idempotency_key, charge_known_as, amount_cents, currency, here, there,
           here_cents, invoice_id, detail)
    SELECT $1, $2, $3, $3, found.*
      FROM unnest($4::uuid[], $5::text[], $6::text[], $7::text[], $8::bigint[], $9::text[],
                  $10::text[], $11::text[], $12::bigint[], $13::uuid[], $14::text[]) AS found
        ON CONFLICT (organization_id, id) DO UPDATE
           SET detail = EXCLUDED.detail, seen_at = EXCLUDED.seen_at,
               found_at = CASE WHEN reconciliation_findings.resolved_at IS NULL
                          THEN reconciliation_findings.found_at ELSE EXCLUDED.found_at END,
               resolved_at = NULL, resolved_because = NULL
         WHERE reconciliation_findings.resolved_by IS NULL  -- a person's word stands
"""

_FOUND_OTHERWISE: Final = """
    UPDATE reconciliation_findings f SET resolved_at = $5, resolved_because = 'found_otherwise'
      FROM unnest($3::text[], $4::text[]) AS found (idempotency_key, charge_known_as)
     WHERE f.organization_id = $1 AND f.provider_account_id = $2 AND f.resolved_at IS NULL
       AND f.idempotency_key = found.idempotency_key
       AND coalesce(f.charge_known_as, found.charge_known_as)  -- its id may not have been known
           IS NOT DISTINCT FROM found.charge_known_as
       AND f.id <> ALL ($6::uuid[])
"""

_RESOLVE: Final = """
    UPDATE reconciliation_findings SET resolved_at = $4, resolved_because = $5
     WHERE organization_id = $1 AND provider_account_id = $2 AND idempotency_key = ANY ($3::text[])
       AND resolved_at IS NULL
"""

_RESOLVE_BY_HAND: Final = """
    UPDATE reconciliation_findings
       SET resolved_at = $3, resolved_because = 'a_person_said_so', resolved_by = $4
     WHERE organization_id = $1 AND id = $2
"""

_OPEN: Final = f"""
    SELECT {columns(KeptFinding)} FROM reconciliation_findings
     WHERE organization_id = $1 AND resolved_at IS NULL ORDER BY found_at, id LIMIT 1000
"""

_ANY_OPEN: Final = """
    SELECT EXISTS (SELECT FROM reconciliation_findings
     WHERE organization_id = $1 AND provider_account_id = $2 AND resolved_at IS NULL
       AND what = ANY ($3::text[]))
"""

_TO_ASK_FOR: Final = f"""
    SELECT {columns(KeptFinding)} FROM reconciliation_findings
     WHERE organization_id = $1 AND provider_account_id = $2 AND resolved_at IS NULL
       AND (what = 'unknown_there' OR what IN ('unknown_here', 'unreadable', 'differs')
                                      AND NOT starts_with(idempotency_key, $5) AND seen_at < $3)
     ORDER BY asked_at NULLS FIRST, found_at, id LIMIT $4
"""

_OF_REFUNDS: Final = """
    SELECT idempotency_key FROM reconciliation_findings
     WHERE organization_id = $1 AND provider_account_id = $2 AND resolved_at IS NULL
       AND starts_with(idempotency_key, $3)
"""

_ASKED_FOR: Final = """
    UPDATE reconciliation_findings SET asked_at = $3 WHERE organization_id = $1 AND id = $2
"""

_A_PERSON_RESOLVED: Final = """
    SELECT id FROM reconciliation_findings
     WHERE organization_id = $1 AND id = ANY ($2::uuid[]) AND resolved_by IS NOT NULL
"""

_LOCK: Final = f"""
    SELECT {columns(KeptFinding)} FROM reconciliation_findings
     WHERE organization_id = $1 AND id = $2 FOR NO KEY UPDATE
"""

_ONE: Final = f"""
    SELECT {columns(KeptFinding)} FROM reconciliation_findings
     WHERE organization_id = $1 AND id = $2
"""

_OF_STATUS: Final = {
    None: "",
    True: "AND resolved_at IS NULL",
    False: "AND resolved_at IS NOT NULL",
}
_THESE: Final = f"""
    SELECT {columns(KeptFinding, "f")}
      FROM unnest($2::uuid[]) WITH ORDINALITY AS asked (id, place)
      JOIN reconciliation_findings f ON f.organization_id = $1 AND f.id = asked.id
     ORDER BY asked.place
"""

_COUNT_OPEN: Final = """
    SELECT what, count(*) AS count FROM reconciliation_findings
     WHERE resolved_at IS NULL GROUP BY what
"""


async def find(conn: Conn, account: RowKey, findings: Sequence[Finding], *, now: datetime) -> None:
    """Keep findings, each once, however often it is found.

    What closed by itself is open again; what a person has resolved stays so. Another finding of the
    same charge is closed: its facts have changed.
    """
    by_id = {one.id_in(account): one for one in findings}
    if not by_id:
        return
    found = list(by_id.values())
    await conn.execute(
        _FOUND_OTHERWISE, account.organization_id, account.id,
        [one.idempotency_key for one in found], [one.charge_known_as for one in found], now,
        list(by_id),
    )  # fmt: skip
    await conn.execute(
        _FIND, account.organization_id, account.id, now, list(by_id),
        [one.what.value for one in found], [one.idempotency_key for one in found],
        [one.charge_known_as for one in found], [one.amount_cents for one in found],
        [one.currency for one in found], [one.here for one in found],
        [one.there for one in found], [one.here_cents for one in found],
        [one.invoice_id for one in found], [one.detail for one in found],
    )  # fmt: skip


async def resolve(
    conn: Conn, account: RowKey, keys: Collection[str], *, because: str, now: datetime
) -> None:
    """Close what was found of the charges under these idempotency keys: it is so no more."""
    if keys:
        await conn.execute(_RESOLVE, account.organization_id, account.id, list(keys), now, because)


async def resolve_by_hand(conn: Conn, finding: RowKey, *, by: str, now: datetime) -> None:
    """Close a finding on a person's word; the same facts do not open it again."""
    await conn.execute(_RESOLVE_BY_HAND, finding.organization_id, finding.id, now, by)


async def resolved_by_hand(
    conn: Conn, organization_id: UUID, ids: Collection[UUID]
) -> frozenset[UUID]:
    """Those of these findings that a person has resolved."""
    if not ids:
        return frozenset()
    rows = await conn.fetch(_A_PERSON_RESOLVED, organization_id, list(ids))
    return frozenset(row["id"] for row in rows)


async def open_ones(conn: Conn, organization_id: UUID) -> list[KeptFinding]:
    """What nobody has resolved, oldest first; a thousand at most."""
    return [_kept(row) for row in await conn.fetch(_OPEN, organization_id)]


async def any_open(conn: Conn, account: RowKey, kinds: Collection[What]) -> bool:
    """Whether the account has an open finding of these kinds."""
    is_there: bool = await conn.fetchval(
        _ANY_OPEN, account.organization_id, account.id, [kind.value for kind in kinds]
    )
    return is_there


async def to_ask_for(
    conn: Conn, account: RowKey, *, not_seen_since: datetime, most: int
) -> list[KeptFinding]:
    """Open findings of charges of which the list has told nothing, longest not asked for first.

    A list tells nothing of a charge that it lacks, nor of one that is older than its window.
    """
    rows = await conn.fetch(
        _TO_ASK_FOR, account.organization_id, account.id, not_seen_since, most, OF_REFUNDS
    )
    return [_kept(row) for row in rows]


async def keys_of_refunds(conn: Conn, account: RowKey) -> list[str]:
    """The idempotency keys of refunds with an open finding."""
    rows = await conn.fetch(_OF_REFUNDS, account.organization_id, account.id, OF_REFUNDS)
    return [row["idempotency_key"] for row in rows]


async def asked_for(conn: Conn, finding: RowKey, *, now: datetime) -> None:
    """Keep when the provider was asked for its charge by name."""
    await conn.execute(_ASKED_FOR, finding.organization_id, finding.id, now)


async def lock(conn: Conn, finding: RowKey) -> KeptFinding | None:
    """Lock a finding until the transaction ends."""
    row = await conn.fetchrow(_LOCK, finding.organization_id, finding.id)
    return _kept(row) if row else None


async def one(conn: Conn, finding: RowKey) -> KeptFinding | None:
    """Read a finding."""
    row = await conn.fetchrow(_ONE, finding.organization_id, finding.id)
    return _kept(row) if row else None


async def page(
    conn: Conn, organization_id: UUID, wanted: Page, *, are_open: bool | None
) -> tuple[list[KeptFinding], int]:
    """One page of the organization's findings, newest first, and how many there are in all."""
    where = f"organization_id = $1 {_OF_STATUS[are_open]}"
    ids, total = await ids_and_total(
        conn,
        f"SELECT id FROM reconciliation_findings WHERE {where} ORDER BY found_at DESC, id",
        f"SELECT count(*) FROM reconciliation_findings WHERE {where}",
        [organization_id],
        wanted,
    )
    rows = await conn.fetch(_THESE, organization_id, ids)
    return [_kept(row) for row in rows], total


async def count_open(scout: Conn) -> dict[What, int]:
    """How many findings of all tenants nobody has resolved, by what was found."""
    return {What(row["what"]): row["count"] for row in await scout.fetch(_COUNT_OPEN)}


def _kept(row: Any) -> KeptFinding:
    return msgspec.convert(dict(row), KeptFinding)

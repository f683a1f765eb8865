"""Rows of `payments` that are attempts: locked, sent, withdrawn.

The state machine is the database's, too: `refuse_unlisted_move` refuses what
`rules/attempt_state.py` does not list, and the end of an attempt closes its `payment_invoices`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from recoup.rules.manner import Manner
from recoup.rules.records.collection import Attempt
from recoup.rules.records.keys import RowKey
from recoup.store.db import Conn
from recoup.store.rows import columns, key_arrays, row_key, storable

_LOCK: Final = f"""
    SELECT {columns(Attempt, "p")}
      FROM unnest($1::uuid[], $2::uuid[]) AS asked (organization_id, id)
      JOIN payments p USING (organization_id, id)
     ORDER BY p.organization_id, p.id
       FOR NO KEY UPDATE OF p
"""

_FIND: Final = f"""
    SELECT {columns(Attempt, "p")}
      FROM unnest($1::uuid[], $2::uuid[]) AS asked (organization_id, id)
      JOIN payments p USING (organization_id, id)
"""

_BY_PROVIDER_ID: Final = """
    SELECT organization_id, id FROM payments
     WHERE organization_id = $1 AND provider_account_id = $2 AND provider_payment_id = $3
"""

_ENDED_BEFORE: Final = """
    SELECT p.organization_id, p.id
      FROM unnest($1::uuid[], $2::uuid[]) AS asked (organization_id, id)
      JOIN payments p USING (organization_id, id)
     WHERE p.ended_at < $3
"""

_SEND: Final = """
    WITH sent AS (
        SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::uuid[], $5::text[],
                             $6::uuid[], $7::text[], $8::text[], $9::text[])
            AS sent (organization_id, id, amount_cents, provider_account_id, provider_customer_id,
                     payment_method_id, provider_method_id, request, manner)
    ), frozen AS (
        UPDATE payments p
           SET state = 'sent', sent_at = $10, look_up_at = $11, amount_cents = sent.amount_cents,
               provider_account_id = sent.provider_account_id,
               provider_customer_id = sent.provider_customer_id,
               payment_method_id = sent.payment_method_id,
               provider_method_id = sent.provider_method_id, request = sent.request,
               manner = sent.manner
          FROM sent
         WHERE (p.organization_id, p.id) = (sent.organization_id, sent.id)
    )
    UPDATE payment_invoices pi SET amount_cents = i.due_cents
      FROM sent, invoices i
     WHERE (pi.organization_id, pi.payment_id) = (sent.organization_id, sent.id)
       AND (i.organization_id, i.id) = (pi.organization_id, pi.invoice_id)
       AND pi.amount_cents <> i.due_cents
       AND i.due_cents > 0  -- else it was sent before that, and counts as sent only now
"""

_COVER: Final = """
    UPDATE payment_invoices pi SET amount_cents = share.cents
      FROM unnest($3::uuid[], $4::bigint[]) AS share (invoice_id, cents)
     WHERE pi.organization_id = $1 AND pi.payment_id = $2 AND pi.invoice_id = share.invoice_id
       AND pi.amount_cents <> share.cents
"""

_WITHDRAW: Final = """
    UPDATE payments p SET state = 'withdrawn', ended_at = $4, error_code = ended.because
      FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS ended (organization_id, id, because)
     WHERE (p.organization_id, p.id) = (ended.organization_id, ended.id)
"""

_SHOW_AS_BEFORE: Final = """
    UPDATE invoices i SET payment_status = pi.payment_status_before, updated_at = $3
      FROM unnest($1::uuid[], $2::uuid[]) AS ended (organization_id, id)
      JOIN payment_invoices pi
        ON (pi.organization_id, pi.payment_id) = (ended.organization_id, ended.id)
     WHERE (i.organization_id, i.id) = (pi.organization_id, pi.invoice_id)
       AND i.payment_status = 'pending' AND pi.payment_status_before <> 'pending'
"""

# Of a request that is withdrawn only one invoice need be settled: the others are tried as planned.
_PLAN_AS_BEFORE: Final = """
    UPDATE invoices i SET next_try_at = pi.next_try_before
      FROM unnest($1::uuid[], $2::uuid[]) AS ended (organization_id, id)
      JOIN payment_invoices pi
        ON (pi.organization_id, pi.payment_id) = (ended.organization_id, ended.id)
     WHERE (i.organization_id, i.id) = (pi.organization_id, pi.invoice_id)
       AND pi.next_try_before IS NOT NULL
       AND i.status = 'finalized' AND i.payment_status <> 'succeeded' AND i.held_because IS NULL
"""

_OTHERS_KNOWN_AS: Final = """
    SELECT other.organization_id, other.id, other.provider_payment_id
      FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS told (organization_id, id, known_as)
      JOIN payments p USING (organization_id, id)
      JOIN payments other
        ON (other.organization_id, other.provider_account_id, other.provider_payment_id)
         = (p.organization_id, p.provider_account_id, told.known_as)
     WHERE other.id <> p.id
"""

_KNOW_AS: Final = """
    UPDATE payments p SET provider_payment_id = known.as_what
      FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS known (organization_id, id, as_what)
     WHERE (p.organization_id, p.id) = (known.organization_id, known.id)
"""

# What was frozen stays until it is frozen anew: of what is ready, nobody reads it.
_TAKE_BACK: Final = """
    UPDATE payments SET state = 'ready', look_up_at = NULL, send_at = $4
     WHERE organization_id = $1 AND id = $2 AND state = 'sent' AND sent_at = $3
    RETURNING id
"""

# One that nobody has answered for yet is asked about as planned: its opening may be on its way.
_CLOSE_PAGES: Final = """
    UPDATE payments p
       SET expires_at = $3,
           look_up_at = CASE WHEN p.state = 'customer_needed' THEN $3 ELSE p.look_up_at END
      FROM payment_invoices pi
      JOIN unnest($1::uuid[], $2::uuid[]) AS asked (organization_id, id)
        ON (pi.organization_id, pi.invoice_id) = (asked.organization_id, asked.id)
     WHERE pi.open
       AND (p.organization_id, p.id) = (pi.organization_id, pi.payment_id)
       AND p.manner IN ('page', 'transfer')
       AND p.state IN ('sent', 'unknown', 'processing', 'customer_needed')
"""


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """What is frozen on an attempt when it is sent."""

    key: RowKey
    amount_cents: int
    provider_account_id: UUID
    provider_customer_id: str
    payment_method_id: UUID | None  # None: the payer chooses, on the provider's page, or sends it
    provider_method_id: str | None
    request: str
    manner: Manner


async def lock(conn: Conn, keys: Collection[RowKey]) -> dict[RowKey, Attempt]:
    """Lock these attempts until the transaction ends. Lock their invoices before."""
    return _by_key(await conn.fetch(_LOCK, *key_arrays(keys)))


async def find(conn: Conn, keys: Collection[RowKey]) -> dict[RowKey, Attempt]:
    """Read these attempts; those that do not exist are left out."""
    return _by_key(await conn.fetch(_FIND, *key_arrays(keys)))


async def by_provider_id(conn: Conn, account: RowKey, provider_payment_id: str) -> RowKey | None:
    """The attempt that this account knows by this id of its own."""
    row = await conn.fetchrow(
        _BY_PROVIDER_ID, account.organization_id, account.id, provider_payment_id
    )
    return row_key(row) if row else None


async def others_known_as(conn: Conn, told: Mapping[RowKey, str]) -> dict[RowKey, str]:
    """Other attempts that their account knows by an id which was told of one of these, and it."""
    if not told:
        return {}
    rows = await conn.fetch(
        _OTHERS_KNOWN_AS, *key_arrays(told), [storable(known_as) for known_as in told.values()]
    )
    return {row_key(row): row["provider_payment_id"] for row in rows}


async def know_as(conn: Conn, ids: Mapping[RowKey, str | None]) -> None:
    """Have these locked attempts known at their providers by these ids; None: by none."""
    if ids:
        await conn.execute(
            _KNOW_AS, *key_arrays(ids), [storable(known_as) for known_as in ids.values()]
        )


async def ended_before(
    conn: Conn, keys: Collection[RowKey], *, before: datetime
) -> frozenset[RowKey]:
    """Those of these attempts that had ended by then."""
    rows = await conn.fetch(_ENDED_BEFORE, *key_arrays(keys), before)
    return frozenset(RowKey(row["organization_id"], row["id"]) for row in rows)


async def send(conn: Conn, sent: Sequence[Sent], *, look_up_at: datetime, now: datetime) -> None:
    """Move attempts to `sent` with all that a re-send needs.

    `look_up_at` is when somebody asks, should whoever sends them die.
    """
    if not sent:
        return
    await conn.execute(
        _SEND,
        *key_arrays([one.key for one in sent]),
        [one.amount_cents for one in sent],
        [one.provider_account_id for one in sent],
        [one.provider_customer_id for one in sent],
        [one.payment_method_id for one in sent],
        [one.provider_method_id for one in sent],
        [one.request for one in sent],
        [one.manner.value for one in sent],
        now,
        look_up_at,
    )


async def cover(conn: Conn, key: RowKey, shares: Mapping[UUID, int]) -> None:
    """Write how much of each of its locked invoices an attempt collects, by the invoice's id."""
    asked = (key.organization_id, key.id, list(shares.keys()), list(shares.values()))
    await conn.execute(_COVER, *asked)


async def withdraw(conn: Conn, because: Mapping[RowKey, str], *, now: datetime) -> None:
    """End attempts that were never sent; their invoices show again what they showed before."""
    if not because:
        return
    await conn.execute(_WITHDRAW, *key_arrays(because.keys()), list(because.values()), now)
    await conn.execute(_SHOW_AS_BEFORE, *key_arrays(because.keys()), now)
    await conn.execute(_PLAN_AS_BEFORE, *key_arrays(because.keys()))


async def take_back(conn: Conn, key: RowKey, *, sent_at: datetime, send_at: datetime) -> bool:
    """Have an attempt `ready` again whose only call did nothing; False: it is `sent` no more."""
    asked = (key.organization_id, key.id, sent_at, send_at)
    return await conn.fetchval(_TAKE_BACK, *asked) is not None


async def close_pages(conn: Conn, invoices: Collection[RowKey], *, now: datetime) -> None:
    """Let the payer's time on the open pages of these locked invoices be up: the sweep closes.

    So it does with the wait for a bank transfer.
    """
    if invoices:
        await conn.execute(_CLOSE_PAGES, *key_arrays(invoices), now)


def _by_key(rows: Sequence[Any]) -> dict[RowKey, Attempt]:
    found = (msgspec.convert(dict(row), Attempt, strict=False) for row in rows)
    return {attempt.key: attempt for attempt in found}

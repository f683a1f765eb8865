"""Rows of `payments` that are attempts: locked, sent, settled, looked up.

The state machine is the database's, too: `refuse_unlisted_move` refuses what
`rules/attempt_state.py` does not list, and the end of an attempt closes its `payment_invoices`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from recoup.rules.attempt_state import ASKED_ABOUT, State
from recoup.rules.declines import Decline, DeclineClass
from recoup.rules.records.collection import Attempt
from recoup.rules.records.keys import RowKey
from recoup.rules.records.provider_accounts import ProviderKind
from recoup.rules.retry_policy import Failure, not_before
from recoup.store.db import Conn
from recoup.store.rows import columns

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

_SEND: Final = """
    WITH sent AS (
        SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::uuid[], $5::text[],
                             $6::uuid[], $7::text[], $8::text[])
            AS sent (organization_id, id, amount_cents, provider_account_id,
                     provider_customer_id, payment_method_id, provider_method_id, request)
    ), frozen AS (
        UPDATE payments p
           SET state = 'sent', sent_at = $9, look_up_at = $10, amount_cents = sent.amount_cents,
               provider_account_id = sent.provider_account_id,
               provider_customer_id = sent.provider_customer_id,
               payment_method_id = sent.payment_method_id,
               provider_method_id = sent.provider_method_id, request = sent.request
          FROM sent
         WHERE (p.organization_id, p.id) = (sent.organization_id, sent.id)
    )
    UPDATE payment_invoices pi SET amount_cents = i.due_cents
      FROM sent, invoices i
     WHERE (pi.organization_id, pi.payment_id) = (sent.organization_id, sent.id)
       AND (i.organization_id, i.id) = (pi.organization_id, pi.invoice_id)
       AND pi.amount_cents <> i.due_cents
"""

_PARK: Final = """
    UPDATE payments p SET send_at = parked.until
      FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[]) AS parked (organization_id, id, until)
     WHERE (p.organization_id, p.id) = (parked.organization_id, parked.id) AND p.state = 'ready'
"""

_SEND_SOON: Final = """
    UPDATE payments SET send_at = $3
     WHERE organization_id = $1 AND provider_account_id = $2 AND state = 'ready' AND send_at > $3
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

_WRITE_NEWS: Final = """
    UPDATE payments p
       SET state = news.state,
           provider_payment_id = coalesce(news.provider_payment_id, p.provider_payment_id),
           provider_status = coalesce(news.provider_status, p.provider_status),
           next_action = coalesce(news.next_action::jsonb, p.next_action),
           error_code = news.error_code, decline_code = news.decline_code,
           network_decline_code = news.network_decline_code, advice_code = news.advice_code,
           network_advice_code = news.network_advice_code,
           error_message = news.error_message, decline_class = news.decline_class,
           look_up_at = news.look_up_at, look_ups_unanswered = news.look_ups_unanswered,
           payer_url = coalesce(news.payer_url, p.payer_url),
           expires_at = coalesce(p.expires_at, news.expires_at),
           ended_at = CASE WHEN news.state IN ('succeeded', 'failed') THEN $18::timestamptz END
      FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[],
                  $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[],
                  $13::timestamptz[], $14::int[], $15::text[], $16::text[], $17::timestamptz[])
           AS news (organization_id, id, state, provider_payment_id, provider_status, next_action,
                    error_code, decline_code, network_decline_code, advice_code, error_message,
                    decline_class, look_up_at, look_ups_unanswered, network_advice_code, payer_url,
                    expires_at)
     WHERE (p.organization_id, p.id) = (news.organization_id, news.id)
"""

_APPLY: Final = """
    WITH effect AS (
        SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::text[])
            AS effect (organization_id, payment_id, invoice_id, applied_cents, payment_status)
    ), applied AS (
        UPDATE payment_invoices pi SET applied_cents = effect.applied_cents
          FROM effect
         WHERE (pi.organization_id, pi.payment_id, pi.invoice_id)
             = (effect.organization_id, effect.payment_id, effect.invoice_id)
           AND effect.applied_cents > 0
    )
    UPDATE invoices i
       SET paid_cents = i.paid_cents + effect.applied_cents,
           payment_status = effect.payment_status,
           payment_overdue = i.payment_overdue AND effect.payment_status <> 'succeeded',
           next_try_at = CASE WHEN effect.payment_status <> 'succeeded' THEN i.next_try_at END,
           updated_at = $6
      FROM effect
     WHERE (i.organization_id, i.id) = (effect.organization_id, effect.invoice_id)
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

_PLAN_TRIES: Final = """
    UPDATE invoices i SET next_try_at = plan.at
      FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[]) AS plan (organization_id, id, at)
     WHERE (i.organization_id, i.id) = (plan.organization_id, plan.id)
"""

_BY_PROVIDER_ID: Final = """
    SELECT organization_id, id FROM payments
     WHERE organization_id = $1 AND provider_account_id = $2 AND provider_payment_id = $3
"""

# What was frozen stays until it is frozen anew: of what is ready, nobody reads it.
_TAKE_BACK: Final = """
    UPDATE payments SET state = 'ready', look_up_at = NULL, send_at = $4
     WHERE organization_id = $1 AND id = $2 AND state = 'sent' AND sent_at = $3
    RETURNING id
"""

# Whoever has planned a later one meanwhile knows better, and so does who has planned none.
_PUT_OFF_LOOK_UP: Final = """
    UPDATE payments SET look_up_at = $3
     WHERE organization_id = $1 AND id = $2 AND look_up_at < $3
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
       AND p.manner = 'page'
       AND p.state IN ('sent', 'unknown', 'processing', 'customer_needed')
"""

_TO_LOOK_UP: Final = """
    SELECT organization_id, id FROM payments
     WHERE look_up_at <= $1 ORDER BY look_up_at LIMIT $2
"""

_READY_SINCE: Final = """
    SELECT organization_id, id FROM payments
     WHERE state = 'ready' AND ended_at IS NULL
       AND CASE WHEN send_at IS NULL THEN created_at <= $1 ELSE send_at <= $3 END
       AND NOT EXISTS (SELECT FROM quarantines q  -- it would be left as it is
            WHERE q.organization_id = payments.organization_id
              AND q.provider_account_id = payments.provider_account_id AND q.released_at IS NULL)
     ORDER BY created_at LIMIT $2
"""

_ENDED_BEFORE: Final = """
    SELECT p.organization_id, p.id
      FROM unnest($1::uuid[], $2::uuid[]) AS asked (organization_id, id)
      JOIN payments p USING (organization_id, id)
     WHERE p.ended_at < $3
"""

_OLDEST_IN: Final = """
    SELECT organization_id, id FROM payments
     WHERE organization_id = $1 AND state = ANY ($2::text[]) AND payment_type = 'provider'
     ORDER BY created_at, id LIMIT $3
"""

# As rules/look_up_schedule.py: person_may_decide has it.
_WAITING_FOR_A_PERSON: Final = """
    SELECT organization_id, id FROM payments
     WHERE organization_id = $1 AND payment_type = 'provider'
       AND (state = 'needs_review' OR state = ANY ($2::text[]) AND sent_at <= $3)
     ORDER BY created_at, id LIMIT $4
"""

# In pieces, and past what is locked: that is being settled at this moment, and needs no waking.
_LOOK_UP_SOON: Final = """
    WITH waiting AS (
        SELECT organization_id, id FROM payments
         WHERE organization_id = $1 AND provider_account_id = $2
           AND look_ups_unanswered > 0 AND look_up_at > $3
         ORDER BY organization_id, id LIMIT 1000
           FOR NO KEY UPDATE SKIP LOCKED
    )
    UPDATE payments p SET look_up_at = $3
      FROM waiting
     WHERE (p.organization_id, p.id) = (waiting.organization_id, waiting.id)
"""


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """What is frozen on an attempt when it is sent."""

    key: RowKey
    amount_cents: int
    provider_account_id: UUID
    provider_customer_id: str
    payment_method_id: UUID | None  # None: the payer chooses, on the provider's page
    provider_method_id: str | None
    request: str


class NewsRow(msgspec.Struct, frozen=True, kw_only=True):
    """What is written of an attempt after news of it. None keeps what the provider told before."""

    key: RowKey
    state: State
    provider_payment_id: str | None = None
    provider_status: str | None = None
    next_action: Mapping[str, Any] | None = None
    payer_url: str | None = None
    expires_at: datetime | None = None  # the first one stays
    decline: Decline | None = None
    error_message: str | None = None
    decline_class: DeclineClass | None = None
    look_up_at: datetime | None = None
    look_ups_unanswered: int = 0


class EffectRow(msgspec.Struct, frozen=True):
    """What an attempt's end does to one invoice that it covers."""

    payment: RowKey
    invoice_id: UUID
    applied_cents: int
    payment_status: str


async def lock(conn: Conn, keys: Collection[RowKey]) -> dict[RowKey, Attempt]:
    """Lock these attempts until the transaction ends. Lock their invoices before."""
    return _by_key(await conn.fetch(_LOCK, *_ids(keys)))


async def find(conn: Conn, keys: Collection[RowKey]) -> dict[RowKey, Attempt]:
    """Read these attempts; those that do not exist are left out."""
    return _by_key(await conn.fetch(_FIND, *_ids(keys)))


async def ended_before(
    conn: Conn, keys: Collection[RowKey], *, before: datetime
) -> frozenset[RowKey]:
    """Those of these attempts that had ended by then."""
    rows = await conn.fetch(_ENDED_BEFORE, *_ids(keys), before)
    return frozenset(RowKey(row["organization_id"], row["id"]) for row in rows)


async def by_provider_id(conn: Conn, account: RowKey, provider_payment_id: str) -> RowKey | None:
    """The attempt that this account knows by this id of its own."""
    row = await conn.fetchrow(
        _BY_PROVIDER_ID, account.organization_id, account.id, provider_payment_id
    )
    return _key(row) if row else None


async def close_pages(conn: Conn, invoices: Collection[RowKey], *, now: datetime) -> None:
    """Let the payer's time on the open pages of these locked invoices be up: the sweep closes."""
    if invoices:
        await conn.execute(_CLOSE_PAGES, *_ids(invoices), now)


async def take_back(conn: Conn, key: RowKey, *, sent_at: datetime, send_at: datetime) -> bool:
    """Have an attempt `ready` again whose only call did nothing; False: it is `sent` no more."""
    asked = (key.organization_id, key.id, sent_at, send_at)
    return await conn.fetchval(_TAKE_BACK, *asked) is not None


async def put_off_look_up(conn: Conn, key: RowKey, *, until: datetime) -> None:
    """Ask about this attempt at this time and not before, if it is asked about."""
    await conn.execute(_PUT_OFF_LOOK_UP, key.organization_id, key.id, until)


async def send(conn: Conn, sent: Sequence[Sent], *, look_up_at: datetime, now: datetime) -> None:
    """Move attempts to `sent` with all that a re-send needs.

    `look_up_at` is when somebody asks, should whoever sends them die.
    """
    if not sent:
        return
    await conn.execute(
        _SEND,
        *_ids([one.key for one in sent]),
        [one.amount_cents for one in sent],
        [one.provider_account_id for one in sent],
        [one.provider_customer_id for one in sent],
        [one.payment_method_id for one in sent],
        [one.provider_method_id for one in sent],
        [one.request for one in sent],
        now,
        look_up_at,
    )


async def withdraw(conn: Conn, because: Mapping[RowKey, str], *, now: datetime) -> None:
    """End attempts that were never sent; their invoices show again what they showed before."""
    if not because:
        return
    await conn.execute(_WITHDRAW, *_ids(because.keys()), list(because.values()), now)
    await conn.execute(_SHOW_AS_BEFORE, *_ids(because.keys()), now)


async def write_news(conn: Conn, news: Sequence[NewsRow], *, now: datetime) -> None:
    """Write what was told of these attempts."""
    if not news:
        return
    declines = [one.decline for one in news]
    await conn.execute(
        _WRITE_NEWS,
        *_ids([one.key for one in news]),
        [one.state.value for one in news],
        [_storable(one.provider_payment_id) for one in news],
        [_storable(one.provider_status) for one in news],
        [_json(one.next_action) for one in news],
        [_storable(decline.code) if decline else None for decline in declines],
        [_storable(decline.decline_code) if decline else None for decline in declines],
        [_storable(decline.network_decline_code) if decline else None for decline in declines],
        [_storable(decline.advice_code) if decline else None for decline in declines],
        [_storable(one.error_message) for one in news],
        [one.decline_class for one in news],
        [one.look_up_at for one in news],
        [one.look_ups_unanswered for one in news],
        [_storable(decline.network_advice_code) if decline else None for decline in declines],
        [_storable(one.payer_url) for one in news],
        [one.expires_at for one in news],
        now,
    )


async def apply(conn: Conn, effects: Sequence[EffectRow], *, now: datetime) -> None:
    """Let ended attempts take effect on the invoices that they cover."""
    if not effects:
        return
    await conn.execute(
        _APPLY,
        *_ids([one.payment for one in effects]),
        [one.invoice_id for one in effects],
        [one.applied_cents for one in effects],
        [one.payment_status for one in effects],
        now,
    )


async def failures(
    conn: Conn, by_method: Mapping[RowKey, UUID | None]
) -> dict[RowKey, list[Failure]]:
    """The failed attempts of each of these invoices on the method named for it, oldest first."""
    found: dict[RowKey, list[Failure]] = defaultdict(list)
    for row in await conn.fetch(_FAILURES, *_ids(by_method.keys()), list(by_method.values())):
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


async def plan_tries(conn: Conn, plans: Mapping[RowKey, datetime | None]) -> None:
    """Write when the schedule tries each of these invoices again; None: not by itself."""
    if plans:
        await conn.execute(_PLAN_TRIES, *_ids(plans.keys()), list(plans.values()))


async def to_look_up(scout: Conn, *, now: datetime, most: int) -> list[RowKey]:
    """Attempts of all tenants whose look-up is due, longest waiting first."""
    return [_key(row) for row in await scout.fetch(_TO_LOOK_UP, now, most)]


async def ready_since(scout: Conn, *, before: datetime, most: int, now: datetime) -> list[RowKey]:
    """Attempts of all tenants to send: held back until `now`, or not sent since `before`.

    The job of the latter may be gone.
    """
    return [_key(row) for row in await scout.fetch(_READY_SINCE, before, most, now)]


async def park(conn: Conn, send_ats: Mapping[RowKey, datetime]) -> None:
    """Hold ready attempts back, each until its time. None of them is failed by it."""
    if not send_ats:
        return
    await conn.execute(
        _PARK,
        [key.organization_id for key in send_ats],
        [key.id for key in send_ats],
        list(send_ats.values()),
    )


async def send_soon(conn: Conn, account: RowKey, *, now: datetime) -> None:
    """An account may be called again: what was held back for it is due."""
    await conn.execute(_SEND_SOON, account.organization_id, account.id, now)


async def oldest_in(
    conn: Conn, organization_id: UUID, states: Collection[State], *, most: int
) -> list[RowKey]:
    """The organization's attempts that are in one of these states, oldest first."""
    asked = [state.value for state in states]
    return [_key(row) for row in await conn.fetch(_OLDEST_IN, organization_id, asked, most)]


async def waiting_for_a_person(
    conn: Conn, organization_id: UUID, *, silent_since: datetime, most: int
) -> list[RowKey]:
    """The organization's attempts that a person may settle, oldest first.

    Those are in review, or were sent by `silent_since` and are asked about still.
    """
    asked = [state.value for state in ASKED_ABOUT]
    rows = await conn.fetch(_WAITING_FOR_A_PERSON, organization_id, asked, silent_since, most)
    return [_key(row) for row in rows]


async def look_up_soon(conn: Conn, account: RowKey, *, now: datetime) -> None:
    """An account answers again: what waits for an answer of it is due."""
    await conn.execute(_LOOK_UP_SOON, account.organization_id, account.id, now)


def _storable(text: str | None) -> str | None:
    """What PostgreSQL can hold of a provider's text: one with a NUL could never be settled."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}") if text else text


def _json(said: Mapping[str, Any] | None) -> str | None:
    if not said:
        return None
    return msgspec.json.encode(said).decode().replace("\\u0000", "\\ufffd")


def _by_key(rows: Sequence[Any]) -> dict[RowKey, Attempt]:
    found = (msgspec.convert(dict(row), Attempt, strict=False) for row in rows)
    return {attempt.key: attempt for attempt in found}


def _key(row: Any) -> RowKey:
    return RowKey(row["organization_id"], row["id"])


def _ids(keys: Collection[RowKey]) -> tuple[list[UUID], list[UUID]]:
    return [key.organization_id for key in keys], [key.id for key in keys]

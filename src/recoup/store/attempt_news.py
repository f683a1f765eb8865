"""What news of attempts writes: on the attempts themselves, and on the invoices that they cover."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from recoup.rules.attempt_state import State
from recoup.rules.declines import Decline, DeclineClass
from recoup.rules.records.keys import RowKey
from recoup.store.db import Conn
from recoup.store.rows import key_arrays, storable

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


async def write_news(conn: Conn, news: Sequence[NewsRow], *, now: datetime) -> None:
    """Write what was told of these attempts."""
    if not news:
        return
    declines = [one.decline for one in news]
    await conn.execute(
        _WRITE_NEWS,
        *key_arrays([one.key for one in news]),
        [one.state.value for one in news],
        [storable(one.provider_payment_id) for one in news],
        [storable(one.provider_status) for one in news],
        [_json(one.next_action) for one in news],
        [storable(decline.code) if decline else None for decline in declines],
        [storable(decline.decline_code) if decline else None for decline in declines],
        [storable(decline.network_decline_code) if decline else None for decline in declines],
        [storable(decline.advice_code) if decline else None for decline in declines],
        [storable(one.error_message) for one in news],
        [one.decline_class for one in news],
        [one.look_up_at for one in news],
        [one.look_ups_unanswered for one in news],
        [storable(decline.network_advice_code) if decline else None for decline in declines],
        [storable(one.payer_url) for one in news],
        [one.expires_at for one in news],
        now,
    )


async def apply(conn: Conn, effects: Sequence[EffectRow], *, now: datetime) -> None:
    """Let ended attempts take effect on the invoices that they cover."""
    if not effects:
        return
    await conn.execute(
        _APPLY,
        *key_arrays([one.payment for one in effects]),
        [one.invoice_id for one in effects],
        [one.applied_cents for one in effects],
        [one.payment_status for one in effects],
        now,
    )


def _json(said: Mapping[str, Any] | None) -> str | None:
    if not said:
        return None
    return msgspec.json.encode(said).decode().replace("\\u0000", "\\ufffd")

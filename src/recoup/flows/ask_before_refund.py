"""Ask a provider for a refund before it is first sent, where a restore may have lost that it was.

Called by `submit_refund`. What the provider has counts as sent, and is settled by what it says.

What would surprise you: who was charged before a restore may have been paid back before it as well,
by a refund that is made anew after it: its id, and so its key, comes out of what the provider told
of the charge. And where the provider cannot be asked (Adyen), only the life of its keys protects
the payer: past that the refund is a person's. So is one of which a provider that answers does not
say whether it has it: unsent, it would be asked about for ever, and no person could settle it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from recoup.flows.call_account import AccountLine, LeftAlone
from recoup.flows.note_outcome import is_news
from recoup.flows.refund_as_sent import count_refund_as_sent, refund_as_perhaps_sent
from recoup.flows.refund_payment import BY_SETTING
from recoup.flows.reports import Source
from recoup.flows.settle_refund import RefundReport, settle_refund_on
from recoup.flows.take_calls import Wants
from recoup.providers.protocol import Lost, NotKnown
from recoup.rules import look_up_schedule
from recoup.rules.records.keys import RowKey
from recoup.rules.records.refunds import RefundRow
from recoup.store import attempts, db, quarantines, refunds
from recoup.store.db import Conn, Pool


async def lost_since(conn: Conn, held: RefundRow) -> datetime | None:
    """From when on its sending may have been lost by a restore; None: it cannot have been."""
    known_since = held.created_at
    if held.asked_by == BY_SETTING:
        payment_key = RowKey(held.organization_id, held.payment_id)
        payment = (await attempts.find(conn, [payment_key]))[payment_key]
        charged_at = payment.sent_at or payment.created_at
        known_since = min(known_since, payment.created_at, charged_at)
    return await quarantines.lost_since(conn, held.account_key, known_since=known_since)


async def ask_before_refund(
    pool: Pool,
    line: AccountLine,
    held: RefundRow,
    request: str,
    *,
    lost_since: datetime,
    now: Callable[[], datetime],
) -> Wants | None:
    """Ask, and answer what sort of call it is sent by; None: it is not sent, or not yet."""
    refund = refund_as_perhaps_sent(held, request)
    told = await line.ask(lambda provider: provider.look_up_refund(refund))
    if isinstance(told, LeftAlone):
        await _park(pool, held.key, until=told.until)
        return None
    if isinstance(told, Lost) and not _is_never_told(told, held, now=now()):
        await _park(pool, held.key, until=_ask_again_at(told, now=now()))
        return None
    if isinstance(told, NotKnown) and (
        told.was_asked or look_up_schedule.may_re_send(sent_at=lost_since, now=now())
    ):
        return line.next_order()
    async with db.transaction(pool, tenants=[held.organization_id]) as conn:
        await count_refund_as_sent(conn, held.key, request, now=now())
        await settle_refund_on(conn, RefundReport(held.key, told, Source.LOOK_UP), now=now())
    return None


def _is_never_told(told: Lost, held: RefundRow, *, now: datetime) -> bool:
    """The account answers, a day later too, and does not say: so that a person can."""
    return not is_news(told) and held.created_at <= look_up_schedule.silent_since(now=now)


def _ask_again_at(told: Lost, *, now: datetime) -> datetime:
    at = now + look_up_schedule.UNANSWERED_AT_MOST
    if told.retry_after_seconds is None:
        return at
    asked = look_up_schedule.after_being_asked_to_wait(told.retry_after_seconds, now=now)
    return max(at, asked)


async def _park(pool: Pool, key: RowKey, *, until: datetime) -> None:
    async with db.transaction(pool, tenants=[key.organization_id]) as conn:
        await refunds.park(conn, key, until=until)

"""Ask a provider for each refund that has not ended, or not long ago: no provider lists them.

Called by `reconcile_account` after the last page. What is told goes through the one door for money
that goes back; a refund that was sent, and that the provider does not know, is a finding.

What would surprise you: those that nobody has sent yet are asked for, too. A restore may have lost
that they were, and what the provider has counts as sent. A refund that only the provider knows is
found by nobody; its charge shows it on the provider's pages.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final

from recoup.flows.call_account import AccountLine, LeftAlone
from recoup.flows.refund_as_sent import (
    count_refund_as_sent,
    refund_as_perhaps_sent,
    refund_as_sent,
    render_refund,
)
from recoup.flows.reports import Source
from recoup.flows.settle_refund import RefundReport, settle_refund_on
from recoup.providers.protocol import (
    Lost,
    NotKnown,
    Provider,
    Refund,
    Refunded,
    RefundOutcome,
)
from recoup.rules.reconciliation import CLOCKS_DIFFER, What
from recoup.rules.records.refunds import RefundRow, refund_key, refund_of
from recoup.rules.refund_state import ENDINGS, RefundState
from recoup.store import db, findings, refund_lists, refunds
from recoup.store.db import Conn, Pool
from recoup.store.findings import Finding
from recoup.store.reconciliations import Reconciliation

MOST_AT_ONCE: Final = 500


async def compare_refunds(
    pool: Pool, line: AccountLine, one: Reconciliation, *, now: Callable[[], datetime]
) -> None:
    """Ask for each, and take in what is told.

    Where the provider is silent, or may not be asked for now, leave the rest to the next time.
    """
    async with db.transaction(pool, tenants=[one.organization_id]) as conn:
        found_before = await findings.keys_of_refunds(conn, one.account)
        asked = await refund_lists.to_compare(
            conn,
            one.account,
            ended_since=one.since,
            sent_before=one.before - CLOCKS_DIFFER,
            besides=[of for key in found_before if (of := refund_of(key))],
            most=MOST_AT_ONCE,
        )
        to_ask = [(held, await _as_sent(conn, line.provider, held)) for held in asked]
    for held, refund in to_ask:
        told = await line.ask(_look_up(refund))
        if isinstance(told, LeftAlone):
            return
        if isinstance(told, Lost):
            if told.is_outage or told.retry_after_seconds is not None:
                return
            continue
        async with db.transaction(pool, tenants=[one.organization_id]) as conn:
            await _take(conn, one, held, refund, told, now=now())


async def _as_sent(conn: Conn, provider: Provider, held: RefundRow) -> Refund:
    if held.state is RefundState.READY:
        return refund_as_perhaps_sent(held, await render_refund(conn, provider, held))
    return refund_as_sent(held)


def _look_up(refund: Refund) -> Callable[[Provider], Awaitable[RefundOutcome | NotKnown]]:
    return lambda provider: provider.look_up_refund(refund)


async def _take(
    conn: Conn,
    one: Reconciliation,
    asked: RefundRow,
    as_sent: Refund,
    told: RefundOutcome | NotKnown,
    *,
    now: datetime,
) -> None:
    """Settle what was told, and find what is not alike then."""
    if not isinstance(told, NotKnown):  # its own look-ups send it again, or go to a person
        if asked.state is RefundState.READY:
            await count_refund_as_sent(conn, asked.key, as_sent.request, now=now)
        await settle_refund_on(conn, RefundReport(asked.key, told, Source.LOOK_UP), now=now)
    refund = (await refunds.lock(conn, [asked.key]))[asked.key]
    # One that was ready need not be known there; meanwhile it may be on its way.
    is_unsent = asked.state is RefundState.READY and isinstance(told, NotKnown)
    found = None if is_unsent else _compare(refund, told)
    if found is None:
        keys = [refund_key(refund.id)]
        because = "known_on_both_sides"
        await findings.resolve(conn, one.account, keys, because=because, now=now)
    else:
        await findings.find(conn, one.account, [found], now=now)


def _compare(refund: RefundRow, told: RefundOutcome | NotKnown) -> Finding | None:
    """What the two sides do not say alike of a refund, after the door has taken in the news."""
    here = refund.state.value if refund.state in ENDINGS else "open"
    match told:
        case NotKnown() if refund.state is not RefundState.FAILED:
            return Finding(
                what=What.REFUND_UNKNOWN_THERE,
                idempotency_key=refund_key(refund.id),
                charge_known_as=refund.provider_refund_id,
                amount_cents=refund.amount_cents,
                currency=refund.currency,
                here=here,
            )
        case Refunded() if refund.state is not RefundState.SUCCEEDED:
            return _differs(refund, told, here, detail="state")
        case Refunded() if told.amount_cents != refund.amount_cents:
            return _differs(refund, told, here, detail="amount")
        case _:
            return None


def _differs(refund: RefundRow, told: Refunded, here: str, *, detail: str) -> Finding:
    return Finding(
        what=What.DIFFERS,
        idempotency_key=refund_key(refund.id),
        charge_known_as=told.provider_refund_id,
        amount_cents=told.amount_cents,
        currency=told.currency.upper(),
        here=here,
        there="refunded",
        here_cents=refund.amount_cents,
        detail=detail,
    )

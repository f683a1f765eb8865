"""Ask a provider for each refund that has not ended, or not long ago: no provider lists them.

Called by `reconcile_account` after the last page. What is told goes through the one door for money
that goes back; a refund that the provider does not know is a finding.

What would surprise you: a refund that only the provider knows is found by nobody. One that a
restore has lost is not sent again by itself, and its charge shows it on the provider's pages.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final

from recoup.flows.call_account import AccountLine, LeftAlone
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
from recoup.store import db, findings, refunds
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
        asked = await refunds.to_compare(
            conn,
            one.account,
            ended_since=one.since,
            sent_before=one.before - CLOCKS_DIFFER,
            besides=[of for key in found_before if (of := refund_of(key))],
            most=MOST_AT_ONCE,
        )
    for refund in asked:
        assert refund.request is not None, "what was sent has its request"
        told = await line.ask(
            _look_up(
                Refund(
                    refund_key(refund.id),
                    refund.request,
                    sent_before=True,
                    provider_refund_id=refund.provider_refund_id,
                    sent_at=refund.sent_at,
                )
            )
        )
        if isinstance(told, LeftAlone):
            return
        if isinstance(told, Lost):
            if told.is_outage or told.retry_after_seconds is not None:
                return
            continue
        async with db.transaction(pool, tenants=[one.organization_id]) as conn:
            await _take(conn, one, refund, told, now=now())


def _look_up(refund: Refund) -> Callable[[Provider], Awaitable[RefundOutcome | NotKnown]]:
    return lambda provider: provider.look_up_refund(refund)


async def _take(
    conn: Conn,
    one: Reconciliation,
    asked: RefundRow,
    told: RefundOutcome | NotKnown,
    *,
    now: datetime,
) -> None:
    """Settle what was told, and find what is not alike then."""
    if not isinstance(told, NotKnown):  # its own look-ups send it again, or go to a person
        await settle_refund_on(conn, RefundReport(asked.key, told, Source.LOOK_UP), now=now)
    refund = (await refunds.lock(conn, [asked.key]))[asked.key]
    found = _compare(refund, told)
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

"""Send a refund to its provider, look up one that did not tell, and settle what comes back.

Like an attempt: `sent` is committed before the call, and what is found `sent` is looked up, never
sent anew under another key; and it waits like one while its account is left alone.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from recoup.flows.call_account import AccountLine, LeftAlone
from recoup.flows.note_outcome import note_outcome
from recoup.flows.open_provider import Providers
from recoup.flows.reports import Source
from recoup.flows.settle_refund import RefundReport, settle_refund
from recoup.flows.take_calls import take_calls
from recoup.providers.protocol import (
    Lost,
    NotKnown,
    Refund,
    RefundOrder,
    RefundOutcome,
)
from recoup.rules.look_up_schedule import STEPS, may_re_send, may_still_send
from recoup.rules.provider_key import TRY_EVERY
from recoup.rules.records.keys import RowKey
from recoup.rules.records.provider_accounts import ProviderAccount
from recoup.rules.records.refunds import RefundRow, refund_key
from recoup.rules.refund_state import ASKED_ABOUT, RefundState
from recoup.store import attempts, db, provider_accounts, quarantines, refunds
from recoup.store.db import Conn, Pool


async def submit_refund(
    pool: Pool, providers: Providers, key: RowKey, *, now: Callable[[], datetime]
) -> None:
    """Send a refund that is ready; look up one that may have been sent before."""
    sent_at = now()
    async with db.transaction(pool, tenants=[key.organization_id]) as conn:
        held = (await refunds.lock(conn, [key])).get(key)
        if held is None:
            return
        is_held_back = held.account_key in await quarantines.live(conn, [key.organization_id])
        if held.state is RefundState.READY and is_held_back:
            return  # the sweep comes back to it
        provider = providers.of(await _account(conn, held))
        if held.state is RefundState.READY:
            request = provider.render_refund(await _order(conn, held))
            limits = {held.account_key: provider.limit} if provider.limit else {}
            wanted = {key: held.account_key}
            crowded = providers.under_way.crowded_out(wanted, now=sent_at)
            pace = await take_calls(conn, {} if crowded else wanted, limits, now=sent_at)
            if (until := crowded.get(key) or pace.parked.get(key)) is not None:
                await refunds.park(conn, key, until=until)
                return
            await refunds.send(conn, key, request, look_up_at=sent_at + STEPS[0], now=sent_at)
            refund = Refund(refund_key(held.id), request, sent_at=sent_at)
    if held.state is not RefundState.READY or not may_still_send(sent_at=sent_at, now=now()):
        await look_up_refund(pool, providers, key, now=now)
        return
    with providers.under_way.place(held.account_key, key, now=sent_at):
        outcome = await provider.refund(refund)
    # As of a charge (`call_first`): a key that is refused is nobody's no, and nothing was done.
    is_ready = False
    if isinstance(outcome, Lost) and outcome.key_refused:
        async with db.transaction(pool, tenants=[key.organization_id]) as conn:
            again_at = now() + TRY_EVERY
            is_ready = await refunds.take_back(conn, key, sent_at=sent_at, send_at=again_at)
    if not is_ready:
        await settle_refund(pool, RefundReport(key, outcome, Source.ANSWER), now=now())
    was_troubled = held.account_key in pace.troubled
    await note_outcome(pool, held.account_key, outcome, was_troubled=was_troubled, now=now())


async def look_up_refund(
    pool: Pool, providers: Providers, key: RowKey, *, now: Callable[[], datetime]
) -> None:
    """Ask what became of a refund; where the provider has none such, send the same again."""
    async with db.transaction(pool, tenants=[key.organization_id]) as conn:
        held = (await refunds.find(conn, [key])).get(key)
        if held is None or held.state not in ASKED_ABOUT:
            return
        account = await _account(conn, held)
        is_held_back = held.account_key in await quarantines.live(conn, [key.organization_id])
    assert held.request is not None, "what was sent has its request"
    assert held.sent_at is not None, "what was sent has its time"
    refund = Refund(
        refund_key(held.id),
        held.request,
        sent_before=True,
        provider_refund_id=held.provider_refund_id,
        sent_at=held.sent_at,
    )
    line = AccountLine(pool, providers, account, now=now)
    told: RefundOutcome | NotKnown | LeftAlone
    told = await line.ask(lambda provider: provider.look_up_refund(refund))
    if isinstance(told, LeftAlone):
        await _put_off(pool, key, told)
        return
    if held.state is RefundState.SENT and isinstance(told, NotKnown | Lost):
        # It is `sent` no more, and that before it is sent again: that nobody knows is a state.
        await settle_refund(pool, RefundReport(key, Lost("sender_gone"), Source.ANSWER), now=now())
    may_be_sent = held.state is not RefundState.PROCESSING and not is_held_back
    if isinstance(told, NotKnown) and may_be_sent and may_re_send(sent_at=held.sent_at, now=now()):
        told = await line.order(lambda provider: provider.refund(refund))
        if isinstance(told, LeftAlone):
            await _put_off(pool, key, told)
            return
    await settle_refund(pool, RefundReport(key, told, Source.LOOK_UP), now=now())


async def _put_off(pool: Pool, key: RowKey, left_alone: LeftAlone) -> None:
    """It was not asked about, so it has used up no step: at the time that the account named."""
    async with db.transaction(pool, tenants=[key.organization_id]) as conn:
        await refunds.put_off_look_up(conn, key, until=left_alone.until)


async def _account(conn: Conn, held: RefundRow) -> ProviderAccount:
    accounts = await provider_accounts.by_ids(conn, [held.account_key])
    return accounts[held.account_key]


async def _order(conn: Conn, held: RefundRow) -> RefundOrder:
    payment_key = RowKey(held.organization_id, held.payment_id)
    payment = (await attempts.find(conn, [payment_key]))[payment_key]
    return RefundOrder(
        refund_id=held.id,
        provider_payment_id=held.provider_payment_id,
        amount_cents=held.amount_cents,
        currency=held.currency,
        refunded_before_cents=await refunds.refunded_before(conn, held),
        charged_cents=max(payment.amount_cents, held.amount_cents),
        reference=refund_key(held.id),
        metadata={
            "lago_refund_id": str(held.id),
            "lago_payment_id": str(held.payment_id),
            "lago_organization_id": str(held.organization_id),
        },
    )

"""Send a refund to its provider, look up one that did not tell, and settle what comes back.

Like an attempt: `sent` is committed before the call, and what is found `sent` is looked up, never
sent anew under another key; and it waits like one while its account is left alone. Where a provider
wants to be told what went back of the charge before, it waits for that to be known as well.

What would surprise you: one that waits fails without a call where its payer has the money already.
The bank has taken the charge back meanwhile (`charge_taken_back`), the dispute about its invoice
was lost, or somebody has said of its credit note that it went back (`refunded_otherwise`). Those
are our own words: the provider was not asked.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final, assert_never

import msgspec

from recoup.flows.ask_before_refund import ask_before_refund, lost_since
from recoup.flows.call_account import AccountLine, LeftAlone
from recoup.flows.note_outcome import note_outcome
from recoup.flows.open_provider import Providers
from recoup.flows.refund_as_sent import refund_as_sent, render_refund
from recoup.flows.reports import Source
from recoup.flows.settle_refund import (
    RefundReport,
    lock_refund,
    settle_refund,
    settle_refund_on,
)
from recoup.flows.take_calls import AN_ORDER, Wants, take_calls
from recoup.providers.protocol import Declined, Lost, NotKnown, Provider, Refund, RefundOutcome
from recoup.rules import refund_state
from recoup.rules.look_up_schedule import STEPS, may_re_send, may_still_send
from recoup.rules.provider_key import TRY_EVERY
from recoup.rules.provider_money import NAMES_WHAT_WENT_BACK
from recoup.rules.records.keys import RowKey
from recoup.rules.records.provider_accounts import ProviderAccount
from recoup.rules.records.refunds import RefundRow, refund_key
from recoup.rules.refund_state import ASKED_ABOUT, RefundState
from recoup.store import (
    contradictions,
    credit_notes,
    db,
    provider_accounts,
    quarantines,
    refunds,
)
from recoup.store.db import Conn, Pool

# Its payer has the money already: nothing is sent. Given back to us, it can be asked for anew.
TAKEN_BACK: Final = Declined("charge_taken_back", message="The bank has taken the charge back.")
DISPUTE_LOST: Final = Declined("dispute_lost", message="The dispute about its invoice was lost.")
PAID_OTHERWISE: Final = Declined(
    refund_state.PAID_OTHERWISE, message="It was said of its credit note that the money went back."
)


class ToSend(msgspec.Struct, frozen=True):
    """The refund is committed as `sent`: now, and only now, it may be sent."""

    refund: Refund
    provider: Provider
    account: RowKey
    sent_at: datetime
    was_troubled: bool  # its account was out lately, so that an answer is news


class ToAskFirst(msgspec.Struct, frozen=True):
    """A restore may have lost that it was sent."""

    held: RefundRow
    request: str
    account: ProviderAccount
    lost_since: datetime


class ToLookUp(msgspec.Struct, frozen=True):
    """It may have been sent before, by somebody who did not come back."""


async def submit_refund(
    pool: Pool, providers: Providers, key: RowKey, *, now: Callable[[], datetime]
) -> None:
    """Send a refund that is ready; look up one that may have been sent before."""
    begun = await _begin(pool, providers, key, now=now())
    if isinstance(begun, ToAskFirst):
        line = AccountLine(pool, providers, begun.account, now=now)
        wants = await ask_before_refund(
            pool, line, begun.held, begun.request, lost_since=begun.lost_since, now=now
        )
        begun = await _begin(pool, providers, key, asked=wants, now=now()) if wants else None
    match begun:
        case ToSend() if may_still_send(sent_at=begun.sent_at, now=now()):
            await _send(pool, providers, key, begun, now=now)
        case ToSend() | ToLookUp():
            await look_up_refund(pool, providers, key, now=now)
        case ToAskFirst():
            raise AssertionError("it was asked for")
        case None:
            pass
        case _:
            assert_never(begun)


async def _begin(
    pool: Pool, providers: Providers, key: RowKey, *, asked: Wants | None = None, now: datetime
) -> ToSend | ToAskFirst | ToLookUp | None:
    """Commit a refund that is ready as `sent`, or say what is to be done first; None: not now.

    `asked`: the provider was asked for it, does not know it, and is called in this manner.
    """
    async with db.transaction(pool, tenants=[key.organization_id]) as conn:
        locked = await lock_refund(conn, key)
        if locked is None:
            return None
        held, _ = locked
        if held.state is not RefundState.READY:
            return ToLookUp()
        if held.account_key in await quarantines.live(conn, [key.organization_id]):
            return None  # the sweep comes back to it
        account = await _account(conn, held)
        provider = providers.of(account)
        request = await render_refund(conn, provider, held)
        if asked is None and (since := await lost_since(conn, held)) is not None:
            return ToAskFirst(held, request, account, since)
        if (moot := await _why_moot(conn, held)) is not None:
            await _call_off(conn, held, request, moot, now=now)
            return None
        if await _waits_for_another(conn, held, account):
            await refunds.park(conn, key, until=now + STEPS[0])
            return None
        wanted = {key: held.account_key}
        limits = {held.account_key: provider.limit} if provider.limit else {}
        crowded = {} if asked else providers.under_way.crowded_out(wanted, now=now)
        callers = {} if crowded else wanted
        pace = await take_calls(conn, callers, limits, wants=asked or AN_ORDER, now=now)
        if (until := crowded.get(key) or pace.parked.get(key)) is not None:
            await refunds.park(conn, key, until=until)
            return None
        await refunds.send(conn, key, request, look_up_at=now + STEPS[0], now=now)
    refund = Refund(refund_key(held.id), request, sent_at=now)
    was_troubled = held.account_key in pace.troubled
    return ToSend(refund, provider, held.account_key, sent_at=now, was_troubled=was_troubled)


async def _waits_for_another(conn: Conn, held: RefundRow, account: ProviderAccount) -> bool:
    """Say whether what goes back of its charge before it is not certain, and has to be named."""
    is_named = account.kind in NAMES_WHAT_WENT_BACK
    return is_named and await refunds.another_is_on_its_way(conn, held)


async def _why_moot(conn: Conn, held: RefundRow) -> Declined | None:
    """Say why the payer has the money already, since the refund was asked for; None: send it."""
    payment = RowKey(held.organization_id, held.payment_id)
    if await contradictions.was_taken_back(conn, payment, held.provider_payment_id):
        return TAKEN_BACK
    if held.credit_note_id is None:
        return None
    moot = await credit_notes.why_moot(conn, RowKey(held.organization_id, held.credit_note_id))
    if moot.went_back_otherwise:
        return PAID_OTHERWISE
    return DISPUTE_LOST if moot.dispute_was_lost else None


async def _call_off(
    conn: Conn, held: RefundRow, request: str, because: Declined, *, now: datetime
) -> None:
    """End a refund without a call: `sent` and `failed` in one transaction, so nobody sends it."""
    await refunds.send(conn, held.key, request, look_up_at=now, now=now)
    report = RefundReport(held.key, because, Source.ANSWER)
    await settle_refund_on(conn, report, now=now)


async def _send(
    pool: Pool, providers: Providers, key: RowKey, begun: ToSend, *, now: Callable[[], datetime]
) -> None:
    """Make the one call, and settle what comes back."""
    with providers.under_way.place(begun.account, key, now=begun.sent_at):
        outcome = await begun.provider.refund(begun.refund)
    # As of a charge (`call_first`): a key that is refused is nobody's no, and nothing was done.
    is_ready = False
    if isinstance(outcome, Lost) and outcome.key_refused:
        async with db.transaction(pool, tenants=[key.organization_id]) as conn:
            again_at = now() + TRY_EVERY
            is_ready = await refunds.take_back(conn, key, sent_at=begun.sent_at, send_at=again_at)
    if not is_ready:
        await settle_refund(pool, RefundReport(key, outcome, Source.ANSWER), now=now())
    was_troubled = begun.was_troubled
    await note_outcome(pool, begun.account, outcome, was_troubled=was_troubled, now=now())


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
        payer_has_it = await _why_moot(conn, held) is not None
    assert held.sent_at is not None, "what was sent has its time"
    refund = refund_as_sent(held)
    line = AccountLine(pool, providers, account, now=now)
    told: RefundOutcome | NotKnown | LeftAlone
    told = await line.ask(lambda provider: provider.look_up_refund(refund))
    if isinstance(told, LeftAlone):
        await _put_off(pool, key, told)
        return
    if held.state is RefundState.SENT and isinstance(told, NotKnown | Lost):
        # It is `sent` no more, and that before it is sent again: that nobody knows is a state.
        gone = RefundReport(key, Lost("sender_gone"), Source.ANSWER)
        if (await settle_refund(pool, gone, now=now())).moved_to is None:
            return  # somebody else knows more of it by now, or has taken it up
    may_be_sent = held.state is not RefundState.PROCESSING and not (is_held_back or payer_has_it)
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

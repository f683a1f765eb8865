"""Ask a provider what became of an attempt, and settle the answer.

Called by the worker for attempts whose look-up is due: `unknown`, `processing`, `customer_needed`,
and `sent` by somebody who died. It charges nothing, with one exception: where the provider has no
such charge, the same request is sent again under the same key, as long as the key lives there.

What would surprise you: a look-up that may not be made yet (`LeftAlone`) is put off and counts as
none. It has used up no step, and nobody was silent. So is one after which the charge may not be
sent again yet: both are made anew at the time that the account named.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec

from recoup.flows.as_sent import as_sent
from recoup.flows.batches import Batches
from recoup.flows.call_account import AccountLine, LeftAlone
from recoup.flows.open_provider import Providers
from recoup.flows.reports import Report, Settled, Source
from recoup.flows.settlement_book import DID_NOT_ACT
from recoup.providers.protocol import CustomerNeeded, Declined, Fate, Lost, NotKnown
from recoup.rules.attempt_state import ASKED_ABOUT, Moved, State
from recoup.rules.look_up_schedule import may_re_send, payer_is_late
from recoup.rules.records.collection import Attempt
from recoup.rules.records.keys import RowKey
from recoup.store import attempts, db, provider_accounts, quarantines, waiting_attempts
from recoup.store.db import Pool


async def look_up_attempt(
    pool: Pool,
    providers: Providers,
    attempt: RowKey,
    *,
    settling: Batches[Report, Settled],
    jitter: timedelta,
    now: Callable[[], datetime],
) -> Settled | None:
    """Look up one attempt and settle what is told; None: nothing was asked about it, or not yet.

    `now` is the edge's clock, and not its reading: an answer may be long in coming, and a key may
    die meanwhile.
    """
    found = await _read(pool, providers, attempt, now=now)
    if found is None:
        return None
    held, line, is_held_back = found
    assert held.sent_at is not None, "what was sent has its time"
    charge = as_sent(held)
    told: Fate | NotKnown | LeftAlone
    if payer_is_late(held.state, held.expires_at, now=now()):
        # It moves no money, so it is asked for like an answer, and not like a charge.
        told = await line.ask(lambda provider: provider.cancel(charge))
        if isinstance(told, LeftAlone):
            await _put_off(pool, attempt, told)
            return None
        return await _end(told, held, settling=settling, jitter=jitter)
    told = await line.ask(lambda provider: provider.look_up(charge))
    if isinstance(told, LeftAlone):
        await _put_off(pool, attempt, told)
        return None
    is_unanswered = isinstance(told, NotKnown | Lost)
    if held.state is State.SENT and is_unanswered:
        # It is `sent` no more, and that before it is sent again: that nobody knows is a state.
        left = await settling.ask(Report(attempt, Lost("sender_gone"), Source.ANSWER))
        if not isinstance(left, Moved):
            return left  # somebody else knows more of it by now, or has taken it up
    may_send = not is_held_back and may_re_send(sent_at=held.sent_at, now=now())
    if isinstance(told, NotKnown) and may_send:
        told = await line.order(lambda provider: provider.charge(charge))
        if isinstance(told, LeftAlone):
            await _put_off(pool, attempt, told)
            return None
    settled = await settling.ask(Report(attempt, told, Source.LOOK_UP, jitter))
    if held.look_ups_unanswered and not isinstance(told, Lost):
        await _wake_others(pool, held, now=now())
    # A page whose invoice was paid or voided before anybody knew that it had opened.
    was_due = payer_is_late(State.CUSTOMER_NEEDED, held.expires_at, now=now())
    if was_due and isinstance(told, CustomerNeeded):
        known = msgspec.structs.replace(charge, provider_payment_id=told.provider_payment_id)
        ended = await line.ask(lambda provider: provider.cancel(known))
        if not isinstance(ended, LeftAlone):  # else the next look-up asks for it
            return await _end(ended, held, settling=settling, jitter=jitter)
    return settled


async def _end(
    told: Fate | NotKnown,
    held: Attempt,
    *,
    settling: Batches[Report, Settled],
    jitter: timedelta,
) -> Settled:
    """Settle what was said to our asking for an end, since the payer did not act in time."""
    if isinstance(told, Declined):
        told = msgspec.structs.replace(told, code=DID_NOT_ACT)
    return await settling.ask(Report(held.key, told, Source.EXPIRY, jitter))


async def _put_off(pool: Pool, attempt: RowKey, left_alone: LeftAlone) -> None:
    async with db.transaction(pool, tenants=[attempt.organization_id]) as conn:
        await waiting_attempts.put_off_look_up(conn, attempt, until=left_alone.until)


async def _read(
    pool: Pool, providers: Providers, key: RowKey, *, now: Callable[[], datetime]
) -> tuple[Attempt, AccountLine, bool] | None:
    """The attempt, the way to its account, and whether nothing is sent there for now."""
    async with db.transaction(pool, tenants=[key.organization_id]) as conn:
        held = (await attempts.find(conn, [key])).get(key)
        if held is None or held.state not in ASKED_ABOUT or held.provider_account_id is None:
            return None
        account = RowKey(key.organization_id, held.provider_account_id)
        accounts = await provider_accounts.by_ids(conn, [account])
        held_back = await quarantines.live(conn, [key.organization_id])
    line = AccountLine(pool, providers, accounts[account], now=now)
    return held, line, account in held_back


async def _wake_others(pool: Pool, held: Attempt, *, now: datetime) -> None:
    """The account answers again: all that waits for an answer of it is due."""
    assert held.provider_account_id is not None, "it was read from its account"
    account = RowKey(held.organization_id, held.provider_account_id)
    async with db.transaction(pool, tenants=[held.organization_id]) as conn:
        await waiting_attempts.look_up_soon(conn, account, now=now)

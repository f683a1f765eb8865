"""Apply a kept event of a provider: what it says of money goes through the one door.

Nothing depends on the order in which events come, nor on how often: `rules/attempt_state.py` says
what each means beside what is known already. An event about something that is not known yet waits.

What would surprise you: some events are but hints: of a payment method, or that something happened
to a charge, which may have ended long ago. Then the provider is asked for the thing itself, outside
any transaction, and the event counts as applied once it has answered.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, assert_never
from uuid import UUID

import msgspec
import structlog

from recoup.flows.apply_refund_event import apply_to_refund
from recoup.flows.as_sent import as_known_there
from recoup.flows.call_account import AccountLine, LeftAlone
from recoup.flows.count_as_sent import count_as_sent
from recoup.flows.keep_methods import ProviderSilentError, find_method, follow_hint
from recoup.flows.open_provider import Providers
from recoup.flows.reports import NothingSuch, Report, Settled, Source
from recoup.flows.settle_attempt import settle_attempts_on
from recoup.providers.protocol import (
    Canceled,
    Ignored,
    LookUpNeeded,
    Lost,
    MethodAdded,
    MethodGone,
    Notice,
    NotKnown,
    Provider,
    RefundNotice,
    Told,
)
from recoup.rules.attempt_state import FINAL, Contradicted, Moved, Repeated, State
from recoup.rules.look_up_schedule import AFTERWARDS, next_step
from recoup.rules.records.collection import Attempt, attempt_of
from recoup.rules.records.keys import RowKey
from recoup.store import (
    attempts,
    collection,
    db,
    provider_accounts,
    provider_events,
    quarantines,
)
from recoup.store.db import Conn, Pool

# By then whatever was told before a cancellation has come, if it was told at all.
AN_AUTHORISATION_IS_LATE: Final = timedelta(minutes=15)
NOT_TOLD: Final = "method_not_told"
NOT_KNOWN: Final = "no_such_attempt"

log = structlog.get_logger()


class _Asked(msgspec.Struct, frozen=True):
    """An attempt to ask the provider about, and the id under which it told of the charge."""

    held: Attempt
    known_as: str


async def apply_event(
    pool: Pool,
    providers: Providers,
    event: RowKey,
    *,
    jitter: timedelta,
    new_id: Callable[[], UUID],
    now: datetime,
) -> str | None:
    """Apply one event and answer what that did, in a word; None: it was applied before, or waits.

    :raises ProviderSilentError: the provider does not answer about a hint, or may not be asked yet;
        the event waits.
    """
    async with db.transaction(pool, tenants=[event.organization_id]) as conn:
        found = await provider_events.lock_to_apply(conn, event)
        if found is None:
            return None
        kept, received_at = found
        account = (await provider_accounts.by_ids(conn, [kept.account]))[kept.account]
        said = providers.of(account).read_event(kept.body)
        hint = await _hint(conn, said, kept.account)
        if hint is None:
            is_fresh = now - received_at < AN_AUTHORISATION_IS_LATE
            provider = providers.of(account)
            word = await _apply(
                conn, provider, said, kept.account, is_fresh=is_fresh, jitter=jitter, now=now
            )
            return await _end(conn, event, kept.account, word, received_at, now=now)
    line = AccountLine(pool, providers, account, now=lambda: now)
    if isinstance(hint, _Asked):
        return await _apply_to_charge(pool, line, event, hint, jitter=jitter, now=now)
    try:
        method = await find_method(line, hint)
    except ProviderSilentError:
        # A method waits well, and an account whose key is gone never tells: not asked for ever.
        async with db.transaction(pool, tenants=[event.organization_id]) as conn:
            if await provider_events.lock_to_apply(conn, event) is None:
                return None
            word = None if next_step(sent_at=received_at, now=now) else NOT_TOLD
            return await _end(conn, event, kept.account, word, received_at, now=now)
    async with db.transaction(pool, tenants=[event.organization_id]) as conn:
        if await provider_events.lock_to_apply(conn, event) is None:
            return None
        word = await follow_hint(conn, account, hint, method, new_id=new_id, now=now)
        return await _end(conn, event, kept.account, word, received_at, now=now)


async def _hint(
    conn: Conn, said: Told, account: RowKey
) -> _Asked | MethodAdded | MethodGone | None:
    """What the provider is to be asked for first, if anything."""
    if isinstance(said, MethodAdded | MethodGone):
        return said
    if not isinstance(said, LookUpNeeded):
        return None
    held = await _attempt(conn, account, said.idempotency_key, said.provider_payment_id)
    return _Asked(held, said.provider_payment_id) if held else None


async def _apply_to_charge(
    pool: Pool,
    line: AccountLine,
    event: RowKey,
    asked: _Asked,
    *,
    jitter: timedelta,
    now: datetime,
) -> str | None:
    """Ask what became of a charge that something happened to, and settle that."""
    held, charge = asked.held, as_known_there(asked.held, asked.known_as)
    told = await line.ask(lambda provider: provider.look_up(charge))
    if isinstance(told, LeftAlone):
        raise ProviderSilentError("left_alone")
    if isinstance(told, Lost) and told.is_outage:
        raise ProviderSilentError(told.why)
    async with db.transaction(pool, tenants=[event.organization_id]) as conn:
        found = await provider_events.lock_to_apply(conn, event)
        if found is None:
            return None
        if isinstance(told, Lost):  # asked as often as it likes, it does not say
            later = next_step(sent_at=found[1], now=now) or now + AFTERWARDS
            await provider_events.put_off(conn, event, until=later)
            return None
        word = None  # the provider has an event of it, and does not know it: not yet, perhaps
        if not isinstance(told, NotKnown):
            await _send_after_all(conn, held.account_key, held.key, now=now)
            report = Report(held.key, told, Source.LOOK_UP, jitter)
            word = _word((await settle_attempts_on(conn, [report], now=now))[0])
        return await _end(conn, event, held.account_key, word, found[1], now=now)


async def _end(
    conn: Conn,
    event: RowKey,
    account: RowKey,
    word: str | None,
    received_at: datetime,
    *,
    now: datetime,
) -> str | None:
    """Note what an event did; one that did nothing yet waits, until its steps are used up.

    In quarantine it waits for the end of that: what it is about may have been lost by a restore.
    """
    later = next_step(sent_at=received_at, now=now)
    if word is None and later is None:
        is_held_back = account in await quarantines.live(conn, [event.organization_id])
        later = now + AFTERWARDS if is_held_back else None
    if word is None and later is not None:
        await provider_events.put_off(conn, event, until=later)
        return None
    if word in {None, NOT_KNOWN}:  # by another program in this account, or money that we have lost
        log.info("event_of_unknown_attempt", row=str(event))
    await provider_events.mark_applied(conn, event, word or NOT_KNOWN, now=now)
    return word or NOT_KNOWN


async def _apply(
    conn: Conn,
    provider: Provider,
    said: Told,
    account: RowKey,
    *,
    is_fresh: bool,
    jitter: timedelta,
    now: datetime,
) -> str | None:
    """Do what the event says; None: what it is about may become known."""
    match said:
        case Ignored():
            return said.why
        case Notice():
            known_as = said.outcome.provider_payment_id
            attempt = await _attempt(conn, account, said.idempotency_key, known_as)
            if attempt is None:
                return await _of_nothing(conn, account, said.idempotency_key)
            if _came_too_soon(said.outcome, attempt) and is_fresh:
                return None
            if attempt.state is State.READY:
                await _send_after_all(conn, account, attempt.key, now=now)
            report = Report(attempt.key, said.outcome, Source.EVENT, jitter)
            return _word((await settle_attempts_on(conn, [report], now=now))[0])
        case LookUpNeeded():  # of an attempt that we know it would be a hint
            return await _of_nothing(conn, account, said.idempotency_key)
        case RefundNotice():
            return await apply_to_refund(conn, provider, account, said, now=now)
        case MethodAdded() | MethodGone():
            raise AssertionError("a hint is asked about first")
        case _:
            assert_never(said)


async def _attempt(
    conn: Conn, account: RowKey, key: str | None, known_as: str | None
) -> Attempt | None:
    """The attempt that is meant, if it is this tenant's and this account's."""
    if key is None:
        asked = await attempts.by_provider_id(conn, account, known_as) if known_as else None
    else:
        attempt_id = attempt_of(key)
        asked = RowKey(account.organization_id, attempt_id) if attempt_id else None
    held = (await attempts.find(conn, [asked])).get(asked) if asked else None
    return held if held and held.provider_account_id == account.id else None


def _came_too_soon(told: object, attempt: Attempt) -> bool:
    """An authorisation was cancelled that we have not been told of yet."""
    return isinstance(told, Canceled) and not told.is_ours and attempt.state not in FINAL


async def _of_nothing(conn: Conn, account: RowKey, key: str | None) -> str | None:
    """Nothing is known of it. Without our key it may become known; with it, after a restore."""
    if key is None or account in await quarantines.live(conn, [account.organization_id]):
        return None
    return NOT_KNOWN


async def _send_after_all(conn: Conn, account: RowKey, attempt: RowKey, *, now: datetime) -> None:
    """What the provider tells of, and we believe to be unsent, was sent: a restore has lost it."""
    await collection.lock_covered(conn, [attempt])  # invoices first, as everywhere
    held = (await attempts.lock(conn, [attempt]))[attempt]
    if held.state is State.READY:
        await count_as_sent(conn, held, account, amount_cents=held.amount_cents, now=now)


def _word(settled: Settled) -> str:
    match settled:
        case Moved():
            return f"moved_to_{settled.to}"
        case Repeated():
            return "nothing_new"
        case Contradicted():
            return f"contradicts_{settled.was}"
        case NothingSuch():
            return NOT_KNOWN
        case _:
            assert_never(settled)

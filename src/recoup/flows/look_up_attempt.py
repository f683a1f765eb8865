"""Ask a provider what became of an attempt, and settle the answer.

Called by the worker for attempts whose look-up is due: `unknown`, `processing`, `customer_needed`,
and `sent` by somebody who died. It charges nothing, with one exception: where the provider has no
such charge, the same request is sent again under the same key, as long as the key lives there.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec

from recoup.flows.as_sent import as_sent
from recoup.flows.batches import Batches
from recoup.flows.note_outcome import note_outcome
from recoup.flows.open_provider import Providers
from recoup.flows.reports import Report, Settled, Source
from recoup.flows.settlement_book import DID_NOT_ACT
from recoup.providers.protocol import (
    Charge,
    CustomerNeeded,
    Declined,
    Fate,
    Lost,
    NotKnown,
    Provider,
)
from recoup.rules.attempt_state import ASKED_ABOUT, State
from recoup.rules.look_up_schedule import may_re_send, payer_is_late
from recoup.rules.records.collection import Attempt
from recoup.rules.records.keys import RowKey
from recoup.store import attempts, db, provider_accounts, provider_health, quarantines
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
    """Look up one attempt and settle what is told; None: there is nothing to ask about it.

    `now` is the edge's clock, and not its reading: an answer may be long in coming, and a key may
    die meanwhile.
    """
    found = await _read(pool, providers, attempt)
    if found is None:
        return None
    held, provider, is_held_back, was_troubled = found
    assert held.sent_at is not None, "what was sent has its time"
    charge = as_sent(held)
    if payer_is_late(held.state, held.expires_at, now=now()):
        return await _end(provider, charge, held, settling=settling, jitter=jitter)
    told: Fate | NotKnown = await provider.look_up(charge)
    may_send = not is_held_back and may_re_send(sent_at=held.sent_at, now=now())
    if isinstance(told, NotKnown) and may_send:
        told = await provider.charge(charge)
    if held.state is State.SENT and isinstance(told, NotKnown | Lost):
        # It is `sent` no more: that nobody knows is a state of its own.
        await settling.ask(Report(attempt, Lost("sender_gone"), Source.ANSWER))
    settled = await settling.ask(Report(attempt, told, Source.LOOK_UP, jitter))
    await note_outcome(pool, held.account_key, told, was_troubled=was_troubled, now=now())
    if held.look_ups_unanswered and not isinstance(told, Lost):
        await _wake_others(pool, held, now=now())
    # A page whose invoice was paid or voided before anybody knew that it had opened.
    was_due = payer_is_late(State.CUSTOMER_NEEDED, held.expires_at, now=now())
    if was_due and isinstance(told, CustomerNeeded):
        known = msgspec.structs.replace(charge, provider_payment_id=told.provider_payment_id)
        return await _end(provider, known, held, settling=settling, jitter=jitter)
    return settled


async def _end(
    provider: Provider,
    charge: Charge,
    held: Attempt,
    *,
    settling: Batches[Report, Settled],
    jitter: timedelta,
) -> Settled:
    """Ask for an end, since the payer did not act in time; it ends when the provider says so."""
    told = await provider.cancel(charge)
    if isinstance(told, Declined):
        told = msgspec.structs.replace(told, code=DID_NOT_ACT)
    return await settling.ask(Report(held.key, told, Source.EXPIRY, jitter))


async def _read(
    pool: Pool, providers: Providers, key: RowKey
) -> tuple[Attempt, Provider, bool, bool] | None:
    """The attempt, whom to ask, whether nothing is sent there for now, and whether it was out."""
    async with db.transaction(pool, tenants=[key.organization_id]) as conn:
        held = (await attempts.find(conn, [key])).get(key)
        if held is None or held.state not in ASKED_ABOUT or held.provider_account_id is None:
            return None
        account = RowKey(key.organization_id, held.provider_account_id)
        accounts = await provider_accounts.by_ids(conn, [account])
        held_back = await quarantines.live(conn, [key.organization_id])
        health = (await provider_health.find(conn, [account])).get(account)
        was_troubled = health is not None and health.is_troubled
        return held, providers.of(accounts[account]), account in held_back, was_troubled


async def _wake_others(pool: Pool, held: Attempt, *, now: datetime) -> None:
    """The account answers again: all that waits for an answer of it is due."""
    assert held.provider_account_id is not None, "it was read from its account"
    account = RowKey(held.organization_id, held.provider_account_id)
    async with db.transaction(pool, tenants=[held.organization_id]) as conn:
        await attempts.look_up_soon(conn, account, now=now)

"""Commit attempts as sent, many at once: looked at again, frozen, let through to their accounts.

Called by `submit_attempt`, and by `open_payment_page` for a payer who waits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from functools import partial
from typing import TypeAlias
from uuid import UUID

import msgspec

from recoup.flows.freeze_charge import Frozen, Open, freeze
from recoup.flows.open_provider import Providers
from recoup.flows.take_calls import Pace, Wants, take_calls
from recoup.flows.withdraw_attempts import withdraw
from recoup.providers.protocol import Charge, Provider
from recoup.rules.attempt_state import State
from recoup.rules.look_up_schedule import STEPS
from recoup.rules.provider_pace import Held, HeldBack
from recoup.rules.records.collection import Attempt, Covered, Link
from recoup.rules.records.keys import RowKey
from recoup.store import attempts, collection, db, provider_accounts, quarantines, waiting_attempts
from recoup.store.db import Conn, Pool


def _nothing() -> None:
    """Nobody counts the call."""


class ToSend(msgspec.Struct, frozen=True):
    """The attempt is committed as `sent`: now, and only now, it may be sent."""

    charge: Charge
    provider: Provider
    account: RowKey
    sent_at: datetime
    was_troubled: bool = False  # its account was out lately, so that an answer is news
    ended: Callable[[], None] = _nothing  # to be called once, whether it was sent or not


class ToLookUp(msgspec.Struct, frozen=True):
    """It may have been sent before, by somebody who did not come back."""


class NothingToDo(msgspec.Struct, frozen=True):
    """Withdrawn or held back just now, or settled already; another's of this batch; or none."""


Begun: TypeAlias = ToSend | ToLookUp | NothingToDo


class _Batch(msgspec.Struct, frozen=True):
    """What a batch is about, under lock."""

    held: Mapping[RowKey, Attempt]
    ready: Sequence[Attempt]  # of those, the ones that may be sent
    covered: Mapping[RowKey, Sequence[Covered]]
    links: Mapping[RowKey, Link]  # by customer
    held_back: AbstractSet[RowKey]  # accounts through which nothing is sent
    accounts: Mapping[RowKey, Open]


async def begin_sending(
    pool: Pool,
    providers: Providers,
    keys: Sequence[RowKey],
    *,
    is_awaited: bool = False,
    now: datetime,
) -> list[Begun]:
    """Commit each attempt as `sent`, or as `withdrawn` where there is nothing left to charge.

    Looks again, under lock, at all that may have changed since the ask: the invoice, what it owes,
    the account and the method. What is sent is frozen on the attempt. What an account may
    not be called for yet, by its limit or since it is down, stays `ready`. `is_awaited`: a payer
    waits, so what an account keeps for those is theirs. Answers in the order given; of an attempt
    that is named twice, the first one sends it.
    """
    async with db.transaction(pool, tenants={key.organization_id for key in keys}) as conn:
        batch = await _lock(conn, providers, keys)
        frozen, withdrawn = _freeze_each(batch, now=now)
        pace = await _take_calls(conn, providers, batch, frozen, is_awaited=is_awaited, now=now)
        to_send = {
            key: ToSend(
                one.charge,
                one.through.provider,
                one.account,
                sent_at=now,
                was_troubled=one.account in pace.troubled,
                ended=partial(providers.under_way.end, one.account, key),
            )
            for key, one in frozen.items()
            if key not in pace.held
        }
        await waiting_attempts.park(conn, pace.parked)
        rows = [frozen[key].row for key in to_send]
        await attempts.send(conn, rows, look_up_at=now + STEPS[0], now=now)
        await withdraw(conn, withdrawn, batch.held, batch.covered, batch.links, now=now)
    for key, order in to_send.items():
        providers.under_way.begin(order.account, key, now=now)
    return [to_send.pop(key) if key in to_send else _not_ours(batch.held.get(key)) for key in keys]


async def _lock(conn: Conn, providers: Providers, keys: Sequence[RowKey]) -> _Batch:
    """Lock invoices and attempts, and read all that may have changed since the ask."""
    covered = await collection.lock_covered(conn, keys)
    held = await attempts.lock(conn, keys)
    ready = [attempt for attempt in held.values() if attempt.state is State.READY]
    held_back = await quarantines.live(conn, {one.organization_id for one in ready})
    links = await collection.links(
        conn, {attempt.customer_key for attempt in ready}, _wanted(ready, covered)
    )
    accounts = await _open(conn, providers, links)
    return _Batch(held, ready, covered, links, held_back.keys(), accounts)


def _freeze_each(batch: _Batch, *, now: datetime) -> tuple[dict[RowKey, Frozen], dict[RowKey, str]]:
    """What would be sent, and what is withdrawn, each for its reason."""
    frozen: dict[RowKey, Frozen] = {}
    withdrawn: dict[RowKey, str] = {}
    for attempt in batch.ready:
        link = batch.links[attempt.customer_key]
        if link.account_key in batch.held_back:
            continue  # after a restore nobody knows what was charged: until then it stays ready
        one = freeze(attempt, batch.covered[attempt.key], link, batch.accounts, now=now)
        if isinstance(one, Frozen):
            frozen[attempt.key] = one
        else:
            withdrawn[attempt.key] = one
    return frozen, withdrawn


async def _take_calls(
    conn: Conn,
    providers: Providers,
    batch: _Batch,
    frozen: Mapping[RowKey, Frozen],
    *,
    is_awaited: bool,
    now: datetime,
) -> Pace:
    """Say which of these wait, since their account may not be called for them yet."""
    wanted = {key: one.account for key, one in frozen.items()}
    # Who waits at a page holds no slot of a worker's, so nobody is to be let in for it.
    crowded = {} if is_awaited else providers.under_way.crowded_out(wanted, now=now)
    pace = await take_calls(
        conn,
        {key: account for key, account in wanted.items() if key not in crowded},
        {key: one.provider.limit for key, one in batch.accounts.items() if one.provider.limit},
        wants=Wants(awaited=is_awaited),
        now=now,
    )
    full = {key: Held(until, HeldBack.SLOTS) for key, until in crowded.items()}
    return msgspec.structs.replace(pace, held={**full, **pace.held})


def _not_ours(attempt: Attempt | None) -> ToLookUp | NothingToDo:
    if attempt is not None and attempt.state is State.SENT:
        return ToLookUp()
    return NothingToDo()


def _wanted(ready: Sequence[Attempt], covered: Mapping[RowKey, Sequence[Covered]]) -> set[UUID]:
    asked = {attempt.wanted_method_id for attempt in ready}
    asked |= {one.debt.payment_method_id for attempt in ready for one in covered[attempt.key]}
    return {method for method in asked if method}


async def _open(
    conn: Conn, providers: Providers, links: Mapping[RowKey, Link]
) -> dict[RowKey, Open]:
    keys = {
        RowKey(link.customer.organization_id, link.account_id)
        for link in links.values()
        if link.account_id
    }
    accounts = await provider_accounts.by_ids(conn, keys)
    return {key: Open(account, providers.of(account)) for key, account in accounts.items()}

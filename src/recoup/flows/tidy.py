"""Forget what nobody asks for any more, once its time is over.

Called once a day. In pieces, so that no lock is held for long. What would surprise you:
- What money is known by is no part of this, at any setting: attempts, refunds, the ledger,
  decisions, contradictions and the audit log stay for ever.
- Of an event, a provider's or ours, the body goes and the row stays: by that it was told the books
  are checked, and by that it came it is no news when it comes again.
- An event whose delivery is there keeps its body, whatever its age: it may be sent yet.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import msgspec

from recoup.flows.answer_once import KEPT_FOR
from recoup.rules.records.keys import RowKey
from recoup.store import (
    db,
    events,
    idempotency_keys,
    jobs,
    mails,
    provider_events,
    webhook_deliveries,
)
from recoup.store.db import Conn, Pool

AT_ONCE: Final = 1_000


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """For how long things are kept; None: for ever."""

    webhook_deliveries: timedelta | None = timedelta(days=90)  # from their end on; as at Lago
    event_bodies: timedelta | None = timedelta(days=365)
    provider_event_bodies: timedelta | None = timedelta(days=365)  # from when they were applied
    mails: timedelta | None = timedelta(days=365)  # from when they were sent, or given up
    idempotency_keys: timedelta = KEPT_FOR
    job_log: timedelta = timedelta(days=1)  # for looking into yesterday's trouble

    @property
    def bodies_at_least(self) -> timedelta | None:
        """How long bodies of events are kept: as long as what may be sent again of them."""
        if self.event_bodies is None or self.webhook_deliveries is None:
            return None
        return max(self.event_bodies, self.webhook_deliveries)


USUAL: Final = Retention()
Find = Callable[..., Awaitable[list[RowKey]]]
Forget = Callable[[Conn, Collection[RowKey]], Awaitable[bool]]


async def tidy(pool: Pool, scout: Pool, *, keep: Retention = USUAL, now: datetime) -> None:
    """Forget what is past its time."""
    if keep.webhook_deliveries is not None:
        before = now - keep.webhook_deliveries
        forget: Forget = partial(webhook_deliveries.forget, before=before)
        await _in_pieces(pool, scout, webhook_deliveries.ended, forget, before=before)
    if keep.bodies_at_least is not None:
        forget = partial(events.forget_bodies, now=now)
        before = now - keep.bodies_at_least
        await _in_pieces(pool, scout, events.with_body, forget, before=before)
    if keep.provider_event_bodies is not None:
        forget = partial(provider_events.forget_bodies, now=now)
        before = now - keep.provider_event_bodies
        await _in_pieces(pool, scout, provider_events.with_body, forget, before=before)
    if keep.mails is not None:
        before = now - keep.mails
        await _in_pieces(pool, scout, mails.ended, partial(mails.forget, before=before),
                         before=before)  # fmt: skip
    await _forget_keys(pool, scout, before=now - keep.idempotency_keys)
    left = True
    while left:
        async with db.nameless(pool) as conn:
            left = await jobs.forget_log(conn, before=now - keep.job_log)


async def _in_pieces(
    pool: Pool, scout: Pool, find: Find, forget: Forget, *, before: datetime
) -> None:
    """Find some of all tenants, forget them, and so on while that gets on."""
    gets_on = True
    while gets_on:
        async with db.nameless(scout) as conn:
            found = await find(conn, before=before, most=AT_ONCE)
        if not found:
            return
        async with db.transaction(pool, tenants={one.organization_id for one in found}) as conn:
            gets_on = await forget(conn, found)  # if not, somebody holds them: tomorrow, then


async def _forget_keys(pool: Pool, scout: Pool, *, before: datetime) -> None:
    async with db.nameless(scout) as conn:
        tenants = await idempotency_keys.tenants_with_old(conn, before=before)
    for tenant in tenants:
        left = True
        while left:
            async with db.transaction(pool, tenants=[tenant]) as conn:
                left = await idempotency_keys.forget(conn, tenant, before=before)

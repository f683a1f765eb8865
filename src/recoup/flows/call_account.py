"""Call a provider account for one thing: when it may be called, and with what it says remembered.

Every call that is not the first one of an attempt or a refund goes this way. Those two decide in
the transaction that commits `sent` (`begin_sending`, `submit_refund`).

What would surprise you: an account that may not be called is no account that does not answer. It
was not asked, so nothing counts as unanswered: whoever gets `LeftAlone` asks again at its time.
And a provider that has no way to say is not called at all: what was taken for that call is given
back, so that no one waits for what it would have told.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar

import msgspec

from recoup.flows.calls_under_way import FULL_FOR
from recoup.flows.note_outcome import asked_nobody, is_news, note_outcome
from recoup.flows.open_provider import Providers
from recoup.flows.take_calls import NOTHING, Used, Wants, give_back, take_calls
from recoup.flows.wake_account import wake_account
from recoup.providers.protocol import Provider
from recoup.rules.provider_pace import HeldBack
from recoup.rules.records.provider_accounts import ProviderAccount
from recoup.store import db
from recoup.store.db import Pool

Told = TypeVar("Told")


class LeftAlone(msgspec.Struct, frozen=True):
    """The account was not called, and why; it may be asked for at this time."""

    until: datetime
    because: HeldBack


class AccountLine:
    """The way to one account, for the calls that one piece of work makes, one after the other."""

    def __init__(
        self,
        pool: Pool,
        providers: Providers,
        account: ProviderAccount,
        *,
        now: Callable[[], datetime],
    ) -> None:
        self.paused_until: datetime | None = None  # where the last call was one too many
        self._under_way = providers.under_way
        self.provider = providers.of(account)
        self._pool = pool
        self._key = account.key
        self._now = now
        self._is_probe = False
        self._has_asked = False
        self._had_no_way_to_ask = False

    async def order(
        self, call: Callable[[Provider], Awaitable[Told]], *, is_awaited: bool = False
    ) -> Told | LeftAlone:
        """Ask for something to be done. Waits while the account is left alone.

        After a question that was let through to see whether the account answers again, and to which
        it told nothing, the order is that probe: it goes on. After one that could not be asked the
        order is the question.
        """
        return await self._call(call, self.next_order(is_awaited=is_awaited))

    def next_order(self, *, is_awaited: bool = False) -> Wants:
        """What sort of call an order is that is made now, for who makes it without this line."""
        # What follows a question takes of what is kept back: else each of many look-ups would ask,
        # find no call left for the charge to be sent again, and ask anew, and none would end.
        return Wants(
            questions=self._had_no_way_to_ask,
            awaited=is_awaited or self._has_asked,
            continues_probe=self._is_probe,
        )

    async def ask(
        self, call: Callable[[Provider], Awaitable[Told]], *, is_awaited: bool = False
    ) -> Told | LeftAlone:
        """Ask for what is. While the account is down, one question at a time is its probe."""
        told = await self._call(call, Wants(questions=True, awaited=is_awaited))
        self._has_asked = not isinstance(told, LeftAlone)
        return told

    async def _call(
        self, call: Callable[[Provider], Awaitable[Told]], wants: Wants
    ) -> Told | LeftAlone:
        # Who waits at a page holds no slot of a worker's, so nobody is to be let in for it.
        if not wants.awaited and not self._under_way.room(self._key, now=self._now()):
            return LeftAlone(self._now() + FULL_FOR, HeldBack.SLOTS)
        limit = self.provider.limit
        async with db.transaction(self._pool, tenants=[self._key.organization_id]) as conn:
            pace = await take_calls(
                conn,
                {self._key: self._key},  # it calls for itself alone
                {self._key: limit} if limit else {},
                wants=wants,
                now=self._now(),
            )
        if (held := pace.held.get(self._key)) is not None:
            return LeftAlone(held.until, held.because)
        with self._under_way.place(self._key, self, now=self._now()):
            told = await call(self.provider)  # outside any transaction
        used = pace.used.get(self._key, NOTHING)
        self._had_no_way_to_ask = asked_nobody(told)
        self._is_probe = False
        if self._had_no_way_to_ask:
            await self._give_back(used)
            return told
        was_troubled = self._key in pace.troubled
        self.paused_until = await note_outcome(
            self._pool, self._key, told, was_troubled=was_troubled, now=self._now()
        )
        self._is_probe = used.is_probe and not is_news(told)
        return told

    async def _give_back(self, used: Used) -> None:
        if used == NOTHING:
            return
        async with db.transaction(self._pool, tenants=[self._key.organization_id]) as conn:
            await give_back(conn, self._key, used, now=self._now())
        if used.is_probe:  # who met it meanwhile waits for its end: one of them may call instead
            await wake_account(self._pool, self._key, most=1, now=self._now())

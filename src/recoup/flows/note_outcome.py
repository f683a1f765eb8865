"""Remember of an account that it was out, calls too often, has a refused key, or answers again.

Called after each call to a provider, outside any other transaction. A call that was answered by an
account that is known to answer writes nothing. That a key is refused is told when it begins
(`payment_provider.error`), however many calls find it out at once: the row's lock makes one first.

What would surprise you: that a provider knows nothing of a thing (`NotKnown`) says nothing of the
account. Adapters say so, too, where their provider cannot be asked.
"""

from __future__ import annotations

from datetime import datetime
from uuid import uuid5
from zlib import crc32

import msgspec
import structlog

from recoup.flows.tell import News, tell
from recoup.flows.wake_account import wake_account
from recoup.providers.protocol import TOO_OFTEN, CannotList, Declined, Lost, NotKnown
from recoup.rules.lago.failures import (
    ACCOUNT_ERROR,
    ACCOUNT_OBJECT_TYPE,
    key_refused_object,
)
from recoup.rules.provider_key import KeyRefusal, after_refusal
from recoup.rules.provider_pace import after_accepted, after_answer, after_outage, after_too_often
from recoup.rules.records.keys import RowKey
from recoup.store import db, provider_accounts, provider_health
from recoup.store.db import Conn, Pool
from recoup.store.provider_health import ProviderHealth

log = structlog.get_logger()


def is_news(told: object) -> bool:
    """Whether an answer can say anything of the account as a whole."""
    if isinstance(told, Lost):
        return told.is_outage or told.key_refused or told.why == TOO_OFTEN
    return not asked_nobody(told)


def asked_nobody(told: object) -> bool:
    """Whether no call was made: the provider cannot say, or what it is about can be nobody's."""
    if isinstance(told, NotKnown | Declined):
        return not told.was_asked
    return isinstance(told, CannotList)


async def note_outcome(
    pool: Pool, account: RowKey, told: object, *, was_troubled: bool, now: datetime
) -> datetime | None:
    """Remember what an answer says of its account; until when that pauses, if it says too often.

    `was_troubled`: an answer is news, as `take_calls` said.
    """
    if not is_news(told) or not (isinstance(told, Lost) or was_troubled):
        return None
    async with db.transaction(pool, tenants=[account.organization_id]) as conn:
        before = (await provider_health.lock(conn, [account]))[account]
        after = _after(before, told, account, now=now)
        await provider_health.keep(conn, {account: after})
        if _begins_to_refuse(before, after):
            await _tell_refused(conn, account, now=now)
    if _is_back(before, after):
        await wake_account(pool, account, now=now)
    _say(account, before, after)
    is_too_often = isinstance(told, Lost) and told.why == TOO_OFTEN
    return after.throttle.paused_until if is_too_often else None


def _is_back(before: ProviderHealth, after: ProviderHealth) -> bool:
    answers_again = before.breaker.open_until is not None and after.breaker.open_until is None
    return answers_again or (before.key.since is not None and after.key.since is None)


def _begins_to_refuse(before: ProviderHealth, after: ProviderHealth) -> bool:
    return before.key.since is None and after.key.since is not None


async def _tell_refused(conn: Conn, account: RowKey, *, now: datetime) -> None:
    shown = key_refused_object((await provider_accounts.by_ids(conn, [account]))[account])
    cause = uuid5(account.id, f"key_refused/{now.isoformat()}")
    news = News(
        account.organization_id, ACCOUNT_ERROR, ACCOUNT_OBJECT_TYPE, shown, account.id, cause=cause
    )
    await tell(conn, [news], now=now)


def _after(
    before: ProviderHealth, told: object, account: RowKey, *, now: datetime
) -> ProviderHealth:
    if isinstance(told, Lost) and told.is_outage:
        breaker = after_outage(before.breaker, now=now)
        return msgspec.structs.replace(before, breaker=breaker)
    answered = msgspec.structs.replace(before, breaker=after_answer())
    if not isinstance(told, Lost):
        throttle = after_accepted(before.throttle, now=now)
        return msgspec.structs.replace(answered, key=KeyRefusal(), throttle=throttle)
    if told.key_refused:
        return msgspec.structs.replace(answered, key=after_refusal(before.key, now=now))
    # Who says "too often" is there. Drawn from what is known, so that it is the same if repeated.
    spread = crc32(f"{account}/{before.throttle.times}".encode()) / 2**32
    throttle = after_too_often(before.throttle, told.retry_after_seconds, spread=spread, now=now)
    return msgspec.structs.replace(answered, throttle=throttle)


def _say(account: RowKey, before: ProviderHealth, after: ProviderHealth) -> None:
    """Say in the log what has changed, once."""
    if before.breaker.open_until is not None and after.breaker.open_until is None:
        log.warning("provider_answers_again", account=str(account))
    elif after.breaker.times_opened > before.breaker.times_opened:
        log.warning("provider_is_down", account=str(account), until=str(after.breaker.open_until))
    if _begins_to_refuse(before, after):
        log.warning("provider_refuses_key", account=str(account), do="recoup provider update")
    elif before.key.since is not None and after.key.since is None:
        log.warning("provider_takes_key_again", account=str(account))
    if after.throttle.times > 0 and after.throttle.paused_until != before.throttle.paused_until:
        until = str(after.throttle.paused_until)
        log.warning("provider_says_too_often", account=str(account), paused_until=until)

"""Close a hosted payment page at its provider, so that its invoice can be charged otherwise.

A page and an attempt never both collect: the invoice is free when the provider has said that the
page is dead, and not before. The wait for a bank transfer is closed like a page: the provider keeps
what comes after that for the payer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final

from recoup.flows.as_sent import as_sent
from recoup.flows.batches import Failed, serve_each
from recoup.flows.call_account import AccountLine, LeftAlone
from recoup.flows.open_provider import Providers
from recoup.flows.reports import Report, Source
from recoup.flows.retry_payment import Accepted, Answer, Ask, PageIsOpen
from recoup.flows.settle_attempt import settle_attempts
from recoup.providers.protocol import Fate, NotKnown
from recoup.rules.attempt_state import FINAL, State
from recoup.rules.invoice_status import HANDLED
from recoup.rules.manner import Manner
from recoup.rules.method_choice import NoAttempt
from recoup.rules.records.collection import Attempt
from recoup.rules.records.keys import RowKey
from recoup.rules.refusal import Refusal
from recoup.store import attempts, collection, db, provider_accounts
from recoup.store.db import Pool

CLOSED_AT_ONCE: Final = 16  # of one bulk call: each is a call to a provider


async def close_payment_page(
    pool: Pool, providers: Providers, page: RowKey, *, now: Callable[[], datetime]
) -> bool:
    """Close a page, and say whether its attempt has ended; what it came to is settled.

    False: the provider does not say so, or is left alone, and it may still be paid; or it is an
    attempt of another manner, which nobody takes back, or a transfer that no payer was asked for.
    """
    async with db.transaction(pool, tenants=[page.organization_id]) as conn:
        await collection.lock_covered(conn, [page])  # invoices first, as everywhere
        held = (await attempts.lock(conn, [page]))[page]
        waits = held.manner is Manner.TRANSFER and held.state is State.CUSTOMER_NEEDED
        if held.manner is not Manner.PAGE and not waits:
            return False
        if held.state is State.READY:  # nobody has opened it yet, and now nobody will
            await attempts.withdraw(conn, {page: NoAttempt.NOT_COLLECTABLE.value}, now=now())
            return True
        if held.state in FINAL:
            return True
        accounts = await provider_accounts.by_ids(conn, [held.account_key])
    line = AccountLine(pool, providers, accounts[held.account_key], now=now)
    told: Fate | NotKnown | LeftAlone
    if held.provider_payment_id is None:  # its opening was never answered: is there one?
        asked = as_sent(held)
        told = await line.ask(lambda provider: provider.look_up(asked), is_awaited=True)
        if isinstance(told, LeftAlone):
            return False
        await settle_attempts(pool, [Report(page, told, Source.EVENT)], now=now())
        held = await read_attempt(pool, page)
        if held.state in FINAL or held.provider_payment_id is None:
            return held.state in FINAL
    known = as_sent(held)
    told = await line.ask(lambda provider: provider.cancel(known), is_awaited=True)
    if isinstance(told, LeftAlone):
        return False
    await settle_attempts(pool, [Report(page, told, Source.EXPIRY)], now=now())
    return (await read_attempt(pool, page)).state in FINAL


async def retry_past_pages(
    asks: Sequence[Ask],
    *,
    retry: Callable[[Sequence[Ask]], Awaitable[Sequence[Answer | Failed]]],
    close: Callable[[RowKey], Awaitable[bool]],
) -> list[Accepted | Refusal | Failed]:
    """Ask for these retries; where a payment page is in the way, close it, and ask once more.

    A page that cannot be closed, or was opened anew meanwhile, answers as a charge that is being
    handled; one whose closing fails has failed alone. `retry` answers in the order given.
    """
    first = await retry(asks)
    pages = {
        position: answer.page
        for position, answer in enumerate(first)
        if isinstance(answer, PageIsOpen)
    }
    answers = [_of_a_charge(answer) for answer in first]
    if not pages:
        return answers
    places = asyncio.Semaphore(CLOSED_AT_ONCE)

    async def closed(page: RowKey) -> bool | Failed:
        async with places:
            [said] = await serve_each(lambda one: asyncio.gather(*map(close, one)), [page])
        return said

    said = await asyncio.gather(*map(closed, pages.values()))
    again: list[int] = []
    for position, is_closed in zip(pages, said, strict=True):
        if isinstance(is_closed, Failed):
            answers[position] = is_closed
        elif is_closed:
            again.append(position)
    told = await retry([asks[position] for position in again]) if again else []
    for position, answer in zip(again, told, strict=True):
        answers[position] = _of_a_charge(answer)
    return answers


def _of_a_charge(answer: Answer | Failed) -> Accepted | Refusal | Failed:
    return HANDLED if isinstance(answer, PageIsOpen) else answer


async def read_attempt(pool: Pool, key: RowKey) -> Attempt:
    """The attempt as it is now, read in a transaction of its own."""
    async with db.transaction(pool, tenants=[key.organization_id]) as conn:
        return (await attempts.find(conn, [key]))[key]

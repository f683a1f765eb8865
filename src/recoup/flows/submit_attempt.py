"""Send an attempt to its provider, and settle what comes back.

Called by the worker, once per promised attempt. In three steps: commit `sent` (or `withdrawn`),
call the provider outside any transaction, settle through the one door. Whatever dies between them,
the row says how far it came: what is `sent` is never sent anew, only looked up.

What would surprise you: an attempt found in `sent` is somebody else's, who died. It is looked up.
So is one of our own whose commit and call lie too far apart: whoever wakes up late may find that
others have sent it since, or that its key has died at the provider.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TypeAlias, assert_never
from uuid import UUID

import msgspec

from recoup.flows.batches import Batches
from recoup.flows.call_first import call_first
from recoup.flows.open_provider import Providers
from recoup.flows.reports import Report, Settled, Source
from recoup.flows.retry_payment import payment_failure
from recoup.flows.take_calls import Wants, take_calls
from recoup.flows.tell import tell
from recoup.providers.protocol import Charge, NotChargeable, Order, Provider
from recoup.rules.attempt_state import State
from recoup.rules.invoice_status import why_not_charge
from recoup.rules.look_up_schedule import STEPS, may_still_send
from recoup.rules.manner import Manner
from recoup.rules.method_choice import ByTransfer, NoAttempt, Wish, choose_method, why_no_page
from recoup.rules.records.collection import Attempt, Covered, Debt, Link, Method, idempotency_key
from recoup.rules.records.keys import RowKey
from recoup.rules.records.provider_accounts import ProviderAccount
from recoup.store import attempts, collection, db, provider_accounts, quarantines, waiting_attempts
from recoup.store.attempts import Sent
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


class AtThePage(msgspec.Struct, frozen=True):
    """The payer chooses the method, on the provider's page."""


_Choice: TypeAlias = Method | AtThePage | ByTransfer


class Open(msgspec.Struct, frozen=True):
    """An account, and the adapter that speaks for it."""

    account: ProviderAccount
    provider: Provider


Begun: TypeAlias = ToSend | ToLookUp | NothingToDo


async def submit_attempt(
    pool: Pool,
    attempt: RowKey,
    *,
    sending: Batches[RowKey, Begun],
    settling: Batches[Report, Settled],
    jitter: timedelta,
    now: Callable[[], datetime],
) -> Begun:
    """Send one attempt and settle the answer; say what there was to do.

    `sending` shares the transactions of `begin_sending`, `settling` those of `settle_attempts`.
    The caller looks up what is `ToLookUp`. `now` is the edge's clock, and not its reading: it is
    looked at just before the call.
    """
    begun = await sending.ask(attempt)
    if isinstance(begun, ToSend) and not may_still_send(sent_at=begun.sent_at, now=now()):
        begun.ended()
        return ToLookUp()
    match begun:
        case ToSend():
            await call_first(
                pool,
                attempt,
                begun.charge,
                provider=begun.provider,
                account=begun.account,
                was_troubled=begun.was_troubled,
                ended=begun.ended,
                settle=lambda told: settling.ask(Report(attempt, told, Source.ANSWER, jitter)),
                now=now,
            )
        case ToLookUp() | NothingToDo():
            pass
        case _:
            assert_never(begun)
    return begun


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
        covered = await collection.lock_covered(conn, keys)
        held = await attempts.lock(conn, keys)
        ready = [attempt for attempt in held.values() if attempt.state is State.READY]
        held_back = await quarantines.live(conn, {one.organization_id for one in ready})
        links = await collection.links(
            conn, {attempt.customer_key for attempt in ready}, _wanted(ready, covered)
        )
        chosen = {
            attempt.key: _look_again(attempt, covered[attempt.key], links[attempt.customer_key])
            for attempt in ready
            # After a restore nobody knows what was charged: it stays ready until that is known.
            if links[attempt.customer_key].account_key not in held_back
        }
        open_accounts = await _open(conn, providers, links)
        sent: dict[RowKey, tuple[Sent, ToSend]] = {}
        withdrawn: dict[RowKey, str] = {}
        for key, choice in chosen.items():
            link = links[held[key].customer_key]
            if isinstance(choice, NoAttempt):
                withdrawn[key] = choice.value
                continue
            frozen = _sent(held[key], covered[key], choice, link, open_accounts, now=now)
            if isinstance(frozen, NotChargeable):
                withdrawn[key] = frozen.code
            else:
                sent[key] = frozen
        wanted = {key: one.account for key, (_, one) in sent.items()}
        # Who waits at a page holds no slot of a worker's, so nobody is to be let in for it.
        crowded = {} if is_awaited else providers.under_way.crowded_out(wanted, now=now)
        pace = await take_calls(
            conn,
            {key: account for key, account in wanted.items() if key not in crowded},
            {key: one.provider.limit for key, one in open_accounts.items() if one.provider.limit},
            wants=Wants(awaited=is_awaited),
            now=now,
        )
        parked = {**crowded, **pace.parked}
        sent = {
            key: (
                row,
                msgspec.structs.replace(
                    one,
                    was_troubled=one.account in pace.troubled,
                    ended=partial(providers.under_way.end, one.account, key),
                ),
            )
            for key, (row, one) in sent.items()
            if key not in parked
        }
        await waiting_attempts.park(conn, parked)
        await attempts.send(
            conn, [row for row, _ in sent.values()], look_up_at=now + STEPS[0], now=now
        )
        await withdraw(conn, withdrawn, held, covered, links, now=now)
    to_send = {key: order for key, (_, order) in sent.items()}
    for key, order in to_send.items():
        providers.under_way.begin(order.account, key, now=now)
    return [to_send.pop(key) if key in to_send else _not_ours(held.get(key)) for key in keys]


def _not_ours(attempt: Attempt | None) -> ToLookUp | NothingToDo:
    if attempt is not None and attempt.state is State.SENT:
        return ToLookUp()
    return NothingToDo()


def _wanted(ready: Sequence[Attempt], covered: Mapping[RowKey, Sequence[Covered]]) -> set[UUID]:
    asked = {attempt.wanted_method_id for attempt in ready}
    asked |= {one.debt.payment_method_id for attempt in ready for one in covered[attempt.key]}
    return {method for method in asked if method}


def _look_again(attempt: Attempt, covered: Sequence[Covered], link: Link) -> _Choice | NoAttempt:
    """Choose the method once more, or say why there is nothing left to charge."""
    for one in covered:
        debt = one.debt
        refusal = why_not_charge(debt.status, debt.payment_status, attempt_is_open=False)
        if refusal or debt.due_cents <= 0 or debt.held_because:
            return NoAttempt.NOT_COLLECTABLE
    if attempt.manner is Manner.PAGE:
        return why_no_page(covered[0].debt, link) or AtThePage()
    return choose_method(Wish(method_id=attempt.wanted_method_id), covered[0].debt, link)


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


def _sent(
    attempt: Attempt,
    covered: Sequence[Covered],
    choice: _Choice,
    link: Link,
    open_accounts: Mapping[RowKey, Open],
    *,
    now: datetime,
) -> tuple[Sent, ToSend] | NotChargeable:
    """Freeze what is sent, so that a look-up or a re-send never depends on what came after."""
    assert link.account_id is not None, "a method is chosen only where there is an account"
    assert link.provider_customer_id is not None, "and a customer at the provider"
    opened = open_accounts[RowKey(attempt.organization_id, link.account_id)]
    method = choice if isinstance(choice, Method) else None
    manner = _manner(attempt, choice)
    debt = covered[0].debt
    due_cents = sum(one.debt.due_cents for one in covered)
    request = opened.provider.render(
        Order(
            attempt_id=attempt.id,
            amount_cents=due_cents,
            currency=debt.currency,
            provider_customer_id=link.provider_customer_id,
            provider_method_id=method.provider_method_id if method else None,
            reference=f"{debt.billing_entity_name} - Invoice {debt.number}",
            metadata=_metadata(attempt, debt),
            manner=manner,
            return_url=opened.account.return_url,
            customer_email=link.email,
            customer_country=link.country,
            seller_country=debt.billing_entity_country,
            expires_at=attempt.expires_at,
        )
    )
    if isinstance(request, NotChargeable):
        return request
    row = Sent(
        key=attempt.key,
        amount_cents=due_cents,
        provider_account_id=link.account_id,
        provider_customer_id=link.provider_customer_id,
        payment_method_id=method.id if method else None,
        provider_method_id=method.provider_method_id if method else None,
        request=request,
        manner=manner,
    )
    charge = Charge(idempotency_key(attempt.id), request, sent_at=now)
    return row, ToSend(charge, opened.provider, opened.account.key, sent_at=now)


def _manner(attempt: Attempt, choice: _Choice) -> Manner:
    """How it is sent. The customer may have come to pay otherwise since the attempt was begun."""
    match choice:
        case AtThePage():
            return Manner.PAGE
        case ByTransfer():
            return Manner.TRANSFER
        case Method() if attempt.manner is Manner.TRANSFER:
            return Manner.OFF_SESSION
        case Method():
            return attempt.manner
        case _:
            assert_never(choice)


def _metadata(attempt: Attempt, debt: Debt) -> dict[str, str]:
    """What the provider keeps beside the charge (contract sections 5.3 and 5.5)."""
    return {
        "lago_invoice_id": str(debt.id),
        "lago_customer_id": str(debt.customer_id),
        "lago_organization_id": str(debt.organization_id),
        "lago_billing_entity_id": str(debt.billing_entity_id),
        "lago_payment_id": str(attempt.id),
        "lago_payable_id": str(debt.id),
        "lago_payable_type": "Invoice",
        "invoice_issuing_date": str(debt.issuing_date or ""),
        "invoice_type": debt.invoice_type,
    }


async def withdraw(
    conn: Conn,
    withdrawn: Mapping[RowKey, str],
    held: Mapping[RowKey, Attempt],
    covered: Mapping[RowKey, Sequence[Covered]],
    links: Mapping[RowKey, Link],
    *,
    now: datetime,
) -> None:
    """Withdraw these attempts for the reasons given, and tell of those that somebody asked for."""
    await attempts.withdraw(conn, withdrawn, now=now)
    news = [
        payment_failure(
            covered[key][0].debt,
            links[held[key].customer_key],
            cause=key.id,
            ask_id=held[key].answers,
            error_details={"code": because},
        )
        for key, because in withdrawn.items()
        if held[key].answers
    ]
    await tell(conn, news, now=now)

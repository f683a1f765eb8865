"""Ask for the money again, with the payer: the second attempt after an issuer wants to see them.

Called by `settle_attempt` alone, in the transaction that settles. The first attempt ends without an
event; the second is sent so that the issuer may ask the payer, and its end is the ask's (contract
section 5.5). Whoever is not charged again here is told of the failure like any other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import uuid5

from recoup.flows.attempt_ends import Failure
from recoup.rules.declines import wants_payer
from recoup.rules.invoice_status import why_not_charge
from recoup.rules.manner import Manner
from recoup.rules.method_choice import (
    ByTransfer,
    NoAttempt,
    Wish,
    choose_for_request,
    choose_method,
)
from recoup.rules.records.collection import Debt, Link, Method
from recoup.rules.records.keys import RowKey
from recoup.rules.records.provider_accounts import ProviderAccount
from recoup.store import collection, jobs, new_attempts
from recoup.store.collection import Decision
from recoup.store.db import Conn
from recoup.store.jobs import Job
from recoup.store.new_attempts import Begun, BegunTogether


async def begin_authenticated(
    conn: Conn,
    failures: Sequence[Failure],
    accounts: Mapping[RowKey, ProviderAccount],
    held: Collection[RowKey],
    *,
    now: datetime,
) -> set[RowKey]:
    """Begin a second attempt for each failure that wants its payer; answer whose those were.

    `held` are the invoices that have come to be held in this very transaction.
    """
    wanting = [one for one in failures if _wants_its_payer(one, accounts, held)]
    if not wanting:
        return set()
    links = await collection.links(
        conn,
        {one.attempt.customer_key for one in wanting},
        {one.attempt.payment_method_id for one in wanting if one.attempt.payment_method_id},
    )
    begun = [
        (failure, second)
        for failure in wanting
        if (second := _second(failure, links[failure.attempt.customer_key]))
    ]
    seconds = [second for _, second in begun]
    await new_attempts.begin(conn, [one for one in seconds if isinstance(one, Begun)], now=now)
    await new_attempts.begin_together(
        conn, [one for one in seconds if isinstance(one, BegunTogether)], now=now
    )
    await jobs.promise(conn, Job.SUBMIT_ATTEMPT, [one.key for one in seconds])
    await collection.decide(
        conn,
        [
            Decision(
                invoice=one.debt.key,
                id=uuid5(failure.attempt.id, f"after/{one.debt.id}"),
                payment_id=second.key.id,
                decided="attempt",
                because=failure.decline_class,
            )
            for failure, second in begun
            for one in failure.covered
        ],
        now=now,
    )
    return {failure.attempt.key for failure, _ in begun}


def _second(failure: Failure, link: Link) -> Begun | BegunTogether | None:
    """The second attempt, of all that the first one covers; None: it cannot be charged again."""
    attempt, debts = failure.attempt, [one.debt for one in failure.covered]
    key = RowKey(attempt.organization_id, uuid5(attempt.id, Manner.ON_SESSION))
    method: Method | ByTransfer | NoAttempt
    if attempt.payment_request_id is not None:
        method = choose_for_request(attempt.payment_method_id, debts, link)
    else:
        method = choose_method(Wish(method_id=attempt.payment_method_id), debts[0], link)
    if not isinstance(method, Method) or link.account_id != attempt.provider_account_id:
        return None
    if attempt.payment_request_id is not None:
        return BegunTogether(
            key=key,
            request_id=attempt.payment_request_id,
            debts=debts,
            asked_by=attempt.asked_by,
            wanted_method_id=method.id,
            link=link,
            method=method,
            statuses_before=["failed"] * len(debts),
            manner=Manner.ON_SESSION,
            ask_id=attempt.answers,
        )
    return Begun(
        key=key,
        debt=debts[0],
        asked_by=attempt.asked_by,
        wanted_method_id=method.id,
        link=link,
        method=method,
        payment_status_before="failed",
        manner=Manner.ON_SESSION,
        ask_id=attempt.answers,
    )


def _wants_its_payer(
    failure: Failure, accounts: Mapping[RowKey, ProviderAccount], held: Collection[RowKey]
) -> bool:
    attempt = failure.attempt
    if not wants_payer(failure.decline) or failure.payer_was_asked:
        return False
    if attempt.manner is not Manner.OFF_SESSION or not accounts[attempt.account_key].supports_3ds:
        return False
    return all(_may_be_charged(one.debt, held) for one in failure.covered)


def _may_be_charged(debt: Debt, held: Collection[RowKey]) -> bool:
    if debt.due_cents <= 0 or debt.held_because or debt.key in held:
        return False
    return why_not_charge(debt.status, debt.payment_status, attempt_is_open=False) is None

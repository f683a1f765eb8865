"""Apply what a provider said to an attempt and its invoices.

The one door for money: `submit_attempt`, `apply_event`, `look_up_attempt` and a person's decision
end here.

What would surprise you: a success can be bad news. A second one, or one for a voided invoice, is
kept and raised, not dropped, and nobody is charged for that invoice again before a person has
looked. And *no answer* moves nothing but the time of the next look-up.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TypeAlias

import msgspec

from recoup.flows.reports import News, NothingSuch, Report, Settled
from recoup.flows.settlement_book import Book
from recoup.providers.protocol import Canceled, Declined, GivenBack, Paid, Reversed
from recoup.rules.records.keys import RowKey
from recoup.store import attempts, collection, db, provider_accounts
from recoup.store.db import Conn, Pool

_Step: TypeAlias = tuple[int, Report]  # a report, and whose answer it is


async def settle_attempts(pool: Pool, reports: Sequence[Report], *, now: datetime) -> list[Settled]:
    """Apply these reports, each in its turn; say what each meant, in the order given."""
    tenants = {report.attempt.organization_id for report in reports}
    async with db.transaction(pool, tenants=tenants) as conn:
        return await settle_attempts_on(conn, reports, now=now)


async def settle_attempts_on(
    conn: Conn, reports: Sequence[Report], *, now: datetime
) -> list[Settled]:
    """The same within the caller's transaction."""
    answers: list[Settled] = [NothingSuch()] * len(reports)
    # What is cancelled comes to a decline where it had not been paid.
    declined = {one.attempt for one in reports if isinstance(one.outcome, Declined | Canceled)}
    for turn in _turns(_steps(reports)):
        keys = [report.attempt for _, report in turn]
        covered = await collection.lock_covered(conn, keys)
        held = await attempts.lock(conn, keys)
        refused = [held[one] for one in keys if one in held and one in declined]
        accounts = await provider_accounts.by_ids(conn, {one.account_key for one in refused})
        book = Book(now, accounts)
        for position, report in turn:
            if (attempt := held.get(report.attempt)) is not None:
                answers[position] = book.take(report, attempt, covered[report.attempt])
        await book.write(conn)
    return answers


def _steps(reports: Sequence[Report]) -> list[_Step]:
    """The reports, each after what it implies: events come in any order, or never."""
    steps: list[_Step] = []
    for position, report in enumerate(reports):
        for implied in _implied_by(report.outcome):
            step = msgspec.structs.replace(report, outcome=implied, is_implied=True)
            steps.append((position, step))
        steps.append((position, report))
    return steps


def _implied_by(told: News) -> list[News]:
    """What is given back was taken back before, and what is taken back had been paid."""
    if not isinstance(told, Reversed | GivenBack):
        return []
    what = (told.provider_payment_id, told.status, told.amount_cents, told.currency)
    paid = Paid(*what)
    taken = Reversed(*what, reason=told.status, dispute_id=told.dispute_id)
    if isinstance(told, GivenBack):
        return [paid, taken]
    return [paid, taken, GivenBack(*what, told.dispute_id)] if told.is_second else [paid]


def _turns(steps: Sequence[_Step]) -> list[list[_Step]]:
    """Split the steps so that each turn has one per attempt, in the order given."""
    turns: list[list[_Step]] = []
    seen: dict[RowKey, int] = {}
    for step in steps:
        attempt = step[1].attempt
        turn = seen.get(attempt, 0)
        seen[attempt] = turn + 1
        if turn == len(turns):
            turns.append([])
        turns[turn].append(step)
    return turns

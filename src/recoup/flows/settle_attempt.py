"""Apply what a provider said to an attempt and its invoices.

The one door for money: `submit_attempt`, `apply_event`, `look_up_attempt` and a person's decision
end here.

What would surprise you: a success can be bad news. A second one, or one for a voided invoice, is
kept and raised, not dropped, and nobody is charged for that invoice again before a person has
looked. And *no answer* moves nothing but the time of the next look-up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, TypeAlias, assert_never
from uuid import UUID, uuid5

import msgspec

from recoup.flows.attempt_ends import Failure, Success
from recoup.flows.plan_next_try import plan_next_tries
from recoup.flows.tell_ends import tell_ends
from recoup.providers.protocol import (
    CustomerNeeded,
    Declined,
    Lost,
    NotKnown,
    Outcome,
    Paid,
    Processing,
)
from recoup.rules import attempt_state, look_up_schedule
from recoup.rules.attempt_state import Contradicted, Moved, Repeated, State
from recoup.rules.declines import Decline, DeclineClass, classify
from recoup.rules.records.collection import Attempt, Covered
from recoup.rules.records.keys import RowKey
from recoup.rules.records.provider_accounts import ProviderKind
from recoup.rules.settlement import (
    CONTRADICTED,
    Line,
    Surprise,
    apply_success,
    status_after_failure,
    unapplied,
)
from recoup.store import (
    attempts,
    collection,
    contradictions,
    db,
    ledger,
    provider_accounts,
)
from recoup.store.attempts import EffectRow, NewsRow
from recoup.store.contradictions import Contradiction
from recoup.store.db import Conn, Pool
from recoup.store.ledger import LedgerEntry


class Source(StrEnum):
    """Who told."""

    ANSWER = "answer"  # to our own call
    EVENT = "event"  # the provider's webhook
    LOOK_UP = "look_up"
    PERSON = "person"  # an operator, audited


class Report(msgspec.Struct, frozen=True):
    """News of one attempt."""

    attempt: RowKey
    outcome: Outcome | NotKnown
    source: Source
    jitter: timedelta = timedelta()  # delays the next try, drawn by the edge


class NothingSuch(msgspec.Struct, frozen=True):
    """There is no such attempt: the news is of something else."""


Settled: TypeAlias = Moved | Repeated | Contradicted | NothingSuch

_STATES: Final[Mapping[type, State]] = {
    Paid: State.SUCCEEDED,
    Processing: State.PROCESSING,
    CustomerNeeded: State.CUSTOMER_NEEDED,
    Declined: State.FAILED,
    Lost: State.UNKNOWN,
    NotKnown: State.UNKNOWN,
}


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
    declined = {one.attempt for one in reports if isinstance(one.outcome, Declined)}
    for turn in _turns(reports):
        keys = [reports[position].attempt for position in turn]
        covered = await collection.lock_covered(conn, keys)
        held = await attempts.lock(conn, keys)
        refused = [held[one] for one in keys if one in held and one in declined]
        accounts = await provider_accounts.by_ids(conn, {one.account_key for one in refused})
        book = _Book(now, {key: account.kind for key, account in accounts.items()})
        for position in turn:
            report = reports[position]
            if (attempt := held.get(report.attempt)) is not None:
                answers[position] = book.take(report, attempt, covered[report.attempt])
        await book.write(conn)
    return answers


def _turns(reports: Sequence[Report]) -> list[list[int]]:
    """Split the reports so that each turn has one report per attempt, in the order given."""
    turns: list[list[int]] = []
    seen: dict[RowKey, int] = {}
    for position, report in enumerate(reports):
        turn = seen.get(report.attempt, 0)
        seen[report.attempt] = turn + 1
        if turn == len(turns):
            turns.append([])
        turns[turn].append(position)
    return turns


class _Surprised(msgspec.Struct, frozen=True):
    contradiction: Contradiction
    lines: tuple[Line, ...]  # of money that is in no other transaction of the ledger
    covered: Sequence[Covered]


class _Book:
    """Takes the reports of one turn, and writes what they came to."""

    def __init__(self, now: datetime, kinds: Mapping[RowKey, ProviderKind]) -> None:
        self._now = now
        self._kinds = kinds  # whose words the declines of each account are in
        self._news: list[NewsRow] = []
        self._effects: list[EffectRow] = []
        self._entries: list[LedgerEntry] = []
        self._surprises: list[_Surprised] = []
        self._successes: list[Success] = []
        self._failures: list[Failure] = []
        self._customer_needed: list[Attempt] = []
        self._held: set[RowKey] = set()

    def take(self, report: Report, attempt: Attempt, covered: Sequence[Covered]) -> Settled:
        """Ask the table what the report means, and remember what it does."""
        outcome = report.outcome
        told = _STATES[type(outcome)]
        meaning = attempt_state.move(attempt.state, told)
        match meaning:
            case Contradicted():
                self._contradict(attempt, covered, told, Surprise.AFTER_THE_END, outcome)
            case Repeated() if _is_second_charge(attempt, outcome):
                self._contradict(attempt, covered, told, Surprise.SECOND_CHARGE, outcome)
                return Contradicted(was=attempt.state, told=told)
            case Repeated():
                self._repeat(report, attempt)
            case Moved():
                self._move(report, attempt, covered)
            case _:
                assert_never(meaning)
        return meaning

    def _move(self, report: Report, attempt: Attempt, covered: Sequence[Covered]) -> None:
        outcome = report.outcome
        match outcome:
            case Paid():
                self._succeed(attempt, covered, outcome)
            case Declined():
                self._fail(report, attempt, covered, outcome)
            case Processing() | CustomerNeeded():
                self._wait(attempt, _STATES[type(outcome)], outcome)
                if isinstance(outcome, CustomerNeeded):
                    self._customer_needed.append(attempt)
            case Lost() | NotKnown():
                self._unanswered(report, attempt, State.UNKNOWN)
            case _:
                assert_never(outcome)

    def _fail(
        self, report: Report, attempt: Attempt, covered: Sequence[Covered], declined: Declined
    ) -> None:
        decline = Decline(
            provider=self._kinds[attempt.account_key],
            code=declined.code,
            decline_code=declined.decline_code,
            network_decline_code=declined.network_decline_code,
            advice_code=declined.advice_code,
        )
        by_person = report.source is Source.PERSON  # whose word comes without a code
        failure = Failure(
            attempt=attempt,
            covered=covered,
            declined=declined,
            decline=decline,
            decline_class=DeclineClass.CUSTOMER if by_person else classify(decline),
            later=attempt.state in {State.PROCESSING, State.CUSTOMER_NEEDED},
            jitter=report.jitter,
        )
        self._failures.append(failure)

    def _repeat(self, report: Report, attempt: Attempt) -> None:
        outcome = report.outcome
        if report.source is not Source.LOOK_UP:
            return  # old news changes nothing, and the next look-up is planned already
        if attempt.state not in attempt_state.ASKED_ABOUT:
            return  # other news has come first: nobody is to be asked any more
        match outcome:
            case Lost():
                self._unanswered(report, attempt, attempt.state)
            case NotKnown() | Processing() | CustomerNeeded():
                self._answered(attempt)
            case Paid() | Declined():
                raise AssertionError("an end moves every attempt that has not ended")
            case _:
                assert_never(outcome)

    def _succeed(self, attempt: Attempt, covered: Sequence[Covered], paid: Paid) -> None:
        applied = apply_success(
            covered,
            asked=(attempt.amount_cents, attempt.currency),
            told=(paid.amount_cents, paid.currency),
        )
        self._news.append(
            NewsRow(
                key=attempt.key,
                state=State.SUCCEEDED,
                provider_payment_id=paid.provider_payment_id,
                provider_status=paid.status,
            )
        )
        self._effects += [
            EffectRow(attempt.key, effect.debt.id, effect.applied_cents, effect.payment_status)
            for effect in applied.effects
        ]
        # Some providers write currencies in small letters; the books do not.
        self._enter(attempt.key, attempt.id, applied.lines, paid.currency.upper())
        for surprise in applied.surprises:
            self._contradict(attempt, covered, State.SUCCEEDED, surprise, paid, booked=True)
        changed = tuple(
            effect.debt.key
            for effect in applied.effects
            if effect.payment_status != effect.debt.payment_status
        )
        self._successes.append(Success(attempt, changed))

    def _wait(self, attempt: Attempt, state: State, outcome: Processing | CustomerNeeded) -> None:
        self._news.append(
            NewsRow(
                key=attempt.key,
                state=state,
                provider_payment_id=outcome.provider_payment_id,
                provider_status=outcome.status,
                next_action=outcome.next_action if isinstance(outcome, CustomerNeeded) else None,
                look_up_at=self._next_step(attempt) or self._now + look_up_schedule.AFTERWARDS,
            )
        )

    def _unanswered(self, report: Report, attempt: Attempt, state: State) -> None:
        """No answer uses up no step: ask again soon, or when the provider said it may be asked."""
        assert isinstance(report.outcome, Lost | NotKnown)
        unanswered = attempt.look_ups_unanswered
        wait = report.outcome.retry_after_seconds if isinstance(report.outcome, Lost) else None
        if report.source is Source.LOOK_UP:
            unanswered += 1
            at = look_up_schedule.after_no_answer(unanswered, now=self._now)
            if wait is not None:  # a provider that is asked too much is not asked every second
                at = max(at, look_up_schedule.after_being_asked_to_wait(wait, now=self._now))
        elif wait is not None:
            at = look_up_schedule.after_being_asked_to_wait(wait, now=self._now)
        else:  # soon also when it took long to say so: whoever sent it may have slept for hours
            at = min(self._next_step(attempt) or self._now, self._now + look_up_schedule.STEPS[0])
        self._news.append(
            NewsRow(
                key=attempt.key,
                state=state,
                look_up_at=at,
                look_ups_unanswered=unanswered,
            )
        )

    def _answered(self, attempt: Attempt) -> None:
        """Nothing new: the next step, or a person where the steps of an unknown are used up."""
        at = self._next_step(attempt)
        state = attempt.state
        if at is None and state is State.UNKNOWN:
            state = State.NEEDS_REVIEW
        elif at is None:
            at = self._now + look_up_schedule.AFTERWARDS
        self._news.append(NewsRow(key=attempt.key, state=state, look_up_at=at))

    def _next_step(self, attempt: Attempt) -> datetime | None:
        assert attempt.sent_at is not None, "what waits for an answer was sent"
        return look_up_schedule.next_step(sent_at=attempt.sent_at, now=self._now)

    def _contradict(
        self,
        attempt: Attempt,
        covered: Sequence[Covered],
        told: State,
        reason: Surprise,
        outcome: Outcome | NotKnown,
        *,
        booked: bool = False,
    ) -> None:
        paid = outcome if isinstance(outcome, Paid) else None
        provider_payment_id = paid.provider_payment_id if paid else None
        contradiction = Contradiction(
            payment=attempt.key,
            id=uuid5(attempt.id, f"{told}/{reason}/{provider_payment_id}"),
            was=attempt.state,
            told=told,
            reason=reason.value,
            amount_cents=paid.amount_cents if paid else 0,
            currency=paid.currency.upper() if paid else attempt.currency,
            provider_payment_id=provider_payment_id,
        )
        lines = unapplied(paid.amount_cents) if paid and not booked else ()
        self._surprises.append(_Surprised(contradiction, lines, covered))

    def _enter(
        self, payment: RowKey, transaction_id: UUID, lines: Sequence[Line], currency: str
    ) -> None:
        self._entries += [
            LedgerEntry(
                organization_id=payment.organization_id,
                transaction_id=transaction_id,
                position=position,
                account=line.account,
                amount_cents=line.amount_cents,
                currency=currency,
                invoice_id=line.invoice.id if line.invoice else None,
                payment_id=payment.id,
            )
            for position, line in enumerate(lines)
        ]

    async def write(self, conn: Conn) -> None:
        """Write attempts, invoices, ledger, plans and events, in this order."""
        self._news += [_failed_row(failure) for failure in self._failures]
        self._effects += [
            EffectRow(failure.attempt.key, one.debt.id, 0, status_after_failure(one.debt))
            for failure in self._failures
            for one in failure.covered
        ]
        await attempts.write_news(conn, self._news, now=self._now)
        await attempts.apply(conn, self._effects, now=self._now)
        await self._write_surprises(conn)
        await ledger.write(conn, self._entries, now=self._now)
        await plan_next_tries(conn, self._failures, self._held, now=self._now)
        await tell_ends(conn, self._successes, self._failures, self._customer_needed, now=self._now)

    async def _write_surprises(self, conn: Conn) -> None:
        """Keep what contradicts itself, and hold its invoices: money has moved, or may have."""
        new = await contradictions.insert(
            conn, [one.contradiction for one in self._surprises], now=self._now
        )
        for surprised in self._surprises:
            contradiction = surprised.contradiction
            if contradiction.id in new:  # told again, it holds nothing that a person has let go
                self._held |= {one.debt.key for one in surprised.covered}
                self._enter(
                    contradiction.payment,
                    contradiction.id,
                    surprised.lines,
                    contradiction.currency,
                )
        await collection.hold(conn, self._held, because=CONTRADICTED)


def _is_second_charge(attempt: Attempt, outcome: Outcome | NotKnown) -> bool:
    """A success after a success, under another id: the same word, and other money."""
    return isinstance(outcome, Paid) and outcome.provider_payment_id != attempt.provider_payment_id


def _failed_row(failure: Failure) -> NewsRow:
    return NewsRow(
        key=failure.attempt.key,
        state=State.FAILED,
        provider_payment_id=failure.declined.provider_payment_id,
        provider_status=failure.declined.status,
        decline=failure.decline,
        error_message=failure.declined.message,
        decline_class=failure.decline_class,
    )

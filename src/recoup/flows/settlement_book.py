"""Takes what was told of some attempts, asks the rules what it means, and writes what it came to.

Called by `settle_attempt` alone, under the locks that it took: one book for each turn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, assert_never

import msgspec

from recoup.flows.attempt_ends import Failure, Success
from recoup.flows.authenticate_attempt import begin_authenticated
from recoup.flows.correct_payment_ids import name_nameless, take_from_others
from recoup.flows.plan_next_try import plan_next_tries
from recoup.flows.reports import News, Report, Settled, Source
from recoup.flows.surprises import Surprises, entries_of
from recoup.flows.tell_ends import tell_ends
from recoup.providers.protocol import (
    Canceled,
    CustomerNeeded,
    Declined,
    GivenBack,
    Lost,
    NotKnown,
    Paid,
    Processing,
    Reversed,
)
from recoup.rules import attempt_state, look_up_schedule
from recoup.rules.attempt_state import Contradicted, Moved, Repeated, State
from recoup.rules.declines import Decline, DeclineClass, classify
from recoup.rules.manner import Manner
from recoup.rules.records.collection import Attempt, Covered
from recoup.rules.records.keys import RowKey
from recoup.rules.records.provider_accounts import ProviderAccount
from recoup.rules.settlement import (
    Surprise,
    apply_success,
    status_after_failure,
)
from recoup.store import attempt_news, jobs, ledger
from recoup.store.attempt_news import EffectRow, NewsRow
from recoup.store.db import Conn
from recoup.store.jobs import Job
from recoup.store.ledger import LedgerEntry

# What ends a wait for the payer, in our own word: every provider has another for it.
DID_NOT_ACT: Final = "customer_did_not_act"
# How an attempt ends whose authorisation was cancelled, or has run out, before it was told.
CANCELED_AUTHORISATION: Final = "authorisation_canceled"

_OUR_QUESTIONS: Final = frozenset({Source.LOOK_UP, Source.EXPIRY})

_STATES: Final[Mapping[type, State]] = {
    Paid: State.SUCCEEDED,
    Processing: State.PROCESSING,
    CustomerNeeded: State.CUSTOMER_NEEDED,
    Declined: State.FAILED,
    Lost: State.UNKNOWN,
    NotKnown: State.UNKNOWN,
}


class Book:
    """Takes the reports of one turn, and writes what they came to."""

    def __init__(self, now: datetime, accounts: Mapping[RowKey, ProviderAccount]) -> None:
        self._now = now
        self._accounts = accounts  # of the attempts that were declined: whose words the codes are
        self._news: list[NewsRow] = []
        self._effects: list[EffectRow] = []
        self._entries: list[LedgerEntry] = []
        self._surprises = Surprises(now)
        self._successes: list[Success] = []
        self._failures: list[Failure] = []
        self._customer_needed: list[Attempt] = []
        self._known_as: dict[RowKey, str | None] = {}  # of whom the provider itself tells
        self._to_name: dict[RowKey, str] = {}

    def take(self, report: Report, attempt: Attempt, covered: Sequence[Covered]) -> Settled:
        """Ask the table what the report means, and remember what it does."""
        report = _as_it_is_for(report, attempt)
        outcome = report.outcome
        if report.source is not Source.PERSON:
            self._known_as[attempt.key] = attempt.provider_payment_id
        if isinstance(outcome, Reversed | GivenBack):
            return self._surprises.turn_back(attempt, covered, outcome)
        told = _STATES[type(outcome)]
        meaning = attempt_state.move(attempt.state, told)
        match meaning:
            case Contradicted() if _is_of_a_canceled(attempt, outcome):
                return Repeated()
            case Contradicted():
                self._contradict(report, attempt, covered, Surprise.AFTER_THE_END)
            case Repeated() if _is_second_charge(attempt, report):
                self._contradict(report, attempt, covered, Surprise.SECOND_CHARGE)
                return Contradicted(was=attempt.state, told=told)
            case Repeated() if isinstance(outcome, Paid) and attempt.provider_payment_id is None:
                self._to_name[attempt.key] = outcome.provider_payment_id
            case Repeated():
                self._repeat(report, attempt)
            case Moved():
                self._move(report, attempt, covered)
            case _:
                assert_never(meaning)
        return meaning

    def _contradict(
        self,
        report: Report,
        attempt: Attempt,
        covered: Sequence[Covered],
        surprise: Surprise,
        *,
        booked_cents: int | None = None,
    ) -> None:
        self._surprises.contradict(
            attempt,
            covered,
            _STATES[type(report.outcome)],
            surprise,
            report.outcome,
            is_implied=report.is_implied,
            booked_cents=booked_cents,
        )

    def _move(self, report: Report, attempt: Attempt, covered: Sequence[Covered]) -> None:
        outcome = report.outcome
        match outcome:
            case Paid():
                self._succeed(report, attempt, covered, outcome)
            case Declined():
                self._fail(report, attempt, covered, outcome)
            case Processing() | CustomerNeeded():
                self._wait(attempt, _STATES[type(outcome)], outcome)
                if isinstance(outcome, CustomerNeeded) and attempt.manner is not Manner.PAGE:
                    self._customer_needed.append(attempt)
            case Lost() | NotKnown():
                self._unanswered(report, attempt, State.UNKNOWN)
            case Reversed() | GivenBack() | Canceled():
                raise AssertionError("it is read otherwise before")
            case _:
                assert_never(outcome)

    def _fail(
        self, report: Report, attempt: Attempt, covered: Sequence[Covered], declined: Declined
    ) -> None:
        decline = Decline(
            provider=self._accounts[attempt.account_key].kind,
            code=declined.code,
            decline_code=declined.decline_code,
            network_decline_code=declined.network_decline_code,
            advice_code=declined.advice_code,
            network_advice_code=declined.network_advice_code,
        )
        failure = Failure(
            attempt=attempt,
            covered=covered,
            declined=declined,
            decline=decline,
            decline_class=_class_of(report, decline, method_is_gone=declined.method_is_gone),
            later=attempt.state in {State.PROCESSING, State.CUSTOMER_NEEDED},
            payer_was_asked=attempt.state is State.CUSTOMER_NEEDED
            or report.source is Source.EXPIRY,
            jitter=report.jitter,
        )
        self._failures.append(failure)

    def _repeat(self, report: Report, attempt: Attempt) -> None:
        outcome = report.outcome
        if report.source not in _OUR_QUESTIONS:
            return  # old news changes nothing, and the next look-up is planned already
        if attempt.state not in attempt_state.ASKED_ABOUT:
            return  # other news has come first: nobody is to be asked any more
        match outcome:
            case Lost():
                self._unanswered(report, attempt, attempt.state)
            case CustomerNeeded(takes_days=True):
                # Some of the money has come, perhaps: the payer is asked for less.
                self._wait(attempt, attempt.state, outcome)
            case NotKnown() | Processing() | CustomerNeeded():
                self._answered(attempt)
            case Paid() | Declined() | Reversed() | GivenBack() | Canceled():
                raise AssertionError("an end moves every attempt that has not ended")
            case _:
                assert_never(outcome)

    def _succeed(
        self, report: Report, attempt: Attempt, covered: Sequence[Covered], paid: Paid
    ) -> None:
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
        self._entries += entries_of(attempt.key, attempt.id, applied.lines, paid.currency.upper())
        unapplied_cents = applied.unapplied_cents
        for surprise in applied.surprises:
            self._contradict(report, attempt, covered, surprise, booked_cents=unapplied_cents)
            unapplied_cents = 0  # the money is one, however many surprises it has
        changed = tuple(
            effect.debt.key
            for effect in applied.effects
            if effect.payment_status != effect.debt.payment_status
        )
        self._successes.append(Success(attempt, changed))

    def _wait(self, attempt: Attempt, state: State, outcome: Processing | CustomerNeeded) -> None:
        payer = outcome if isinstance(outcome, CustomerNeeded) else None
        is_timed = payer is not None and not payer.takes_days
        expires_at = look_up_schedule.payer_has_until(now=self._now) if is_timed else None
        self._news.append(
            NewsRow(
                key=attempt.key,
                state=state,
                provider_payment_id=outcome.provider_payment_id,
                provider_status=outcome.status,
                next_action=payer.next_action if payer else None,
                payer_url=payer.url if payer else None,
                expires_at=expires_at,
                look_up_at=self._next_look_up(attempt, attempt.expires_at or expires_at),
            )
        )

    def _unanswered(self, report: Report, attempt: Attempt, state: State) -> None:
        """No answer uses up no step: ask again soon, or when the provider said it may be asked."""
        assert isinstance(report.outcome, Lost | NotKnown)
        unanswered = attempt.look_ups_unanswered
        wait = report.outcome.retry_after_seconds if isinstance(report.outcome, Lost) else None
        if report.source in _OUR_QUESTIONS:
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
        if attempt.state is State.UNKNOWN and self._next_step(attempt) is None:
            self._news.append(NewsRow(key=attempt.key, state=State.NEEDS_REVIEW))
            return
        at = self._next_look_up(attempt, attempt.expires_at)
        self._news.append(NewsRow(key=attempt.key, state=attempt.state, look_up_at=at))

    def _next_look_up(self, attempt: Attempt, expires_at: datetime | None) -> datetime:
        """The next step, or the end of the payer's time where that is sooner."""
        at = self._next_step(attempt) or self._now + look_up_schedule.AFTERWARDS
        if expires_at is None:
            return at
        if expires_at > self._now:
            return min(at, expires_at)
        return min(at, self._now + look_up_schedule.ASK_AGAIN_FOR_AN_END)

    def _next_step(self, attempt: Attempt) -> datetime | None:
        assert attempt.sent_at is not None, "what waits for an answer was sent"
        return look_up_schedule.next_step(sent_at=attempt.sent_at, now=self._now)

    async def write(self, conn: Conn) -> None:
        """Write attempts, invoices, ledger, plans and events, in this order."""
        self._news += [_failed_row(failure) for failure in self._failures]
        for mistaken in await take_from_others(conn, self._new_ids()):
            self._surprises.lose_id(mistaken.attempt, mistaken.covered, mistaken.known_as)
        await name_nameless(conn, self._to_name)
        await attempt_news.write_news(conn, self._news, now=self._now)
        held = await self._surprises.write(conn)
        followed = await begin_authenticated(
            conn, self._failures, self._accounts, held, now=self._now
        )
        # A page that nobody paid on, and a first try that the payer's own follows, change nothing.
        ended = [
            failure
            for failure in self._failures
            if failure.attempt.answers and failure.attempt.key not in followed
        ]
        self._effects += [
            EffectRow(failure.attempt.key, one.debt.id, 0, status_after_failure(one.debt))
            for failure in ended
            for one in failure.covered
        ]
        await attempt_news.apply(conn, self._effects, now=self._now)
        await ledger.write(conn, self._entries, now=self._now)
        await jobs.promise(conn, Job.CHECK_METHOD, self._gone_methods())
        await plan_next_tries(conn, ended, held, now=self._now)
        await tell_ends(conn, self._successes, ended, self._customer_needed, now=self._now)

    def _new_ids(self) -> dict[RowKey, str]:
        """What attempts are known by from now on, in the provider's own word."""
        return {
            row.key: row.provider_payment_id
            for row in self._news
            if row.key in self._known_as
            and row.provider_payment_id not in {None, self._known_as[row.key]}
        }

    def _gone_methods(self) -> set[RowKey]:
        return {
            RowKey(failure.attempt.organization_id, failure.attempt.payment_method_id)
            for failure in self._failures
            if failure.declined.method_is_gone and failure.attempt.payment_method_id
        }


def _class_of(report: Report, decline: Decline, *, method_is_gone: bool) -> DeclineClass:
    if method_is_gone:  # in whatever words
        return DeclineClass.NEW_METHOD
    match report.source:
        case Source.PERSON:  # whose word comes without a code
            return DeclineClass.CUSTOMER
        case Source.EXPIRY:  # tried again without the payer it would end here again
            return DeclineClass.AUTHENTICATION
        case Source.ANSWER | Source.EVENT | Source.LOOK_UP:
            return classify(decline)
        case _:
            assert_never(report.source)


def _as_it_is_for(report: Report, attempt: Attempt) -> Report:
    """What the report says of this attempt, in the state that it is in."""
    outcome = report.outcome
    if isinstance(outcome, Canceled):
        what = (outcome.provider_payment_id, outcome.status)
        if attempt.state is State.SUCCEEDED:
            taken = Reversed(*what, outcome.amount_cents, outcome.currency, outcome.status)
            return msgspec.structs.replace(report, outcome=taken)
        declined = Declined(CANCELED_AUTHORISATION, provider_payment_id=what[0], status=what[1])
        return msgspec.structs.replace(report, outcome=declined)
    if report.is_implied and isinstance(outcome, Paid):
        # Of a part that is taken back the whole had been paid, and by the id that is known.
        paid = Paid(
            attempt.provider_payment_id or outcome.provider_payment_id,
            outcome.status,
            attempt.amount_cents,
            attempt.currency,
        )
        return msgspec.structs.replace(report, outcome=paid)
    return report


def _is_second_charge(attempt: Attempt, report: Report) -> bool:
    """A success after a success, under another id: the same word, and other money."""
    outcome = report.outcome
    if not isinstance(outcome, Paid) or report.is_implied or attempt.provider_payment_id is None:
        return False
    return outcome.provider_payment_id != attempt.provider_payment_id


def _is_of_a_canceled(attempt: Attempt, outcome: News) -> bool:
    """An authorisation that is told after its cancellation; what was never sent has none."""
    return (
        isinstance(outcome, Paid)
        and attempt.error_code == CANCELED_AUTHORISATION
        and attempt.provider_payment_id == outcome.provider_payment_id
    )


def _failed_row(failure: Failure) -> NewsRow:
    is_page = failure.attempt.manner is Manner.PAGE  # whose end says nothing of any method
    return NewsRow(
        key=failure.attempt.key,
        state=State.FAILED,
        provider_payment_id=failure.declined.provider_payment_id,
        provider_status=failure.declined.status,
        decline=failure.decline,
        error_message=failure.declined.message,
        decline_class=None if is_page else failure.decline_class,
    )

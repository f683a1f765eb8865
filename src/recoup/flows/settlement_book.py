"""Takes what was told of some attempts, asks the rules what it means, and writes what it came to.

Called by `settle_attempt` alone, under the locks that it took: one book for each turn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, assert_never

from recoup.flows.ask_again import OUR_QUESTIONS, answered, unanswered, waits
from recoup.flows.attempt_ends import Failure, Success
from recoup.flows.authenticate_attempt import begin_authenticated
from recoup.flows.correct_payment_ids import name_nameless, take_from_others
from recoup.flows.issue_receipts import issue_receipts
from recoup.flows.plan_next_try import plan_next_tries
from recoup.flows.read_report import as_it_is_for, class_of, is_of_a_canceled, is_second_charge
from recoup.flows.reports import Report, Settled, Source
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
from recoup.rules import attempt_state
from recoup.rules.attempt_state import Contradicted, Moved, Repeated, State
from recoup.rules.declines import Decline
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
        report = as_it_is_for(report, attempt)
        outcome = report.outcome
        if report.source is not Source.PERSON:
            self._known_as[attempt.key] = attempt.provider_payment_id
        if isinstance(outcome, Reversed | GivenBack):
            return self._surprises.turn_back(attempt, covered, outcome)
        told = _STATES[type(outcome)]
        meaning = attempt_state.move(attempt.state, told)
        match meaning:
            case Contradicted() if is_of_a_canceled(attempt, outcome):
                return Repeated()
            case Contradicted():
                self._contradict(report, attempt, covered, Surprise.AFTER_THE_END)
            case Repeated() if is_second_charge(attempt, report):
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
                self._news.append(waits(attempt, _STATES[type(outcome)], outcome, now=self._now))
                if isinstance(outcome, CustomerNeeded) and attempt.manner is not Manner.PAGE:
                    self._customer_needed.append(attempt)
            case Lost() | NotKnown():
                self._news.append(unanswered(report, attempt, State.UNKNOWN, now=self._now))
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
            decline_class=class_of(report, decline, method_is_gone=declined.method_is_gone),
            later=attempt.state in {State.PROCESSING, State.CUSTOMER_NEEDED},
            payer_was_asked=attempt.state is State.CUSTOMER_NEEDED
            or report.source is Source.EXPIRY,
            jitter=report.jitter,
        )
        self._failures.append(failure)

    def _repeat(self, report: Report, attempt: Attempt) -> None:
        outcome = report.outcome
        if report.source not in OUR_QUESTIONS:
            return  # old news changes nothing, and the next look-up is planned already
        if attempt.state not in attempt_state.ASKED_ABOUT:
            return  # other news has come first: nobody is to be asked any more
        match outcome:
            case Lost():
                self._news.append(unanswered(report, attempt, attempt.state, now=self._now))
            case CustomerNeeded(takes_days=True):
                # Some of the money has come, perhaps: the payer is asked for less.
                self._news.append(waits(attempt, attempt.state, outcome, now=self._now))
            case NotKnown() | Processing() | CustomerNeeded():
                self._news.append(answered(attempt, now=self._now))
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
            # Of several invoices those alone are held that the surprise is about.
            about = applied.surprised_by(surprise, covered)
            self._contradict(report, attempt, about, surprise, booked_cents=unapplied_cents)
            unapplied_cents = 0  # the money is one, however many surprises it has
        changed = tuple(
            effect.debt.key
            for effect in applied.effects
            if effect.payment_status != effect.debt.payment_status
        )
        self._successes.append(Success(attempt, changed))

    async def write(self, conn: Conn) -> None:
        """Write attempts, invoices, ledger, plans, receipts and events, in this order."""
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
        receipts = await issue_receipts(
            conn,
            [(one.attempt.key, one.attempt.customer_key) for one in self._successes],
            now=self._now,
        )
        await tell_ends(
            conn, self._successes, receipts, ended, self._customer_needed, now=self._now
        )

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

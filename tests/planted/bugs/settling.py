"""What news means for an attempt, its invoice and the ledger."""

from __future__ import annotations

from typing import Final

from tests.planted.bugs.bug import Bug, Edit
from tests.planted.bugs.places import (
    ASKING_AGAIN,
    COLLECTION,
    EVENTS,
    READING,
    SETTLING,
    WORLDS,
)

SETTLE: Final = "tests/flows/test_settle_attempt.py"
MOVES: Final = "store/migrations/0010_provider_pace.sql"  # the last one that tells them

BUGS: Final = (
    Bug(
        "a final state moves",
        "A late webhook takes a failure back, and the retry after it has charged already.",
        (
            Edit(
                "rules/attempt_state.py",
                "State.FAILED: frozenset(),",
                "State.FAILED: frozenset({State.SUCCEEDED}),",
            ),
        ),
        ("tests/rules/test_attempt_state.py", "tests/store/test_attempt_trigger.py", WORLDS),
    ),
    Bug(
        "the database's table lacks a move",
        "A customer who pays after 3DS is charged, and nobody can write it down.",
        (
            Edit(
                MOVES,
                "WHEN 'customer_needed' THEN ARRAY['processing', 'succeeded', 'failed']",
                "WHEN 'customer_needed' THEN ARRAY['processing', 'failed']",
            ),
        ),
        ("tests/store/test_attempt_trigger.py", WORLDS),
    ),
    Bug(
        "unknown becomes failed by the passing of time",
        "Money that moved is asked for again.",
        (Edit(ASKING_AGAIN, "state=State.NEEDS_REVIEW", "state=State.FAILED"),),
        (COLLECTION + "test_an_unknown_attempt_whose_key_has_died_goes_to_a_person", WORLDS),
    ),
    Bug(
        "a look-up is planned for what waits for a person",
        "The sweep promises a look-up that nobody makes, every few seconds, for ever.",
        (
            Edit(
                SETTLING,
                "if attempt.state not in attempt_state.ASKED_ABOUT:",
                "if attempt.state in attempt_state.FINAL or attempt.sent_at is None:",
            ),
        ),
        (SETTLE + "::test_when_the_provider_is_asked_next",),
    ),
    Bug(
        "a success pays more than is due",
        "The invoice owes less than nothing, and nobody hears of the money left over.",
        (
            Edit(
                "rules/settlement.py",
                "return Surprise.MORE_THAN_DUE, max(debt.due_cents, 0)",
                "return None, one.amount_cents",
            ),
        ),
        ("tests/rules/test_settlement.py", WORLDS),
    ),
    Bug(
        "a success without its ledger entries",
        "The books and the provider's pay-out do not agree, and nobody can say why.",
        (
            Edit(
                SETTLING,
                "        self._entries += entries_of(attempt.key, attempt.id, applied.lines,"
                " paid.currency.upper())\n",
                "",
            ),
        ),
        (
            COLLECTION + "test_a_retry_is_paid",
            "tests/flows/test_check_books.py::test_after_real_flows_the_books_are_right",
            WORLDS,
        ),
    ),
    Bug(
        "a second charge is dropped",
        "The payer has paid twice, and we do not even know.",
        (
            Edit(
                SETTLING,
                "case Repeated() if is_second_charge(attempt, report):",
                "case Repeated() if False:",
            ),
        ),
        (EVENTS, WORLDS),
    ),
    Bug(
        "a reversal does not imply that the charge was paid",
        "What is told of a charge ends differently by the order in which it is told.",
        (
            Edit(
                "flows/settle_attempt.py",
                "if not isinstance(told, Reversed | GivenBack):",
                "if True:",
            ),
        ),
        ("tests/flows/test_reversals.py",),
    ),
    Bug(
        "a hint about a charge that has ended is not asked about",
        "A payment that was taken back stays paid here, and its event counts as applied.",
        (
            Edit(
                "flows/apply_event.py",
                "    return _Asked(held, said.provider_payment_id) if held else None\n",
                "    if held is None or held.state in FINAL:\n        return None\n"
                "    return _Asked(held, said.provider_payment_id)\n",
            ),
        ),
        ("tests/flows/test_gocardless_flows.py",),
    ),
    Bug(
        "money that was given back is not booked",
        "The books say that the provider has less of ours than it has.",
        (
            Edit(
                "flows/surprises.py",
                "reversed_lines(-cents if is_back else cents)",
                "() if is_back else reversed_lines(cents)",
            ),
        ),
        ("tests/flows/test_reversals.py",),
    ),
    Bug(
        "an event settles what another account has sent",
        "Who has one account's secret settles all of the organization's payments.",
        (
            Edit(
                "flows/apply_event.py",
                "return held if held and held.provider_account_id == account.id else None",
                "return held",
            ),
        ),
        (EVENTS, WORLDS),
    ),
    Bug(
        "a person settles what is still on its way",
        "The provider's answer, a second later, contradicts them.",
        (
            Edit(
                "flows/settle_by_hand.py",
                "if not person_may_decide(held.state, sent_at=held.sent_at, now=now):",
                "if held.state in FINAL:",
            ),
        ),
        ("tests/flows/test_settle_by_hand.py", WORLDS),
    ),
    Bug(
        "money whose id a person mistyped is paid back by itself",
        "The invoice shows as paid, and the payer has the money again.",
        (
            Edit(
                "flows/surprises.py",
                "may_be_the_first=attempt.provider_status == BY_HAND",
                "may_be_the_first=False",
            ),
        ),
        ("tests/flows/test_mistaken_ids.py",),
    ),
    Bug(
        "who has a charge's id by mistake keeps it",
        "Of the attempt whose charge it is no news can ever be written.",
        (
            Edit(
                SETTLING,
                "await take_from_others(conn, self._new_ids())",
                "await take_from_others(conn, {})",
            ),
        ),
        ("tests/flows/test_mistaken_ids.py", "tests/api/test_reviews.py"),
    ),
    Bug(
        "a person's word takes another's charge id",
        "A slip of the fingers makes a paid attempt one of which nobody knows the charge.",
        (
            Edit(
                SETTLING,
                "        if report.source is not Source.PERSON:\n            self._known_as",
                "        if report:\n            self._known_as",
            ),
        ),
        ("tests/flows/test_mistaken_ids.py::test_what_is_known_to_be_anothers_is_refused",),
    ),
    Bug(
        "the first id of a nameless charge is a second charge",
        "Money that is rightly there is called too much, and may be paid back by itself.",
        (
            Edit(
                READING,
                "report.is_implied or attempt.provider_payment_id is None:",
                "report.is_implied:",
            ),
            Edit(
                SETTLING,
                "            case Repeated() if isinstance(outcome, Paid)"
                " and attempt.provider_payment_id is None:\n",
                "            case Repeated() if isinstance(outcome, Paid) and attempt is None:\n",
            ),
        ),
        ("tests/flows/test_mistaken_ids.py",),
    ),
)

"""What is asked for, by a caller or by the schedule: decided once, and promised in one commit."""

from __future__ import annotations

from typing import Final

from tests.planted.bugs.bug import Bug, Edit
from tests.planted.bugs.places import COLLECTING, COLLECTION, MIGRATION, PROMISES, RETRY, WORLDS

RACE: Final = "tests/flows/test_retry_race.py"
SWEEP: Final = "tests/flows/test_sweep.py"
RETRY_CALL: Final = "tests/api/test_retry_payment.py"
_NO_CHECK: Final = Edit(
    RETRY, "paid, attempt_is_open=ask.invoice in busy)", "paid, attempt_is_open=False)"
)
_PROMISE: Final = (
    "        await jobs.promise(conn, Job.SUBMIT_ATTEMPT, [one.key for one in self._begun])\n"
)

BUGS: Final = (
    Bug(
        "no look at open attempts",
        "The caller of a second retry gets an error of ours, not an answer.",
        (_NO_CHECK,),
        (COLLECTION + "test_while_an_attempt_is_open_no_other_begins", RACE, WORLDS),
    ),
    Bug(
        "no look at open attempts, and no index that refuses a second one",
        "Two attempts charge one invoice.",
        (
            _NO_CHECK,
            Edit(
                MIGRATION,
                "CREATE UNIQUE INDEX one_open_payment",
                "CREATE INDEX one_open_payment",
            ),
        ),
        (RACE, WORLDS),
    ),
    Bug(
        "no lock on the invoice",
        "Two asks at once both find that no attempt is open.",
        (
            Edit(
                COLLECTING,
                "so batches cannot deadlock\n       FOR NO KEY UPDATE OF i\n",
                "so batches cannot deadlock\n",
            ),
        ),
        (RACE, WORLDS),
    ),
    Bug(
        "the job is promised after the commit",
        "A process that dies in between leaves an attempt that nobody sends.",
        (
            Edit(RETRY, _PROMISE, ""),
            Edit(
                RETRY,
                "        return await retry_payments_on(conn, asks, now=now)\n",
                "        answers = await retry_payments_on(conn, asks, now=now)\n"
                "    async with db.nameless(pool) as conn:\n"
                "        await jobs.promise(conn, Job.SUBMIT_ATTEMPT, [\n"
                "            RowKey(ask.invoice.organization_id, answer.attempt_id)\n"
                "            for ask, answer in zip(asks, answers)\n"
                "            if isinstance(answer, Accepted) and answer.attempt_id\n"
                "        ])\n"
                "    return answers\n",
            ),
        ),
        (PROMISES,),
    ),
    Bug(
        "a provider's event is answered before its work is promised",
        "The provider does not tell again, and nobody applies what it told.",
        (
            Edit(
                "flows/receive_event.py",
                "        await jobs.promise(conn, Job.APPLY_EVENT, kept)\n",
                "    async with db.nameless(pool) as conn:\n"
                "        await jobs.promise(conn, Job.APPLY_EVENT, kept)\n",
            ),
        ),
        (PROMISES,),
    ),
    Bug(
        "a new method's collecting forgets what a person holds",
        "The payer is charged for an invoice whose money has moved already.",
        (
            Edit(
                "store/tries.py",
                "AND NOT i.skip_psp AND NOT i.self_billed AND i.held_because IS NULL",
                "AND NOT i.skip_psp AND NOT i.self_billed",
            ),
        ),
        ("tests/flows/test_collect_from_customer.py",),
    ),
    Bug(
        "a retry after a decline for good",
        "The networks fine each try on a stolen card.",
        (
            Edit(
                "rules/retry_policy.py",
                "            return Stop(because=last.decline_class)\n",
                "            waits = policy.waits.get(DeclineClass.SOFT, ())\n",
            ),
        ),
        (
            "tests/rules/test_retry_policy.py",
            COLLECTION + "test_a_stolen_card_is_not_tried_again",
            WORLDS,
        ),
    ),
    Bug(
        "a key's replay does not compare the bodies",
        "A caller's other retry is answered as done, and never made.",
        (
            Edit(
                RETRY,
                "    if kept.body_digest != receipt.body_digest:\n        return REUSED\n",
                "",
            ),
        ),
        (RETRY_CALL + "::test_an_idempotency_key_gets_the_same_answer_and_one_attempt", WORLDS),
    ),
    Bug(
        "an ask that makes no attempt is not told of",
        "Whoever asked waits for ever.",
        (Edit(RETRY, "*(_no_attempt(*one) for one in told),", "*(),"),),
        (
            COLLECTION + "test_an_ask_without_an_attempt_ends_in_an_event_that_says_why",
            "tests/flows/test_check_books.py::test_after_real_flows_the_books_are_right",
            WORLDS,
        ),
    ),
    Bug(
        "the schedule overwrites what others planned",
        "Somebody's retry failed meanwhile, and the next try that it planned is forgotten.",
        (
            Edit(
                "store/tries.py",
                "         WHERE i.next_try_at <= $4\n",
                "         WHERE $4::timestamptz IS NOT NULL\n",
            ),
        ),
        (SWEEP + "::test_what_was_planned_anew_or_has_ended_meanwhile_is_not_put_off",),
    ),
    Bug(
        "an ask that is run again is decided anew",
        "Whose COMMIT was not heard is refused as busy with its own attempt.",
        (Edit(RETRY, "before = decided.get(ask.decision_id)", "before = None"),),
        (COLLECTION + "test_an_ask_run_again_answers_as_before_whatever_has_changed", WORLDS),
    ),
)

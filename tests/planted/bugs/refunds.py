"""Money on its way back."""

from __future__ import annotations

from typing import Final

from tests.planted.bugs.bug import Bug, Edit

LOST_REFUNDS: Final = "tests/flows/test_lost_refunds.py"

BUGS: Final = (
    Bug(
        "a refund that succeeded stays so, whatever comes back",
        "The books say that the payer has the money, and the provider says that it has it.",
        (
            Edit(
                "rules/refund_state.py",
                "RefundState.SUCCEEDED: frozenset({RefundState.FAILED}),",
                "RefundState.SUCCEEDED: frozenset(),",
            ),
        ),
        ("tests/flows/test_settle_refund.py",),
    ),
    Bug(
        "a refund that a restore has made unsent is sent without a look",
        "The provider has forgotten its key by then, and pays the same money back twice.",
        (
            Edit(
                "flows/submit_refund.py",
                "        if asked is None and (since := await lost_since(conn, held)) is not None:",
                "        if asked and (since := await lost_since(conn, held)) is not None:",
            ),
        ),
        (LOST_REFUNDS,),
    ),
    Bug(
        "a refund that is made anew counts as never sent",
        "A restore has lost its row, and what was paid back before it goes back once more.",
        (
            Edit(
                "flows/ask_before_refund.py",
                "    if held.asked_by == BY_SETTING:",
                "    if held.asked_by != BY_SETTING:",
            ),
        ),
        (LOST_REFUNDS,),
    ),
    Bug(
        "a refund of which nothing is ever told is asked about for ever",
        "It was never sent, so no person can settle it, nor ask for its money anew.",
        (
            Edit(
                "flows/ask_before_refund.py",
                "    if isinstance(told, Lost) and not _is_never_told(told, held, now=now()):\n",
                "    if isinstance(told, Lost):\n",
            ),
        ),
        (LOST_REFUNDS,),
    ),
    Bug(
        "an account that is out for a day makes its refunds a person's",
        "Nobody sends them any more, and every one is looked for by hand.",
        (
            Edit(
                "flows/ask_before_refund.py",
                "return not is_news(told) and held.created_at",
                "return held.created_at",
            ),
        ),
        (LOST_REFUNDS,),
    ),
    Bug(
        "an event of a refund that is ready is applied and moves nothing",
        "That it was sent and has ended is told once, and the sweep sends it again.",
        (
            Edit(
                "flows/apply_refund_event.py",
                "    if held.state is RefundState.READY:\n",
                "    if held.state is RefundState.READY and held.sent_at:\n",
            ),
        ),
        (LOST_REFUNDS,),
    ),
    Bug(
        "a comparison passes over the refunds that are ready",
        "What a restore has lost is found at the provider only when it is about to be sent again.",
        (
            Edit(
                "store/refund_lists.py",
                "AND CASE WHEN state = 'ready' THEN created_at ELSE sent_at END < $4",
                "AND state <> 'ready' AND sent_at < $4",
            ),
        ),
        (LOST_REFUNDS,),
    ),
    Bug(
        "a refund that counts as sent has its key's life before it",
        "Where nobody can say what became of it, it is sent again under a key that is dead.",
        (
            Edit(
                "flows/refund_as_sent.py",
                "look_up_at=now, now=now - LONG_AGO)",
                "look_up_at=now, now=now)",
            ),
        ),
        (LOST_REFUNDS,),
    ),
    Bug(
        "a refund's look-up sends what is ready again",
        "Whoever sends it next pays back a second time: it says that nobody has sent it.",
        (
            Edit(
                "flows/submit_refund.py",
                "        if (await settle_refund(pool, gone, now=now())).moved_to is None:\n"
                "            return  # somebody else knows more of it by now, or has taken it up\n",
                "        await settle_refund(pool, gone, now=now())\n",
            ),
        ),
        (LOST_REFUNDS,),
    ),
    Bug(
        "a failed refund is counted as paid back",
        "The books say that the payer has the money, and nobody pays it back any more.",
        (
            Edit(
                "flows/settle_refund.py",
                "    if told is RefundState.SUCCEEDED:\n        await book_paid_back(",
                "    if told in refund_state.ENDINGS:\n        await book_paid_back(",
            ),
        ),
        (LOST_REFUNDS, "tests/flows/test_submit_refund.py"),
    ),
    Bug(
        "another refund's failure is called ours",
        "The payer has the money, the books say that it came back, and it goes back once more.",
        (
            Edit(
                "flows/contradict_refund.py",
                "        if held.provider_refund_id in {None, known_as}:\n",
                "        if kept is None:\n",
            ),
        ),
        ("tests/flows/test_second_refunds.py",),
    ),
    Bug(
        "a refund that waits is sent though the bank took its charge back meanwhile",
        "The payer has the money twice.",
        (
            Edit(
                "flows/submit_refund.py",
                "    if await contradictions.was_taken_back("
                "conn, payment, held.provider_payment_id):\n",
                "    if False:\n",
            ),
        ),
        ("tests/flows/test_submit_refund.py",),
    ),
    Bug(
        "a refund is sent again though the bank took its charge back meanwhile",
        "The payer has the money twice.",
        (Edit("flows/submit_refund.py", "(is_held_back or payer_has_it)", "is_held_back"),),
        ("tests/flows/test_submit_refund.py", "tests/flows/test_credit_notes.py"),
    ),
    Bug(
        "money that the bank has taken back is paid back by itself as well",
        "Its provider, if it lets that happen, pays the payer twice.",
        (Edit("flows/surprises.py", "was_taken_back=is_implied", "was_taken_back=False"),),
        ("tests/flows/test_reversals.py",),
    ),
    Bug(
        "money that the bank has taken back may be paid back when its coming is told at last",
        "Its provider, if it lets that happen, pays the payer twice.",
        (
            Edit(
                "flows/refund_payment.py",
                "if await contradictions.was_taken_back(conn, contradiction.payment, charge):",
                "if False:",
            ),
        ),
        ("tests/flows/test_reversals.py",),
    ),
    Bug(
        "a person names as a refund's what is in the books by that id",
        "The same money goes back twice in the books, or the word is logged and does nothing.",
        (
            Edit(
                "flows/settle_refund_by_hand.py",
                "if is_anothers or await contradictions.went_back_as(\n"
                "            conn, held.account_key, outcome.provider_refund_id\n"
                "        ):",
                "if is_anothers:",
            ),
        ),
        ("tests/flows/test_second_refunds.py",),
    ),
)

"""What providers' answers and events are taken for, and what callers are answered."""

from __future__ import annotations

from typing import Final

from tests.planted.bugs.bug import Bug, Edit
from tests.planted.bugs.places import COLLECTION, EVENTS, HOOKS, WORLDS

ADYEN_SUITE: Final = "tests/providers/test_adyen.py::TestAdyen::"
ADYEN_ANSWERS: Final = "tests/providers/test_adyen_answers.py::"
ADYEN_TOLD: Final = "tests/providers/test_adyen_events.py::"
SANDBOX: Final = "providers/sandbox.py"
ADYEN: Final = "providers/adyen_answers.py"
AWKWARD: Final = "tests/api/test_awkward_values.py"

BUGS: Final = (
    Bug(
        "a word outside Adyen's signature says that nothing was cancelled",
        "Who changes it on its way has us count money that we do not have.",
        (
            Edit(
                "providers/adyen_events.py",
                '        if not succeeded:\n            return Ignored("not_canceled")\n',
                '        if item.additional_data.get("modification.action") == "refund":\n'
                '            return Ignored("refunded_elsewhere")\n'
                '        if not succeeded:\n            return Ignored("not_canceled")\n',
            ),
        ),
        (
            ADYEN_TOLD + "test_what_is_not_signed_never_says_whether_money_moved",
            ADYEN_TOLD + "test_what_was_cancelled_or_refunded_elsewhere_is_money_that_we_have_not",
        ),
    ),
    Bug(
        "Adyen's own trouble is a decline",
        "A charge that may have been made is called failed, and the payer is asked again.",
        (Edit(ADYEN, "        or error.error_type == _THEIR_TROUBLE\n", ""),),
        (ADYEN_ANSWERS + "test_what_is_turned_away_and_what_says_nothing",),
    ),
    Bug(
        "a refusal of a re-send is believed of the first call",
        "What Adyen had charged under the key is called failed.",
        (Edit(ADYEN, "        or sent_before\n", ""),),
        (ADYEN_SUITE + "test_a_refusal_counts_only_where_nothing_was_sent_before",),
    ),
    Bug(
        "an end that was received has come",
        "Adyen takes every cancel, also of what it then pays out: the payer is charged twice.",
        (
            Edit(
                "providers/adyen.py",
                "return Processing(known_as, said.status)",
                'return Declined("canceled", provider_payment_id=known_as)',
            ),
        ),
        (ADYEN_SUITE + "test_a_canceled_charge_is_dead",),
    ),
    Bug(
        "an id is a place",
        "Whoever names a method `..` has another thing read of the provider.",
        (
            Edit(
                "providers/addresses.py",
                'if text in {"", ".", ".."} or len(text)',
                'if text == "" or len(text)',
            ),
        ),
        (ADYEN_SUITE + "test_an_awkward_id_leads_nowhere_else",),
    ),
    Bug(
        "a lost answer is a decline",
        "The payer is asked again for money that has moved.",
        (
            Edit(
                SANDBOX,
                "        if isinstance(answer, Lost):\n            return answer\n"
                "        if answer.status in {200, 402}:",
                "        if isinstance(answer, Lost):\n            return Declined(answer.why)\n"
                "        if answer.status in {200, 402}:",
            ),
        ),
        (COLLECTION + "test_no_answer_is_unknown_until_the_provider_tells", WORLDS),
    ),
    Bug(
        "a decline is a lost answer",
        "A definite no is asked about for a day, and the payer hears of it too late.",
        (Edit(SANDBOX, "if answer.status in {200, 402}:", "if answer.status == 200:"),),
        (COLLECTION + "test_a_decline_ends_in_one_event_with_its_reason",),
    ),
    Bug(
        "an open dispute is told as lost",
        "The tenant writes off what may be won, and Lago's flag is never taken back.",
        (
            Edit(
                "providers/stripe_events.py",
                'is_lost = event.type == "charge.dispute.closed"',
                "is_lost = True",
            ),
        ),
        ("tests/providers/test_stripe_events.py",),
    ),
    Bug(
        "a direct debit that the key made for something else passes for ours",
        "An invoice counts as being collected, and nobody has been asked for its money.",
        (
            Edit(
                "providers/gocardless_charges.py",
                "    if not _is_ours(payment, wanted):\n",
                "    if not wanted:\n",
            ),
        ),
        ("tests/providers/test_gocardless_charges.py",),
    ),
    Bug(
        "a debit is told as dead because it could not be cancelled",
        "The bank collects it all the same, and the invoice has been charged anew.",
        (
            Edit(
                "providers/gocardless_charges.py",
                "        heard = calls.ask(services.PaymentsService, "
                "lambda payments: payments.get(payment_id))\n",
                '        return Declined(code="canceled", provider_payment_id=payment_id)\n',
            ),
        ),
        ("tests/providers/test_gocardless_charges.py",),
    ),
    Bug(
        "a bank's vague word outranks its own code",
        "A payer who refuses is debited three times more, at a fee each.",
        (
            Edit(
                "rules/declines.py",
                "        (decline.network_decline_code, words.network_declines),\n"
                "        (decline.decline_code, words.vague_declines),\n",
                "        (decline.decline_code, words.vague_declines),\n"
                "        (decline.network_decline_code, words.network_declines),\n",
            ),
        ),
        ("tests/rules/test_declines.py",),
    ),
    Bug(
        "a webhook's signature is not checked",
        "Anybody can say that anything was paid.",
        (
            Edit(
                SANDBOX,
                "if not sandbox_has_signed(signature, body, secrets=secrets, now=now):",
                "if not signature:",
            ),
        ),
        (EVENTS, HOOKS, WORLDS),
    ),
    Bug(
        "a NUL in a tax's name is our own error",
        "Who sends it is told to come again, and an operator is called at night.",
        (
            Edit(
                "api/errors.py",
                "    if isinstance(error, TEXT_HAS_NUL):\n        return UNREADABLE\n",
                "",
            ),
            Edit("rules/catalogue.py", 'isinstance(said, str) and "\\0" in said', "False"),
        ),
        (f"{AWKWARD}::test_what_nobody_should_send_is_refused_in_json",),
    ),
)

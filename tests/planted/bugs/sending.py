"""What is sent under a key: what it says, once, and until when."""

from __future__ import annotations

from typing import Final

from tests.planted.bugs.bug import Bug, Edit
from tests.planted.bugs.places import COLLECTING, COLLECTION, LOOK_UP, PROMISES, SENDING, WORLDS

SUBMIT: Final = "flows/submit_attempt.py"
FREEZE: Final = "flows/freeze_charge.py"

BUGS: Final = (
    Bug(
        "a re-send has a new key",
        "The provider takes it for another charge.",
        (
            Edit(
                "flows/as_sent.py",
                "return Charge(\n        idempotency_key(held.id),",
                'return Charge(\n        f"{idempotency_key(held.id)}-again",',
            ),
        ),
        (COLLECTION + "test_no_answer_is_unknown_until_the_provider_tells", WORLDS),
    ),
    Bug(
        "a re-send after the key's life",
        "The provider has forgotten the key, and charges a second time.",
        (
            Edit(
                LOOK_UP,
                "may_send = not is_held_back and may_re_send(sent_at=held.sent_at, now=now())",
                "may_send = not is_held_back",
            ),
        ),
        (COLLECTION + "test_an_unknown_attempt_whose_key_has_died_goes_to_a_person", WORLDS),
    ),
    Bug(
        "what was sent is sent anew",
        "A worker that takes over a dead one's attempt charges without looking it up.",
        (
            Edit(
                SENDING,
                "if attempt.state is State.READY]",
                "if attempt.state in {State.READY, State.SENT}]",
            ),
        ),
        (COLLECTION + "test_a_sender_who_died_is_not_followed_by_a_second_charge", WORLDS),
    ),
    Bug(
        "what changed since the ask is not looked at",
        "An invoice that was paid by transfer meanwhile is charged as well.",
        (Edit(FREEZE, "for one in covered:\n        debt", "for one in ():\n        debt"),),
        (COLLECTION + "test_what_was_paid_meanwhile_is_withdrawn", WORLDS),
    ),
    Bug(
        "the amount of the ask is charged, not what is due",
        "Who has paid a part by hand pays it twice.",
        (
            Edit(
                FREEZE,
                "due_cents = sum(one.debt.due_cents for one in covered)",
                "due_cents = attempt.amount_cents",
            ),
        ),
        (COLLECTION + "test_only_what_is_due_when_it_is_sent_is_charged", WORLDS),
    ),
    Bug(
        "a withdrawn attempt ends without its event",
        "Whoever asked waits for ever.",
        (
            Edit(
                "flows/withdraw_attempts.py", "    await tell(conn, news, now=now)", "    del news"
            ),
        ),
        (COLLECTION + "test_what_was_paid_meanwhile_is_withdrawn", WORLDS),
    ),
    Bug(
        "an event whose id is not made from its cause",
        "A flow that is run again tells everything twice.",
        (
            Edit(
                "flows/tell.py",
                'id=uuid5(news.cause, f"{news.webhook_type}/{news.object_id}"),',
                'id=__import__("uuid").uuid4(),',
            ),
        ),
        (PROMISES,),
    ),
    Bug(
        "a look-up sends an attempt that is ready again",
        "It is charged while it says that nobody has sent it, and withdrawn or sent anew.",
        (
            Edit(
                LOOK_UP,
                "        if not isinstance(left, Moved):\n",
                "        if left is None:\n",
            ),
        ),
        ("tests/flows/test_refused_keys.py",),
    ),
    Bug(
        "a hint about an attempt that is ready leaves it unsent",
        "What became of the charge is dropped as a contradiction, and it is made a second time.",
        (
            Edit(
                "flows/apply_event.py",
                "            await _send_after_all(conn, held.account_key, held.key, now=now)\n",
                "",
            ),
        ),
        ("tests/flows/test_gocardless_flows.py",),
    ),
    Bug(
        "an attempt that is named twice in one batch owes twice",
        "The payer is charged double, and what was asked and what was taken agree.",
        (
            Edit(COLLECTING, "key_arrays(dict.fromkeys(attempts))", "key_arrays(attempts)"),
            Edit(SENDING, "to_send.pop(key) if key in to_send", "to_send[key] if key in to_send"),
        ),
        (
            COLLECTION + "test_an_attempt_that_two_jobs_send_at_once_is_charged_once"
            "_and_what_is_due",
            WORLDS,
        ),
    ),
    Bug(
        "a sender who wakes up late sends",
        "Others have sent it since, a person has settled it, or its key has died.",
        (
            Edit(
                SUBMIT,
                "isinstance(begun, ToSend) and not may_still_send(sent_at=begun.sent_at,"
                " now=now()):",
                "isinstance(begun, ToSend) and False:",
            ),
        ),
        (COLLECTION + "test_a_sender_who_wakes_up_late_sends_nothing", WORLDS),
    ),
    Bug(
        "a held invoice is charged again",
        "Money has moved that we do not understand, and the payer is asked for more.",
        (
            Edit(
                "rules/method_choice.py",
                "if debt.self_billed or debt.held_because:",
                "if debt.self_billed:",
            ),
            Edit(
                FREEZE,
                "if refusal or debt.due_cents <= 0 or debt.held_because:",
                "if refusal or debt.due_cents <= 0:",
            ),
        ),
        ("tests/flows/test_release_invoice.py", WORLDS),
    ),
)

"""The bugs: each one mistake that somebody might make, in the very words that would make it.

A bug names a few tests that should notice it. One that gets through means that a test is missing;
one whose text is no longer in its file has to be planted anew.
"""

from __future__ import annotations

from typing import Final

import msgspec


class Edit(msgspec.Struct, frozen=True):
    """An exact replacement in a file below `src/recoup`; `old` is there once."""

    file: str
    old: str
    new: str


class Bug(msgspec.Struct, frozen=True):
    """A mistake: what it does to people, how it is made, and which tests are to notice it."""

    name: str
    why: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]


COLLECTION: Final = "tests/flows/test_collection.py::"
SETTLE: Final = "tests/flows/test_settle_attempt.py"
EVENTS: Final = "tests/flows/test_provider_events.py"
PROMISES: Final = "tests/flows/test_promises.py"
RACE: Final = "tests/flows/test_retry_race.py"
RECONCILE: Final = "tests/flows/test_reconcile_account.py::"
TRANSFERS: Final = "tests/flows/test_transfers.py::"
FINDINGS: Final = "tests/flows/test_findings.py::"
LOST_REFUNDS: Final = "tests/flows/test_lost_refunds.py"
SWEEP: Final = "tests/flows/test_sweep.py"
PACE: Final = "tests/flows/test_provider_pace.py::"
UNMADE: Final = "tests/flows/test_unmade_calls.py"
LOST_WEBHOOKS: Final = "tests/flows/test_lost_webhooks.py::"
THREADS: Final = "tests/providers/test_sdk_threads.py::"
TENANTS: Final = "tests/store/test_row_level_security.py"
WORLDS: Final = "tests/simulation/test_books_agree.py::test_the_books_agree_whatever_happens[0]"
RETRY_CALL: Final = "tests/api/test_retry_payment.py"
CALLERS: Final = "tests/api/test_callers.py"
HOOKS: Final = "tests/api/test_provider_webhooks.py"
APART: Final = "tests/api/test_tenants_apart.py"
SANDBOX_SUITE: Final = "tests/providers/test_sandbox.py::TestSandbox::"
ADYEN_SUITE: Final = "tests/providers/test_adyen.py::TestAdyen::"
ADYEN_ANSWERS: Final = "tests/providers/test_adyen_answers.py::"
ADYEN_TOLD: Final = "tests/providers/test_adyen_events.py::"
ROTATION: Final = (
    "tests/processes/test_key_rotation.py::test_keys_are_exchanged_under_load_and_no_call_fails"
)
CANARIES: Final = "tests/processes/test_secrets.py::test_no_secret_is_anywhere_but_in_ciphertext"

MIGRATION: Final = "store/migrations/0001_collection.sql"
MOVES: Final = "store/migrations/0010_provider_pace.sql"  # the last one that tells them
RETRY: Final = "flows/retry_payment.py"
SUBMIT: Final = "flows/submit_attempt.py"
SENDING: Final = "flows/begin_sending.py"
FREEZE: Final = "flows/freeze_charge.py"
SETTLING: Final = "flows/settlement_book.py"
LOOK_UP: Final = "flows/look_up_attempt.py"
COLLECTING: Final = "store/collection.py"
SANDBOX: Final = "providers/sandbox.py"
ADYEN: Final = "providers/adyen_answers.py"
KEYS: Final = "store/api_keys.py"

_NO_CHECK: Final = Edit(
    RETRY, "paid, attempt_is_open=ask.invoice in busy)", "paid, attempt_is_open=False)"
)
_NO_ROW_SECURITY: Final = Edit(
    MIGRATION,
    "            USING ((organization_id = ANY ((SELECT recoup_tenants())::uuid[])) IS TRUE)",
    "            USING (true)",
)
_PROMISE: Final = (
    "        await jobs.promise(conn, Job.SUBMIT_ATTEMPT, [one.key for one in self._begun])\n"
)

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
        "a bank transfer has a day to come",
        "The payer's bank takes three, and their money pays nothing.",
        (Edit(SETTLING, "payer is not None and not payer.takes_days", "payer is not None"),),
        (TRANSFERS + "test_a_bank_takes_days_and_nobody_is_asked_to_hurry",),
    ),
    Bug(
        "a retry asks for another transfer beside the first",
        "The payer is told two accounts to send the money for one invoice to.",
        (
            Edit(
                RETRY,
                "    return isinstance(choose_method(ask.wish, debt, link), Method)\n",
                "    return not isinstance(choose_method(ask.wish, debt, link), NoAttempt)\n",
            ),
        ),
        (TRANSFERS + "test_a_bank_takes_days_and_nobody_is_asked_to_hurry",),
    ),
    Bug(
        "whoever pays by bank transfer is charged on a method that they have",
        "A customer who is set to transfers alone finds a charge on their card.",
        (Edit("rules/method_choice.py", "    if link.pays_by_transfer:\n", "    if False:\n"),),
        (
            TRANSFERS + "test_how_it_is_sent_is_decided_when_it_is_sent",
            "tests/rules/test_method_choice.py",
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
        "a page whose time is up is dead, whatever its provider says",
        "The invoice is charged while its payer can still pay on the page.",
        (
            Edit(
                LOOK_UP,
                "    if isinstance(told, Declined):\n"
                "        told = msgspec.structs.replace(told, code=DID_NOT_ACT)\n",
                "    if isinstance(told, Declined):\n"
                "        told = msgspec.structs.replace(told, code=DID_NOT_ACT)\n"
                "    if isinstance(told, Lost) and held.manner == 'page':\n"
                "        told = Declined(DID_NOT_ACT)\n",
            ),
        ),
        (WORLDS,),
    ),
    Bug(
        "a page that its provider does not know was never opened",
        "The call that opens it may still be on its way: it opens beside the retry.",
        (
            Edit(
                "flows/close_payment_page.py",
                "import Fate, NotKnown",
                "import Declined, Fate, NotKnown",
            ),
            Edit(
                "flows/close_payment_page.py",
                "await settle_attempts(pool, [Report(page, told, Source.EVENT)]",
                "if isinstance(told, NotKnown):\n"
                '            told = Declined("never_opened")\n'
                "        await settle_attempts(pool, [Report(page, told, Source.EVENT)]",
            ),
        ),
        (WORLDS, "tests/api/test_payment_pages.py"),
    ),
    Bug(
        "who slept opens a page all the same",
        "After the key's life that is a page that nobody knows of, beside what was charged.",
        (
            Edit(
                "flows/open_payment_page.py",
                "if not may_still_send(sent_at=begun.sent_at, now=now()):",
                "if not may_still_send(sent_at=now(), now=now()):",
            ),
        ),
        ("tests/flows/test_page_closing.py::test_whoever_slept_after_sent_opens_no_page", WORLDS),
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
        (Edit(SETTLING, "state=State.NEEDS_REVIEW", "state=State.FAILED"),),
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
        "a row is read by tenants who did not name it",
        "One customer reads another's invoices.",
        (_NO_ROW_SECURITY,),
        (TENANTS,),
    ),
    Bug(
        "a tax is looked up by its code alone, and no row-level security keeps tenants apart",
        "Whose code it happens to be is taxed by a stranger's rate.",
        (
            _NO_ROW_SECURITY,
            Edit(
                "store/taxes.py",
                "WHERE t.organization_id = $1 AND t.code = ANY",
                "WHERE $1::uuid IS NOT NULL AND t.code = ANY",
            ),
        ),
        (APART,),
    ),
    Bug(
        "an add-on's code is taken for all tenants",
        "One tenant finds out another's codes, by trying which are taken.",
        (
            Edit(
                MIGRATION,
                "one_add_on_per_code ON add_ons (organization_id, code)",
                "one_add_on_per_code ON add_ons (code)",
            ),
        ),
        (APART,),
    ),
    Bug(
        "a new table is forgotten by row-level security",
        "One customer reads why another's invoices are not collected.",
        (Edit(MIGRATION, "'idempotency_keys', 'decisions', ", "'idempotency_keys', "),),
        (TENANTS,),
    ),
    Bug(
        "a foreign key is missing",
        "A payment covers an invoice that is another tenant's, or none.",
        (
            Edit(
                MIGRATION,
                "    FOREIGN KEY (organization_id, payment_id) REFERENCES payments"
                " (organization_id, id),\n"
                "    FOREIGN KEY (organization_id, invoice_id) REFERENCES invoices"
                " (organization_id, id)\n"
                ");\n-- Never two attempts",
                "    FOREIGN KEY (organization_id, payment_id) REFERENCES payments"
                " (organization_id, id)\n"
                ");\n-- Never two attempts",
            ),
        ),
        (TENANTS,),
    ),
    Bug(
        "a revoked key still opens the door",
        "Who has stolen a key goes on using it, and nothing can be done about it.",
        (Edit(KEYS, "k.revoked_at IS NULL AND (k.expires_at", "(k.expires_at"),),
        (CALLERS, "tests/cli/test_key.py"),
    ),
    Bug(
        "a key has no end",
        "A key that was lent for a day is good for ever.",
        (Edit(KEYS, " AND (k.expires_at IS NULL OR k.expires_at > now())", ""),),
        (CALLERS,),
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
                "case Repeated() if _is_second_charge(attempt, report):",
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
        "what a restore has made unsent is told as a second charge",
        "The payer's only charge is unapplied money, and goes back by the account's setting.",
        (
            Edit(
                "flows/apply_event.py",
                "            if attempt.state is State.READY:\n",
                "            if attempt is None:\n",
            ),
        ),
        (EVENTS,),
    ),
    Bug(
        "the page of a held invoice stays open",
        "Its payer pays beside money that has moved already.",
        (
            Edit(
                "flows/surprises.py",
                "        await attempts.close_pages(conn, held, now=self._now)"
                "  # nobody is to pay on one now\n",
                "",
            ),
        ),
        ("tests/flows/test_payment_pages.py",),
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
        "a try that failed on a page of the list is a decline",
        "After a restore the card is charged beside a page that the payer can still pay on.",
        (
            Edit(
                "providers/stripe_charges.py",
                "        if isinstance(found, Intent) and is_of_a_page(found):\n"
                "            found = await find_page(client, charge, asked)\n",
                "",
            ),
        ),
        ("tests/providers/test_stripe_calls.py",),
    ),
    Bug(
        "who did not know of a transfer cancels it",
        "The payer has sent the money from a page, and its day was over: it is taken for nothing.",
        (
            Edit(
                "providers/stripe_charges.py",
                "    if is_known and isinstance(outcome, Processing)",
                "    if isinstance(outcome, Processing)",
            ),
        ),
        ("tests/providers/test_stripe_calls.py",),
    ),
    Bug(
        "what was refused without a call is an answer",
        "An account that is down is called by everybody, since a mistyped id was turned away here.",
        (
            Edit(
                "flows/note_outcome.py",
                "    if isinstance(told, NotKnown | Declined):\n",
                "    if isinstance(told, NotKnown):\n",
            ),
        ),
        (UNMADE,),
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
        "a provider that is down is called all the same",
        "Every attempt waits for an answer that does not come, and takes a slot from the others.",
        (
            Edit(
                "flows/take_calls.py",
                "            return _Given(health, dict.fromkeys(callers, said.until))\n",
                "            return _Given(health, {})\n",
            ),
        ),
        ("tests/flows/test_provider_pace.py",),
    ),
    Bug(
        "a provider that answers again stays left alone",
        "The outage is over, and everything still waits: until somebody looks at /health.",
        (
            Edit(
                "flows/note_outcome.py",
                "    answered = msgspec.structs.replace(before, breaker=after_answer())\n",
                "    answered = before\n",
            ),
        ),
        ("tests/flows/test_provider_pace.py",),
    ),
    Bug(
        "all call at once when an account may be tried again",
        "A provider that is just getting up is called by everything that waited for it.",
        (
            Edit(
                "rules/provider_pace.py",
                "    if now < breaker.open_until:\n        return Wait(breaker.open_until)\n",
                "    if now < breaker.open_until:\n        return Wait(breaker.open_until)\n"
                "    return Call()\n",
            ),
        ),
        ("tests/flows/test_provider_pace.py",),
    ),
    Bug(
        "a look-up goes round the breaker",
        "Each attempt whose answer was lost calls a provider that is down, and holds a slot.",
        (
            Edit(
                "flows/take_calls.py",
                "        return permit_question(breaker, now=now)\n",
                "        return Call()\n",
            ),
        ),
        ("tests/flows/test_provider_pace.py",),
    ),
    Bug(
        "a charge is sent again without a call of its own",
        "An account at its limit is pushed over it by what was lost before.",
        (
            Edit(
                LOOK_UP,
                "told = await line.order(lambda provider: provider.charge(charge))",
                "told = await line.provider.charge(charge)",
            ),
        ),
        ("tests/flows/test_provider_pace.py",),
    ),
    Bug(
        "while an account is left alone hardly anybody asks there",
        "What is unknown stays so for a quarter of an hour after its provider answers again.",
        (
            Edit(
                "rules/provider_pace.py",
                "PROBE_FOR: Final = timedelta(seconds=30)",
                "PROBE_FOR: Final = timedelta(minutes=14)",
            ),
        ),
        (LOST_WEBHOOKS + "test_stripe_is_asked", LOST_WEBHOOKS + "test_the_sandbox_is_asked"),
    ),
    Bug(
        "a 429 without a time is no news",
        "The account is called on as often as before, and refused as often.",
        (
            Edit(
                "flows/note_outcome.py",
                "told.key_refused or told.why == TOO_OFTEN",
                "told.key_refused or told.retry_after_seconds is not None",
            ),
        ),
        ("tests/flows/test_provider_pace.py",),
    ),
    Bug(
        "a refused key is taken back whoever has looked it up",
        "Somebody sends it again at that moment, and it is charged while it says that it is ready.",
        (
            Edit(
                "store/attempts.py",
                "AND id = $2 AND state = 'sent' AND sent_at = $3\n    RETURNING id",
                "AND id = $2 AND sent_at = $3\n    RETURNING id",
            ),
        ),
        ("tests/flows/test_refused_keys.py",),
    ),
    Bug(
        "one account may have every slot",
        "A provider that hangs holds up the charges of all others.",
        (
            Edit(
                "flows/calls_under_way.py",
                "        return max(more, 1 if own == 0 else 0)\n",
                "        return max(more, 1_000)\n",
            ),
        ),
        ("tests/workers/test_bulkhead.py",),
    ),
    Bug(
        "a look-up that asks nobody keeps the probe",
        "An account at Adyen that answers again is left alone until nobody's call is over.",
        (
            Edit(
                "flows/call_account.py",
                "            await self._give_back(used)\n            return told\n",
                "            return told\n",
            ),
        ),
        (UNMADE,),
    ),
    Bug(
        "a call that was not made is taken off the limit",
        "What no provider was asked for holds up the charges of an account.",
        (
            Edit(
                "flows/take_calls.py",
                "        bucket=put_back(health.bucket, used.calls),\n",
                "        bucket=health.bucket,\n",
            ),
        ),
        (UNMADE,),
    ),
    Bug(
        "what follows a look-up that asks nobody is no question",
        "An account at Adyen is never asked before its time, however long its silence lasts.",
        (
            Edit(
                "flows/call_account.py",
                "            questions=self._had_no_way_to_ask,\n",
                "",
            ),
        ),
        (UNMADE,),
    ),
    Bug(
        "of what an account held back only the first thousand are woken",
        "The others wait for as long as they were put off, with an account that answers.",
        (
            Edit(
                "flows/wake_account.py",
                "            if most is not None:\n                break\n",
                "            break\n",
            ),
        ),
        (PACE + "test_however_many_were_held_back_all_are_due",),
    ),
    Bug(
        "who wakes attempts waits for those that somebody holds",
        "One that is held keeps all others of its account waiting.",
        (
            Edit(
                "store/waiting_attempts.py",
                "ORDER BY id LIMIT $5\n           FOR NO KEY UPDATE SKIP LOCKED\n",
                "ORDER BY id LIMIT $5\n           FOR NO KEY UPDATE\n",
            ),
        ),
        (PACE + "test_what_somebody_holds_keeps_nobody_waiting",),
    ),
    Bug(
        "a page of a provider's list locks its invoices in two goes",
        "Two who take in news of the same invoices wait for each other, and neither is done.",
        (
            Edit(
                "flows/mend_from_list.py",
                "        await collection.lock_together(self._conn, lost, list(known))\n",
                "        await collection.lock_covered(self._conn, list(known))\n"
                "        await collection.lock(self._conn, lost)\n",
            ),
        ),
        ("tests/flows/test_mend_from_list.py",),
    ),
    Bug(
        "all accounts at a provider share their threads",
        "One whose provider hangs has them all, and the calls of the others are never begun.",
        (
            Edit(
                "providers/sdk_threads.py",
                "MOST_AT_ONCE: Final = 32  # of one account\n",
                "MOST_AT_ONCE: Final = 32\n_OF_ALL: Final[dict[str, asyncio.Semaphore]] = {}\n",
            ),
            Edit(
                "providers/sdk_threads.py",
                "self._places = asyncio.Semaphore(MOST_AT_ONCE)",
                "self._places = _OF_ALL.setdefault(name, asyncio.Semaphore(MOST_AT_ONCE))",
            ),
        ),
        (THREADS + "test_an_account_that_hangs_stops_no_other",),
    ),
    Bug(
        "a call that was given up leaves its place to the next",
        "Of an account that hangs there are ever more threads, until there is room for none.",
        (
            Edit(
                "providers/sdk_threads.py",
                "                return await self._begin(work, deadline)\n",
                "                try:\n"
                "                    return await self._begin(work, deadline)\n"
                "                finally:\n"
                "                    self._places.release()\n",
            ),
            Edit(
                "providers/sdk_threads.py",
                "            self._places.release()\n            if not told.done():",
                "            if not told.done():",
            ),
        ),
        (THREADS + "test_a_call_that_was_given_up_counts_until_it_ends",),
    ),
    Bug(
        "accounts at Stripe share a number of connections",
        "One that hangs has them all, and each of the others seems to be down as well.",
        (
            Edit(
                "flows/open_provider.py",
                "limits=httpx.Limits(max_connections=None)",
                "limits=httpx.Limits(max_connections=400)",
            ),
        ),
        ("tests/flows/test_open_provider.py",),
    ),
    Bug(
        "a reboot looks like a restore",
        "Where devices are numbered anew nothing is charged, at Adyen until a person comes.",
        (
            Edit(
                "rules/restore_signs.py",
                "volume = 0 if self.volume == self.device else self.volume",
                "volume = self.device",
            ),
        ),
        ("tests/rules/test_restore_signs.py",),
    ),
    Bug(
        "two who call an account at once do not see each other",
        "Together they go over the limit that the provider publishes.",
        (
            Edit(
                "store/provider_health.py",
                "     ORDER BY h.organization_id, h.provider_account_id\n"
                "       FOR NO KEY UPDATE OF h\n",
                "",
            ),
        ),
        ("tests/flows/test_provider_pace.py",),
    ),
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
        "a page of a list trusts what it saw before its locks",
        "What was sent meanwhile is sent once more as of long ago: the whole page fails.",
        (
            Edit(
                "flows/mend_from_list.py",
                "        known = await attempts.lock(self._conn, known)  "
                "# one may have been sent meanwhile\n",
                "",
            ),
        ),
        ("tests/flows/test_mend_from_list.py",),
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
        "what was paid for an invoice that was voided since cannot count as sent",
        "Its event is refused by the database and comes back for ever: the money is in no books.",
        (
            Edit(
                "store/attempts.py",
                "       AND i.due_cents > 0  -- else it was sent before that,",
                "       AND true  -- else it was sent before that,",
            ),
        ),
        (EVENTS,),
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
        "news of a method that cannot be confirmed drops it",
        "A customer's card is forgotten because an event did not say whose it is.",
        (
            Edit(
                "flows/keep_methods.py",
                '        return "no_such_method"\n    if said.is_default',
                "        return await drop_method(\n"
                "            conn, account, said.provider_method_id, now=now\n        )\n"
                "    if said.is_default",
            ),
        ),
        ("tests/flows/test_method_events.py",),
    ),
    Bug(
        "any news of a method undoes that it was deleted",
        "A card that the merchant deleted is the default again, and charged.",
        (
            Edit(
                "flows/keep_methods.py",
                "    if deleted_at and not (set_up_at and set_up_at > deleted_at):",
                "    if deleted_at and False:",
            ),
        ),
        ("tests/flows/test_method_events.py",),
    ),
    Bug(
        "an old switch of the default is believed",
        "Events come in the wrong order, and the card that the customer gave up is charged.",
        (
            Edit(
                "flows/keep_methods.py",
                "    if said.is_default and not found.is_default:",
                "    if False:",
            ),
        ),
        ("tests/flows/test_method_events.py",),
    ),
    Bug(
        "a provider's customer is asked for in other words under the same key",
        "Stripe turns it away for a day, then forgets the key and makes a second customer.",
        (
            Edit(
                "flows/make_provider_customer.py",
                "request = before.request or _rendered(details.customer, link)",
                "request = _rendered(details.customer, link)",
            ),
        ),
        ("tests/flows/test_make_provider_customer.py",),
    ),
    Bug(
        "a provider's customer is asked for long after its key is forgotten",
        "One customer of ours is two at the provider, and their card is at the other one.",
        (
            Edit(
                "flows/make_provider_customer.py",
                "if before.sent_at and not may_re_send(sent_at=before.sent_at, now=now):",
                "if False:",
            ),
        ),
        ("tests/flows/test_make_provider_customer.py",),
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
    Bug(
        "a state that never served is compared from the last beat on",
        "Whoever was charged before that is on no list that is asked for, and is charged again.",
        (
            Edit(
                "flows/notice_restore.py",
                "kept.beat_at if kept else await _beginning(pool)",
                "kept.beat_at if kept else last_beat or now",
            ),
        ),
        (RECONCILE + "test_a_state_that_nobody_had_served_from_is_compared_from_its_beginning",),
    ),
    Bug(
        "processes write the marker of the last beat by way of one file",
        "One empties it while another puts it in its place, and no restore is known by it.",
        (
            Edit(
                "store/beat_marker.py",
                'path.with_suffix(f".{writer}.new")',
                'path.with_suffix(".new")',
            ),
        ),
        ("tests/store/test_beat_marker.py",),
    ),
    Bug(
        "a page that cannot be asked about refuses a whole bulk call",
        "The other attempts were begun, and whoever called knows of none.",
        (
            Edit(
                "flows/close_payment_page.py",
                "[said] = await serve_each(lambda one: asyncio.gather(*map(close, one)), [page])",
                "said = await close(page)",
            ),
        ),
        ("tests/api/test_payment_pages.py",),
    ),
    Bug(
        "one account whose secrets do not open ends the telling of the sandbox",
        "No new account is told where its events go until the process begins anew.",
        (
            Edit(
                "flows/register_sandbox_webhooks.py",
                "            not_told += 1\n            continue\n",
                "            raise\n",
            ),
        ),
        ("tests/flows/test_register_sandbox_webhooks.py",),
    ),
    Bug(
        "a restored database charges at once",
        "What was charged after the backup is unknown here, and is charged again.",
        (
            Edit(
                SENDING,
                "        if link.account_key in batch.held_back:\n",
                "        if False:\n",
            ),
        ),
        (RECONCILE + "test_nothing_is_sent_before_the_list_was_compared_and_then_it_is",),
    ),
    Bug(
        "a charge that nobody explained lets an account go",
        "Its invoice is billed anew and charged, and the payer has paid twice.",
        (
            Edit(
                "flows/reconcile_account.py",
                "if not await findings.any_open(conn, account, HOLDS_BACK):",
                "if True:",
            ),
        ),
        (RECONCILE + "test_what_cannot_be_explained_keeps_the_account_until_a_person_lets_it_go",),
    ),
    Bug(
        "a comparison opens again what a person has resolved",
        "The same finding is worked through every night, until nobody reads them.",
        (
            Edit(
                "store/findings.py",
                "WHERE reconciliation_findings.resolved_by IS NULL",
                "WHERE true",
            ),
        ),
        (FINDINGS + "test_a_difference_that_a_person_has_resolved_is_not_opened_again",),
    ),
    Bug(
        "a charge that a person has dealt with is booked as well",
        "They paid it back at the provider, and the invoice shows as paid.",
        (
            Edit(
                "flows/mend_from_list.py",
                "if finding.id_in(self._account) in dealt_with:",
                "if False:",
            ),
        ),
        (FINDINGS + "test_what_a_person_has_dealt_with_is_not_booked_as_well",),
    ),
    Bug(
        "nobody asks for what is on no list any more",
        "A charge whose invoice was busy for longer than the window is never booked.",
        (
            Edit(
                "flows/reconcile_account.py",
                "    await ask_for_findings(pool, line, one, now=now)\n",
                "",
            ),
        ),
        (
            FINDINGS
            + "test_what_waited_for_a_busy_invoice_is_booked_when_it_is_on_no_list_any_more",
        ),
    ),
    Bug(
        "a call that fails is logged with its body, and secrets with it",
        "Whoever reads the log can charge in the tenants' names.",
        (
            Edit(
                "api/errors.py",
                "        path=request.url.path,\n",
                "        path=request.url.path,\n"
                '        body=repr(request.scope.get("recoup_body")),\n',
            ),
        ),
        (CANARIES,),
    ),
    Bug(
        "a provider's error text is kept, and secrets with it",
        "It repeats the key that it was shown: in the database, and in what the tenant is told.",
        (
            Edit(
                "providers/stripe_http.py",
                "return TurnedAway(error.http_status, type(error).__name__, said.error)",
                "return TurnedAway(error.http_status, str(error), said.error)",
            ),
        ),
        (CANARIES,),
    ),
    Bug(
        "a call's secrets are kept under its idempotency key",
        "The body that connects an account lies there for a month, beside the ciphertext.",
        (
            Edit(
                "api/edge.py",
                "body_digest=sha256(await request.body()).hexdigest(),",
                "body_digest=(await request.body()).hex(),",
            ),
        ),
        (CANARIES,),
    ),
    Bug(
        "an answer shows the secrets",
        "Every API key of a tenant can read the tenant's keys at its provider.",
        (
            Edit(
                "flows/add_provider_account.py",
                "return sorted(name for name, secret in",
                'return sorted(f"{name}: {secret}" for name, secret in',
            ),
        ),
        (CANARIES,),
    ),
    Bug(
        "the audit log has the secrets",
        "What is added there can never be taken away again.",
        (
            Edit(
                "flows/manage_provider_accounts.py",
                '"secrets_given": sorted(change.secrets),',
                '"secrets_given": dict(change.secrets),',
            ),
        ),
        (CANARIES,),
    ),
    Bug(
        "a refusal repeats a secret that stands where a name belongs",
        "Error texts are logged by whoever called.",
        (
            Edit(
                "rules/account_secrets.py",
                "known are: {', '.join(known)}",
                "{', '.join(given.keys() - known.keys())}",
            ),
        ),
        (CANARIES,),
    ),
    Bug(
        "a process that ends hangs up at once",
        "A balancer that has not asked yet sends it calls, and they fail.",
        (Edit("wiring/http_server.py", "timeout=settings.drain_seconds)", "timeout=0)"),),
        (ROTATION,),
    ),
    Bug(
        "the previous master key opens nothing",
        "While it is exchanged, what one process has sealed is closed to the other.",
        (
            Edit(
                "store/secret_box.py",
                "fitting = tuple(key for key in self._keys.all if key.id == key_id)",
                "fitting = tuple(key for key in self._keys.all[:1] if key.id == key_id)",
            ),
        ),
        (ROTATION,),
    ),
    Bug(
        "a new webhook secret ends the old one",
        "The provider signs with the old one for a while yet, and its events are refused.",
        (
            Edit(
                "rules/account_secrets.py",
                "            new[previous] = kept[name]\n",
                "            new.pop(previous, None)\n",
            ),
            Edit(
                "flows/manage_provider_accounts.py",
                "for name in ending}:",
                "for name in ending if False}:",
            ),
        ),
        ("tests/flows/test_manage_provider_accounts.py", ROTATION),
    ),
    Bug(
        "a page to leave a method on can be used twice",
        "Whoever finds the link again decides what its customer is charged by.",
        (
            Edit(
                "sandbox/methods.py",
                "return self.used_at is None and now < self.expires_at",
                "return now < self.expires_at",
            ),
            Edit("sandbox/method_book.py", "WHERE id = ? AND used_at IS NULL", "WHERE id = ?"),
            Edit(
                "sandbox/set_ups.py",
                'event_id_of("attached", page_id)',
                'event_id_of("attached", page_id, method_id)',
            ),
        ),
        ("tests/sandbox/test_set_up_pages.py",),
    ),
    Bug(
        "a method is kept for whoever the sandbox's event names",
        "Every test method can be charged for everybody, so nobody says that it is another's.",
        (
            Edit(
                "providers/sandbox_events.py",
                "method.customer or None, is_default=True,",
                "method.customer or None, is_default=False,",
            ),
        ),
        ("tests/flows/test_open_set_up_page.py",),
    ),
    Bug(
        "a list of methods is not looked through for other customers'",
        "Somebody is charged by what somebody else has left.",
        (
            Edit(
                "providers/sandbox.py",
                "            if one.customer == provider_customer_id\n",
                "",
            ),
        ),
        (SANDBOX_SUITE + "test_another_customers_method_in_the_list_is_not_theirs",),
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
        "a refund that waits is sent though the bank took its charge back meanwhile",
        "The payer has the money twice.",
        (
            Edit(
                "flows/submit_refund.py",
                "        if await _payer_has_it(conn, held):\n",
                "        if False:\n",
            ),
        ),
        ("tests/flows/test_submit_refund.py",),
    ),
    Bug(
        "a refund is sent again though the bank took its charge back meanwhile",
        "The payer has the money twice.",
        (Edit("flows/submit_refund.py", "(is_held_back or payer_has_it)", "is_held_back"),),
        ("tests/flows/test_submit_refund.py",),
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
                SETTLING,
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
    Bug(
        "a third webhook secret ends the first",
        "The provider may sign with it still, and its events are refused.",
        (
            Edit(
                "flows/manage_provider_accounts.py",
                "for name in ending}:",
                "for name in ending if change.drops_previous}:",
            ),
        ),
        (
            f"{HOOKS}::test_no_webhook_secret_ends_before_somebody_says_that_it_is_over",
            "tests/cli/test_provider.py",
        ),
    ),
    Bug(
        "a new webhook secret counts as a new key",
        "The key that is refused is tried by all that waits, and the alarm goes off anew.",
        (
            Edit(
                "flows/manage_provider_accounts.py",
                "makes_other_calls = are_of_other_calls(kept, secrets)",
                "makes_other_calls = secrets != kept",
            ),
        ),
        ("tests/flows/test_refused_keys.py",),
    ),
)

"""Several invoices in one charge, and the receipts of what was paid."""

from __future__ import annotations

from typing import Final

from tests.planted.bugs.bug import Bug, Edit
from tests.planted.bugs.places import SETTLING

ASKING: Final = "flows/request_payment.py"
REQUESTS: Final = "tests/flows/test_request_payment.py::"
ON_THE_WIRE: Final = "tests/api/test_payment_requests.py::"
RULES: Final = "tests/rules/test_payment_requests.py::"
NOTES: Final = "tests/flows/test_requests_and_notes.py::"
WITHDRAWN: Final = REQUESTS + "test_one_that_is_settled_before_it_is_sent_withdraws_the_whole"
RACES: Final = REQUESTS + "test_of_two_who_come_at_once_nobody_collects_twice"

BUGS: Final = (
    Bug(
        "whose request fails for good hears nothing of it",
        "A card has expired, and its holder finds out when their service is switched off.",
        (
            Edit(
                ASKING,
                "(campaign.blind_copies if campaign else ()) if can_mail else None,",
                "campaign.blind_copies if campaign and can_mail else None,",
            ),
        ),
        (f"{REQUESTS}test_whose_charge_fails_for_good_is_reminded_once",),
    ),
    Bug(
        "whom the schedule charges again is asked to pay besides",
        "A customer is asked on Monday for what their card is charged on Tuesday.",
        (
            Edit(
                "flows/tell_requests.py",
                "        if request.dunning_campaign_id is not None or request.key in left:\n",
                "        if request:\n",
            ),
        ),
        (f"{REQUESTS}test_whom_the_schedule_tries_again_is_not_reminded",),
    ),
    Bug(
        "a request does not lock its invoices",
        "A retry and a request that come at once both find an invoice free, and one of them fails.",
        (Edit("store/invoices.py", "       FOR NO KEY UPDATE OF i\n", ""),),
        (RACES,),
    ),
    Bug(
        "only the first invoice of a request is locked in",
        "Whatever else covers the others is found by the database alone: a 500, and no request.",
        (
            Edit(
                ASKING,
                "open_or_decided(conn, [debt.key for debt in debts], [])",
                "open_or_decided(conn, [debts[0].key], [])",
            ),
        ),
        (REQUESTS + "test_what_is_charged_already_is_in_no_request",),
    ),
    Bug(
        "a request pays its first invoice alone",
        "The customer has paid for three, and two are asked for again.",
        (
            Edit(
                SETTLING,
                "        applied = apply_success(\n            covered,\n",
                "        applied = apply_success(\n            covered[:1],\n",
            ),
        ),
        (REQUESTS + "test_one_charge_pays_all",),
    ),
    Bug(
        "a request's failure ends its first invoice alone",
        "The others stay pending for ever, and no schedule tries them again.",
        (
            Edit(
                SETTLING,
                "            for failure in ended\n            for one in failure.covered\n",
                "            for failure in ended\n            for one in failure.covered[:1]\n",
            ),
        ),
        (REQUESTS + "test_a_decline_pays_none_and_is_told_once",),
    ),
    Bug(
        "a request charges what was due when it was made",
        "What was paid by hand meanwhile is collected a second time.",
        (
            Edit(
                "flows/freeze_charge.py",
                "due_cents = sum(one.debt.due_cents for one in covered)",
                "due_cents = sum(one.amount_cents for one in covered)",
            ),
        ),
        (REQUESTS + "test_what_is_paid_by_hand_in_part_before_it_is_sent_is_not_charged",),
    ),
    Bug(
        "only the first invoice of a request is looked at again",
        "One that was voided or paid by hand meanwhile is charged with the others.",
        (
            Edit(
                "flows/freeze_charge.py",
                "    for one in covered:\n        debt = one.debt\n",
                "    for one in covered[:1]:\n        debt = one.debt\n",
            ),
        ),
        (WITHDRAWN,),
    ),
    Bug(
        "a request that is withdrawn takes its invoices off the schedule",
        "Since one of them was paid by hand, nobody tries the others any more.",
        (
            Edit(
                "store/attempts.py",
                "    await conn.execute(_PLAN_AS_BEFORE, *key_arrays(because.keys()))\n",
                "",
            ),
        ),
        (WITHDRAWN,),
    ),
    Bug(
        "money for one voided invoice holds all of its request",
        "What was paid in full waits for a person, who finds nothing.",
        (
            Edit(
                SETTLING,
                "about = applied.surprised_by(surprise, covered)",
                "about = covered",
            ),
        ),
        (REQUESTS + "test_money_for_one_that_was_voided_after_it_was_sent_belongs_to_nobody",),
    ),
    Bug(
        "a request's failure is told as its first invoice's",
        "Who waits for the request's end never hears of it.",
        (
            Edit(
                "flows/tell_ends.py",
                "    if attempt.payment_request_id is not None:\n",
                "    if attempt.payment_request_id is not None and not declined:\n",
            ),
        ),
        (REQUESTS + "test_a_decline_pays_none_and_is_told_once",),
    ),
    Bug(
        "a request takes other customers' invoices",
        "One customer's card pays what another owes.",
        (Edit(ASKING, "if invoice.customer_id == customer.id and ", "if "),),
        (ON_THE_WIRE + "test_each_refusal_comes_in_the_contracts_order_and_stores_nothing",),
    ),
    Bug(
        "an invoice to be paid by hand is charged with the others",
        "A card is charged for what its owner said they would send.",
        (
            Edit(
                "rules/method_choice.py",
                '        if debt.payment_method_type == "manual":\n'
                "            return NoAttempt.METHOD_IS_MANUAL\n",
                "",
            ),
        ),
        (
            RULES + "test_the_default_is_charged_whatever_the_invoices_name",
            REQUESTS + "test_an_invoice_to_be_paid_by_hand_is_charged_on_no_card",
        ),
    ),
    Bug(
        "what a paid request leaves is paid by hand past it",
        "A contradiction that waits for a person is paid over, and then refunded or charged again.",
        (
            Edit(
                "flows/record_manual_payment.py",
                "    if await payment_requests.has_succeeded_with(conn, invoice.key):\n"
                '        raise Refused(invalid({"base": '
                '["payment_request_is_already_succeeded"]}))\n',
                "",
            ),
        ),
        (
            ON_THE_WIRE + "test_a_paid_requests_invoice_takes_no_payment_by_hand",
            REQUESTS + "test_a_success_that_tells_of_less_is_raised",
        ),
    ),
    Bug(
        "what is paid at once has no receipt",
        "Only who pays by a webhook is given one, as at Lago.",
        (
            Edit(
                SETTLING,
                "[(one.attempt.key, one.attempt.customer_key) for one in self._successes],",
                "[(one.attempt.key, one.attempt.customer_key) for one in self._successes\n"
                "             if one.attempt.state is not State.SENT],",
            ),
        ),
        (REQUESTS + "test_one_charge_pays_all",),
    ),
    Bug(
        "receipts of two payments at once have one number",
        "The second payment is refused, though the money is there.",
        (
            Edit(
                "store/payment_receipts.py",
                "DO UPDATE SET last = counter.last + excluded.last",
                "DO UPDATE SET last = excluded.last",
            ),
        ),
        ("tests/api/test_payment_receipts.py",),
    ),
    Bug(
        "a payment that comes to nothing has a receipt",
        "A customer holds a receipt for money that never moved.",
        (
            Edit(
                SETTLING,
                "[(one.attempt.key, one.attempt.customer_key) for one in self._successes],",
                "[(one.attempt.key, one.attempt.customer_key)\n"
                "             for one in (*self._successes, *self._failures)],",
            ),
        ),
        (REQUESTS + "test_a_decline_pays_none_and_is_told_once",),
    ),
    Bug(
        "a note of one invoice counts what another's gave back of the same charge",
        "The second note gives nothing back, and nobody says so.",
        (
            Edit(
                "store/credit_notes.py",
                "                  AND n.invoice_id = pi.invoice_id), 0))::bigint",
                "                  ), 0))::bigint",
            ),
        ),
        (NOTES + "test_two_notes_of_one_charge_give_back_each_what_it_paid_of_its_invoice",),
    ),
    Bug(
        "a note gives back of a charge what it paid of other invoices",
        "What was paid by hand goes back out of the charge of another invoice.",
        (
            Edit(
                "store/credit_notes.py",
                "(pi.applied_cents - coalesce((",
                "(p.amount_cents - coalesce((",
            ),
        ),
        (NOTES + "test_a_void_that_gives_back_takes_no_more_of_the_charge_than_it_paid",),
    ),
    Bug(
        "what a restored attempt covers is not what it took",
        "A request that was charged for less leaves a debt of which nobody is told.",
        (
            Edit(
                "flows/count_as_sent.py",
                "        amount_cents=sum(shares.values()),\n",
                "        amount_cents=amount_cents,\n",
            ),
        ),
        (NOTES + "test_one_that_a_restore_forgot_to_have_sent_leaves_no_debt_unsaid",),
    ),
    Bug(
        "what counts as sent is for what is due by then",
        "A note that was made after it was sent breaks the books for good.",
        (
            Edit(
                "flows/count_as_sent.py",
                "    await attempts.cover(conn, attempt.key, shares)\n",
                "",
            ),
        ),
        (
            NOTES + "test_one_that_a_restore_forgot_to_have_sent_is_what_it_covers",
            NOTES + "test_an_event_of_one_that_a_restore_forgot_to_have_sent",
        ),
    ),
    Bug(
        "what is made anew after a restore stays on the schedule",
        "The schedule tries what is being collected already.",
        (
            Edit(
                "store/new_attempts.py",
                "    UPDATE invoices SET next_try_at = NULL  -- it",
                "    UPDATE invoices SET next_try_at = next_try_at  -- it",
            ),
        ),
        (
            NOTES + "test_what_is_made_anew_is_on_no_schedule",
            NOTES + "test_a_request_that_gives_way_to_a_charge_that_a_restore_lost",
        ),
    ),
    Bug(
        "two refunds of one debit are on their way at once",
        "GoCardless refuses the second: it names money that has not gone back.",
        (
            Edit(
                "flows/submit_refund.py",
                "    return is_named and await",
                "    return not is_named and await",
            ),
        ),
        (NOTES + "test_where_the_sum_is_confirmed_refunds_of_one_charge_wait_for_each_other",),
    ),
    Bug(
        "a list holds the receipt numbers of what it knows alone",
        "Two pages of a provider's list wait for each other, and one of them is not taken in.",
        (
            Edit(
                "flows/mend_from_list.py",
                "        customers = {debt.customer_key for debt in debts.values()}\n",
                "        customers: set[RowKey] = set()\n",
            ),
        ),
        (
            "tests/flows/test_mend_from_list.py::"
            "test_two_that_number_receipts_of_the_same_customers_do_not_wait_for_each_other",
        ),
    ),
    Bug(
        "a list holds only the receipt numbers that there are",
        "First receipts of two customers, and a batch that numbers theirs, wait for each other.",
        (
            Edit(
                "store/payment_receipts.py",
                "    SELECT asked.*, 0 FROM unnest($1::uuid[], $2::uuid[]) AS asked"
                " (organization_id, customer_id)\n",
                "    SELECT organization_id, customer_id, last FROM unnest($1::uuid[], $2::uuid[])"
                " AS asked (organization_id, customer_id) JOIN payment_receipt_counters"
                " USING (organization_id, customer_id)\n",
            ),
        ),
        (
            "tests/flows/test_mend_from_list.py::"
            "test_first_receipts_are_numbered_beside_a_batch_that_numbers_theirs",
        ),
    ),
    Bug(
        "a refund that waits for a person lets the next of its debit fail",
        "It counts as gone back and is not: GoCardless refuses every later one.",
        (
            Edit(
                "store/refunds.py",
                "IN ('sent', 'unknown', 'needs_review'))",
                "IN ('sent', 'unknown'))",
            ),
        ),
        (NOTES + "test_one_that_waits_for_a_person_keeps_the_next_of_its_charge_from_failing",),
    ),
)

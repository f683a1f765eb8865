"""What is taken off an invoice again, and what of it goes back."""

from __future__ import annotations

from typing import Final

from tests.planted.bugs.bug import Bug, Edit

FLOWS: Final = "tests/flows/test_credit_notes.py"
API: Final = "tests/api/test_credit_notes.py"
VOIDS: Final = "tests/api/test_void_with_notes.py"
TOTALS: Final = "tests/rules/test_credit_note_totals.py"

BUGS: Final = (
    Bug(
        "an offset is booked and not taken off what is due",
        "The next retry charges what nobody owes any more.",
        (
            Edit(
                "flows/issue_credit_note.py",
                "    await credit_notes.add_offset("
                "conn, invoice.key, note.offset_cents, now=now)\n",
                "",
            ),
        ),
        (FLOWS,),
    ),
    Bug(
        "an invoice of which nothing is due after an offset stays pending",
        "Nobody is told that it is settled, and it is dunned.",
        (
            Edit(
                "flows/issue_credit_note.py",
                '    await invoices.show_payment_status(conn, invoice.key, "succeeded", now=now)\n',
                "",
            ),
        ),
        (FLOWS,),
    ),
    Bug(
        "a payment page stays open for what is due no more after an offset",
        "Its payer pays more than they owe.",
        (
            Edit(
                "flows/issue_credit_note.py",
                "    await attempts.close_pages(conn, [invoice.key], now=now)"
                "  # it was for what was due before\n",
                "",
            ),
        ),
        (FLOWS,),
    ),
    Bug(
        "a note may pay back more than was paid",
        "Money goes to somebody who has not paid it.",
        (
            Edit(
                "rules/credit_note_totals.py",
                "        elif parts.refund_cents > standing.refundable_cents:\n",
                "        elif False:\n",
            ),
        ),
        (TOTALS,),
    ),
    Bug(
        "what notes have paid back already may be paid back once more",
        "Two notes give the same money back.",
        (
            Edit(
                "rules/credit_note_totals.py",
                "        unrefunded = self.paid_cents - self.credited.refund_cents\n",
                "        unrefunded = self.paid_cents\n",
            ),
        ),
        (TOTALS,),
    ),
    Bug(
        "an offset may be more than what is due",
        "The invoice comes to owe its payer, and the database refuses by a 500.",
        (
            Edit(
                "rules/credit_note_totals.py",
                "    if parts.offset_cents > standing.offsettable_cents:\n",
                "    if False:\n",
            ),
        ),
        (TOTALS, API),
    ),
    Bug(
        "what notes have left of a fee is not looked at",
        "The same line is credited again and again.",
        (
            Edit(
                "rules/credit_note_asks.py",
                "        if cents > left[fee_id].remaining_cents:\n",
                "        if False:\n",
            ),
        ),
        (API,),
    ),
    Bug(
        "two lines of one note may take off the same fee twice",
        "Together they credit more than the fee was.",
        (
            Edit(
                "rules/credit_note_asks.py",
                "        [left[fee_id]] = taken_off([line], [left[fee_id]])\n",
                "",
            ),
        ),
        (API,),
    ),
    Bug(
        "a voided note gives its fee back",
        "What was credited and voided is credited once more.",
        (
            Edit(
                "store/credit_notes.py",
                "     WHERE n.organization_id = $1 AND n.invoice_id = $2\n     GROUP BY t.fee_id\n",
                "     WHERE n.organization_id = $1 AND n.invoice_id = $2\n"
                "       AND n.voided_at IS NULL\n     GROUP BY t.fee_id\n",
            ),
        ),
        (API,),
    ),
    Bug(
        "the taxes of a note are rounded line by line",
        "A note for the whole invoice comes to another sum than the invoice.",
        (
            Edit(
                "rules/credit_note_totals.py",
                "        raw_sum += raw\n",
                "        raw_sum += rounded(raw)\n",
            ),
        ),
        (TOTALS,),
    ),
    Bug(
        "a note is made without the lock of its invoice",
        "Two at the same moment take off more than there is.",
        (
            Edit(
                "flows/create_credit_note.py",
                "    invoice = await lock_invoice(conn, organization_id, _id(asked, read_id))\n",
                "    invoice = (await find_invoice("
                "conn, organization_id, _id(asked, read_id))).invoice\n",
            ),
        ),
        (FLOWS,),
    ),
    Bug(
        "a void leaves the rest of the invoice to be used as credit",
        "The customer keeps a credit for what nobody wanted to give back.",
        (
            Edit(
                "flows/credit_voided_invoice.py",
                "        await let_lapse(conn, details.note, now=now)\n",
                "        assert details\n",
            ),
        ),
        (VOIDS,),
    ),
    Bug(
        "a void makes no note of what it does not give back",
        "Later notes take off the voided invoice what was to be gone.",
        (Edit("flows/credit_voided_invoice.py", "    if rest:\n", "    if rest < 0:\n"),),
        (VOIDS,),
    ),
    Bug(
        "a void may give back more than was paid",
        "Money goes to somebody who has not paid it.",
        (
            Edit(
                "flows/credit_voided_invoice.py",
                "    if is_too_much or parts.refund_cents > held.standing.refundable_cents:\n",
                "    if is_too_much:\n",
            ),
        ),
        (VOIDS,),
    ),
    Bug(
        "one charge pays back for all",
        "The provider refuses what is more than the charge was, and nothing goes back.",
        (
            Edit(
                "rules/refund_split.py",
                "        portion = min(left, charge.refundable_cents)\n",
                "        portion = left\n",
            ),
        ),
        ("tests/rules/test_refund_split.py",),
    ),
    Bug(
        "what a charge has paid back of an invoice by an earlier note does not count",
        "The newest charge is asked for money that it has given back, and the older ones for none.",
        (
            Edit(
                "store/credit_notes.py",
                "                  AND n.invoice_id = pi.invoice_id), 0))::bigint",
                "                  AND n.invoice_id = pi.payment_id), 0))::bigint",
            ),
        ),
        (FLOWS,),
    ),
    Bug(
        "a charge that the bank took back is paid back as well",
        "The payer has the money twice.",
        (
            Edit(
                "store/credit_notes.py",
                "AND c.told IN ('reversed', 'given_back')) <= 0  --",
                "AND c.told IN ('reversed', 'given_back')) IS NOT NULL  --",
            ),
        ),
        (FLOWS,),
    ),
    Bug(
        "an invoice whose dispute is lost is paid back as well",
        "The payer's bank has given them the money, and so do we.",
        (
            Edit(
                "flows/begin_note_refunds.py",
                "    if invoice.payment_dispute_lost_at is not None:\n",
                "    if False:\n",
            ),
        ),
        (API,),
    ),
    Bug(
        "a refund that waits is sent though the dispute was lost meanwhile",
        "The payer has the money twice.",
        (
            Edit(
                "flows/submit_refund.py",
                "    return DISPUTE_LOST if moot.dispute_was_lost else None\n",
                "    return None\n",
            ),
        ),
        (FLOWS,),
    ),
    Bug(
        "a refund is sent though somebody has said that the money went back",
        "The payer has the money twice.",
        (
            Edit(
                "flows/submit_refund.py",
                "    if moot.went_back_otherwise:\n",
                "    if False:\n",
            ),
        ),
        (FLOWS,),
    ),
    Bug(
        "a person's word on a refund is undone by calling the refund off",
        "The note shows that the money did not go back, and it is paid once more.",
        (
            Edit(
                "flows/follow_refund.py",
                " or refund.error_code == refund_state.PAID_OTHERWISE:\n",
                ":\n",
            ),
        ),
        (FLOWS,),
    ),
    Bug(
        "a refund that fails undoes a person's word that the money went back",
        "The note shows that its payer waits for money that they have, and somebody pays it again.",
        (Edit("flows/follow_refund.py", "and not is_a_persons and", "and"),),
        (FLOWS,),
    ),
    Bug(
        "a note shows that its money went back when some of it has",
        "Nobody looks for the rest, which the payer still waits for.",
        (
            Edit(
                "rules/refund_state.py",
                '    return "succeeded" if succeeded >= refund_cents else None\n',
                '    return "succeeded" if succeeded else None\n',
            ),
        ),
        ("tests/rules/test_refund_split.py", FLOWS),
    ),
    Bug(
        "what a note gives back is booked as money that belongs to nothing",
        "The books still owe the payer what they have.",
        (
            Edit(
                "flows/contradict_refund.py",
                'of="to_refund" if note else "unapplied"',
                'of="unapplied"',
            ),
        ),
        (FLOWS,),
    ),
    Bug(
        "who asks for refund failures by the name that Lago's filters know hears nothing",
        "The payer's money stays here, and nobody knows.",
        (
            Edit(
                "store/events.py",
                "                      AND name.asked_by = ANY (endpoint.event_types))\n",
                "                      AND name.asked_by IS NULL)\n",
            ),
        ),
        (FLOWS,),
    ),
)

"""What a restored database no longer knows, and comparisons with a provider's list."""

from __future__ import annotations

from typing import Final

from tests.planted.bugs.bug import Bug, Edit
from tests.planted.bugs.places import EVENTS, SENDING

RECONCILE: Final = "tests/flows/test_reconcile_account.py::"
FINDINGS: Final = "tests/flows/test_findings.py::"

BUGS: Final = (
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
)

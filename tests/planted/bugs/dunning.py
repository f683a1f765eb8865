"""Customers who are late: asked too often, for too much, or by two at once."""

from __future__ import annotations

from typing import Final

from tests.planted.bugs.bug import Bug, Edit

RULES: Final = "rules/dunning.py"
LOOK: Final = "flows/dun_customer.py"
TRANSFERS: Final = "tests/flows/test_dun_transfers.py::"
WAKE: Final = "tests/flows/test_wake_dunned.py::"
DONE: Final = "tests/flows/test_dun_customer.py::"

BUGS: Final = (
    Bug(
        "two workers look at one customer at once",
        "The customer is asked twice on one day, and charged as often.",
        (
            Edit("store/dunnings.py", "       FOR NO KEY UPDATE OF i\n", ""),
            Edit("store/dunnings.py", "       FOR UPDATE OF d\n", ""),
        ),
        (DONE + "test_two_workers_at_once_count_once",),
    ),
    Bug(
        "who becomes late while the last invoice is paid is forgotten",
        "Nobody asks the customer for the new invoice until another one is late.",
        (Edit(LOOK, "if not owed and await dunnings.is_late(conn, customer):", "if False:"),),
        (DONE + "test_what_becomes_late_while_the_last_is_paid_is_not_forgotten",),
    ),
    Bug(
        "a campaign asks for what the schedule will try",
        "A card is charged by the campaign today, and by the schedule for the same in an hour.",
        (Edit(RULES, "        and one.try_at is None\n", ""),),
        (
            DONE + "test_what_others_collect_hold_or_will_try_is_left_to_them",
            DONE + "test_the_schedule_tries_first_and_the_campaign_goes_on_after_it",
        ),
    ),
    Bug(
        "a campaign charges a stolen card again",
        "Networks fine the shop for it, and in the end refuse all that it sends.",
        (
            Edit(
                RULES,
                "if failures and failures[-1].decline_class not in _WORTH_ANOTHER:",
                "if False:",
            ),
            Edit(
                RULES,
                "if history.last_decline and history.last_decline not in _WORTH_ANOTHER:",
                "if False:",
            ),
        ),
        (DONE + "test_a_card_that_is_dead_is_not_charged_again_but_its_holder_reminded",),
    ),
    Bug(
        "a campaign charges what is to be paid by hand",
        "Somebody who pays by bank is charged on a card that they left for something else.",
        (
            Edit(
                RULES,
                "            instead = _never_charged(one) or for_all\n",
                "            instead = for_all\n",
            ),
        ),
        (DONE + "test_what_is_paid_by_hand_is_asked_for_apart_and_never_charged",),
    ),
    Bug(
        "what was paid is asked of nobody's counter",
        "Who pays the first of two invoices is never asked for the second.",
        (Edit("store/dunnings.py", "i.payment_status = 'succeeded' OR", "false OR"),),
        (DONE + "test_whoever_pays_something_is_asked_anew_for_the_rest",),
    ),
    Bug(
        "a campaign counts in one transaction and asks in another",
        "Whoever is killed between has used up an attempt at which nobody was asked.",
        (
            Edit(
                LOOK,
                "        await _ask(conn, dunned, planned,",
                "        if planned.dunning is not None:\n"
                "            async with db.transaction(\n"
                "                pool, tenants=[customer.organization_id]\n"
                "            ) as own:\n"
                "                await dunnings.write(own, planned.dunning)\n"
                "        await _ask(conn, dunned, planned,",
            ),
            Edit("store/dunnings.py", "       FOR UPDATE OF d\n", ""),
        ),
        (DONE + "test_whoever_is_killed_has_counted_and_asked_nothing",),
    ),
    Bug(
        "a changed campaign asks at once",
        "Whoever edits a campaign three times on one day charges everybody three times.",
        (
            Edit(
                RULES,
                "    if dunning.last_attempt_at is None:\n",
                "    if dunning.last_attempt_at is None or not dunning.counts:\n",
            ),
        ),
        (DONE + "test_other_terms_and_another_campaign_count_anew_and_hurry_nobody",),
    ),
    Bug(
        "a threshold is of totals",
        "Somebody who has paid nearly all is dunned for the last cent.",
        (
            Edit(
                "store/dunnings.py",
                "SELECT {DEBT}, i.next_try_at",
                "SELECT {DEBT_OF_TOTAL}, i.next_try_at",
            ),
            Edit(
                "store/dunnings.py",
                '_LOCK_OVERDUE: Final = f"""',
                'DEBT_OF_TOTAL = DEBT.replace("i.due_cents", "i.total_cents AS due_cents")\n'
                '_LOCK_OVERDUE: Final = f"""',
            ),
        ),
        (DONE + "test_the_threshold_is_of_what_is_due_and_not_of_totals",),
    ),
    Bug(
        "a campaign is finished at each look",
        "The shop is told every day that it has given up.",
        (
            Edit(
                RULES,
                " and not awaited and counted.finished_at is None",
                " and not awaited",
            ),
        ),
        (DONE + "test_a_campaign_asks_as_often_as_it_says_and_is_finished_once",),
    ),
    Bug(
        "whoever is excluded is dunned",
        "The one customer whom nobody was to bother gets the mail.",
        (
            Edit(
                "store/dunnings.py",
                "     WHERE c.deleted_at IS NULL AND NOT c.exclude_from_dunning_campaign\n"
                "       AND coalesce",
                "     WHERE c.deleted_at IS NULL\n       AND coalesce",
            ),
            Edit(
                "store/dunnings.py",
                "     WHERE c.deleted_at IS NULL AND NOT c.exclude_from_dunning_campaign\n"
                '""".format',
                '     WHERE c.deleted_at IS NULL\n""".format',
            ),
        ),
        (DONE + "test_a_customers_own_campaign_wins_and_an_excluded_one_has_none",),
    ),
    Bug(
        "a reminder's readers are lost",
        "Those who are to see what customers are sent see nothing.",
        (
            Edit(
                "flows/promise_mail.py",
                "[msgspec.structs.replace(mail, blind_copies=copies)]",
                "[mail]",
            ),
        ),
        (DONE + "test_reminders_go_to_the_campaigns_readers_in_blind_copy",),
    ),
    Bug(
        "a late customer is not woken",
        "A campaign asks nobody who becomes late after it was made.",
        (
            Edit(
                "flows/mark_overdue.py",
                "        await dunnings.wake(conn, {locked[key].customer_key for key in late},"
                " now=now)\n",
                "",
            ),
        ),
        (DONE + "test_what_becomes_late_is_asked_for_at_once_and_paid",),
    ),
    Bug(
        "a deleted campaign leaves its counters",
        "A customer keeps a count of attempts that no campaign knows any more.",
        (
            Edit(
                "flows/manage_dunning_campaigns.py",
                "    await dunnings.forget_campaign(conn, campaign.key)\n",
                "",
            ),
        ),
        (DONE + "test_a_deleted_campaign_asks_nobody_and_counts_nothing",),
    ),
    Bug(
        "a deleted campaign forgets whom it has just asked",
        "Whoever makes a campaign anew charges everybody again on the same day.",
        (
            Edit(
                "store/dunnings.py",
                "     WHERE r.dunning_campaign_id IS NOT NULL\n     GROUP BY",
                "     WHERE r.dunning_campaign_id IN (SELECT id FROM dunning_campaigns)\n"
                "     GROUP BY",
            ),
        ),
        (DONE + "test_a_campaign_that_is_made_anew_or_put_back_asks_nobody_twice_within_its_days",),
    ),
    Bug(
        "nobody looks for those whom both sides have missed",
        "Who becomes late in the moment in which a campaign begins to apply is never asked.",
        (
            Edit(
                "flows/wake_dunned.py",
                "            await dunning_wakes.ask_for_missing(conn, some, now=now)\n",
                "",
            ),
        ),
        (WAKE + "test_who_becomes_late_while_a_campaign_begins_to_apply_is_found_within_the_hour",),
    ),
    Bug(
        "a change while the late are woken is not begun anew with",
        "Whoever was passed by then is looked at a day later, or never.",
        (
            Edit(
                "store/dunning_wakes.py",
                "       SET after_customer_id = excluded.after_customer_id, only_missing = false,\n"
                "           asked_at = excluded.asked_at\n",
                "       SET asked_at = excluded.asked_at\n",
            ),
        ),
        (WAKE + "test_a_change_meanwhile_begins_with_the_first_again",),
    ),
    Bug(
        "a thousand are woken and no more",
        "A large tenant's other late customers are never asked.",
        (
            Edit(
                "flows/wake_dunned.py",
                "        if len(late) < most:\n",
                "        if len(late) <= most:\n",
            ),
        ),
        (WAKE + "test_all_are_woken_however_many_at_once",),
    ),
    Bug(
        "an entity that applies a campaign wakes nobody",
        "Who was late before is asked a day after the next invoice is late.",
        (
            Edit(
                "flows/manage_billing_entities.py",
                "        await ask_to_wake(conn, organization_id, now=now)\n",
                "        pass\n",
            ),
        ),
        (WAKE + "test_an_entity_that_applies_a_campaign_asks_those_who_are_late_already",),
    ),
    Bug(
        "a deleted customer is dunned",
        "A look that can never succeed comes back for ever.",
        (
            Edit(
                "store/dunnings.py",
                'WHERE c.deleted_at IS NULL AND NOT c.exclude_from_dunning_campaign\n""".format',
                'WHERE NOT c.exclude_from_dunning_campaign\n""".format',
            ),
        ),
        (WAKE + "test_who_is_gone_is_neither_woken_nor_asked[deleted_at = now()]",),
    ),
    Bug(
        "who pays by bank transfer is never reminded",
        "A transfer has no end: its payer hears nothing for years, and is looked at every hour.",
        (
            Edit(
                "flows/dun_customer.py",
                "    is_awaited = held is not None and held.manner is Manner.TRANSFER"
                " and held.waits_for_payer\n",
                "    is_awaited = False\n",
            ),
        ),
        (TRANSFERS + "test_whoever_is_awaited_is_reminded_and_never_charged",),
    ),
    Bug(
        "a campaign asks for a transfer beside one that is awaited",
        "A payer who sends both has paid twice.",
        (
            Edit(
                RULES,
                "    if one.is_awaited:\n        return NoAttempt.TRANSFER_IS_AWAITED\n",
                "",
            ),
        ),
        (TRANSFERS + "test_whoever_is_awaited_is_reminded_and_never_charged",),
    ),
    Bug(
        "a transfer counts as awaited before it is known that its payer was told",
        "They are reminded of what they have never heard of, and may be paying.",
        (Edit("flows/dun_customer.py", " and held.waits_for_payer\n", "\n"),),
        (TRANSFERS + "test_what_is_not_awaited_yet_is_left_alone",),
    ),
    Bug(
        "a dead card is forgotten with the invoice that showed it",
        "Networks fine a shop that charges a stolen card again.",
        (
            Edit(
                RULES,
                "    if history.last_decline and history.last_decline not in _WORTH_ANOTHER:\n",
                "    if False:\n",
            ),
            Edit(
                RULES,
                "why_remind_alone((one.debt for one in overdue), history",
                "why_remind_alone((one.debt for one in free), history",
            ),
        ),
        (DONE + "test_a_card_that_is_dead_is_dead_whatever_became_of_what_showed_it",),
    ),
    Bug(
        "who cannot be looked at is first at each sweep",
        "A thousand of one tenant's keep everybody else from being asked.",
        (
            Edit(
                "flows/dun_customer.py",
                "            await dunnings.put_off(conn, customer, until=now + AFTER_A_FAILURE,"
                " now=now)\n",
                "            pass\n",
            ),
        ),
        (DONE + "test_who_cannot_be_looked_at_is_put_off_and_keeps_nobody_else",),
    ),
    Bug(
        "whatever is paid has a campaign begin anew",
        "It never gives up on whoever pays something in another currency.",
        (Edit("store/dunnings.py", " AND r.currency = n.currency\n", "\n"),),
        (DONE + "test_what_was_not_asked_for_by_the_campaign_begins_nothing_anew",),
    ),
    Bug(
        "what somebody else asked for has a campaign begin anew",
        "It never gives up on whoever is asked by hand as well.",
        (
            Edit(
                "store/dunnings.py",
                "               AND r.dunning_campaign_id IS NOT NULL\n               AND (i",
                "               AND (i",
            ),
        ),
        (DONE + "test_what_was_not_asked_for_by_the_campaign_begins_nothing_anew",),
    ),
)

"""What waits for a payer: hosted pages and bank transfers."""

from __future__ import annotations

from typing import Final

from tests.planted.bugs.bug import Bug, Edit
from tests.planted.bugs.places import ASKING_AGAIN, LOOK_UP, RETRY, WORLDS

TRANSFERS: Final = "tests/flows/test_transfers.py::"

BUGS: Final = (
    Bug(
        "a bank transfer has a day to come",
        "The payer's bank takes three, and their money pays nothing.",
        (Edit(ASKING_AGAIN, "payer is not None and not payer.takes_days", "payer is not None"),),
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
)

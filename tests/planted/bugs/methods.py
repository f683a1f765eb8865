"""Payment methods and customers, as a provider tells of them."""

from __future__ import annotations

from typing import Final

from tests.planted.bugs.bug import Bug, Edit

SANDBOX_SUITE: Final = "tests/providers/test_sandbox.py::TestSandbox::"

BUGS: Final = (
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
        "a page to leave a method on is asked for anew by whoever takes the job over",
        "One customer gets two links, and the first that they use is not the one that was told.",
        (
            Edit(
                "flows/make_provider_customer.py",
                "page_id=uuid5(link.id, PAGE)",
                'page_id=uuid5(link.id, f"{PAGE}{now}")',
            ),
        ),
        ("tests/flows/test_make_provider_customer.py",),
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
)

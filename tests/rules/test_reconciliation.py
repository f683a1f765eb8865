"""What a charge on a provider's list means, as docs/restore.md tells it to operators."""

from __future__ import annotations

from itertools import product
from uuid import UUID

import pytest

from recoup.rules.attempt_state import State
from recoup.rules.payment_requests import request_metadata
from recoup.rules.reconciliation import Judged, Listed, There, judge, states_differ
from tests.rules.debts import a_debt

OURS = UUID("018f3f3e-0000-7000-8000-00000000000a")
THEIRS = "018f3f3e-0000-7000-8000-00000000000b"
INVOICE = "018f3f3e-0000-7000-8000-00000000000c"

KEYS = {
    "none": None,
    "anothers": "order-17",
    "no_id": "payment-17",
    "ours": "payment-018f3f3e-0000-7000-8000-00000000000d",
}
OWNERS = {"none": {}, "ours": {"lago_organization_id": str(OURS)},
          "anothers": {"lago_organization_id": THEIRS}}  # fmt: skip
INVOICES = {
    "none": {},
    "named": {"lago_invoice_id": INVOICE},
    "no_id": {"lago_invoice_id": "INV-1"},
}
STATES = {"moves": {}, "declined": {"is_declined": True}, "unreadable": {"is_readable": False}}

# "We" know the charge: an attempt of ours has its key. The money then goes through the one door,
# which knows what is news; but what cannot be read is for a person.
WE_KNOW = {"moves": Judged.KNOWN, "declined": Judged.KNOWN, "unreadable": Judged.UNREADABLE}

# We do not, and it is under a key of our form. Who made it is told by the metadata; without a word
# of the organization it may be ours. `unknown_here` is what is lost, or unexplained where it cannot
# be said what it was for; where no money moved, there is nothing to find.
#   the organization in the metadata ->  none           ours           another
UNKNOWN = {
    ("moves", "named"):                 "lost           lost           foreign",
    ("moves", "none"):                  "unexplained    unexplained    foreign",
    ("moves", "no_id"):                 "unexplained    unexplained    foreign",
    ("declined", "named"):              "nothing        nothing        foreign",
    ("declined", "none"):               "nothing        nothing        foreign",
    ("declined", "no_id"):              "nothing        nothing        foreign",
    ("unreadable", "named"):            "unreadable     unreadable     foreign",
    ("unreadable", "none"):             "unreadable     unreadable     foreign",
    ("unreadable", "no_id"):            "unreadable     unreadable     foreign",
}  # fmt: skip

# Both sides know it; `.` they say the same, `!` they do not. One that has not ended here is asked
# about anyway; of one that cannot be read there is another finding.
#   there ->            paid processing customer_needed declined taken_back
DIFFER = {
    "ready":           ".    .          .               .        .",
    "sent":            ".    .          .               .        .",
    "unknown":         ".    .          .               .        .",
    "processing":      ".    .          .               .        .",
    "customer_needed": ".    .          .               .        .",
    "needs_review":    ".    .          .               .        .",
    "succeeded":       ".    !          !               !        .",
    "failed":          "!    !          !               .        !",
    "withdrawn":       "!    !          !               .        !",
}  # fmt: skip


@pytest.mark.parametrize(
    ("is_known", "key", "owner", "state", "invoice"),
    [*product((True, False), KEYS, OWNERS, STATES, INVOICES)],
)
def test_what_a_listed_charge_means(
    is_known: bool, key: str, owner: str, state: str, invoice: str
) -> None:
    charge = Listed(
        idempotency_key=KEYS[key], metadata=OWNERS[owner] | INVOICES[invoice], **STATES[state]
    )
    if is_known:
        expected = WE_KNOW[state]
    elif key == "ours":
        expected = Judged(UNKNOWN[state, invoice].split()[[*OWNERS].index(owner)])
    else:
        expected = Judged.FOREIGN  # of another program, through the same account
    assert judge(charge, is_known=is_known, organization_id=OURS) is expected


@pytest.mark.parametrize("here", State)
def test_where_both_sides_do_not_say_the_same(here: State) -> None:
    others = [there for there in There if there is not There.UNREADABLE]
    said = ["!" if states_differ(here, there) else "." for there in others]
    assert said == DIFFER[here].split()


def test_a_payment_requests_charge_that_a_restore_has_lost_is_for_a_person() -> None:
    """Beside it stand not all of its invoices, nor what each of them was charged."""
    listed = Listed(
        idempotency_key=KEYS["ours"],
        metadata=request_metadata(UUID(int=1), UUID(int=2), [a_debt(organization_id=OURS)]),
    )
    assert judge(listed, is_known=False, organization_id=OURS) is Judged.UNEXPLAINED
    assert judge(listed, is_known=True, organization_id=OURS) is Judged.KNOWN

"""The gate: which invoices a retry is refused for, and in which of the contract's words."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recoup.rules.invoice_status import why_not_charge
from recoup.rules.refusal import Refusal, RefusalKind

PAYMENT_STATUSES = ("pending", "succeeded", "failed")

# f: not found; s: invalid_status; b: busy; -: accepted. The columns are the payment status, with
# and without an open attempt.
#            pending  succeeded failed
#            open -   open -    open -
EXPECTED = {
    "draft":      "s s  s s  s s",
    "finalized":  "b -  s s  b -",
    "voided":     "s s  s s  s s",
    "generating": "f f  f f  f f",
    "failed":     "b -  s s  b -",
    "open":       "f f  f f  f f",
    "closed":     "f f  f f  f f",
    "pending":    "b -  s s  b -",
    "deleted":    "f f  f f  f f",
}  # fmt: skip
SIGNS = {
    "f": Refusal(RefusalKind.NOT_FOUND, "invoice_not_found"),
    "s": Refusal(RefusalKind.NOT_ALLOWED, "invalid_status"),
    "b": Refusal(
        RefusalKind.NOT_ALLOWED, "payment_processor_is_currently_handling_payment"
    ),
    "-": None,
}  # fmt: skip


@pytest.mark.parametrize("status", EXPECTED)
def test_the_gate_in_every_state_of_an_invoice(status: str) -> None:
    columns = product(PAYMENT_STATUSES, (True, False))
    for sign, (payment_status, is_open) in zip(EXPECTED[status].split(), columns, strict=True):
        refusal = why_not_charge(status, payment_status, attempt_is_open=is_open)
        assert refusal == SIGNS[sign], (payment_status, is_open)


@settings(max_examples=1_000)
@given(st.text(), st.sampled_from(PAYMENT_STATUSES), st.booleans())
def test_a_status_that_nobody_has_heard_of_is_never_charged(
    status: str, payment_status: str, is_open: bool
) -> None:
    if status not in EXPECTED:
        refusal = why_not_charge(status, payment_status, attempt_is_open=is_open)
        assert refusal == SIGNS["f"]

"""What an invoice's state allows: who sees it, and why it may not be charged."""

from __future__ import annotations

from typing import Final

from recoup.rules.refusal import Refusal, not_allowed, not_found

# Contract section 4.1: the others answer 404 on every route.
VISIBLE: Final = frozenset({"draft", "finalized", "voided", "failed", "pending"})
HIDDEN: Final = frozenset({"generating", "open", "closed", "deleted"})

HANDLED: Final = not_allowed("payment_processor_is_currently_handling_payment")


def why_not_charge(status: str, payment_status: str, *, attempt_is_open: bool) -> Refusal | None:
    """Say why a retry of this invoice is refused; None: it is accepted.

    The order is the contract's (section 5.1): a voided invoice answers `invalid_status` even
    while an attempt is open.
    """
    if status not in VISIBLE:
        return not_found("invoice")
    if status in {"draft", "voided"} or payment_status == "succeeded":
        return not_allowed("invalid_status")
    if attempt_is_open:
        return HANDLED
    return None

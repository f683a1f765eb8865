"""What Stripe's no means: it is one for certain, or it says nothing of what became of the call."""

from __future__ import annotations

from typing import Final

from recoup.providers.protocol import Declined, Lost
from recoup.providers.stripe_answers import read_decline
from recoup.providers.stripe_http import TurnedAway
from recoup.providers.stripe_objects import attempt_in
from recoup.providers.stripe_requests import Operation

# Of what Stripe can refuse, what says nothing of an earlier call under the same key. A 402 does: it
# is the issuer's answer, and under the same key it is always the first one.
REFUSED_AT_THE_DOOR: Final = frozenset({400, 403, 404})
# What a failed charge's intent may be. In another state money may have moved, or may yet.
WITHOUT_MONEY: Final = frozenset({"requires_payment_method", "canceled"})


def read_no(no: TurnedAway, asked: Operation | None, *, sent_before: bool) -> Declined | Lost:
    """A definite no, where it is one for certain."""
    error, intent = no.error, no.error.payment_intent
    if asked is not None and intent is not None:
        if attempt_in(intent.metadata) != asked.attempt_id:
            return Lost("answer_about_another_charge")
        if intent.status not in WITHOUT_MONEY:
            return Lost("answer_contradicts_itself")
    if no.status in REFUSED_AT_THE_DOOR:
        if sent_before:
            return Lost(no.code)
        is_about_method = error.param == "payment_method"
        return Declined(
            code=no.code,
            # Stripe's own words quote what was sent; the name of the parameter does not.
            message=f"Stripe refuses the parameter {error.param}." if error.param else "",
            method_is_gone=is_about_method and asked is not None,
        )
    if not (error.code or error.decline_code):
        return Lost("unreadable_answer")
    return read_decline(error, intent)

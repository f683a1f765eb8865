"""Ask GoCardless to pay back, and what became of it: one operation a function, each in a thread.

Called by `providers/gocardless`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from gocardless_pro import services

from recoup.providers.gocardless_answers import (
    after_it_was_made,
    instant,
    one,
    pages,
    turned_away,
    why,
)
from recoup.providers.gocardless_calls import Calls, Conflict, TurnedAway
from recoup.providers.gocardless_words import REFUND, RefundMade, Refunds, refund_outcome
from recoup.providers.protocol import Declined, Lost, NotKnown, Refund, RefundOutcome

_BEFORE_SENDING: Final = timedelta(minutes=1)  # their clock is not ours
# The event that goes with a status in which a refund came to nothing.
_ACTIONS: Final = {"bounced": "failed", "funds_returned": "funds_returned"}


def refund_once(calls: Calls, *, refund: Refund) -> RefundOutcome:
    """Make the refund, or find the one that this key has made."""
    wanted = json.loads(refund.request)["refunds"]
    headers = {"Idempotency-Key": refund.idempotency_key}
    heard = calls.ask(
        services.RefundsService, lambda refunds: refunds.create(params=wanted, headers=headers)
    )
    if isinstance(heard, TurnedAway):
        return turned_away(heard, sent_before=refund.sent_before)
    if isinstance(heard, Lost):
        return heard
    if isinstance(heard, Conflict):
        made_before = heard.resource_id
        heard = calls.ask(services.RefundsService, lambda refunds: refunds.get(made_before))
    made = one(heard, "refunds", RefundMade)
    if isinstance(made, Lost):
        return after_it_was_made(made)
    if not _is_ours(made, wanted):
        return Lost("another_refund")
    became = _outcome(calls, made)
    return after_it_was_made(became) if isinstance(became, Lost) else became


def look_up_refund(calls: Calls, *, refund: Refund) -> RefundOutcome | NotKnown:
    """Find the refund, by its id or by what was noted beside it, and say what its status means."""
    wanted = json.loads(refund.request)["refunds"]
    known_as = refund.provider_refund_id
    if known_as is not None:
        heard = calls.ask(services.RefundsService, lambda refunds: refunds.get(known_as))
        made = one(heard, "refunds", RefundMade)
        if isinstance(made, Lost):
            return made
        return _outcome(calls, made) if made.id == known_as else Lost("another_refund")
    params: dict[str, str] = {"payment": wanted["links"]["payment"]}
    if refund.sent_at is not None:
        params["created_at[gte]"] = instant(refund.sent_at - _BEFORE_SENDING)
    listed = pages(calls, services.RefundsService, params, Refunds)
    if isinstance(listed, TurnedAway):
        return Lost(f"http_{listed.status}")
    if isinstance(listed, Lost):
        return listed
    found = [made for part in listed for made in part.refunds]
    ours = [made for made in found if _is_ours(made, wanted)]
    return _outcome(calls, ours[0]) if ours else NotKnown()


def _outcome(calls: Calls, made: RefundMade) -> RefundOutcome:
    """Say what a refund's status means, and of one that came to nothing, why."""
    told = refund_outcome(made)
    action = _ACTIONS.get(made.status)
    if not isinstance(told, Declined) or action is None:
        return told
    details = why(calls, {"refund": made.id, "action": action})
    return details if isinstance(details, Lost) else refund_outcome(made, details)


def _is_ours(made: RefundMade, wanted: Mapping[str, Any]) -> bool:
    is_alike = (made.amount, made.links.payment) == (wanted["amount"], wanted["links"]["payment"])
    return is_alike and bool(made.metadata.get(REFUND) == wanted["metadata"][REFUND])

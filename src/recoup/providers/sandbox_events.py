"""What the sandbox's events say, in our words."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from recoup.providers.protocol import Delivery, Forged, Ignored, Lost, Notice, RefundNotice, Told
from recoup.providers.sandbox_answers import (
    UNREADABLE,
    Event,
    outcome,
    refund_outcome,
    taken_back,
)


def read_delivery(body: bytes) -> Sequence[Delivery] | Forged:
    """Take the one event out of a webhook that was rightly signed."""
    try:
        event, text = msgspec.json.decode(body, type=Event), body.decode()
    except UNREADABLE:
        return Forged("unreadable")
    if event.data.charge is None and event.data.refund is None:
        return Forged("unreadable")
    return [Delivery(event.id, text)]


def told_by(body: str) -> Told:
    """Say what a kept event means."""
    event = msgspec.json.decode(body, type=Event)
    if (refund := event.data.refund) is not None:
        back = refund_outcome(refund)
        if isinstance(back, Lost):
            return Ignored(back.why)
        return RefundNotice(refund.idempotency_key, back, refund.id)
    charge = event.data.charge
    assert charge is not None, "an event without either was not kept"
    if event.type == "charge.disputed":
        return Notice(charge.idempotency_key, taken_back(charge))
    told = outcome(charge)
    if isinstance(told, Lost):
        return Ignored(told.why)
    return Notice(charge.idempotency_key, told)

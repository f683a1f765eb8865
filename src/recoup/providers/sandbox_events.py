"""What the sandbox's events say, in our words."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from recoup.providers.protocol import (
    Delivery,
    Forged,
    Ignored,
    Lost,
    MethodAdded,
    Notice,
    RefundNotice,
    Told,
)
from recoup.providers.reading import UNREADABLE
from recoup.providers.sandbox_answers import (
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
    if all(
        one is None for one in (event.data.charge, event.data.refund, event.data.payment_method)
    ):
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
    if (method := event.data.payment_method) is not None:
        if event.type != "payment_method.attached":
            return Ignored("not_an_attachment")
        # The last one that a customer leaves is what they are charged by: the list says which it is
        # now, and whose.
        return MethodAdded(
            method.id, method.customer or None, is_default=True, set_up_at=method.attached_at
        )
    charge = event.data.charge
    assert charge is not None, "an event without any of them was not kept"
    if event.type == "charge.disputed":
        return Notice(charge.idempotency_key, taken_back(charge))
    told = outcome(charge)
    if isinstance(told, Lost):
        return Ignored(told.why)
    return Notice(charge.idempotency_key, told)

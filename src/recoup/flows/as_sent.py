"""A charge as it was sent, put together again to ask about it, or to send it to the letter."""

from __future__ import annotations

from recoup.providers.protocol import Charge
from recoup.rules.records.collection import Attempt, idempotency_key


def as_sent(held: Attempt) -> Charge:
    """What was sent of this attempt."""
    assert held.request is not None, "what was sent has its request"
    return as_known_there(held, held.provider_payment_id)


def as_known_there(held: Attempt, told_as: str | None) -> Charge:
    """What was sent of an attempt of which the provider tells under this id, sent here or not."""
    return Charge(
        idempotency_key(held.id),
        held.request or "",
        sent_before=True,
        provider_payment_id=held.provider_payment_id or told_as,
        sent_at=held.sent_at,
    )

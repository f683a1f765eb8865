"""A refund: money on its way back to whom it was taken from."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from recoup.rules.records.keys import RowKey
from recoup.rules.refund_state import RefundState


class RefundRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `refunds`. Amounts are minor units."""

    organization_id: UUID
    id: UUID
    payment_id: UUID
    contradiction_id: UUID | None  # what brought the money in; or else:
    credit_note_id: UUID | None  # what says that it goes back
    state: RefundState
    amount_cents: int
    currency: str
    asked_by: str
    provider_account_id: UUID
    provider_payment_id: str
    request: str | None
    provider_refund_id: str | None
    provider_status: str
    error_code: str | None
    error_message: str | None
    look_ups_unanswered: int
    created_at: datetime
    sent_at: datetime | None
    ended_at: datetime | None

    @property
    def key(self) -> RowKey:
        """Which refund this is."""
        return RowKey(self.organization_id, self.id)

    @property
    def account_key(self) -> RowKey:
        """Through which account the money goes back."""
        return RowKey(self.organization_id, self.provider_account_id)


def refund_key(refund_id: UUID) -> str:
    """The key under which the provider makes one refund at most."""
    return f"refund-{refund_id}"


def refund_of(key: str) -> UUID | None:
    """Read a refund's id out of its idempotency key; None for a key that is not ours."""
    if not key.startswith("refund-"):
        return None
    try:
        return UUID(key.removeprefix("refund-"))
    except ValueError:
        return None

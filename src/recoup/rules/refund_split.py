"""Out of which charges of an invoice a refund is paid: the newest first, none beyond what it paid.

What would surprise you: a refund may want more than its charges can give back. The rest was paid by
hand, or taken back by a bank already: no provider can return it, so it is left for a person.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import msgspec


class PaidBy(msgspec.Struct, frozen=True, kw_only=True):
    """A charge that paid for an invoice, and how much of it may go back, in minor units."""

    payment_id: UUID
    account_id: UUID
    provider_payment_id: str
    refundable_cents: int  # what it paid of the invoice, less what goes back of that already


class Portion(msgspec.Struct, frozen=True):
    """What of a refund goes back by one charge."""

    charge: PaidBy
    cents: int


def split_refund(cents: int, charges: Sequence[PaidBy]) -> list[Portion]:
    """Choose what goes back by each of these charges, given newest first."""
    portions: list[Portion] = []
    left = cents
    for charge in charges:
        portion = min(left, charge.refundable_cents)
        if portion > 0:
            portions.append(Portion(charge, portion))
            left -= portion
    return portions

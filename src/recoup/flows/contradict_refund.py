"""Keep what a provider told of a refund that cannot be true beside its row, and book what moved.

Called by `settle_refund` alone, under the locks that it took. Money went back of a refund that had
failed, or went back twice, or such money came back: the payer has it or has it not, whatever our
row says. So it is in the books, shown among the contradictions, and the invoice is held until a
person has looked. The row keeps its state: a later refund of the same money may be on its way.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID, uuid5

import msgspec

from recoup.providers.protocol import Declined, NotKnown, Refunded, RefundOutcome
from recoup.rules import refund_state
from recoup.rules.persons_word import BY_HAND
from recoup.rules.records.collection import Covered
from recoup.rules.records.keys import RowKey
from recoup.rules.records.refunds import RefundRow
from recoup.rules.refund_state import RefundState
from recoup.rules.settlement import CONTRADICTED, Surprise, paid_back
from recoup.store import contradictions, credit_notes, ledger, refunds, tries
from recoup.store.contradictions import Contradiction
from recoup.store.db import Conn
from recoup.store.ledger import LedgerEntry

WENT_BACK: Final = "refunded"


async def contradict_refund(
    conn: Conn,
    held: RefundRow,
    covered: Sequence[Covered],
    told: RefundOutcome | NotKnown,
    *,
    now: datetime,
) -> bool:
    """Keep what contradicts this refund, once, and say whether it does."""
    surprises = await _surprises(conn, held, told)
    for one in surprises:
        if await _keep(conn, one, covered, now=now):
            cents = one.amount_cents if one.told == WENT_BACK else -one.amount_cents
            await book_paid_back(conn, held, one.id, cents, one.currency, now=now)
    return bool(surprises)


async def own_id(
    conn: Conn,
    held: RefundRow,
    covered: Sequence[Covered],
    told: RefundState,
    told_as: str | None,
    *,
    now: datetime,
) -> str | None:
    """The id at the provider that was told of this refund, unless another refund is known by it.

    Then one of the two is known wrongly, most likely by a person's mistake: it is raised.
    """
    if told_as is None:
        return None
    if await refunds.by_provider_id(conn, held.account_key, told_as) in {None, held.key}:
        return told_as
    contradiction = Contradiction(
        payment=RowKey(held.organization_id, held.payment_id),
        id=uuid5(held.id, f"same_id/{told_as}"),
        was=held.state,
        told=told,
        reason=Surprise.SAME_REFUND_ID.value,
        amount_cents=0,  # what moved is booked with the move
        currency=held.currency,
        provider_payment_id=held.provider_payment_id,
        refund_id=held.id,
        provider_refund_id=told_as,
    )
    await _keep(conn, contradiction, covered, now=now)
    return None


async def _keep(
    conn: Conn, contradiction: Contradiction, covered: Sequence[Covered], *, now: datetime
) -> bool:
    """Keep it and hold the invoices; told again, it holds nothing that a person has let go."""
    if not await contradictions.insert(conn, [contradiction], now=now):
        return False
    await tries.hold(conn, [one.debt.key for one in covered], because=CONTRADICTED)
    return True


async def book_paid_back(
    conn: Conn,
    refund: RefundRow,
    transaction_id: UUID,
    amount_cents: int,
    currency: str,
    *,
    now: datetime,
) -> None:
    """Enter money that went back to its payer; negative: that came back."""
    note = None
    if refund.credit_note_id is not None:
        key = RowKey(refund.organization_id, refund.credit_note_id)
        note = (await credit_notes.find(conn, [key]))[key]
    lines = paid_back(amount_cents, of="to_refund" if note else "unapplied")
    entries = [
        LedgerEntry(
            organization_id=refund.organization_id,
            transaction_id=transaction_id,
            position=position,
            account=line.account,
            amount_cents=line.amount_cents,
            currency=currency,
            invoice_id=note.invoice_id if note else None,
            payment_id=refund.payment_id,
        )
        for position, line in enumerate(lines)
    ]
    await ledger.write(conn, entries, now=now)


async def _surprises(
    conn: Conn, held: RefundRow, told: RefundOutcome | NotKnown
) -> list[Contradiction]:
    """What cannot be true beside this refund, in its order; empty: it is news of the refund."""
    if not isinstance(told, Refunded | Declined):
        return []
    known_as = told.provider_refund_id or held.provider_refund_id or ""
    key = RowKey(held.organization_id, _went_back_id(held, known_as))
    kept = (await contradictions.find(conn, [key])).get(key)
    if isinstance(told, Declined):
        if kept is not None:
            return [_came_back(held, kept.contradiction)]
        if held.provider_refund_id in {None, known_as}:
            return []
        # Another one of the same money, whose end is told first. Both are kept: else its success
        # would be told later, and stay in the books.
        went_back = _went_back(
            held, known_as, Surprise.SECOND_REFUND, held.amount_cents, held.currency
        )
        return [went_back, _came_back(held, went_back)]
    if kept is not None:
        return [kept.contradiction]
    reason = refund_state.surprise(
        held.state,
        known_as=held.provider_refund_id,
        told_as=known_as,
        failed_by_hand=held.error_code == BY_HAND,
    )
    if reason is None:
        return []
    return [_went_back(held, known_as, reason, told.amount_cents, told.currency.upper())]


def _went_back(
    held: RefundRow, told_as: str, reason: Surprise, amount_cents: int, currency: str
) -> Contradiction:
    return Contradiction(
        payment=RowKey(held.organization_id, held.payment_id),
        id=_went_back_id(held, told_as),
        was=held.state,
        told=WENT_BACK,
        reason=reason.value,
        amount_cents=amount_cents,
        currency=currency,
        provider_payment_id=held.provider_payment_id,
        refund_id=held.id,
        provider_refund_id=told_as,
    )


def _came_back(held: RefundRow, went_back: Contradiction) -> Contradiction:
    """The end of what went back as a contradiction."""
    return msgspec.structs.replace(
        went_back,
        id=uuid5(held.id, f"came_back/{went_back.provider_refund_id}"),
        was=held.state,
        told="came_back",
        reason=Surprise.REFUND_CAME_BACK.value,
    )


def _went_back_id(held: RefundRow, told_as: str) -> UUID:
    return uuid5(held.id, f"refunded/{told_as}")

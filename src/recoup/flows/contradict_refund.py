"""Keep what a provider told of a refund that cannot be true beside its row, and book what moved.

Called by `settle_refund` alone, under the locks that it took. Money went back of a refund that had
failed, or went back twice, or such money came back: the payer has it or has it not, whatever our
row says. So it is in the books, shown among the contradictions, and the invoice is held until a
person has looked. The row keeps its state: a later refund of the same money may be on its way.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID, uuid5

from recoup.flows.settle_by_hand import BY_HAND
from recoup.providers.protocol import Declined, NotKnown, Refunded, RefundOutcome
from recoup.rules import refund_state
from recoup.rules.records.collection import Covered
from recoup.rules.records.keys import RowKey
from recoup.rules.records.refunds import RefundRow
from recoup.rules.refund_state import RefundState
from recoup.rules.settlement import CONTRADICTED, Surprise, paid_back
from recoup.store import contradictions, ledger, refunds, tries
from recoup.store.contradictions import Contradiction
from recoup.store.db import Conn
from recoup.store.ledger import LedgerEntry


async def contradict_refund(
    conn: Conn,
    held: RefundRow,
    covered: Sequence[Covered],
    told: RefundOutcome | NotKnown,
    *,
    now: datetime,
) -> bool:
    """Keep what contradicts this refund, once, and say whether it does."""
    match told:
        case Refunded():
            contradiction = _went_back(held, told)
        case Declined():
            contradiction = await _came_back(conn, held, told)
        case _:
            return False
    if contradiction is None:
        return False
    if await _keep(conn, contradiction, covered, now=now):
        sign = 1 if isinstance(told, Refunded) else -1
        await book_paid_back(
            conn,
            held,
            contradiction.id,
            sign * contradiction.amount_cents,
            contradiction.currency,
            now=now,
        )
    return True


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
    entries = [
        LedgerEntry(
            organization_id=refund.organization_id,
            transaction_id=transaction_id,
            position=position,
            account=line.account,
            amount_cents=line.amount_cents,
            currency=currency,
            invoice_id=None,
            payment_id=refund.payment_id,
        )
        for position, line in enumerate(paid_back(amount_cents))
    ]
    await ledger.write(conn, entries, now=now)


def _went_back(held: RefundRow, told: Refunded) -> Contradiction | None:
    reason = refund_state.surprise(
        held.state,
        known_as=held.provider_refund_id,
        told_as=told.provider_refund_id,
        failed_by_hand=held.error_code == BY_HAND,
    )
    if reason is None:
        return None
    return Contradiction(
        payment=RowKey(held.organization_id, held.payment_id),
        id=_went_back_id(held, told.provider_refund_id),
        was=held.state,
        told="refunded",
        reason=reason.value,
        amount_cents=told.amount_cents,
        currency=told.currency.upper(),
        provider_payment_id=held.provider_payment_id,
        refund_id=held.id,
        provider_refund_id=told.provider_refund_id,
    )


async def _came_back(conn: Conn, held: RefundRow, told: Declined) -> Contradiction | None:
    """The end of what was kept as a contradiction; None: it is news of the refund itself."""
    told_as = told.provider_refund_id or held.provider_refund_id
    if told_as is None:
        return None
    key = RowKey(held.organization_id, _went_back_id(held, told_as))
    went_back = (await contradictions.find(conn, [key])).get(key)
    if went_back is None:
        return None
    return Contradiction(
        payment=went_back.contradiction.payment,
        id=uuid5(held.id, f"came_back/{told_as}"),
        was=held.state,
        told="came_back",
        reason=Surprise.REFUND_CAME_BACK.value,
        amount_cents=went_back.contradiction.amount_cents,
        currency=went_back.contradiction.currency,
        provider_payment_id=held.provider_payment_id,
        refund_id=held.id,
        provider_refund_id=told_as,
    )


def _went_back_id(held: RefundRow, told_as: str) -> UUID:
    return uuid5(held.id, f"refunded/{told_as}")

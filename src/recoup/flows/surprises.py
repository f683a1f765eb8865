"""What cannot be true beside what we hold, kept in one turn of settling: each thing once.

Called by `settlement_book` alone. Money has moved, or may have: the invoices are held, the money is
in the ledger, and nobody is charged for them again before a person has looked.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID, uuid5

import msgspec

from recoup.flows.lose_dispute import LostDispute, tell_lost_disputes
from recoup.flows.refund_payment import refund_surprises
from recoup.flows.reports import News
from recoup.providers.protocol import GivenBack, Paid, Reversed
from recoup.rules.attempt_state import Contradicted, State
from recoup.rules.persons_word import BY_HAND
from recoup.rules.records.collection import Attempt, Covered
from recoup.rules.records.keys import RowKey
from recoup.rules.settlement import CONTRADICTED, Line, Surprise, reversed_lines, unapplied
from recoup.store import attempts, contradictions, ledger, provider_accounts, tries
from recoup.store.contradictions import Contradiction
from recoup.store.db import Conn
from recoup.store.ledger import LedgerEntry


class _Surprised(msgspec.Struct, frozen=True):
    contradiction: Contradiction
    account: RowKey
    lines: tuple[Line, ...]  # of money that is in no other transaction of the ledger
    covered: Sequence[Covered]
    lost_dispute: LostDispute | None = None  # it is that
    may_be_the_first: bool = False  # a person named another id, and may have mistyped it
    was_taken_back: bool = False  # that it had come is told by its having gone again


class Surprises:
    """Takes what contradicts itself, and writes it."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._taken: list[_Surprised] = []

    def turn_back(
        self, attempt: Attempt, covered: Sequence[Covered], outcome: Reversed | GivenBack
    ) -> Contradicted:
        """Money was taken back, or that undone; what this implies was taken in before it."""
        is_back = isinstance(outcome, GivenBack)
        told = "given_back" if is_back else "reversed"
        which = "/".join(filter(None, (outcome.provider_payment_id, outcome.dispute_id)))
        lost_dispute = None
        if isinstance(outcome, Reversed):
            which = f"second/{which}" if outcome.is_second else which
            if outcome.is_lost:
                lost_dispute = LostDispute(uuid5(attempt.id, f"lost/{which}"), outcome.reason)
        contradiction = Contradiction(
            payment=attempt.key,
            id=uuid5(attempt.id, f"{told}/{which}"),
            was=attempt.state,
            told=told,
            reason=(Surprise.GIVEN_BACK if is_back else Surprise.REVERSED).value,
            amount_cents=outcome.amount_cents,
            currency=outcome.currency.upper(),
            provider_payment_id=outcome.provider_payment_id,
        )
        cents = outcome.amount_cents
        lines = reversed_lines(-cents if is_back else cents)
        self._taken.append(
            _Surprised(contradiction, attempt.account_key, lines, covered, lost_dispute)
        )
        return Contradicted(was=attempt.state, told=State.SUCCEEDED if is_back else State.FAILED)

    def contradict(
        self,
        attempt: Attempt,
        covered: Sequence[Covered],
        told: State,
        reason: Surprise,
        outcome: News,
        *,
        is_implied: bool,
        booked_cents: int | None = None,
    ) -> None:
        """Keep a contradiction. `booked_cents` of it are unapplied in the success's own books.

        `is_implied`: by news that the money was taken back.
        """
        paid = outcome if isinstance(outcome, Paid) else None
        provider_payment_id = paid.provider_payment_id if paid else None
        contradiction = Contradiction(
            payment=attempt.key,
            id=uuid5(attempt.id, f"{told}/{reason}/{provider_payment_id}"),
            was=attempt.state,
            told=told,
            reason=reason.value,
            amount_cents=paid.amount_cents if paid else 0,
            currency=paid.currency.upper() if paid else attempt.currency,
            provider_payment_id=provider_payment_id,
            unapplied_cents=booked_cents
            if booked_cents is not None
            else (paid.amount_cents if paid else 0),
        )
        lines = unapplied(paid.amount_cents) if paid and booked_cents is None else ()
        self._taken.append(
            _Surprised(
                contradiction,
                attempt.account_key,
                lines,
                covered,
                may_be_the_first=attempt.provider_status == BY_HAND,
                was_taken_back=is_implied,
            )
        )

    def lose_id(self, attempt: Attempt, covered: Sequence[Covered], known_as: str) -> None:
        """It was known by an id that is another's: whether it has a charge at all, nobody knows."""
        contradiction = Contradiction(
            payment=attempt.key,
            id=uuid5(attempt.id, f"same_id/{known_as}"),
            was=attempt.state,
            told="of_another_payment",
            reason=Surprise.SAME_PAYMENT_ID.value,
            amount_cents=0,  # what the provider tells is of the other, and booked there
            currency=attempt.currency,
            provider_payment_id=known_as,
        )
        self._taken.append(_Surprised(contradiction, attempt.account_key, (), covered))

    async def write(self, conn: Conn) -> set[RowKey]:
        """Keep what contradicts itself, and hold its invoices: money has moved, or may have.

        Answers the invoices that have come to be held.
        """
        new = await contradictions.insert(
            conn, [one.contradiction for one in self._taken], now=self._now
        )
        held: set[RowKey] = set()
        entries: list[LedgerEntry] = []
        lost: dict[RowKey, LostDispute] = {}
        to_pay_back: list[tuple[Contradiction, RowKey]] = []
        for surprised in self._taken:
            contradiction = surprised.contradiction
            invoices = [one.debt.key for one in surprised.covered]
            if surprised.lost_dispute:  # it may be lost long after the money was taken
                lost |= dict.fromkeys(invoices, surprised.lost_dispute)
            if contradiction.id not in new:
                continue  # told again, it holds nothing that a person has let go
            held.update(invoices)
            entries += entries_of(
                contradiction.payment,
                contradiction.id,
                surprised.lines,
                contradiction.currency,
            )
            # Money that a person may have counted already, by an id mistyped, is theirs to judge.
            may_go_back = not (surprised.may_be_the_first or surprised.was_taken_back)
            if contradiction.unapplied_cents > 0 and may_go_back:
                to_pay_back.append((contradiction, surprised.account))
        await tries.hold(conn, held, because=CONTRADICTED)
        await attempts.close_pages(conn, held, now=self._now)  # nobody is to pay on one now
        await self._pay_back(conn, to_pay_back)
        await ledger.write(conn, entries, now=self._now)
        await tell_lost_disputes(conn, lost, now=self._now)
        return held

    async def _pay_back(
        self, conn: Conn, surprises: Sequence[tuple[Contradiction, RowKey]]
    ) -> None:
        """Pay back money that belongs to nothing, where the account is set so."""
        accounts = await provider_accounts.by_ids(conn, {account for _, account in surprises})
        await refund_surprises(
            conn,
            [
                (contradiction, account.id)
                for contradiction, account in surprises
                if accounts[account].refund_surprises
            ],
            now=self._now,
        )


def entries_of(
    payment: RowKey, transaction_id: UUID, lines: Sequence[Line], currency: str
) -> list[LedgerEntry]:
    """The lines of one transaction, as the ledger keeps them."""
    return [
        LedgerEntry(
            organization_id=payment.organization_id,
            transaction_id=transaction_id,
            position=position,
            account=line.account,
            amount_cents=line.amount_cents,
            currency=currency,
            invoice_id=line.invoice.id if line.invoice else None,
            payment_id=payment.id,
        )
        for position, line in enumerate(lines)
    ]

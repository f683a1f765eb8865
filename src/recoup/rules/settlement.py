"""What money that moved means for the invoices that its attempt covers, and for the books.

A success can be bad news: for a voided invoice, for more than was due, in another currency. What
cannot be applied is kept as `unapplied` and raised as a surprise, never dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final
from uuid import UUID

import msgspec

from recoup.rules.records.collection import Covered, Debt
from recoup.rules.records.keys import RowKey

CONTRADICTED: Final = "contradicted"  # why an invoice is held


class Surprise(StrEnum):
    """Why money that moved does not fit what we hold."""

    OTHER_AMOUNT = "another_amount_than_asked"
    OTHER_CURRENCY = "another_currency_than_asked"
    INVOICE_VOIDED = "invoice_was_voided"
    ALREADY_PAID = "invoice_was_paid_already"
    MORE_THAN_DUE = "more_than_was_due"
    SECOND_CHARGE = "a_second_charge"
    AFTER_THE_END = "the_attempt_had_ended"
    REVERSED = "the_money_was_taken_back"  # a charge-back, a lost dispute, a failed capture
    GIVEN_BACK = "the_money_was_given_back"  # what was taken back is ours again
    REFUND_HAD_FAILED = "the_refund_had_failed"  # and went back to the payer all the same
    SECOND_REFUND = "a_second_refund"
    SAME_PAYMENT_ID = "another_payment_has_this_id"  # a person took its charge for this one's
    SAME_REFUND_ID = "another_refund_has_this_id"  # one of the two is known wrongly
    REFUND_CAME_BACK = "the_refund_came_back"  # one that had failed, or a second one


class Effect(msgspec.Struct, frozen=True):
    """What the money does to one invoice."""

    debt: Debt
    applied_cents: int
    payment_status: str  # what the invoice shows from now on
    surprise: Surprise | None = None  # why not all of it could be applied


class Line(msgspec.Struct, frozen=True):
    """One entry of a ledger transaction: debit positive, credit negative, minor units."""

    account: str
    amount_cents: int
    invoice: RowKey | None = None


class Applied(msgspec.Struct, frozen=True):
    """A success, applied: its effects, its entries (which sum to zero), and what surprises."""

    effects: tuple[Effect, ...]
    lines: tuple[Line, ...]
    surprises: tuple[Surprise, ...]

    @property
    def unapplied_cents(self) -> int:
        """What of the money belongs to no invoice."""
        return -sum(line.amount_cents for line in self.lines if line.account == "unapplied")

    def surprised_by(self, surprise: Surprise, covered: Sequence[Covered]) -> Sequence[Covered]:
        """Which of the invoices covered it is about: its own; all, where it is of the whole."""
        own = {effect.debt.key for effect in self.effects if effect.surprise is surprise}
        return [one for one in covered if one.debt.key in own] or covered


def apply_success(
    covered: Sequence[Covered], *, asked: tuple[int, str], told: tuple[int, str]
) -> Applied:
    """Apply the money that moved to the invoices covered.

    `asked` and `told` are amount (minor units) and currency: what we sent, and what the provider
    says it took.
    """
    surprises: list[Surprise] = []
    amount, currency = told
    if amount != asked[0]:
        surprises.append(Surprise.OTHER_AMOUNT)
    if currency.upper() != asked[1].upper():
        surprises.append(Surprise.OTHER_CURRENCY)
        return Applied((), unapplied(amount), tuple(surprises))
    effects: list[Effect] = []
    left = amount
    for one in covered:
        surprise, fits = _what_fits(one)
        if surprise and surprise not in surprises:  # said once, however many invoices it is of
            surprises.append(surprise)
        applied = min(fits, left)
        left -= applied
        effects.append(Effect(one.debt, applied, _status_after(one.debt, applied), surprise))
    lines = [Line("at_provider", amount)]
    lines += [
        Line("receivable", -effect.applied_cents, effect.debt.key)
        for effect in effects
        if effect.applied_cents
    ]
    if left:
        lines.append(Line("unapplied", -left))
        if not surprises:  # asked for more than it covers: a bug of ours, and money of the payer's
            surprises.append(Surprise.MORE_THAN_DUE)
    return Applied(tuple(effects), tuple(lines), tuple(surprises))


def shares_as_sent(covered: Sequence[Covered], amount_cents: int) -> dict[UUID, int]:
    """How much of each invoice covered a charge was for, of which only the amount is known.

    What is due now or what was due at the ask, whichever adds up to it. If neither does, the
    latter: then it is of another amount than was asked for, and that is raised.
    """
    if len(covered) == 1:
        return {covered[0].debt.id: amount_cents}
    due = {one.debt.id: one.debt.due_cents for one in covered}
    if sum(due.values()) == amount_cents and all(cents > 0 for cents in due.values()):
        return due
    return {one.debt.id: one.amount_cents for one in covered}


def unapplied(amount_cents: int) -> tuple[Line, ...]:
    """The entries of money that belongs to no invoice: somebody has to look at it."""
    return (Line("at_provider", amount_cents), Line("unapplied", -amount_cents))


def reversed_lines(amount_cents: int) -> tuple[Line, ...]:
    """The entries of money that was taken back by bank or provider; negative: given back."""
    return (Line("at_provider", -amount_cents), Line("reversed", amount_cents))


def paid_back(amount_cents: int, *, of: str = "unapplied") -> tuple[Line, ...]:
    """The entries of money that goes back to its payer; negative: that came back.

    `of` is where it was: with what belongs to no invoice, or with what a credit note gives back.
    """
    return (Line(of, amount_cents), Line("at_provider", -amount_cents))


def status_after_failure(debt: Debt) -> str:
    """What an invoice shows after its attempt failed: what was settled otherwise stays settled."""
    return "failed" if debt.payment_status == "pending" else debt.payment_status


def _what_fits(one: Covered) -> tuple[Surprise | None, int]:
    debt = one.debt
    if debt.status == "voided":
        return Surprise.INVOICE_VOIDED, 0
    if debt.payment_status == "succeeded":
        return Surprise.ALREADY_PAID, 0
    if debt.due_cents < one.amount_cents:
        return Surprise.MORE_THAN_DUE, max(debt.due_cents, 0)
    return None, one.amount_cents


def _status_after(debt: Debt, applied: int) -> str:
    if debt.status != "voided" and applied and applied == debt.due_cents:
        return "succeeded"
    return debt.payment_status

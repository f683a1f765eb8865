"""What a credit note comes to, and how much of an invoice may still be taken off.

Called by whoever makes, estimates or voids with a credit note; it adds up and decides nothing else.

What would surprise you:
- Amounts are exact rationals until they are rounded, half away from zero, and taxes are rounded
  once over all lines. An invoice's are binary floats (`invoice_totals`), so a note for the whole of
  an invoice may differ from it by a cent: hence the cent that `does_not_match_item_amounts` allows.
- What a fee has left, it has left before taxes. A voided note has used it up all the same.
- A rebate (a fee below zero) has nothing left to take off; so the fees may have more left than the
  invoice has, and the invoice's own total is what counts.

Sources: contract section 3.9 for the rules, and 3.7.8 for a void's notes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Final
from uuid import UUID

import msgspec

from recoup.rules.money import EXACT
from recoup.rules.records.fees import AppliedTax
from recoup.rules.refusal import Refusal, invalid

_PLACES: Final = Decimal("0.00001")  # of what is kept as precise; and of a mean rate
_A_CENT: Final = 1

DOES_NOT_MATCH: Final = "does_not_match_item_amounts"
HIGHER: Final = "higher_than_remaining_invoice_amount"


class CreditableFee(msgspec.Struct, frozen=True):
    """A fee of the invoice: what notes have left of it before taxes, and the taxes it bears."""

    id: UUID
    remaining_cents: int
    taxes: tuple[AppliedTax, ...]


class Line(msgspec.Struct, frozen=True):
    """What is taken off one fee. `precise_cents` is no fraction, but where a void splits fees."""

    fee: CreditableFee
    cents: int
    precise_cents: Decimal


class NoteTax(msgspec.Struct, frozen=True):
    """What of one tax goes along with the lines that bear it."""

    tax: AppliedTax  # one of the fees' own, for its name, code and rate
    base_cents: int
    cents: int


class NoteTotals(msgspec.Struct, frozen=True):
    """What some lines come to. There are no coupons on one-off invoices: nothing is adjusted."""

    items_cents: int
    taxes: tuple[NoteTax, ...]  # in the order in which the lines first bear them
    taxes_cents: int
    precise_items_cents: Decimal
    precise_taxes_cents: Decimal
    taxes_rate: float  # each tax's rate by its share of the lines

    @property
    def total_cents(self) -> int:
        """The lines with their taxes."""
        return self.items_cents + self.taxes_cents

    @property
    def precise_total_cents(self) -> Decimal:
        """The same, not rounded."""
        return EXACT.add(self.precise_items_cents, self.precise_taxes_cents)


class Parts(msgspec.Struct, frozen=True):
    """What a note does with its total."""

    credit_cents: int = 0
    refund_cents: int = 0
    offset_cents: int = 0

    @property
    def total_cents(self) -> int:
        """What it takes off in all."""
        return self.credit_cents + self.refund_cents + self.offset_cents


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What an invoice is about, as far as its notes are concerned, in minor units."""

    total_cents: int
    due_cents: int
    paid_cents: int
    credited: Parts  # by all its notes so far, voided ones too

    @property
    def remaining_cents(self) -> int:
        """How much of it no note has taken off yet."""
        return max(self.total_cents - self.credited.total_cents, 0)

    @property
    def refundable_cents(self) -> int:
        """How much of what was paid no note pays back. One that failed to has used it up, too."""
        unrefunded = self.paid_cents - self.credited.refund_cents
        return max(min(unrefunded, self.remaining_cents), 0)

    @property
    def offsettable_cents(self) -> int:
        """How much may be taken off what is due."""
        return max(min(self.due_cents, self.remaining_cents), 0)


def whole_line(fee: CreditableFee, cents: int) -> Line:
    """A line that was asked for, in whole minor units."""
    return Line(fee, cents, Decimal(cents))


def total_lines(lines: Sequence[Line]) -> NoteTotals:
    """Add up lines and the taxes that they bear; no lines come to nothing."""
    bases: dict[UUID, tuple[AppliedTax, Fraction]] = {}
    for line in lines:
        for tax in line.fee.taxes:
            _, base = bases.get(tax.tax_id, (tax, Fraction(0)))
            bases[tax.tax_id] = (tax, base + Fraction(line.precise_cents))
    taxes, raw_sum, rate_sum = [], Fraction(0), Fraction(0)
    precise_items = sum((Fraction(line.precise_cents) for line in lines), Fraction(0))
    for tax, base in bases.values():
        raw = base * rate_of(tax) / 100
        taxes.append(NoteTax(tax, rounded(base), rounded(raw)))
        raw_sum += raw
        if precise_items:
            rate_sum += base / precise_items * rate_of(tax)
    return NoteTotals(
        items_cents=sum(line.cents for line in lines),
        taxes=tuple(taxes),
        taxes_cents=rounded(raw_sum),
        precise_items_cents=precise(precise_items),
        precise_taxes_cents=precise(raw_sum),
        taxes_rate=float(precise(rate_sum)),
    )


def creditable_cents(standing: Standing, fees: Sequence[CreditableFee]) -> int:
    """How much of the invoice a note may take off: what its fees have left, with their taxes."""
    left = total_lines([whole_line(fee, fee.remaining_cents) for fee in fees])
    return min(left.total_cents, standing.remaining_cents)


def why_not(parts: Parts, totals: NoteTotals, standing: Standing) -> Refusal | None:
    """Say why there can be no such note; None: there can (contract section 3.9)."""
    broken: dict[str, list[str]] = {}
    if parts.total_cents <= 0:
        broken["base"] = ["total_amount_must_be_positive"]
    elif abs(parts.total_cents - totals.total_cents) > _A_CENT:
        broken["base"] = [DOES_NOT_MATCH]
    elif parts.total_cents > standing.remaining_cents:
        broken["base"] = [HIGHER]
    if parts.refund_cents:
        if standing.paid_cents <= 0:
            broken["refund_amount_cents"] = ["cannot_refund_unpaid_invoice"]
        elif parts.refund_cents > standing.refundable_cents:
            broken["refund_amount_cents"] = [HIGHER]
    if parts.credit_cents > standing.remaining_cents:
        broken["credit_amount_cents"] = [HIGHER]
    if parts.offset_cents > standing.offsettable_cents:
        broken["offset_amount_cents"] = [HIGHER]
    return invalid(broken) if broken else None


def split(target_cents: int, fees: Sequence[CreditableFee]) -> list[Line]:
    """Choose lines that come to `target_cents` with their taxes, each fee by its share.

    What is rounded away from one line goes to those that lost most by it, so the whole amounts of
    the lines add up as their precise ones do. `target_cents` is no more than `creditable_cents`.
    """
    left = [fee for fee in fees if fee.remaining_cents > 0]
    whole = total_lines([whole_line(fee, fee.remaining_cents) for fee in left])
    if target_cents >= whole.total_cents:
        return [whole_line(fee, fee.remaining_cents) for fee in left]
    share = Fraction(target_cents) / Fraction(whole.precise_total_cents)
    amounts = [precise(fee.remaining_cents * min(share, Fraction(1))) for fee in left]
    cents = [int(amount) for amount in amounts]  # rounded down: none of them is negative
    missing = rounded(sum(map(Fraction, amounts), Fraction(0))) - sum(cents)
    by_loss = sorted(range(len(left)), key=lambda at: cents[at] - amounts[at])
    for at in by_loss[:missing]:
        cents[at] += 1
    return [
        Line(fee, whole_cents, amount)
        for fee, whole_cents, amount in zip(left, cents, amounts, strict=True)
        if amount
    ]


def taken_off(lines: Sequence[Line], fees: Sequence[CreditableFee]) -> list[CreditableFee]:
    """The fees with what these lines leave of them."""
    by_fee: dict[UUID, int] = {}
    for line in lines:
        by_fee[line.fee.id] = by_fee.get(line.fee.id, 0) + line.cents
    return [
        msgspec.structs.replace(fee, remaining_cents=fee.remaining_cents - by_fee.get(fee.id, 0))
        for fee in fees
    ]


def remaining_of(amount_cents: int, fee_id: UUID, credited: Mapping[UUID, int]) -> int:
    """What notes have left of a fee of this amount; of a rebate, nothing."""
    return max(amount_cents - credited.get(fee_id, 0), 0)


def rate_of(tax: AppliedTax) -> Fraction:
    """A tax's rate as a person wrote it, in percent: not the binary float's exact value."""
    return Fraction(Decimal(repr(tax.tax_rate)))


def rounded(value: Fraction) -> int:
    """Round half away from zero."""
    half_up = (abs(value) * 2 + 1) // 2
    return int(half_up if value >= 0 else -half_up)


def precise(value: Fraction) -> Decimal:
    """What is kept of an exact amount: five places, as at Lago."""
    exact = EXACT.divide(Decimal(value.numerator), Decimal(value.denominator))
    return exact.quantize(_PLACES, ROUND_HALF_UP, context=EXACT)

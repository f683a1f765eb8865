"""What a one-off invoice comes to: its fees, their taxes, and the sums, as Lago would have them.

Called by whoever creates or previews a one-off invoice; it adds up and decides nothing.

What would surprise you:
- Amounts are multiplied as binary floats, because Lago's are: 100 × 1.005 is 100.49999999999999
  and so 100 cents, not 101. Every `…_precise_…` value beside it is decimal and exact.
- The invoice's tax is not the sum of its fees' taxes: it is rounded once, over all of them. Three
  fees of 33 at 19.6 % owe 6 each, and together 19.
- Rounding is half away from zero, on the float's exact value, and alike on both sides of zero.

Source of all arithmetic: contract section 4.3.
"""

import math
from collections.abc import Iterable, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Final
from uuid import UUID

import msgspec

from recoup.rules.money import EXACT, MAX_CENTS, major_units
from recoup.rules.records.taxes import Tax

_RATE_PLACES: Final = Decimal("0.00001")


class FeeAsk(msgspec.Struct, frozen=True):
    """One line of a one-off invoice, with everything looked up that its price depends on.

    `unit_amount_cents` is the one asked for, or else the add-on's; it may be negative (a rebate).
    `units` is 1 where none were given (0 is 0), finite and not negative: whoever parses the wire
    refuses anything else. `taxes` are those of `taxes_that_apply`, and their rates are finite.
    """

    unit_amount_cents: int
    units: float = 1.0
    taxes: tuple[Tax, ...] = ()


class AppliedTax(msgspec.Struct, frozen=True):
    """What one tax takes of a fee or of an invoice; `fees_amount_cents` is what it is taken of."""

    tax: Tax
    fees_amount_cents: int
    amount_cents: int


class FeeTotals(msgspec.Struct, frozen=True):
    """What one fee comes to. One-off fees know no coupons, so nothing is taken off before taxes."""

    currency: str
    units: Decimal
    amount_cents: int
    precise_amount_cents: Decimal
    precise_unit_amount: Decimal  # in major units, as everything `precise` without `cents`
    taxes_rate: float
    taxes_amount_cents: int
    taxes_precise_amount_cents: Decimal
    applied_taxes: tuple[AppliedTax, ...]

    @property
    def total_amount_cents(self) -> int:
        """The fee with its taxes."""
        return self.amount_cents + self.taxes_amount_cents

    @property
    def precise_amount(self) -> Decimal:
        """The fee without taxes, unrounded, in major units."""
        return major_units(self.precise_amount_cents, self.currency)

    @property
    def taxes_precise_amount(self) -> Decimal:
        """The fee's taxes, unrounded, in major units."""
        return major_units(self.taxes_precise_amount_cents, self.currency)

    @property
    def precise_total_amount(self) -> Decimal:
        """The fee with its taxes, unrounded, in major units."""
        cents = EXACT.add(self.precise_amount_cents, self.taxes_precise_amount_cents)
        return major_units(cents, self.currency)


class InvoiceTotals(msgspec.Struct, frozen=True):
    """What an invoice comes to; `fees` are in the order of the asks.

    `applied_taxes` are in the order in which the fees first name them. One-off invoices know no
    coupons, credit notes or prepaid credits: those amounts are 0 on the wire.
    """

    currency: str
    fees: tuple[FeeTotals, ...]
    fees_amount_cents: int
    taxes_rate: float  # each tax's rate by its share of the fees; 5 places; not on the wire
    taxes_amount_cents: int
    applied_taxes: tuple[AppliedTax, ...]
    sub_total_excluding_taxes_amount_cents: int
    sub_total_including_taxes_amount_cents: int
    total_amount_cents: int


class OutOfRange(msgspec.Struct, frozen=True):
    """An amount of this invoice is beyond `MAX_CENTS`; the wire says `value_is_out_of_range`."""


def taxes_that_apply(
    *,
    named: Sequence[Tax],
    of_add_on: Sequence[Tax],
    of_customer: Sequence[Tax],
    of_billing_entity: Sequence[Tax],
) -> tuple[Tax, ...]:
    """Choose a fee's taxes: the first of the four that has any, each of its taxes once.

    `named` are those that the ask names *and* that exist: unknown codes are dropped before, and
    an ask of nothing but unknown codes is one without any. The entity is the customer's, even
    where the invoice is another's.
    """
    chosen = named or of_add_on or of_customer or of_billing_entity
    return tuple({tax.id: tax for tax in chosen}.values())


def total_invoice(asks: Sequence[FeeAsk], *, currency: str) -> InvoiceTotals | OutOfRange:
    """Add up a one-off invoice; no asks come to nothing."""
    try:
        return _total_invoice(asks, currency)
    except OverflowError:  # by `_rounded` and `_fitting`, or Python's own on the way to a float
        return OutOfRange()


def _total_invoice(asks: Sequence[FeeAsk], currency: str) -> InvoiceTotals:
    fees = tuple(_total_fee(ask, currency) for ask in asks)
    fees_amount_cents = _fitting(sum(fee.amount_cents for fee in fees))

    parts: dict[UUID, list[AppliedTax]] = {}
    for fee in fees:
        for part in fee.applied_taxes:
            parts.setdefault(part.tax.id, []).append(part)
    raws: list[float] = []
    applied: list[AppliedTax] = []
    for of_one_tax in parts.values():
        tax, base = of_one_tax[0].tax, _fitting(sum(part.fees_amount_cents for part in of_one_tax))
        raw = _sum(part.fees_amount_cents * tax.rate for part in of_one_tax) / 100
        raws.append(raw)
        applied.append(AppliedTax(tax, fees_amount_cents=base, amount_cents=_rounded(raw)))

    taxes_amount_cents = _rounded(_sum(raws))
    total_cents = _fitting(fees_amount_cents + taxes_amount_cents)
    return InvoiceTotals(
        currency=currency,
        fees=fees,
        fees_amount_cents=fees_amount_cents,
        taxes_rate=_mean_rate(applied, fees_amount_cents),
        taxes_amount_cents=taxes_amount_cents,
        applied_taxes=tuple(applied),
        sub_total_excluding_taxes_amount_cents=fees_amount_cents,
        sub_total_including_taxes_amount_cents=total_cents,
        total_amount_cents=total_cents,
    )


def _total_fee(ask: FeeAsk, currency: str) -> FeeTotals:
    assert math.isfinite(ask.units), "the parser refuses units that are no number"
    assert ask.units >= 0, "the parser refuses negative units"
    assert all(math.isfinite(tax.rate) for tax in ask.taxes), "no tax has such a rate"
    unit_cents = Decimal(_fitting(ask.unit_amount_cents))
    units = _decimal(ask.units)
    amount_cents = _rounded(ask.unit_amount_cents * ask.units)
    precise_cents = EXACT.multiply(unit_cents, units)

    raws = [amount_cents * tax.rate / 100 for tax in ask.taxes]
    applied = tuple(
        AppliedTax(tax, fees_amount_cents=amount_cents, amount_cents=_rounded(raw))
        for tax, raw in zip(ask.taxes, raws, strict=True)
    )
    taxes_amount_cents = _rounded(_sum(raws))
    _fitting(amount_cents + taxes_amount_cents)
    precise_rate = Decimal(0)
    for tax in ask.taxes:
        precise_rate = EXACT.add(precise_rate, _decimal(tax.rate))
    return FeeTotals(
        currency=currency,
        units=units,
        amount_cents=amount_cents,
        precise_amount_cents=precise_cents,
        precise_unit_amount=major_units(unit_cents, currency),
        taxes_rate=_sum(tax.rate for tax in ask.taxes),
        taxes_amount_cents=taxes_amount_cents,
        taxes_precise_amount_cents=EXACT.scaleb(EXACT.multiply(precise_cents, precise_rate), -2),
        applied_taxes=applied,
    )


def _mean_rate(applied: Sequence[AppliedTax], fees_amount_cents: int) -> float:
    if not fees_amount_cents:
        return 0.0  # nothing is taxed; a rate of it would be anybody's guess
    rate = _sum(part.fees_amount_cents / fees_amount_cents * part.tax.rate for part in applied)
    return float(Decimal(rate).quantize(_RATE_PLACES, ROUND_HALF_UP, context=EXACT))


def _rounded(raw: float) -> int:
    """Round half away from zero, on the float's exact value; OverflowError if that will not fit."""
    if not abs(raw) < 2.0**63:  # the floats just below are whole numbers; "not" takes nan along
        raise OverflowError
    return int(Decimal(raw).to_integral_value(ROUND_HALF_UP))


def _fitting(cents: int) -> int:
    if abs(cents) > MAX_CENTS:
        raise OverflowError
    return cents


def _sum(values: Iterable[float]) -> float:
    # Not `sum`, which depends on the order: the same fees in another order are the same invoice.
    # Of two floats both make the same, and Lago's runtime corrects its longer sums as well.
    return math.fsum(values)


def _decimal(value: float) -> Decimal:
    return Decimal(repr(value))  # the digits a person wrote, not the float's exact value

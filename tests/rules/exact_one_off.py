"""One-off arithmetic once more, slowly and in exact rationals, for tests to compare with.

Written from the contract's section 4.3 and from nothing else: it shares no line, no float and no
decimal with the rules that it judges. Where the contract says "float", each single operation is
done exactly and its result is then put on the grid of IEEE 754's binary64 by `binary64`, so that
what binary arithmetic does to a sum of money is spelled out here and not left to the machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Final, NamedTuple

# ISO 4217: how many minor units make one, for the currencies that the tests bill in.
MINOR_UNITS: Final[Mapping[str, int]] = {
    "EUR": 100, "USD": 100, "GBP": 100, "JPY": 1, "KRW": 1, "CLP": 1, "KWD": 1_000, "BHD": 1_000,
    "TND": 1_000,
}  # fmt: skip
SIGNIFICANT_BITS: Final = 53


class ExactTax(NamedTuple):
    """A tax by its code, and its rate in percent, which is the exact value of a float."""

    code: str
    rate: Fraction


class ExactLine(NamedTuple):
    """One line: the price, how many of it as the decimal that was written, and its taxes."""

    unit_amount_cents: int
    units: Fraction
    taxes: tuple[ExactTax, ...]


class ExactFee(NamedTuple):
    """What section 4.3, 1 and 2, says of a line."""

    amount_cents: int
    precise_amount_cents: Fraction
    precise_unit_amount: Fraction
    applied_taxes: tuple[tuple[str, int], ...]  # code and amount, in the order of the taxes
    taxes_amount_cents: int
    taxes_rate: Fraction


class ExactInvoice(NamedTuple):
    """What section 4.3, 3 to 5, says of an invoice."""

    fees: tuple[ExactFee, ...]
    applied_taxes: Mapping[str, tuple[int, int]]  # by code: base and amount
    fees_amount_cents: int
    sub_total_excluding_taxes_amount_cents: int
    taxes_amount_cents: int
    taxes_rate: Fraction  # not rounded to its five decimals
    sub_total_including_taxes_amount_cents: int
    total_amount_cents: int
    payment_status: str


def binary64(exact: Fraction) -> Fraction:
    """The binary64 next to an exact value; of two as near as each other, the even one.

    Amounts are far from where binary64 overflows and from where it loses digits at zero.
    """
    if exact == 0:
        return exact
    size = abs(exact)
    # Such that 2**52 <= size / 2**exponent < 2**53: told by the digits to within one.
    exponent = size.numerator.bit_length() - size.denominator.bit_length() - SIGNIFICANT_BITS
    if size >= Fraction(2) ** (exponent + SIGNIFICANT_BITS):
        exponent += 1
    steps = size / Fraction(2) ** exponent
    below, rest = divmod(steps.numerator, steps.denominator)
    twice = 2 * rest - steps.denominator
    up = twice > 0 or (twice == 0 and below % 2 == 1)
    near = (below + up) * Fraction(2) ** exponent
    return near if exact > 0 else -near


def half_away_from_zero(exact: Fraction) -> int:
    """The whole number next to it; a half goes away from zero."""
    whole = (2 * abs(exact.numerator) + exact.denominator) // (2 * exact.denominator)
    return whole if exact >= 0 else -whole


def times(one: Fraction, other: Fraction) -> Fraction:
    return binary64(binary64(one) * binary64(other))


def plus(terms: Iterable[Fraction]) -> Fraction:
    """A sum of floats, as a float: it is rounded once, so that no order of its terms is another.

    The contract leaves open how a sum of more than two is rounded on its way.
    """
    return binary64(sum(terms, Fraction(0)))


def exact_fee(line: ExactLine, currency: str) -> ExactFee:
    """Section 4.3, 1 and 2."""
    price = Fraction(line.unit_amount_cents)
    amount = half_away_from_zero(times(price, line.units))
    raw = [binary64(times(Fraction(amount), tax.rate) / 100) for tax in line.taxes]
    return ExactFee(
        amount_cents=amount,
        precise_amount_cents=price * line.units,
        precise_unit_amount=price / MINOR_UNITS[currency],
        applied_taxes=tuple(
            (tax.code, half_away_from_zero(one)) for tax, one in zip(line.taxes, raw, strict=True)
        ),
        taxes_amount_cents=half_away_from_zero(plus(raw)),
        taxes_rate=plus(tax.rate for tax in line.taxes),
    )


def exact_invoice(lines: Sequence[ExactLine], currency: str) -> ExactInvoice:
    """Section 4.3, 3 to 5: taxes in the order in which the lines name them."""
    fees = tuple(exact_fee(line, currency) for line in lines)
    excluding = sum(fee.amount_cents for fee in fees)
    taxes = {tax.code: tax for line in lines for tax in line.taxes}
    raw, applied, rate = [], {}, Fraction(0)
    for tax in taxes.values():
        amounts = [
            fee.amount_cents for fee, line in zip(fees, lines, strict=True) if tax in line.taxes
        ]
        products = [times(Fraction(amount), tax.rate) for amount in amounts]
        raw.append(binary64(plus(products) / 100))
        applied[tax.code] = (sum(amounts), half_away_from_zero(raw[-1]))
        rate += Fraction(sum(amounts), excluding) * tax.rate if excluding else Fraction(0)
    taxed = half_away_from_zero(plus(raw))
    return ExactInvoice(
        fees=fees,
        applied_taxes=applied,
        fees_amount_cents=excluding,
        sub_total_excluding_taxes_amount_cents=excluding,
        taxes_amount_cents=taxed,
        taxes_rate=rate,
        sub_total_including_taxes_amount_cents=excluding + taxed,
        total_amount_cents=excluding + taxed,
        payment_status="succeeded" if excluding + taxed == 0 else "pending",
    )


def exact_taxes(
    *,
    explicit: Sequence[ExactTax],
    add_on: Sequence[ExactTax],
    customer: Sequence[ExactTax],
    entity: Sequence[ExactTax],
) -> tuple[ExactTax, ...]:
    """Section 4.3, 2: the first of these that has any; `explicit` are the known ones."""
    for taxes in (explicit, add_on, customer, entity):
        if taxes:
            return tuple(taxes)
    return ()

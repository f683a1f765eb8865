"""Totals of one-off invoices: the contract's examples, and an independent slow calculation."""

import math
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from itertools import permutations
from uuid import UUID

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recoup.rules.invoice_totals import (
    FeeAsk,
    FeeTotals,
    InvoiceTotals,
    OutOfRange,
    taxes_that_apply,
    total_invoice,
)
from recoup.rules.money import MAX_CENTS, decimal_text, exponent
from recoup.rules.records.taxes import Tax


def tax(rate: float, number: int = 1) -> Tax:
    code, name = f"tax_{number}", f"Tax {number}"
    return Tax(
        UUID(int=0), UUID(int=number), code, name, None, rate, datetime(2026, 1, 1, tzinfo=UTC)
    )


VAT, LOCAL, ECO = tax(19.6), tax(5.0, 2), tax(1.25, 3)


def totals(*asks: FeeAsk, currency: str = "EUR") -> InvoiceTotals:
    answer = total_invoice(asks, currency=currency)
    assert isinstance(answer, InvoiceTotals)
    return answer


def only_fee(ask: FeeAsk, currency: str = "EUR") -> FeeTotals:
    (fee,) = totals(ask, currency=currency).fees
    return fee


def test_amounts_are_multiplied_as_floats_are() -> None:
    fee = only_fee(FeeAsk(100, 1.005))
    assert fee.amount_cents == 100  # 100 × 1.005 is 100.49999999999999
    assert fee.precise_amount_cents == Decimal("100.5")


def test_an_invoice_rounds_its_taxes_once() -> None:
    invoice = totals(*[FeeAsk(33, taxes=(VAT,))] * 3)
    assert [fee.taxes_amount_cents for fee in invoice.fees] == [6, 6, 6]
    assert invoice.taxes_amount_cents == 19  # of 19.404
    assert [(part.fees_amount_cents, part.amount_cents) for part in invoice.applied_taxes] == [
        (99, 19)
    ]
    assert invoice.sub_total_excluding_taxes_amount_cents == 99
    assert invoice.sub_total_including_taxes_amount_cents == 118
    assert invoice.total_amount_cents == 118


def test_a_fee_rounds_its_taxes_together_and_shows_each_rounded() -> None:
    fee = only_fee(FeeAsk(130, taxes=(tax(0.4, 1), tax(0.4, 2))))  # 0.52 each, 1.04 together
    assert [part.amount_cents for part in fee.applied_taxes] == [1, 1]
    assert fee.taxes_amount_cents == 1


@pytest.mark.parametrize(
    ("cents", "units", "amount"),
    [
        *[(1, 0.5, 1), (3, 0.5, 2), (5, 0.5, 3), (-1, 0.5, -1), (-5, 0.5, -3)],
        *[(1, 0.49999999999999994, 0), (0, 3.0, 0), (100, 0.0, 0), (1000, 1 / 3, 333)],
    ],
)
def test_halves_are_rounded_away_from_zero(cents: int, units: float, amount: int) -> None:
    assert only_fee(FeeAsk(cents, units)).amount_cents == amount


def test_a_fee_without_units_has_one() -> None:
    assert only_fee(FeeAsk(700)).units == 1


@pytest.mark.parametrize(
    ("currency", "text"), [("EUR", "12.34"), ("JPY", "1234.0"), ("KWD", "1.234"), ("CLF", "0.1234")]
)
def test_a_precise_unit_amount_is_in_major_units(currency: str, text: str) -> None:
    fee = only_fee(FeeAsk(1234, 2.5), currency)
    assert decimal_text(fee.precise_unit_amount) == text
    assert fee.amount_cents == 3085


def test_whatever_the_wire_shows_of_a_fee_can_be_told() -> None:
    fee = only_fee(FeeAsk(1001, 1.5, (VAT, LOCAL)))
    assert decimal_text(fee.units) == "1.5"
    assert fee.amount_cents == 1502
    assert decimal_text(fee.precise_amount) == "15.015"
    assert decimal_text(fee.precise_amount_cents) == "1501.5"
    assert fee.taxes_rate == 24.6
    assert fee.taxes_amount_cents == 369  # of 294.392 and 75.1
    assert decimal_text(fee.taxes_precise_amount) == "3.69369"
    assert decimal_text(fee.precise_total_amount) == "18.70869"
    assert fee.total_amount_cents == 1871


def test_every_tax_of_an_invoice_is_taken_of_its_own_fees() -> None:
    invoice = totals(FeeAsk(1000, taxes=(VAT, LOCAL)), FeeAsk(500, taxes=(LOCAL,)), FeeAsk(500))
    shown = [(p.tax, p.fees_amount_cents, p.amount_cents) for p in invoice.applied_taxes]
    assert shown == [(VAT, 1000, 196), (LOCAL, 1500, 75)]
    assert invoice.taxes_amount_cents == 271
    assert invoice.taxes_rate == 13.55  # half of 19.6 and three quarters of 5


# Added one by one, these give 267.49999999999994 in the order shown, and 267.5 in another.
@pytest.mark.parametrize("order", [*permutations([300, 1366, 834])])
def test_the_same_fees_in_any_order_are_the_same_invoice(order: tuple[int, ...]) -> None:
    invoice = totals(*[FeeAsk(cents, taxes=(tax(10.7),)) for cents in order])
    assert invoice.taxes_amount_cents == 268


def test_a_tax_is_taken_of_each_fee_before_it_is_summed() -> None:
    invoice = totals(*[FeeAsk(cents, taxes=(tax(39.4),)) for cents in (93, 444, 213)])
    assert invoice.taxes_amount_cents == 295  # of 295.49999999999994; of 750 it would be 295.5


def test_a_mean_rate_has_five_places_rounded_half_up() -> None:
    asks = [FeeAsk(1, taxes=(tax(1.0),)), *[FeeAsk(1)] * 63]
    assert totals(*asks).taxes_rate == 0.01563  # of 0.015625


def test_a_free_invoice_has_nothing_to_pay() -> None:
    invoice = totals(FeeAsk(500, 0.0, (VAT,)))
    assert invoice.total_amount_cents == 0
    assert invoice.taxes_rate == 0
    assert totals(FeeAsk(1)).total_amount_cents == 1


def test_a_rebate_and_its_fee_come_to_nothing() -> None:
    invoice = totals(FeeAsk(1005, taxes=(VAT,)), FeeAsk(-1005, taxes=(VAT,)))
    assert invoice.total_amount_cents == 0
    assert [fee.taxes_amount_cents for fee in invoice.fees] == [197, -197]


def test_the_largest_amount_that_fits_is_no_more_than_a_bigint() -> None:
    largest_float = 2**63 - 1024
    assert totals(FeeAsk(largest_float)).total_amount_cents == largest_float
    assert total_invoice([FeeAsk(largest_float), FeeAsk(1024)], currency="EUR") == OutOfRange()
    rest = totals(FeeAsk(largest_float), FeeAsk(1023))
    assert rest.total_amount_cents == MAX_CENTS


@pytest.mark.parametrize(
    "asks",
    [
        [FeeAsk(MAX_CENTS)],  # as a float it is one more
        [FeeAsk(10**400)],
        [FeeAsk(10**400, 0.0)],
        [FeeAsk(MAX_CENTS + 1, 0.0)],
        [FeeAsk(-(10**19))],
        [FeeAsk(10**18, 1e308)],
        [FeeAsk(10**18, taxes=(tax(1e308),))],
        [FeeAsk(5 * 10**18, taxes=(tax(100.0),))],  # fits, and so does its tax, but not both
        [FeeAsk(3 * 10**18, taxes=(tax(60.0, n),)) for n in (1, 2, 3)],
        [*[FeeAsk(10**18, taxes=(tax(400.0),))] * 3, FeeAsk(-6 * 10**18)],  # the total would fit
        [FeeAsk(10**18, taxes=(tax(1e308),)), FeeAsk(-(10**18), taxes=(tax(1e308),))],
    ],
)
def test_an_amount_that_no_column_holds_is_refused(asks: list[FeeAsk]) -> None:
    assert total_invoice(asks, currency="EUR") == OutOfRange()


@pytest.mark.parametrize("units", [math.nan, math.inf, -math.inf, -0.5])
def test_units_that_are_no_number_are_a_bug_of_the_caller(units: float) -> None:
    with pytest.raises(AssertionError):
        total_invoice([FeeAsk(100, units)], currency="EUR")


def test_the_taxes_of_a_fee_are_the_first_that_anybody_has() -> None:
    def chosen(named: str = "", add_on: str = "", customer: str = "", entity: str = "") -> str:
        taxes = taxes_that_apply(
            named=[tax(int(n), int(n)) for n in named],
            of_add_on=[tax(int(n), int(n)) for n in add_on],
            of_customer=[tax(int(n), int(n)) for n in customer],
            of_billing_entity=[tax(int(n), int(n)) for n in entity],
        )
        return "".join(f"{each.rate:.0f}" for each in taxes)

    assert chosen("12", "3", "4", "5") == "12"
    assert chosen("", "3", "4", "5") == "3"
    assert chosen("", "", "4", "5") == "4"
    assert chosen("", "", "", "5") == "5"
    assert chosen() == ""
    assert chosen("211") == "21", "a tax that is named twice is due once"


# The slow calculation: section 4.3 once more, in exact rationals. `to_float` is where the original
# has a binary float, and is the only place where anything is lost.
def to_float(value: Fraction) -> Fraction:
    return Fraction(float(value))  # correctly rounded by Python


def half_away(value: Fraction) -> int:
    whole = math.floor(abs(value) + Fraction(1, 2))
    return whole if value >= 0 else -whole


def written(value: float) -> Fraction:
    return Fraction(str(value))


def slow_fee(ask: FeeAsk, currency: str) -> dict[str, object]:
    product = to_float(to_float(Fraction(ask.unit_amount_cents)) * Fraction(ask.units))
    amount = half_away(product)
    raws = [to_float(to_float(amount * Fraction(t.rate)) / 100) for t in ask.taxes]
    precise = ask.unit_amount_cents * written(ask.units)
    return {
        "amount_cents": amount,
        "precise_amount_cents": precise,
        "precise_unit_amount": Fraction(ask.unit_amount_cents, 10 ** exponent(currency)),
        "taxes_amount_cents": half_away(to_float(sum(raws, Fraction(0)))),
        "taxes_precise_amount_cents": sum(
            (precise * written(t.rate) / 100 for t in ask.taxes), Fraction(0)
        ),
        "taxes_rate": to_float(sum((Fraction(t.rate) for t in ask.taxes), Fraction(0))),
        "applied": [(t.id, amount, half_away(raw)) for t, raw in zip(ask.taxes, raws, strict=True)],
    }


def slow_invoice(asks: list[FeeAsk], currency: str) -> dict[str, object]:
    amounts = [slow_fee(ask, currency)["amount_cents"] for ask in asks]
    fees = sum(a for a in amounts if isinstance(a, int))
    applied, all_raw = [], Fraction(0)
    for each in dict.fromkeys(t for ask in asks for t in ask.taxes):
        taxed = [
            a
            for ask, a in zip(asks, amounts, strict=True)
            if each in ask.taxes and isinstance(a, int)
        ]
        products = sum((to_float(a * Fraction(each.rate)) for a in taxed), Fraction(0))
        raw = to_float(to_float(products) / 100)
        all_raw += raw
        applied.append((each.id, sum(taxed), half_away(raw)))
    taxes = half_away(to_float(all_raw))
    return {
        "fees": fees,
        "taxes": taxes,
        "excluding": fees,
        "including": fees + taxes,
        "total": fees + taxes,
        "applied": applied,
    }


# Ties are where rounding shows, and chance alone meets none: so many halves and short decimals.
units = st.one_of(
    st.integers(0, 40).map(lambda n: n / 2),
    st.integers(0, 100_000).map(lambda n: n / 1000),
    st.floats(1e-9, 1e6),
)
rates = st.one_of(
    st.sampled_from([-10.0, 0.0, 2.5, 5.5, 7.7, 10.0, 12.5, 19.6, 20.0, 33.3, 50.0, 100.0]),
    st.integers(0, 100_000).map(lambda n: n / 1000),
    st.floats(1e-9, 200),
)
cents = st.one_of(st.integers(0, 300), st.integers(-300, 10**6), st.integers(0, 10**10))


@st.composite
def invoices(draw: st.DrawFn) -> list[FeeAsk]:
    taxes = [tax(draw(rates), number) for number in range(1, 5)]
    some = st.lists(st.sampled_from(taxes), max_size=3, unique=True).map(tuple)
    ask = st.builds(FeeAsk, unit_amount_cents=cents, units=units, taxes=some)
    return draw(st.lists(ask, max_size=5))


@settings(max_examples=1_200, deadline=None)
@given(invoices(), st.sampled_from(["EUR", "JPY", "KWD", "CLF"]))
@example([FeeAsk(100, 1.005, (VAT,))], "EUR")
@example([FeeAsk(33, taxes=(VAT,))] * 3, "EUR")
@example([FeeAsk(5, 0.5, (tax(50.0), tax(50.0, 2)))], "JPY")
def test_totals_agree_with_a_slow_calculation(asks: list[FeeAsk], currency: str) -> None:
    invoice = totals(*asks, currency=currency)
    for fee, ask in zip(invoice.fees, asks, strict=True):
        assert slow_fee(ask, currency) == {
            "amount_cents": fee.amount_cents,
            "precise_amount_cents": Fraction(fee.precise_amount_cents),
            "precise_unit_amount": Fraction(fee.precise_unit_amount),
            "taxes_amount_cents": fee.taxes_amount_cents,
            "taxes_precise_amount_cents": Fraction(fee.taxes_precise_amount_cents),
            "taxes_rate": Fraction(fee.taxes_rate),
            "applied": [(p.tax.id, p.fees_amount_cents, p.amount_cents) for p in fee.applied_taxes],
        }
    assert slow_invoice(asks, currency) == {
        "fees": invoice.fees_amount_cents,
        "taxes": invoice.taxes_amount_cents,
        "excluding": invoice.sub_total_excluding_taxes_amount_cents,
        "including": invoice.sub_total_including_taxes_amount_cents,
        "total": invoice.total_amount_cents,
        "applied": [(p.tax.id, p.fees_amount_cents, p.amount_cents) for p in invoice.applied_taxes],
    }

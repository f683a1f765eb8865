"""What a credit note comes to, what an invoice has left, and how a void splits its fees."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from recoup.rules.credit_note_totals import (
    CreditableFee,
    Parts,
    Standing,
    creditable_cents,
    rounded,
    split,
    taken_off,
    total_lines,
    whole_line,
    why_not,
)
from recoup.rules.records.fees import AppliedTax

NOW = datetime(2027, 1, 1, tzinfo=UTC)
VAT, GST, LOCAL = 19.6, 5.0, 8.875
HIGHER = ["higher_than_remaining_invoice_amount"]


def tax(rate: float) -> AppliedTax:
    known = UUID(int=int(rate * 1_000_000))
    return AppliedTax(
        organization_id=UUID(int=1), id=known, invoice_id=UUID(int=2), fee_id=None, tax_id=known,
        tax_name=f"{rate}", tax_code=f"{rate}", tax_rate=rate, tax_description=None,
        amount_cents=0, amount_currency="EUR", fees_amount_cents=0, created_at=NOW,
    )  # fmt: skip


def fee(number: int, remaining: int, *rates: float) -> CreditableFee:
    return CreditableFee(UUID(int=number), remaining, tuple(tax(rate) for rate in rates))


def standing(total: int = 1_000, *, due: int = 0, paid: int = 0, **credited: int) -> Standing:
    return Standing(
        total_cents=total, due_cents=due, paid_cents=paid, credited=Parts(**credited)
    )  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "taxes", "precise", "by_tax"),
    [
        ([(33, VAT), (33, VAT), (33, VAT)], 19, "19.40400", [(99, 19)]),  # rounded once, not thrice
        ([(1_000, VAT), (333,)], 196, "196.00000", [(1_000, 196)]),
        ([(100, VAT, GST)], 25, "24.60000", [(100, 20), (100, 5)]),
        ([(50, GST), (50, LOCAL)], 7, "6.93750", [(50, 3), (50, 4)]),
        ([(1_001, LOCAL)], 89, "88.83875", [(1_001, 89)]),
        ([(0, VAT)], 0, "0.00000", [(0, 0)]),
        ([], 0, "0.00000", []),
    ],
)
def test_taxes_go_along_with_the_lines_that_bear_them(
    lines: list[Any], taxes: int, precise: str, by_tax: list[Any]
) -> None:
    totals = total_lines(
        [whole_line(fee(at, cents, *rates), cents) for at, (cents, *rates) in enumerate(lines)]
    )
    assert (totals.taxes_cents, str(totals.precise_taxes_cents)) == (taxes, precise)
    assert [(one.base_cents, one.cents) for one in totals.taxes] == by_tax
    assert totals.items_cents == sum(cents for cents, *_ in lines)
    assert totals.total_cents == totals.items_cents + taxes


def test_a_rate_is_what_a_person_wrote_and_a_mean_of_rates_goes_by_the_lines() -> None:
    half = total_lines([whole_line(fee(1, 50, VAT), 50), whole_line(fee(2, 50), 50)])
    assert half.taxes_rate == 9.8
    # 0.1 is no binary float; with its exact value this would be a cent more
    assert total_lines([whole_line(fee(1, 500, 0.1), 500)]).taxes_cents == 1
    assert str(total_lines([whole_line(fee(1, 499, 0.1), 499)]).precise_taxes_cents) == "0.49900"


@pytest.mark.parametrize(
    ("value", "expected"),
    [("0.5", 1), ("-0.5", -1), ("1.5", 2), ("2.5", 3), ("2.4999", 2), ("-2.5", -3), ("0", 0)],
)
def test_halves_are_rounded_away_from_zero(value: str, expected: int) -> None:
    assert rounded(Fraction(value)) == expected


@pytest.mark.parametrize(
    ("parts", "left", "details"),
    [
        (Parts(), standing(), {"base": ["total_amount_must_be_positive"]}),
        (Parts(credit_cents=998), standing(), {"base": ["does_not_match_item_amounts"]}),
        (Parts(credit_cents=999), standing(), None),  # a cent less
        (Parts(credit_cents=1_001), standing(2_000), None),  # a cent more
        (Parts(credit_cents=1_002), standing(2_000), {"base": ["does_not_match_item_amounts"]}),
        (Parts(credit_cents=1_000), standing(), None),
        (
            Parts(refund_cents=1_000),
            standing(),
            {"refund_amount_cents": ["cannot_refund_unpaid_invoice"]},
        ),
        (Parts(refund_cents=1_000), standing(paid=999), {"refund_amount_cents": HIGHER}),
        (Parts(refund_cents=1_000), standing(paid=1_000), None),
        (
            Parts(refund_cents=1_000),
            standing(3_000, paid=1_999, refund_cents=1_000),
            {"refund_amount_cents": HIGHER},
        ),
        (Parts(offset_cents=1_000), standing(due=999), {"offset_amount_cents": HIGHER}),
        (Parts(offset_cents=1_000), standing(due=1_000), None),
        (
            Parts(credit_cents=1_000),
            standing(credit_cents=1),
            {"base": HIGHER, "credit_amount_cents": HIGHER},
        ),
        (
            Parts(credit_cents=500, refund_cents=500),
            standing(paid=1_000, refund_cents=200),
            {"base": HIGHER},
        ),
        (Parts(credit_cents=300, refund_cents=300, offset_cents=400),
         standing(due=400, paid=600), None),
    ],
)  # fmt: skip
def test_what_there_is_not_is_refused_by_its_field(
    parts: Parts, left: Standing, details: Any
) -> None:
    refusal = why_not(parts, total_lines([whole_line(fee(1, 1_000), 1_000)]), left)
    assert (refusal and refusal.details) == details


def test_an_invoice_has_no_more_left_than_its_total_whatever_its_fees_have() -> None:
    rebated = [fee(1, 1_000), fee(2, 0)]  # the second is a rebate of 200
    assert creditable_cents(standing(800), rebated) == 800
    assert creditable_cents(standing(800, credit_cents=300), rebated) == 500
    assert creditable_cents(standing(800, credit_cents=800), rebated) == 0
    assert creditable_cents(standing(1_196), [fee(1, 1_000, VAT)]) == 1_196


def test_a_void_splits_by_shares_and_loses_no_cent() -> None:
    fees = [fee(1, 100), fee(2, 100), fee(3, 100)]
    lines = split(100, fees)
    assert sorted(line.cents for line in lines) == [33, 33, 34]
    assert [str(line.precise_cents) for line in lines] == ["33.33333"] * 3
    assert [one.remaining_cents for one in taken_off(lines, fees)] == [
        100 - line.cents for line in lines
    ]
    assert [line.cents for line in split(300, fees)] == [100, 100, 100]
    assert [line.cents for line in split(600, [fee(1, 1_000, VAT), fee(2, 0)])] == [502]


rates = st.lists(st.sampled_from([VAT, GST, LOCAL, 20.0, 0.1, 33.333]), max_size=2, unique=True)
fees_left = st.lists(
    st.tuples(st.integers(0, 10**9), rates).map(lambda one: (one[0], *one[1])),
    min_size=1, max_size=6,
).map(lambda fees: [fee(at, cents, *of) for at, (cents, *of) in enumerate(fees)])  # fmt: skip


@settings(max_examples=500)
@given(fees_left, st.data())
def test_what_a_void_splits_comes_to_what_it_gives_back(
    fees: list[CreditableFee], data: Any
) -> None:
    whole = creditable_cents(standing(2 * 10**10), fees)
    assume(whole > 0)
    target = data.draw(st.integers(1, whole))
    lines = split(target, fees)
    left = taken_off(lines, fees)
    assert all(one.remaining_cents >= 0 for one in left)
    assert all(line.cents >= 0 for line in lines)
    assert abs(total_lines(lines).precise_total_cents - target) <= 1
    exact = sum((line.precise_cents for line in lines), Decimal(0))
    cents = sum(line.cents for line in lines)
    assert cents == int(exact.to_integral_value(ROUND_HALF_UP))
    assert all(abs(line.cents - line.precise_cents) < 1 for line in lines)


@settings(max_examples=500)
@given(fees_left, st.data())
def test_taxes_of_any_lines_are_the_exact_sum_rounded_once(
    fees: list[CreditableFee], data: Any
) -> None:
    amounts = [data.draw(st.integers(0, one.remaining_cents)) for one in fees]
    totals = total_lines([whole_line(*one) for one in zip(fees, amounts, strict=True)])
    exact = Fraction(0)
    for one, cents in zip(fees, amounts, strict=True):
        for applied in one.taxes:
            exact += cents * Fraction(str(applied.tax_rate)) / 100
    assert abs(totals.taxes_cents - exact) <= Fraction(1, 2)
    assert abs(sum(part.cents for part in totals.taxes) - exact) <= Fraction(len(totals.taxes), 2)


@settings(max_examples=1_000)
@given(
    st.lists(st.tuples(*[st.integers(0, 700)] * 3), max_size=8),
    st.integers(0, 1_000),
)
def test_no_row_of_notes_takes_off_more_than_there_is(asked: list[Any], paid: int) -> None:
    credit = refund = offset = 0
    for parts in (Parts(*one) for one in asked):
        left = standing(
            due=1_000 - paid - offset, paid=paid, credit_cents=credit, refund_cents=refund,
            offset_cents=offset,
        )  # fmt: skip
        items = total_lines([whole_line(fee(1, 10_000), parts.total_cents)])
        if why_not(parts, items, left) is None:
            credit += parts.credit_cents
            refund += parts.refund_cents
            offset += parts.offset_cents
    assert credit + refund + offset <= 1_000
    assert refund <= paid
    assert offset <= 1_000 - paid

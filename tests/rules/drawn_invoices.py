"""Invoices as Hypothesis draws them, for the tests of one-off arithmetic.

What is drawn is what callers send: prices, units and rates with few decimals, which meet ties far
more often than chance does, beside floats of all sizes; and taxes in up to four places at once, of
which one counts.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import permutations
from typing import Final

import msgspec
from hypothesis import strategies as st

from tests.rules.exact_one_off import (
    MINOR_UNITS,
    ExactInvoice,
    ExactLine,
    ExactTax,
    exact_invoice,
    exact_taxes,
)

# Short decimals and halves, where rounding shows; and floats that nobody would write.
UNITS: Final = st.one_of(
    st.integers(0, 40).map(lambda n: n / 2),
    st.integers(0, 100_000).map(lambda n: n / 1_000),
    st.floats(1e-6, 1e6),
)
RATES: Final = st.one_of(
    st.sampled_from([0.0, 2.5, 5.5, 7.7, 10.0, 12.5, 19.6, 20.0, 33.3, 50.0, 100.0]),
    st.integers(0, 100_000).map(lambda n: n / 1_000),
    st.floats(1e-6, 200),
)
CENTS: Final = st.one_of(
    st.integers(0, 300), st.integers(-300, 1_000_000), st.integers(0, 2**55 // 10**6)
)
SOME_TAXES: Final = st.sampled_from(
    [places for many in range(4) for places in permutations(range(4), many)]
)


class Line(msgspec.Struct, frozen=True):
    """A line as somebody might send it; taxes are places in the invoice's `rates`."""

    cents: int
    units: float
    named: tuple[int, ...]
    of_add_on: tuple[int, ...]


class Drawn(msgspec.Struct, frozen=True):
    """An invoice, and whose taxes there are to choose from."""

    currency: str
    rates: tuple[float, ...]
    lines: tuple[Line, ...]
    of_customer: tuple[int, ...]
    of_entity: tuple[int, ...]


LINES: Final = st.builds(Line, CENTS, UNITS, SOME_TAXES, SOME_TAXES)
DRAWN: Final = st.builds(
    Drawn,
    st.sampled_from(sorted(MINOR_UNITS)),
    st.tuples(RATES, RATES, RATES, RATES),
    st.lists(LINES, min_size=1, max_size=4).map(tuple),
    SOME_TAXES,
    SOME_TAXES,
)


def slowly(drawn: Drawn) -> ExactInvoice:
    """Add it up by `exact_one_off`; its taxes are called `tax_0` to `tax_3`."""
    taxes = [ExactTax(f"tax_{n}", Fraction(rate)) for n, rate in enumerate(drawn.rates)]

    def of(places: tuple[int, ...]) -> list[ExactTax]:
        return [taxes[place] for place in places]

    lines = [
        ExactLine(
            line.cents,
            Fraction(repr(line.units)),  # the decimal that was written
            exact_taxes(
                explicit=of(line.named),
                add_on=of(line.of_add_on),
                customer=of(drawn.of_customer),
                entity=of(drawn.of_entity),
            ),
        )
        for line in drawn.lines
    ]
    return exact_invoice(lines, drawn.currency)

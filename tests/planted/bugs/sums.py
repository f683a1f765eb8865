"""What an invoice comes to: a cent more or less, on thousands of invoices."""

from __future__ import annotations

from typing import Final

from tests.planted.bugs.bug import Bug, Edit

TOTALS: Final = "rules/invoice_totals.py"
EXACT: Final = "tests/rules/test_one_off_arithmetic.py"
EXACT_BY_HTTP: Final = "tests/api/test_one_off_arithmetic.py"

BUGS: Final = (
    Bug(
        "halves are rounded to the even cent",
        "Every second tie comes out a cent less than Lago's.",
        (
            Edit(TOTALS, "to_integral_value(ROUND_HALF_UP))", "to_integral_value())"),
            Edit(TOTALS, "from decimal import ROUND_HALF_UP, Decimal", "from decimal import *"),
        ),
        (EXACT,),
    ),
    Bug(
        "amounts are multiplied as decimals",
        "What one would call right, and 100 × 1.005 is a cent more than at Lago.",
        (
            Edit(
                TOTALS,
                "_rounded(ask.unit_amount_cents * ask.units)",
                "_rounded(float(EXACT.multiply(unit_cents, units)))",
            ),
        ),
        (EXACT,),
    ),
    Bug(
        "an invoice's tax is the sum of its fees' taxes",
        "Three fees of 33 at 19.6 % owe 18, and Lago says 19.",
        (
            Edit(
                TOTALS,
                "    taxes_amount_cents = _rounded(_sum(raws))\n    total_cents",
                "    taxes_amount_cents = sum(fee.taxes_amount_cents for fee in fees)\n"
                "    total_cents",
            ),
        ),
        (EXACT, EXACT_BY_HTTP),
    ),
    Bug(
        "the customer's taxes outrank the add-on's",
        "What is sold at a reduced rate is taxed at the full one.",
        (
            Edit(
                TOTALS,
                "named or of_add_on or of_customer or of_billing_entity",
                "named or of_customer or of_add_on or of_billing_entity",
            ),
        ),
        (EXACT, EXACT_BY_HTTP),
    ),
)

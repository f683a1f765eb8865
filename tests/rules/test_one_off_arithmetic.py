"""Ten thousand invoices, added up by the rules and once more in exact rationals: no cent differs.

`exact_one_off` is the second calculation, `drawn_invoices` says what is added up.
"""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction
from typing import Final
from uuid import UUID

from hypothesis import HealthCheck, given, settings

from recoup.rules.invoice_totals import (
    AppliedTax,
    FeeAsk,
    FeeTotals,
    InvoiceTotals,
    taxes_that_apply,
    total_invoice,
)
from recoup.rules.money import decimal_text
from recoup.rules.records.taxes import Tax
from tests.rules.drawn_invoices import DRAWN, Drawn, slowly
from tests.rules.exact_one_off import ExactFee, ExactInvoice

INVOICES: Final = 10_000
PLACES: Final = Fraction(1, 10**5)  # what an invoice's mean rate is rounded to


def by_the_rules(drawn: Drawn) -> InvoiceTotals:
    then = datetime(2026, 1, 1, tzinfo=UTC)
    taxes = [
        Tax(UUID(int=0), UUID(int=n + 1), f"tax_{n}", "Tax", None, rate, then)
        for n, rate in enumerate(drawn.rates)
    ]

    def of(places: tuple[int, ...]) -> list[Tax]:
        return [taxes[place] for place in places]

    asks = [
        FeeAsk(
            line.cents,
            line.units,
            taxes_that_apply(
                named=of(line.named),
                of_add_on=of(line.of_add_on),
                of_customer=of(drawn.of_customer),
                of_billing_entity=of(drawn.of_entity),
            ),
        )
        for line in drawn.lines
    ]
    answer = total_invoice(asks, currency=drawn.currency)
    assert isinstance(answer, InvoiceTotals)
    return answer


def taken(applied: tuple[AppliedTax, ...]) -> dict[str, tuple[int, int]]:
    return {part.tax.code: (part.fees_amount_cents, part.amount_cents) for part in applied}


def fees_agree(fee: FeeTotals, exact: ExactFee) -> None:
    assert fee.amount_cents == exact.amount_cents
    assert Fraction(decimal_text(fee.precise_amount_cents)) == exact.precise_amount_cents
    assert Fraction(decimal_text(fee.precise_unit_amount)) == exact.precise_unit_amount
    assert [(part.tax.code, part.amount_cents) for part in fee.applied_taxes] == [
        *exact.applied_taxes
    ]
    assert fee.taxes_amount_cents == exact.taxes_amount_cents
    assert Fraction(fee.taxes_rate) == exact.taxes_rate


def invoices_agree(invoice: InvoiceTotals, exact: ExactInvoice) -> None:
    for fee, exact_one in zip(invoice.fees, exact.fees, strict=True):
        fees_agree(fee, exact_one)
    assert taken(invoice.applied_taxes) == exact.applied_taxes
    for sum_cents in [
        "fees_amount_cents", "sub_total_excluding_taxes_amount_cents", "taxes_amount_cents",
        "sub_total_including_taxes_amount_cents", "total_amount_cents",
    ]:  # fmt: skip
        assert getattr(invoice, sum_cents) == getattr(exact, sum_cents), sum_cents
    assert abs(Fraction(invoice.taxes_rate) - exact.taxes_rate) <= PLACES * Fraction(501, 1_000)


def test_ten_thousand_invoices_come_to_what_exact_arithmetic_says() -> None:
    seen = taxed = 0

    @settings(
        max_examples=INVOICES, deadline=None, suppress_health_check=[HealthCheck.too_slow],
        database=None,
    )  # fmt: skip
    @given(DRAWN)
    def agree(drawn: Drawn) -> None:
        nonlocal seen, taxed
        exact = slowly(drawn)
        invoices_agree(by_the_rules(drawn), exact)
        seen += 1
        taxed += exact.taxes_amount_cents != sum(fee.taxes_amount_cents for fee in exact.fees)

    agree()
    assert seen >= INVOICES
    assert taxed > INVOICES // 20, "invoices whose taxes are their fees' taxes prove little"

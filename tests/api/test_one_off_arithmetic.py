"""Drawn invoices, issued over HTTP and read back, come to what exact arithmetic says.

`tests/rules/test_one_off_arithmetic.py` holds the rules to it ten thousand times; here is what lies
between them and the caller: JSON, the choice of taxes by the rows that name them, the columns.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Final

import httpx
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from recoup.rules.money import CURRENCIES
from tests.api.billing import has_customer, has_tax, refusal
from tests.api.conftest import Tenant
from tests.rules.drawn_invoices import DRAWN, Drawn, slowly
from tests.rules.exact_one_off import MINOR_UNITS, ExactFee, ExactInvoice

INVOICES: Final = 60
# Nobody bills in what the wire's list has not: of the drawn currencies, those with three decimals.
BILLED: Final = DRAWN.filter(lambda drawn: drawn.currency in CURRENCIES)


def some(invoices: st.SearchStrategy[Drawn], many: int) -> list[Drawn]:
    """The same drawn invoices every time."""
    found: list[Drawn] = []

    @settings(
        max_examples=many, phases=[Phase.generate], derandomize=True, database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )  # fmt: skip
    @given(invoices)
    def keep(drawn: Drawn) -> None:
        found.append(drawn)

    keep()
    return found


class Shop:
    """A tenant that issues drawn invoices; each has taxes, a customer and add-ons of its own."""

    def __init__(self, tenant: Tenant, number: int, drawn: Drawn) -> None:
        self._tenant = tenant
        self._number = number
        self._drawn = drawn

    async def issue(self) -> httpx.Response:
        """Ask for the invoice, with its taxes where it was drawn that they are."""
        drawn = self._drawn
        for place, rate in enumerate(drawn.rates):
            of_entity = place in drawn.of_entity
            await has_tax(self._tenant, self._tax(place), rate, applied_to_organization=of_entity)
        customer = f"customer-{self._number}"
        codes = self._taxes(drawn.of_customer)
        await has_customer(self._tenant, customer, currency=drawn.currency, tax_codes=codes)
        fees = [await self._line(number) for number in range(len(drawn.lines))]
        asked = {"external_customer_id": customer, "fees": fees, "skip_psp": True}
        answer = await self._tenant.post("/invoices", {"invoice": asked})
        for place in drawn.of_entity:  # or else they would be the next invoice's as well
            off = {"tax": {"applied_to_organization": False}}
            changed = await self._tenant.put(f"/taxes/{self._tax(place)}", off)
            assert changed.is_success, changed.text
        return answer

    async def _line(self, number: int) -> dict[str, Any]:
        line, code = self._drawn.lines[number], f"add-on-{self._number}-{number}"
        fields = {
            "name": "X", "code": code, "amount_cents": 7, "amount_currency": self._drawn.currency,
            "tax_codes": self._taxes(line.of_add_on),
        }  # fmt: skip
        answer = await self._tenant.post("/add_ons", {"add_on": fields})
        assert answer.is_success, answer.text
        return {
            "add_on_code": code,
            "unit_amount_cents": line.cents,
            "units": repr(line.units) if number % 2 else line.units,  # Lago's clients send both
            "tax_codes": ["nobodys", *self._taxes(line.named)],
        }

    def _tax(self, place: int) -> str:
        return f"tax-{self._number}-{place}"

    def _taxes(self, places: tuple[int, ...]) -> list[str]:
        return [self._tax(place) for place in places]


def by_place(applied: Any) -> list[tuple[str, int]]:
    """Applied taxes as the exact calculation names them, in the order of their codes."""
    return sorted(
        (f"tax_{one['tax_code'].rpartition('-')[2]}", one["amount_cents"]) for one in applied
    )


def fee_agrees(fee: Any, exact: ExactFee) -> None:
    assert fee["amount_cents"] == exact.amount_cents
    minor_units = MINOR_UNITS[fee["amount_currency"]]
    assert Fraction(fee["precise_amount"]) * minor_units == exact.precise_amount_cents
    assert Fraction(fee["precise_unit_amount"]) == exact.precise_unit_amount
    assert by_place(fee["applied_taxes"]) == sorted(exact.applied_taxes)
    assert fee["taxes_amount_cents"] == exact.taxes_amount_cents
    assert Fraction(fee["taxes_rate"]) == exact.taxes_rate
    assert fee["total_amount_cents"] == exact.amount_cents + exact.taxes_amount_cents


def invoice_agrees(invoice: Any, exact: ExactInvoice) -> None:
    for sum_cents in [
        "fees_amount_cents", "sub_total_excluding_taxes_amount_cents", "taxes_amount_cents",
        "sub_total_including_taxes_amount_cents", "total_amount_cents",
    ]:  # fmt: skip
        assert invoice[sum_cents] == getattr(exact, sum_cents), sum_cents
    assert invoice["coupons_amount_cents"] == invoice["credit_notes_amount_cents"] == 0
    assert by_place(invoice["applied_taxes"]) == sorted(
        (code, cents) for code, (_, cents) in exact.applied_taxes.items()
    )
    bases = {one["tax_code"][-1]: one["fees_amount_cents"] for one in invoice["applied_taxes"]}
    assert bases == {code[-1]: base for code, (base, _) in exact.applied_taxes.items()}
    assert invoice["payment_status"] == exact.payment_status


async def test_what_is_issued_comes_to_what_exact_arithmetic_says(tenant: Tenant) -> None:
    issued = 0
    for number, drawn in enumerate(some(BILLED, INVOICES)):
        exact = slowly(drawn)
        answer = await Shop(tenant, number, drawn).issue()
        if exact.total_amount_cents < 0:  # rebates that outweigh the rest
            assert refusal(answer) == (422, {"amount_cents": ["value_is_out_of_range"]}), drawn
            continue
        assert answer.is_success, f"{drawn}: {answer.text}"
        invoice = answer.json()["invoice"]
        invoice_agrees(invoice, exact)
        for fee, exact_fee in zip(invoice["fees"], exact.fees, strict=True):
            one = await tenant.get(f"/fees/{fee['lago_id']}")
            if one.status_code == 404:  # of an invoice of nothing, which is not shown
                assert exact.fees_amount_cents == 0
                continue
            fee_agrees(one.json()["fee"], exact_fee)
        issued += 1
    assert issued > INVOICES // 2

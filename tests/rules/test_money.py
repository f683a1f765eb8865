"""Currencies, their exponents, and amounts in major units."""

import json
from collections.abc import Iterator
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

import pytest

from recoup.rules.money import CURRENCIES, decimal_text, exponent, is_currency, major_units


def _currency_enums(node: Any) -> Iterator[frozenset[str]]:
    if isinstance(node, dict):
        enum = node.get("enum")
        if isinstance(enum, list) and "USD" in enum:
            yield frozenset(enum) - {None}
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from _currency_enums(child)


def test_the_currencies_are_those_of_the_contract(shared: Path) -> None:
    contract = json.loads((shared / "contract/lago-contract.json").read_text())
    enums = set(_currency_enums(contract))
    # The customer inside a credit note may not be in GHS: an oversight, since everyone else may.
    assert enums == {frozenset(CURRENCIES), frozenset(CURRENCIES) - {"GHS"}}


def test_currencies_are_listed_once_and_in_order() -> None:
    assert len(CURRENCIES) == 138
    assert list(CURRENCIES) == sorted(CURRENCIES)


@pytest.mark.parametrize(
    ("currency", "places"),
    [
        *[("USD", 2), ("HUF", 2), ("MGA", 2), ("JPY", 0), ("ISK", 0), ("UGX", 0), ("XPF", 0)],
        *[("CLF", 4), ("CLP", 0), ("KWD", 3), ("TND", 3)],
    ],
)
def test_exponents_are_those_of_iso_4217(currency: str, places: int) -> None:
    assert exponent(currency) == places


def test_every_currency_has_the_exponent_that_the_table_shows() -> None:
    assert {code: exponent(code) for code in CURRENCIES} == dict(CURRENCIES)


@pytest.mark.parametrize("code", ["KWD", "usd", "XXX", "", "USD "])
def test_an_invoice_cannot_be_in_any_other_currency(code: str) -> None:
    assert not is_currency(code)


def test_an_unknown_currency_has_no_exponent_rather_than_two() -> None:
    with pytest.raises(KeyError):
        exponent("XXX")


@pytest.mark.parametrize(
    ("cents", "currency", "text"),
    [
        (1234, "EUR", "12.34"),
        (1200, "EUR", "12.0"),
        (5, "EUR", "0.05"),
        (-5, "EUR", "-0.05"),
        (0, "EUR", "0.0"),
        (1234, "JPY", "1234.0"),
        (1234, "KWD", "1.234"),
        (1234, "CLF", "0.1234"),
        (2**63 - 1, "USD", "92233720368547758.07"),
    ],
)
def test_minor_units_in_words_of_major_ones(cents: int, currency: str, text: str) -> None:
    assert decimal_text(major_units(cents, currency)) == text


def test_amounts_are_exact_whatever_the_thread_thinks_of_precision() -> None:
    with localcontext(prec=3):
        assert decimal_text(major_units(2**63 - 1, "USD")) == "92233720368547758.07"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *[("1E+3", "1000.0"), ("0E+3", "0.0"), ("-0.00", "0.0"), ("1E-7", "0.0000001")],
        *[("100", "100.0"), ("1.50", "1.5"), ("10.00", "10.0")],
    ],
)
def test_decimals_are_written_in_plain_digits(value: str, text: str) -> None:
    assert decimal_text(Decimal(value)) == text

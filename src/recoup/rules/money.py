"""Which currencies there are, and how many minor units make one of each.

Anybody may ask. Amounts are whole minor units everywhere in Recoup (`…_cents`, whatever the
currency); only what is shown to people, and Lago's `precise_…` fields, is in major units.

What would surprise you:
- Yen have no minor unit: 500 `…_cents` of JPY are ¥500.
- Exponents are those of ISO 4217. MGA and MRO are divided by five on the street, and by a hundred
  in the standard, so by a hundred here.
"""

from collections.abc import Mapping
from decimal import Context, Decimal
from types import MappingProxyType
from typing import Final

MAX_CENTS: Final = 2**63 - 1
"""The largest amount that a `bigint` column holds; the smallest is `-MAX_CENTS`, to be even."""

# ISO 4217, list one: currencies whose exponent is not 2.
_WITHOUT_MINOR_UNIT: Final = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_IN_THOUSANDTHS: Final = "BHD IQD JOD KWD LYD OMR TND"
_IN_TEN_THOUSANDTHS: Final = "CLF UYW"
_EXPONENTS_OTHER_THAN_2: Final[Mapping[str, int]] = {
    **dict.fromkeys(_WITHOUT_MINOR_UNIT.split(), 0),
    **dict.fromkeys(_IN_THOUSANDTHS.split(), 3),
    **dict.fromkeys(_IN_TEN_THOUSANDTHS.split(), 4),
}

# The currencies of Lago's wire; a test compares them with the contract. Some have been replaced
# since (HRK, MRO, SLL, STD, …) and stay: invoices in them exist.
_CODES: Final = """
    AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BIF BMD BND BOB BRL BSD BWP BYN BZD CAD
    CDF CHF CLF CLP CNY COP CRC CVE CZK DJF DKK DOP DZD EGP ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF
    GTQ GYD HKD HNL HRK HTG HUF IDR ILS INR ISK JMD JPY KES KGS KHR KMF KRW KYD KZT LAK LBP LKR LRD
    LSL MAD MDL MGA MKD MMK MNT MOP MRO MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK
    PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SEK SGD SHP SLL SOS SRD STD SZL THB TJS TOP TRY
    TTD TWD TZS UAH UGX USD UYU UZS VND VUV WST XAF XCD XOF XPF YER ZAR ZMW
"""

CURRENCIES: Final[Mapping[str, int]] = MappingProxyType(
    {code: _EXPONENTS_OTHER_THAN_2.get(code, 2) for code in _CODES.split()}
)
"""Every currency that an invoice may be in, with its exponent, in alphabetical order."""

# Amounts have 19 digits, units and rates 17 each: room for a product of all three, and then some.
# A context of our own, because the thread's default keeps 28 and anybody may change it.
EXACT: Final = Context(prec=128)


def is_currency(code: str) -> bool:
    """Say whether an invoice may be in `code`; codes are upper case."""
    return code in CURRENCIES


def exponent(currency: str) -> int:
    """Answer how many decimal places `currency` has; `is_currency` was asked before.

    Three-decimal dinars and rials are answered too: no invoice is in them, but an account can be.
    """
    known = _EXPONENTS_OTHER_THAN_2.get(currency)
    return CURRENCIES[currency] if known is None else known


def major_units(cents: int | Decimal, currency: str) -> Decimal:
    """Turn minor units into major ones, exactly: 1234 of EUR into 12.34, of JPY into 1234."""
    return EXACT.scaleb(Decimal(cents), -exponent(currency))


def decimal_text(value: Decimal) -> str:
    """Write a decimal as the wire has it: plain digits, at least one place, no idle zeros.

    `12.5` and `12.0`, never `12.50`, `12` or `1.2E+1`. `value` is finite.
    """
    assert value.is_finite(), f"{value} is no amount"
    if not value:
        return "0.0"  # zero has as many spellings as exponents, and two signs
    whole, _, places = format(value, "f").partition(".")
    return f"{whole}.{places.rstrip('0') or '0'}"

"""In which units each provider counts, and the least it takes.

Recoup keeps ISO 4217 minor units. Providers differ for a handful of currencies, and a factor of a
hundred is the price of not knowing it. An amount that the provider cannot express, or does not
take, is answered by a word, never rounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import msgspec

from recoup.rules.money import exponent, is_currency
from recoup.rules.records.provider_accounts import ProviderKind


class NotTaken(StrEnum):
    """Why a provider takes no such charge. The words go out as `error_details.code`."""

    CURRENCY = "currency_not_supported"
    TOO_SMALL = "amount_too_small"
    NOT_REPRESENTABLE = "amount_not_representable"  # a fraction of what the provider counts in


# Who refuses a refund that does not name all that has gone back of its charge: of two at once the
# second would name too much, or the first too little. Source: developer.gocardless.com, Refunds.
NAMES_WHAT_WENT_BACK: Final = frozenset({ProviderKind.GOCARDLESS})


class Counting(msgspec.Struct, frozen=True):
    """How one provider counts: where it leaves ISO 4217, and what it takes."""

    exponents: Mapping[str, int]  # where they differ from ISO 4217
    whole_multiples_of: Mapping[str, int]  # in the provider's units
    least: Mapping[str, int]  # in the provider's units
    only: frozenset[str] | None = None  # None: whatever is a currency


# Source: docs.stripe.com/currencies, sections on zero-decimal, three-decimal and special-case
# currencies and on minimum amounts. The minimum is that of the settlement currency; below the one
# of the charge's own currency none is taken.
STRIPE: Final = Counting(
    exponents={"MGA": 0, "ISK": 2, "UGX": 2},
    whole_multiples_of={
        **dict.fromkeys(("ISK", "UGX"), 100),
        **dict.fromkeys(("BHD", "JOD", "KWD", "OMR", "TND"), 10),
    },
    least={
        **dict.fromkeys(("USD", "AUD", "BRL", "CAD", "CHF", "EUR", "INR", "NZD", "SGD"), 50),
        "AED": 200, "BGN": 100, "CZK": 1_500, "DKK": 250, "GBP": 30, "HKD": 400, "HUF": 17_500,
        "JPY": 50, "MXN": 1_000, "MYR": 200, "NOK": 300, "PLN": 200, "RON": 200, "SEK": 300,
        "THB": 1_000,
    },
)  # fmt: skip

# Source: docs.adyen.com/development-resources/currency-codes. No minimum is published: what a
# payment method does not take is refused by its acquirer.
ADYEN: Final = Counting(
    exponents={"CLP": 2, "CVE": 0, "IDR": 0, "ISK": 2},
    whole_multiples_of={},
    least={},
)

# Source: developer.gocardless.com, currencies of the schemes; the schemes' least is one unit.
GOCARDLESS: Final = Counting(
    exponents={},
    whole_multiples_of={},
    least={},
    only=frozenset({"AUD", "CAD", "DKK", "EUR", "GBP", "NZD", "SEK", "USD"}),
)

SANDBOX: Final = Counting(exponents={}, whole_multiples_of={}, least={})

COUNTING: Final[Mapping[ProviderKind, Counting]] = MappingProxyType(
    {
        ProviderKind.STRIPE: STRIPE,
        ProviderKind.ADYEN: ADYEN,
        ProviderKind.GOCARDLESS: GOCARDLESS,
        ProviderKind.SANDBOX: SANDBOX,
    }
)


def to_provider(kind: ProviderKind, currency: str, cents: int) -> int | NotTaken:
    """Turn ISO minor units into the provider's, or say why it takes no such charge."""
    counting = COUNTING[kind]
    if not is_currency(currency) or (counting.only is not None and currency not in counting.only):
        return NotTaken.CURRENCY
    amount = refundable(kind, currency, cents)
    if amount is None:
        return NotTaken.NOT_REPRESENTABLE
    if amount < counting.least.get(currency, 1):
        return NotTaken.TOO_SMALL
    return amount


def refundable(kind: ProviderKind, currency: str, cents: int) -> int | None:
    """Turn ISO minor units into the provider's, where no least amount counts, as with a refund.

    None: the provider cannot express the amount.
    """
    counting = COUNTING[kind]
    shift = counting.exponents.get(currency, exponent(currency)) - exponent(currency)
    amount, left = (cents * int(10**shift), 0) if shift >= 0 else divmod(cents, int(10**-shift))
    return None if left or amount % counting.whole_multiples_of.get(currency, 1) else amount


def from_provider(kind: ProviderKind, currency: str, amount: int) -> int | None:
    """Turn the provider's units into ISO minor ones; None where that leaves a fraction."""
    currency = currency.upper()
    if not is_currency(currency):
        return None
    shift = COUNTING[kind].exponents.get(currency, exponent(currency)) - exponent(currency)
    cents, left = divmod(amount, int(10**shift)) if shift >= 0 else (amount * int(10**-shift), 0)
    return None if left else cents

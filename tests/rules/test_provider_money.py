"""Every currency comes back from every provider as it went, and the exceptions are those named."""

from __future__ import annotations

import pytest

from recoup.rules.money import CURRENCIES
from recoup.rules.provider_money import NotTaken, from_provider, refundable, to_provider
from recoup.rules.records.provider_accounts import ProviderKind

A_LOT = 1_234_500_000


@pytest.mark.parametrize("kind", ProviderKind)
def test_what_goes_out_comes_back(kind: ProviderKind) -> None:
    taken = 0
    for currency in CURRENCIES:
        amount = to_provider(kind, currency, A_LOT)
        if amount is NotTaken.CURRENCY:
            continue
        assert isinstance(amount, int), currency
        assert from_provider(kind, currency.lower(), amount) == A_LOT, currency
        taken += 1
    assert taken == (8 if kind is ProviderKind.GOCARDLESS else len(CURRENCIES))


@pytest.mark.parametrize(
    ("kind", "currency", "cents", "amount"),
    [
        (ProviderKind.STRIPE, "EUR", 1234, 1234),
        (ProviderKind.STRIPE, "JPY", 500, 500),
        (ProviderKind.STRIPE, "ISK", 500, 50_000),
        (ProviderKind.STRIPE, "UGX", 500, 50_000),
        (ProviderKind.STRIPE, "MGA", 12_300, 123),
        (ProviderKind.STRIPE, "MGA", 12_345, NotTaken.NOT_REPRESENTABLE),
        (ProviderKind.STRIPE, "USD", 49, NotTaken.TOO_SMALL),
        (ProviderKind.STRIPE, "USD", 50, 50),
        (ProviderKind.STRIPE, "HUF", 17_499, NotTaken.TOO_SMALL),
        (ProviderKind.ADYEN, "CLP", 500, 50_000),
        (ProviderKind.ADYEN, "ISK", 500, 50_000),
        (ProviderKind.ADYEN, "IDR", 150_000, 1_500),
        (ProviderKind.ADYEN, "IDR", 150_050, NotTaken.NOT_REPRESENTABLE),
        (ProviderKind.ADYEN, "CVE", 100, 1),
        (ProviderKind.GOCARDLESS, "JPY", 500, NotTaken.CURRENCY),
        (ProviderKind.GOCARDLESS, "GBP", 1, 1),
        (ProviderKind.SANDBOX, "XXX", 1, NotTaken.CURRENCY),
    ],
)
def test_the_exceptions(
    kind: ProviderKind, currency: str, cents: int, amount: int | NotTaken
) -> None:
    assert to_provider(kind, currency, cents) == amount


def test_a_fraction_is_no_amount_of_ours() -> None:
    assert from_provider(ProviderKind.STRIPE, "isk", 150) is None
    assert from_provider(ProviderKind.STRIPE, "nonsense", 100) is None


def test_a_refund_may_be_smaller_than_a_charge() -> None:
    assert to_provider(ProviderKind.STRIPE, "EUR", 40) is NotTaken.TOO_SMALL
    assert refundable(ProviderKind.STRIPE, "EUR", 40) == 40
    assert refundable(ProviderKind.STRIPE, "ISK", 1) == 100
    assert refundable(ProviderKind.STRIPE, "MGA", 12_345) is None

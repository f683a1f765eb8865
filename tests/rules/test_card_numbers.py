"""Card numbers are recognised, and providers' tokens are not taken for them."""

from __future__ import annotations

import pytest

from recoup.rules.card_numbers import is_card_number


@pytest.mark.parametrize(
    "text",
    ["4242424242424242", "4242 4242 4242 4242", " 4242-4242-4242-4242 ", "378282246310005",
     "4222222222222", "6304000000000000000"],
)  # fmt: skip
def test_a_card_number_is_one_however_it_is_grouped(text: str) -> None:
    assert is_card_number(text)


@pytest.mark.parametrize(
    "text",
    ["4242424242424241", "pm_4242424242424242", "424242424242", "42424242424242424242", "",
     "pm_sandbox_ok", "٤٢٤٢٤٢٤٢٤٢٤٢٤٢٤٢"],
)  # fmt: skip
def test_a_token_is_no_card_number(text: str) -> None:
    assert not is_card_number(text)

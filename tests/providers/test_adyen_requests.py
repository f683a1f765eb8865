"""What is rendered for Adyen, as far as its own description does not tell."""

from __future__ import annotations

import json
from uuid import UUID

import pytest

from recoup.providers.adyen_requests import NOBODY_RETURNS, fit, render, render_cancel
from recoup.providers.protocol import Manner, Order
from tests.providers.stand_in import ATTEMPT, KEY

LONGEST_REFERENCE = 80  # by Adyen's description


def an_order(manner: Manner, return_url: str) -> Order:
    return Order(
        attempt_id=ATTEMPT, amount_cents=1_000, currency="EUR", provider_customer_id="cus_1",
        provider_method_id="M5N7TQ4TG5PFWR50", reference="Acme", metadata={}, manner=manner,
        return_url=return_url,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("manner", "given", "sent"),
    [
        # Adyen wants an address of every payment, and of no page: there it makes a button.
        (Manner.OFF_SESSION, "", NOBODY_RETURNS),
        (Manner.OFF_SESSION, "https://shop.example/", "https://shop.example/"),
        (Manner.PAGE, "", None),
        (Manner.PAGE, "https://shop.example/", "https://shop.example/"),
        (Manner.ON_SESSION, "", None),
    ],
)
def test_a_payer_is_led_only_where_somebody_says(
    manner: Manner, given: str, sent: str | None
) -> None:
    rendered = render(an_order(manner, given), "Acme")
    assert isinstance(rendered, str)
    assert json.loads(rendered).get("returnUrl") == sent


def test_the_key_and_what_follows_it_are_never_cut_off() -> None:
    for number in (0, 2**128 - 1):
        key = f"payment-{UUID(int=number)}"
        asked = json.loads(render_cancel(key, "Acme"))
        assert asked["reference"] == f"{key} cancel"
        assert len(asked["reference"]) <= LONGEST_REFERENCE
    long = an_order(Manner.PAGE, "")
    rendered = json.loads(str(render(long, "Acme")))
    assert rendered["reference"].endswith(f"{KEY} page")


def test_metadata_are_cut_to_what_adyen_takes() -> None:
    many = {f"k{n}": "v" * 99 for n in range(30)}
    fitted = fit({"lago_billing_entity_id": "too long a name", **many})
    assert list(fitted) == [f"k{n}" for n in range(20)]
    assert set(fitted.values()) == {"v" * 80}

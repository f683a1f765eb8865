"""What becomes of a customer's link to a payment provider, whatever is asked."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest

from recoup.rules.customer_changes import BillingConfigurationInput
from recoup.rules.provider_link import Linked, relinked
from recoup.rules.records.customers import Customer, ProviderCustomer
from recoup.rules.records.provider_accounts import ProviderAccount, ProviderKind
from recoup.rules.refusal import Refused

NOW = datetime(2026, 3, 1, tzinfo=UTC)
TENANT = UUID(int=1)
NEW_LINK = UUID(int=99)
STRIPE = ProviderKind.STRIPE
CUSTOMER = Customer(
    organization_id=TENANT, id=UUID(int=7), external_id="c", sequential_id=1, slug="A-1-001",
    billing_entity_id=UUID(int=2), created_at=NOW, updated_at=NOW,
)  # fmt: skip


def account(number: int, kind: ProviderKind, code: str) -> ProviderAccount:
    return ProviderAccount(
        organization_id=TENANT, id=UUID(int=number), kind=kind, code=code, name=code,
        secrets_sealed=b"", created_at=NOW,
    )  # fmt: skip


ACCOUNTS = [
    account(11, STRIPE, "eu"),
    account(12, STRIPE, "us"),
    account(13, ProviderKind.SANDBOX, "play"),
]


def linked(customer: Customer = CUSTOMER, link: Any = None, **asked: Any) -> Linked:
    return relinked(
        customer, link, BillingConfigurationInput(**asked), ACCOUNTS,
        is_new=customer is CUSTOMER, link_id=NEW_LINK, now=NOW,
    )  # fmt: skip


def at_stripe() -> tuple[Customer, ProviderCustomer]:
    """A customer that is linked to the account `eu` as `cus_1`."""
    made = linked(
        payment_provider="stripe", payment_provider_code="eu", provider_customer_id="cus_1"
    )
    assert made.link
    return made.customer, msgspec.structs.replace(made.link, id=UUID(int=50))


def refusal(customer: Customer = CUSTOMER, link: Any = None, **asked: Any) -> Any:
    with pytest.raises(Refused) as refused:
        linked(customer, link, **asked)
    return refused.value.refusal.details


def test_an_id_or_a_wish_to_sync_makes_the_link_and_a_provider_alone_does_not() -> None:
    named = linked(payment_provider="sandbox")
    assert (named.customer.payment_provider_code, named.link) == ("play", None)
    by_id = linked(payment_provider="sandbox", provider_customer_id="cus_1")
    assert by_id.link
    assert (by_id.link.provider_customer_id, by_id.made_at_provider) == ("cus_1", False)
    synced = linked(payment_provider="sandbox", sync_with_provider=True)
    assert synced.link
    assert synced.link.provider_customer_id == f"cus_{CUSTOMER.id.hex}"
    assert synced.made_at_provider
    waiting = linked(payment_provider="stripe", payment_provider_code="eu", sync_with_provider=True)
    assert waiting.link
    assert waiting.link.provider_customer_id is None
    assert not waiting.made_at_provider


def test_an_account_that_cannot_be_told_is_refused() -> None:
    not_found = {"base": ["payment_provider_not_found"]}
    assert (
        refusal(payment_provider="stripe", payment_provider_code="x", provider_customer_id="cus_1")
        == not_found
    )
    assert refusal(payment_provider="adyen", sync_with_provider=True) == not_found
    assert (
        refusal(
            payment_provider="sandbox", payment_provider_code="eu", provider_customer_id="cus_1"
        )
        == not_found
    )  # the code of another provider's
    assert refusal(payment_provider="stripe", provider_customer_id="cus_1") == {
        "base": ["payment_provider_code_missing"]
    }
    assert refusal(payment_provider="paypal") == {"payment_provider": ["value_is_invalid"]}


@pytest.mark.parametrize("named", ["cashfree", "flutterwave", "moneyhash"])
def test_a_provider_of_lagos_that_is_none_of_ours_has_no_account(named: str) -> None:
    not_found = {"base": ["payment_provider_not_found"]}
    wishes: list[dict[str, Any]] = [
        {"provider_customer_id": "cus_1"}, {"sync_with_provider": True},
        {"payment_provider_code": "eu"},
    ]  # fmt: skip
    for wish in wishes:
        assert refusal(payment_provider=named, **wish) == not_found
        assert refusal(*at_stripe(), payment_provider=named, **wish) == not_found
        assert refusal(payment_provider="paypal", **wish) == {
            "payment_provider": ["value_is_invalid"]
        }
    assert refusal(payment_provider=named) == {"payment_provider": ["value_is_invalid"]}
    assert linked(*at_stripe(), payment_provider=named) == Linked(CUSTOMER, None)


def test_saying_the_same_again_changes_nothing() -> None:
    customer, link = at_stripe()
    for again in (
        {"payment_provider": "stripe", "payment_provider_code": "eu",
         "provider_customer_id": "cus_1"},
        {"payment_provider": "stripe"},
        {"provider_customer_id": None},
        {"document_locale": "fr"},
        {"sync_with_provider": False},
    ):  # fmt: skip
        assert linked(customer, link, **again) == Linked(customer, link)


@pytest.mark.parametrize("named", [None, "", "paypal"])
def test_null_and_an_unknown_provider_unlink(named: str | None) -> None:
    customer, link = at_stripe()
    after = linked(customer, link, payment_provider=named)
    assert after.link is None
    assert after.customer == CUSTOMER


@pytest.mark.parametrize(
    "asked",
    [
        {"payment_provider": "sandbox", "provider_customer_id": "cus_1"},
        {"payment_provider_code": "us", "provider_customer_id": "cus_1"},
        {"provider_customer_id": "cus_2"},
    ],
)
def test_whoever_is_another_customer_at_the_provider_has_another_link(asked: Any) -> None:
    customer, link = at_stripe()
    after = linked(customer, link, **asked)
    assert after.link
    assert after.link.id == NEW_LINK
    assert after.link.provider_customer_id == asked["provider_customer_id"]


def test_an_id_that_was_missing_is_filled_in() -> None:
    waiting = linked(payment_provider="stripe", payment_provider_code="eu", sync_with_provider=True)
    filled = linked(waiting.customer, waiting.link, provider_customer_id="cus_9")
    assert filled.link
    assert waiting.link
    assert filled.link == msgspec.structs.replace(waiting.link, provider_customer_id="cus_9")


@pytest.mark.parametrize(
    ("said", "kept"),
    [(None, ("card",)), ([], ("card",)), (["card", "link"], ("card", "link")),
     (["customer_balance"], ("customer_balance",)), (["sepa_debit", "sepa_debit"], ("sepa_debit",)),
     (["link"], None), (["customer_balance", "card"], None), (["bitcoin"], None)],
)  # fmt: skip
def test_stripe_takes_certain_methods_in_certain_company(
    said: list[str] | None, kept: tuple[str, ...] | None
) -> None:
    customer, link = at_stripe()
    if kept is None:
        assert refusal(customer, link, provider_payment_methods=said) == {
            "provider_payment_methods": ["value_is_invalid"]
        }
    else:
        after = linked(customer, link, provider_payment_methods=said).link
        assert after
        assert after.provider_payment_methods == kept

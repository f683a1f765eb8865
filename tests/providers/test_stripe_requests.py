"""What is sent to Stripe: the contract's parameters, to the letter, and known to the newest SDK."""

from __future__ import annotations

import sys
import typing
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import msgspec
import pydantic
import pytest
import typing_extensions
from stripe import params as stripe_params
from stripe.params import checkout

from recoup.providers.protocol import (
    Charge,
    Manner,
    NewCustomer,
    NotChargeable,
    Order,
    RefundOrder,
    SetUpOrder,
)
from recoup.providers.stripe import API_VERSION, StripeProvider, StripeSecrets
from recoup.providers.stripe_requests import (
    customer_params,
    read_request,
    render_order,
    render_refund,
    set_up_params,
)
from tests.providers.nonsense import liar
from tests.providers.stripe_schema import StripeSchema
from tests.providers.wire import WireFault, broken_wire

ATTEMPT = UUID("01890000-0000-7000-8000-000000000001")
ORDER = Order(
    attempt_id=ATTEMPT,
    amount_cents=1_000,
    currency="EUR",
    provider_customer_id="cus_1",
    provider_method_id="pm_1",
    reference="Acme - Invoice ACM-001",
    metadata={"lago_invoice_id": "01890000-0000-7000-8000-000000000002"},
    return_url="https://shop.example/thanks",
    customer_country="DE",
)
METADATA = {**ORDER.metadata, "lago_payment_id": str(ATTEMPT)}
SET_UP = SetUpOrder(
    idempotency_key="set-up-1",
    provider_customer_id="cus_1",
    currency="EUR",
    return_url="",
    method_types=(),
    metadata={"lago_customer_id": "1"},
)
NEW = NewCustomer(
    idempotency_key="customer-1",
    name=None,
    firstname="Ada",
    lastname="Ames",
    email="ada@customer.example",
    country="DE",
    metadata={"lago_customer_id": "1"},
)
REFUND = RefundOrder(
    refund_id=UUID(int=7),
    provider_payment_id="pi_1",
    amount_cents=40,  # below what may be charged, but not below what may be paid back
    currency="EUR",
    charged_cents=1_000,
    reference="Acme",
    metadata={"lago_payment_id": str(ATTEMPT)},
)


def params(**changes: Any) -> dict[str, Any]:
    rendered = render_order(msgspec.structs.replace(ORDER, **changes))
    assert isinstance(rendered, str), rendered
    return read_request(rendered).params


def test_off_session_it_is_the_contracts_set_without_what_stripe_has_forbidden() -> None:
    assert params() == {
        "amount": 1_000,
        "currency": "eur",
        "customer": "cus_1",
        "payment_method": "pm_1",
        "confirm": True,
        "off_session": True,
        "error_on_requires_action": True,
        "return_url": "https://shop.example/thanks",
        "description": "Acme - Invoice ACM-001",
        "metadata": METADATA,
    }


def test_in_india_the_payer_is_always_asked() -> None:
    indian = params(customer_country="IN")
    assert indian["off_session"] is False
    assert "error_on_requires_action" not in indian


def test_on_session_the_issuer_may_ask_the_payer() -> None:
    on_session = params(manner=Manner.ON_SESSION)
    assert on_session.keys() == params().keys() - {"off_session", "error_on_requires_action"}


@pytest.mark.parametrize(
    ("currency", "funding"),
    [
        ("USD", {"type": "us_bank_transfer"}),
        ("GBP", {"type": "gb_bank_transfer"}),
        ("JPY", {"type": "jp_bank_transfer"}),
        ("MXN", {"type": "mx_bank_transfer"}),
        ("EUR", {"type": "eu_bank_transfer", "eu_bank_transfer": {"country": "DE"}}),
    ],
)
def test_a_transfer_goes_to_an_account_of_its_currency(
    currency: str, funding: Mapping[str, Any]
) -> None:
    sent = params(manner=Manner.TRANSFER, provider_method_id=None, currency=currency)
    assert sent == {
        "amount": 1_000,
        "currency": currency.lower(),
        "customer": "cus_1",
        "confirm": True,
        "off_session": False,
        "payment_method_data": {"type": "customer_balance"},
        "payment_method_options": {
            "customer_balance": {"funding_type": "bank_transfer", "bank_transfer": funding}
        },
        "return_url": "https://shop.example/thanks",
        "description": "Acme - Invoice ACM-001",
        "metadata": METADATA,
    }


@pytest.mark.parametrize(
    ("customer", "seller", "country"),
    [
        *((one, None, one) for one in ("BE", "DE", "ES", "FR", "IE", "NL")),
        ("FR", "NL", "FR"),
        ("AT", "NL", "NL"),  # Austria has no accounts of its own there
        (None, "IE", "IE"),
        ("AT", "US", None),
        (None, None, None),
    ],
)
def test_in_euros_it_is_an_account_in_the_customers_country_or_the_sellers(
    customer: str | None, seller: str | None, country: str | None
) -> None:
    order = msgspec.structs.replace(
        ORDER, manner=Manner.TRANSFER, customer_country=customer, seller_country=seller
    )
    told = render_order(order)
    if country is None:
        assert told == NotChargeable("missing_country")
        return
    assert isinstance(told, str)
    options = read_request(told).params["payment_method_options"]
    assert options["customer_balance"]["bank_transfer"]["eu_bank_transfer"] == {"country": country}


def test_no_other_currency_can_be_sent() -> None:
    told = render_order(msgspec.structs.replace(ORDER, manner=Manner.TRANSFER, currency="CHF"))
    assert told == NotChargeable("currency_not_supported")


def test_a_page_ends_in_time_and_its_intent_is_known_as_a_pages() -> None:
    ends = datetime(2027, 3, 2, 12, tzinfo=UTC)
    page = params(manner=Manner.PAGE, provider_method_id=None, expires_at=ends)
    of_page = {**METADATA, "payment_type": "one-time"}
    assert page["metadata"] == page["payment_intent_data"]["metadata"] == of_page
    # By another clock than ours it would be more than the day that Stripe allows.
    assert page["expires_at"] == int((ends - timedelta(minutes=10)).timestamp())
    [item] = page["line_items"]
    assert (item["quantity"], item["price_data"]["unit_amount"]) == (1, 1_000)
    assert page["adaptive_pricing"] == {"enabled": False}


def test_amounts_are_in_stripes_units() -> None:
    assert params(currency="ISK", amount_cents=500)["amount"] == 50_000
    assert params(currency="JPY", amount_cents=500)["amount"] == 500
    too_small = render_order(msgspec.structs.replace(ORDER, amount_cents=49))
    assert too_small == NotChargeable("amount_too_small")
    assert read_request(render_refund(REFUND)).params["amount"] == 40


@pytest.mark.parametrize(
    ("reason", "theirs"),
    [
        (None, None),
        ("other", None),
        ("duplicated_charge", "duplicate"),
        ("product_unsatisfactory", "requested_by_customer"),
        ("order_change", "requested_by_customer"),
        ("order_cancellation", "requested_by_customer"),
        ("fraudulent_charge", "fraudulent"),
    ],
)
def test_why_money_goes_back_is_said_in_stripes_words(
    reason: str | None, theirs: str | None
) -> None:
    refund = msgspec.structs.replace(REFUND, reason=reason)
    sent = read_request(render_refund(refund)).params
    assert sent.get("reason") == theirs
    strict(stripe_params.RefundCreateParams).validate_python(sent)


def test_without_an_address_of_its_own_the_payer_goes_to_stripe() -> None:
    assert params(return_url="")["return_url"] == "https://stripe.com/"


def test_a_page_to_leave_a_method_asks_for_none_that_cannot_be_kept() -> None:
    assert "payment_method_types" not in (set_up_params(SET_UP) or {})
    mixed = msgspec.structs.replace(SET_UP, method_types=("card", "customer_balance"))
    assert (set_up_params(mixed) or {})["payment_method_types"] == ["card"]
    transfer = msgspec.structs.replace(SET_UP, method_types=("customer_balance",))
    assert set_up_params(transfer) is None


def test_what_is_rendered_twice_is_the_same() -> None:
    for manner in Manner:
        order = msgspec.structs.replace(ORDER, manner=manner)
        assert render_order(order) == render_order(order)


def rendered() -> Mapping[str, tuple[Any, Any]]:
    """Each thing that is sent, and the type of the newest SDK for it."""
    page = params(manner=Manner.PAGE, expires_at=datetime(2027, 3, 2, tzinfo=UTC))
    intent, session = stripe_params.PaymentIntentCreateParams, checkout.SessionCreateParams
    return {
        "off session": (params(), intent),
        "in India": (params(customer_country="IN"), intent),
        "on session": (params(manner=Manner.ON_SESSION), intent),
        "transfer": (params(manner=Manner.TRANSFER, provider_method_id=None), intent),
        "page": (page, session),
        "set-up": (set_up_params(SET_UP), session),
        "refund": (read_request(render_refund(REFUND)).params, stripe_params.RefundCreateParams),
        "customer": (customer_params(NEW), stripe_params.CustomerCreateParams),
    }


def strict(kind: Any) -> pydantic.TypeAdapter[Any]:
    """A check by one of the SDK's types in which no parameter is unknown, at any depth."""
    module = sys.modules[kind.__module__]
    names = {name: vars(typing)[name] for name in ("Any", "Dict", "Mapping", "Optional", "Tuple")}
    for name, one in {**names, "StripeContext": Any}.items():
        vars(module).setdefault(name, one)  # the SDK imports them for type checkers only
    vars(module)["UntypedStripeObject"] = list  # an answer of Stripe's, which we never send back
    for one in list(vars(module).values()):
        if typing_extensions.is_typeddict(one):
            one.__pydantic_config__ = {"extra": "forbid"}
    return pydantic.TypeAdapter(kind)


@pytest.mark.parametrize("what", rendered())
def test_the_newest_sdk_knows_each_parameter(what: str) -> None:
    sent, kind = rendered()[what]
    check = strict(kind)
    check.validate_python(sent)
    with pytest.raises(pydantic.ValidationError):
        check.validate_python({**sent, "misspelt": 1})
    if what == "page":
        with pytest.raises(pydantic.ValidationError):
            check.validate_python({**sent, "adaptive_pricing": {"enabled": False, "misspelt": 1}})
    if kind is stripe_params.PaymentIntentCreateParams:
        with pytest.raises(pydantic.ValidationError):  # as Stripe answers it, since 2026-09-30
            check.validate_python({**sent, "payment_method_types": ["card"]})


@pytest.mark.parametrize(
    ("pairs", "is_right"),
    [
        ([], True),
        ([("amuont", "1")], False),
        ([("amount", "ten")], False),
        ([("capture_method", "whenever")], False),
        ([("automatic_payment_methods[enabled]", "true")], True),
        ([("automatic_payment_methods[enabled]", "true"),
          ("automatic_payment_methods[misspelt]", "1")], False),
    ],
)  # fmt: skip
def test_the_gate_knows_what_stripe_knows(
    shared: Path, pairs: list[tuple[str, str]], is_right: bool
) -> None:
    schema = StripeSchema(shared / "psp" / "stripe-trim2.json")
    base = {"amount": "1000", "currency": "eur", "confirm": "true", "off_session": "true"}
    sent = {**base, **dict(pairs)}
    complaint = schema.complaint("POST", "/v1/payment_intents", sent.items())
    assert (complaint is None) is is_right, complaint


async def test_sent_again_it_is_the_same_to_the_letter_and_pins_the_version() -> None:
    """As a worker of another process would send it: another client, from what was kept."""
    kept = render_order(ORDER)
    assert isinstance(kept, str)
    secrets = StripeSecrets("sk_test_1")
    async with liar() as nobody:
        nobody.status = 500
        async with broken_wire(nobody.base, WireFault.SERVER_ERROR, is_done=True) as wire:
            for _ in range(2):
                async with httpx.AsyncClient() as http:
                    provider = StripeProvider(secrets, base=wire.base, http=http)
                    await provider.charge(Charge(f"payment-{ATTEMPT}", kept))
    first, second = wire.sent
    assert first.to_the_letter() == second.to_the_letter()
    assert first.idempotency_key == f"payment-{ATTEMPT}"
    assert first.headers["stripe-version"] == API_VERSION == "2025-04-30.basil"
    assert "x-stripe-client-telemetry" not in first.headers
    assert b"off_session=true" in first.body

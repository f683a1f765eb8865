"""What is asked of Stripe: rendered once, kept, and sent again to the letter.

What would surprise you: no request names `payment_method_types`. Stripe takes it no longer on
payment intents (since API version 2026-09-30), and does not need it: whoever sends a
`payment_method` and confirms with it has said by what to pay. Which methods a payment page offers
is set in Stripe's dashboard. And every request says in its metadata for which attempt it is:
that is how a look-up finds what came of it.

A payer who sends the money by bank has no method: the intent says itself to which kind of account.
Where their balance at Stripe has the money already, it is paid at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, assert_never

import msgspec

from recoup.providers.protocol import (
    Charge,
    Manner,
    NewCustomer,
    NotChargeable,
    Order,
    RefundOrder,
    SetUpOrder,
)
from recoup.providers.stripe_objects import ONE_TIME
from recoup.rules.provider_link import CANNOT_BE_KEPT
from recoup.rules.provider_money import NotTaken, refundable, to_provider
from recoup.rules.reconciliation import CLOCKS_DIFFER
from recoup.rules.records.provider_accounts import ProviderKind

# Where payers go when the account names no address of its own (contract section 5.5).
NO_RETURN_URL: Final = "https://stripe.com/"
# India's rules want the payer there for every charge (contract section 5.5).
ALWAYS_ASKS_THE_PAYER: Final = frozenset({"IN"})
# To which kind of account a payer sends money, by its currency (contract section 5.5). In euros it
# is an account in one of these countries.
BANK_TRANSFERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "EUR": "eu_bank_transfer",
        "GBP": "gb_bank_transfer",
        "JPY": "jp_bank_transfer",
        "MXN": "mx_bank_transfer",
        "USD": "us_bank_transfer",
    }
)
EUROPEAN_ACCOUNTS: Final = frozenset({"BE", "DE", "ES", "FR", "IE", "NL"})
# Stripe's words for the reasons of credit notes (contract section 3.9); the others have none.
REFUND_REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "duplicated_charge": "duplicate",
        "product_unsatisfactory": "requested_by_customer",
        "order_change": "requested_by_customer",
        "order_cancellation": "requested_by_customer",
        "fraudulent_charge": "fraudulent",
    }
)
LONGEST_NAME: Final = 250  # of a line item, by Stripe


class Operation(msgspec.Struct, frozen=True):
    """A request as it is kept: what is called, and the parameters in their order."""

    operation: str
    params: dict[str, Any]

    @property
    def attempt_id(self) -> str:
        """The attempt that it was made for."""
        return str(self.params["metadata"]["lago_payment_id"])


CHARGE: Final = "payment_intents.create"
PAGE: Final = "checkout.sessions.create"
REFUND: Final = "refunds.create"


def render_order(order: Order) -> str | NotChargeable:
    """Render what charges this order, or opens its page."""
    amount = to_provider(ProviderKind.STRIPE, order.currency, order.amount_cents)
    if isinstance(amount, NotTaken):
        return NotChargeable(amount.value)
    match order.manner:
        case Manner.OFF_SESSION:
            charged = _intent(order, amount) | _method(order) | _without_the_payer(order)
            return _text(CHARGE, charged)
        case Manner.ON_SESSION:
            # Neither `off_session` nor `error_on_requires_action`: the issuer may ask the payer,
            # and the answer then says where (contract section 5.5).
            return _text(CHARGE, _intent(order, amount) | _method(order))
        case Manner.TRANSFER:
            funding = _bank_transfer(order)
            if isinstance(funding, NotChargeable):
                return funding
            return _text(CHARGE, _intent(order, amount) | _from_balance(funding))
        case Manner.PAGE:
            return _text(PAGE, _page(order, amount))
        case _:
            assert_never(order.manner)


def render_refund(order: RefundOrder) -> str:
    """Render what pays this refund back."""
    amount = refundable(ProviderKind.STRIPE, order.currency, order.amount_cents)
    assert amount is not None, "no refund is begun of what cannot be expressed"
    params = {
        "payment_intent": order.provider_payment_id,
        "amount": amount,
        "metadata": {**order.metadata, "lago_refund_id": str(order.refund_id)},
    }
    if reason := REFUND_REASONS.get(order.reason or ""):
        params["reason"] = reason
    return _text(REFUND, params)


def read_request(request: str) -> Operation:
    """Read back what was rendered."""
    return msgspec.json.decode(request, type=Operation)


def read_charge(charge: Charge) -> Operation:
    """Read back what a charge's request was, or could have been where nobody knows it any more."""
    if charge.request:
        return read_request(charge.request)
    is_page = (charge.provider_payment_id or "").startswith("cs_")
    attempt = charge.idempotency_key.removeprefix("payment-")
    return Operation(PAGE if is_page else CHARGE, {"metadata": {"lago_payment_id": attempt}})


def set_up_params(order: SetUpOrder) -> dict[str, Any] | None:
    """What opens a page to leave a method; None: none of these methods can be kept."""
    methods = [kind for kind in order.method_types if kind not in CANNOT_BE_KEPT]
    if order.method_types and not methods:
        return None
    return {
        "mode": "setup",
        "customer": order.provider_customer_id,
        "currency": order.currency.lower(),
        "success_url": order.return_url or NO_RETURN_URL,
        "cancel_url": order.return_url or NO_RETURN_URL,
        # The pinned version still takes them here, and knows no other name for them.
        **({"payment_method_types": methods} if methods else {}),
        "metadata": dict(order.metadata),
        "setup_intent_data": {"metadata": dict(order.metadata)},
    }


def customer_params(new: NewCustomer) -> dict[str, Any]:
    """What makes a customer."""
    name = new.name or " ".join(part for part in (new.firstname, new.lastname) if part)
    return {
        **({"name": name} if name else {}),
        **({"email": new.email} if new.email else {}),
        **({"address": {"country": new.country}} if new.country else {}),
        "metadata": dict(new.metadata),
    }


def _intent(order: Order, amount: int) -> dict[str, Any]:
    return {
        "amount": amount,
        "currency": order.currency.lower(),
        "customer": order.provider_customer_id,
        "confirm": True,
        # Wanted wherever the account has methods that send the payer elsewhere.
        "return_url": order.return_url or NO_RETURN_URL,
        "description": order.reference,
        "metadata": _metadata(order),
    }


def _method(order: Order) -> dict[str, Any]:
    assert order.provider_method_id is not None, "without a page, a method is charged"
    return {"payment_method": order.provider_method_id}


def _bank_transfer(order: Order) -> dict[str, Any] | NotChargeable:
    """To which account the payer is to send the money."""
    kind = BANK_TRANSFERS.get(order.currency.upper())
    if kind is None:
        return NotChargeable("currency_not_supported")
    if kind != "eu_bank_transfer":
        return {"type": kind}
    countries = (order.customer_country, order.seller_country)
    country = next((one for one in countries if one in EUROPEAN_ACCOUNTS), None)
    if country is None:
        return NotChargeable("missing_country")
    return {"type": kind, kind: {"country": country}}


def _from_balance(funding: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "off_session": False,
        "payment_method_data": {"type": "customer_balance"},
        "payment_method_options": {
            "customer_balance": {"funding_type": "bank_transfer", "bank_transfer": funding}
        },
    }


def _without_the_payer(order: Order) -> dict[str, Any]:
    if order.customer_country in ALWAYS_ASKS_THE_PAYER:
        return {"off_session": False}
    return {"off_session": True, "error_on_requires_action": True}


def _page(order: Order, amount: int) -> dict[str, Any]:
    metadata = {**_metadata(order), "payment_type": ONE_TIME}
    price = {
        "currency": order.currency.lower(),
        "unit_amount": amount,
        "product_data": {"name": order.reference[:LONGEST_NAME]},
    }
    return {
        "mode": "payment",
        "customer": order.provider_customer_id,
        "line_items": [{"quantity": 1, "price_data": price}],
        "success_url": order.return_url or NO_RETURN_URL,
        "cancel_url": order.return_url or NO_RETURN_URL,
        **_ends(order.expires_at),
        # Else Stripe may charge another amount, in the payer's own currency.
        "adaptive_pricing": {"enabled": False},
        "metadata": metadata,
        "payment_intent_data": {"description": order.reference, "metadata": metadata},
    }


def _ends(expires_at: datetime | None) -> Mapping[str, int]:
    """When the page ends: by Stripe's clock within a day of its opening, so a little earlier."""
    return {"expires_at": int((expires_at - CLOCKS_DIFFER).timestamp())} if expires_at else {}


def _metadata(order: Order) -> dict[str, str]:
    return {**order.metadata, "lago_payment_id": str(order.attempt_id)}


def _text(operation: str, params: dict[str, Any]) -> str:
    return msgspec.json.encode(Operation(operation, params)).decode()

"""What is sent to Adyen, rendered to be kept and re-sent to the letter.

A reference ends in our key, since Adyen signs the reference of an event and not its metadata:
decision 7. A word of ours may follow: ` page`, ` cancel`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from re import compile as pattern
from typing import Any, Final

import msgspec

from recoup.providers.protocol import (
    Manner,
    NotChargeable,
    Order,
    RefundOrder,
    SetUpOrder,
)
from recoup.rules.provider_money import NotTaken, refundable, to_provider
from recoup.rules.records.provider_accounts import ProviderKind

REFERENCE_LENGTH: Final = 80
ON_A_PAGE: Final = " page"
OF_A_CANCEL: Final = " cancel"
# Adyen wants one of every payment, though nobody returns from one without a payer.
NOBODY_RETURNS: Final = "https://www.adyen.com/"
_UUID: Final = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_KEY: Final = f"(?:payment|refund)-{_UUID}"
_ENDS_IN_KEY: Final = pattern(rf"(?:\A|.* )({_KEY})({ON_A_PAGE}|{OF_A_CANCEL})?")
_MOST_PAIRS: Final = 20
_LONGEST_NAME: Final = 20
_LONGEST_VALUE: Final = 80


class RefundRequest(msgspec.Struct, frozen=True):
    """A refund as it is kept: which payment the body is for stands in the address."""

    payment: str
    body: msgspec.Raw


class Signed(msgspec.Struct, frozen=True):
    """What a reference says: the key, and whether it is of a page, or of an end we asked for."""

    key: str
    is_page: bool
    is_cancel: bool


class Sent(msgspec.Struct, frozen=True):
    """What is read of a rendered charge."""

    class Amount(msgspec.Struct, frozen=True):
        """In Adyen's units."""

        value: int
        currency: str

    amount: Amount
    reference: str
    paymentMethod: dict[str, str] | None = None  # noqa: N815  None: a page  # Adyen's name

    @property
    def is_page(self) -> bool:
        """Whether it opens a payment link."""
        return self.paymentMethod is None


def render(order: Order, account: str) -> str | NotChargeable:
    """Render the body of `POST /payments`, or of `POST /paymentLinks` where the payer is there.

    `Manner.ON_SESSION` is a link too: a 3D Secure redirect of `/payments` must be finished by a
    second call that carries what the payer brings back, and a link finishes itself.
    """
    amount = to_provider(ProviderKind.ADYEN, order.currency, order.amount_cents)
    if isinstance(amount, NotTaken):
        return NotChargeable(amount.value)
    if order.manner is Manner.TRANSFER:
        return NotChargeable("no_payment_method")
    is_page = order.manner is not Manner.OFF_SESSION
    key = f"payment-{order.attempt_id}{ON_A_PAGE if is_page else ''}"
    body: dict[str, Any] = {
        "merchantAccount": account,
        "amount": {"value": amount, "currency": order.currency},
        "reference": reference(order.reference, key),
        "shopperReference": order.provider_customer_id,
        "recurringProcessingModel": "UnscheduledCardOnFile",
        "metadata": fit(order.metadata),
    }
    if order.customer_email:
        body["shopperEmail"] = order.customer_email
    if order.customer_country:
        body["countryCode"] = order.customer_country
    if is_page:
        body["storePaymentMethodMode"] = "enabled"
        if order.return_url:  # without one the page has no button that leads away
            body["returnUrl"] = order.return_url
        if order.expires_at is not None:
            body["expiresAt"] = order.expires_at.astimezone(UTC).isoformat(timespec="seconds")
        return msgspec.json.encode(body).decode()
    if not order.provider_method_id:
        return NotChargeable("no_payment_method")
    body["returnUrl"] = order.return_url or NOBODY_RETURNS
    body["shopperInteraction"] = "ContAuth"
    body["paymentMethod"] = {"type": "scheme", "storedPaymentMethodId": order.provider_method_id}
    return msgspec.json.encode(body).decode()


def render_cancel(key: str, account: str) -> str:
    """Render the body of `POST /payments/{payment}/cancels`.

    Its reference is that of the event that tells how it ended, so that it is known as ours.
    """
    asked = {"merchantAccount": account, "reference": f"{key}{OF_A_CANCEL}"}
    return msgspec.json.encode(asked).decode()


def render_refund(order: RefundOrder, account: str) -> str:
    """Render the body of `POST /payments/{payment}/refunds`, with the payment beside it."""
    amount = refundable(ProviderKind.ADYEN, order.currency, order.amount_cents)
    assert amount is not None, "no refund is begun of what cannot be expressed"
    body = {
        "merchantAccount": account,
        "amount": {"value": amount, "currency": order.currency},
        "reference": reference(order.reference, f"refund-{order.refund_id}"),
    }
    kept = RefundRequest(order.provider_payment_id, msgspec.Raw(msgspec.json.encode(body)))
    return msgspec.json.encode(kept).decode()


def render_set_up(order: SetUpOrder, account: str) -> str:
    """Render a link over nothing, on which the payer leaves a method."""
    body: dict[str, Any] = {
        "merchantAccount": account,
        "amount": {"value": 0, "currency": order.currency},
        "reference": order.idempotency_key[-REFERENCE_LENGTH:],
        "shopperReference": order.provider_customer_id,
        "storePaymentMethodMode": "enabled",
        "recurringProcessingModel": "UnscheduledCardOnFile",
        "metadata": fit(order.metadata),
    }
    if order.return_url:
        body["returnUrl"] = order.return_url
    if order.method_types:
        # A card is `scheme` at Adyen.
        body["allowedPaymentMethods"] = [
            "scheme" if kind == "card" else kind for kind in order.method_types
        ]
    return msgspec.json.encode(body).decode()


def reference(ours: str, key: str) -> str:
    """The last 80 characters of both, which are never less than the key."""
    return f"{ours} {key}"[-REFERENCE_LENGTH:].lstrip()


def read_reference(text: str) -> Signed | None:
    """Say which key a reference ends in; None where it is none of ours."""
    found = _ENDS_IN_KEY.fullmatch(text)
    return Signed(found[1], found[2] == ON_A_PAGE, found[2] == OF_A_CANCEL) if found else None


def fit(metadata: Mapping[str, str]) -> dict[str, str]:
    """What Adyen takes of it: 20 pairs, names of 20 characters, values of 80."""
    fitting = [(name, value) for name, value in metadata.items() if len(name) <= _LONGEST_NAME]
    return {name: value[:_LONGEST_VALUE] for name, value in fitting[:_MOST_PAIRS]}

"""The payment methods that Stripe keeps for a customer.

A method belongs to a customer for as long as it is attached; once detached it can never be charged
again, and is gone for us although Stripe still shows it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import stripe

from recoup.providers.protocol import Lost, NotKnown, StoredMethod
from recoup.providers.reading import decode
from recoup.providers.stripe_http import TurnedAway, call
from recoup.providers.stripe_objects import AN_ID, Expandable, Id, List, Word, id_of

PAGE_SIZE: Final = 100


class Details(msgspec.Struct):
    """What is shown of a method, whatever its type."""

    brand: Word | None = None
    bank_name: Word | None = None
    last4: Word | None = None
    exp_month: Any = None
    exp_year: Any = None


class Method(msgspec.Struct):
    id: Id
    type: Word
    customer: Id | Expandable | None = None
    card: Details | None = None
    sepa_debit: Details | None = None
    us_bank_account: Details | None = None
    bacs_debit: Details | None = None
    au_becs_debit: Details | None = None
    acss_debit: Details | None = None


class InvoiceSettings(msgspec.Struct):
    default_payment_method: Id | Expandable | None = None


class Customer(msgspec.Struct):
    id: Id
    deleted: bool = False
    invoice_settings: InvoiceSettings | None = None
    default_source: Id | Expandable | None = None


async def find_method(
    client: stripe.StripeClient, method_id: str, customer_id: str | None
) -> StoredMethod | NotKnown | Lost:
    """Ask for one method; `NotKnown` where it is detached, or not this customer's."""
    if not all(AN_ID.match(one) for one in (method_id, customer_id) if one is not None):
        return NotKnown(was_asked=False)
    if customer_id is not None:
        told = await call(
            client.v1.customers.payment_methods.retrieve_async(customer_id, method_id), Method
        )
        # Stripe refuses in more than one way what is not this customer's: the method itself
        # tells for certain whose it is.
        if isinstance(told, TurnedAway) and not told.is_missing and told.status == 400:
            told = await call(client.v1.payment_methods.retrieve_async(method_id), Method)
    else:
        told = await call(client.v1.payment_methods.retrieve_async(method_id), Method)
    if isinstance(told, Lost):
        return told
    if isinstance(told, TurnedAway):
        return NotKnown() if told.is_missing else Lost(told.code)
    owner = id_of(told.customer)
    if owner is None or (customer_id is not None and owner != customer_id):
        return NotKnown()
    if told.id != method_id:
        return Lost("answer_about_another_method")
    return _stored(told, owner, default_id=None)


async def list_methods(
    client: stripe.StripeClient, customer_id: str
) -> Sequence[StoredMethod] | NotKnown | Lost:
    """Ask for all methods of a customer, and which is the default."""
    if not AN_ID.match(customer_id):
        return NotKnown(was_asked=False)
    customer = await call(client.v1.customers.retrieve_async(customer_id), Customer)
    if isinstance(customer, TurnedAway) and customer.is_missing:
        return NotKnown()
    if not isinstance(customer, Customer):
        return _lost(customer)
    if customer.deleted:
        return NotKnown()
    settings = customer.invoice_settings or InvoiceSettings()
    default_id = id_of(settings.default_payment_method) or id_of(customer.default_source)
    methods: list[StoredMethod] = []
    after: str | None = None
    while True:
        turned = {"starting_after": after} if after else {}
        params: Any = {"limit": PAGE_SIZE, **turned}
        page = await call(client.v1.customers.payment_methods.list_async(customer_id, params), List)
        if not isinstance(page, List):
            return _lost(page)
        for raw in page.data:
            method = decode(raw, Method)
            if method is None or id_of(method.customer) != customer_id:
                return Lost("unreadable_answer")
            methods.append(_stored(method, customer_id, default_id=default_id))
        if not page.has_more:
            return methods
        if not methods or methods[-1].provider_method_id == after:
            return Lost("endless_list")
        after = methods[-1].provider_method_id


def _stored(method: Method, customer_id: str, *, default_id: str | None) -> StoredMethod:
    return StoredMethod(
        provider_method_id=method.id,
        provider_customer_id=customer_id,
        is_default=method.id == default_id,
        details={"type": method.type, **_shown(method)},
    )


def _shown(method: Method) -> Mapping[str, Any]:
    known = (method.card, method.sepa_debit, method.us_bank_account, method.bacs_debit)
    shown = next((one for one in (*known, method.au_becs_debit, method.acss_debit) if one), None)
    if shown is None:
        return {}
    fields = {
        "brand": shown.brand or shown.bank_name,
        "last4": shown.last4,
        "expiration_month": _small(shown.exp_month, 12),
        "expiration_year": _small(shown.exp_year, 9_999),
    }
    return {name: value for name, value in fields.items() if value is not None}


def _small(value: Any, most: int) -> int | None:
    return value if isinstance(value, int) and 0 < value <= most else None


def _lost(told: TurnedAway | Lost) -> Lost:
    return told if isinstance(told, Lost) else Lost(told.code)

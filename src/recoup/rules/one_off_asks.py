"""Read what a caller asks of a one-off invoice, value by value (contract section 3.7.2).

Each function answers the value or raises the contract's refusal of it. Callers send numbers as
JSON numbers or as numeric strings; both are read here, since the wire's types do not tell.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from recoup.rules.instants import read_instant
from recoup.rules.money import MAX_CENTS, is_currency
from recoup.rules.refusal import Refused, invalid
from recoup.rules.scalars import Scalar, Text, text

LONGEST_PURCHASE_ORDER_NUMBER: Final = 255

# Stricter than `float(text)`, which also takes `nan`, `1_000`, spaces and digits of other scripts.
NUMERIC: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)


class FeeInput(msgspec.Struct, frozen=True):
    """One line as a caller asks for it."""

    add_on_code: Text = None
    invoice_display_name: Text = None
    unit_amount_cents: Any = None  # None: the add-on's
    units: Any = None  # None: 1
    description: Text = None
    from_datetime: Any = None
    to_datetime: Any = None
    tax_codes: list[Scalar] | None = None


class InvoiceInput(msgspec.Struct, frozen=True):
    """A one-off invoice as a caller asks for it."""

    external_customer_id: Text = None
    currency: str | None = None
    skip_psp: bool | None = None
    billing_entity_code: Text = None
    purchase_order_number: Text = None
    fees: list[FeeInput] | None = None
    payment_method: Any = None
    draft: bool | None = None  # ours: it is issued when its grace ends, or somebody finalizes it


class ChosenMethod(msgspec.Struct, frozen=True):
    """How an invoice wants to be paid; neither: by the customer's default."""

    type: str | None = None  # provider or manual
    id: UUID | None = None  # of a kept method of the customer


def read_payment_method(asked: Any, kept: Collection[UUID]) -> ChosenMethod:
    """Take a type and an id that go together; `kept` are the customer's own methods.

    What is no object names no method, as at Lago.
    """
    if not isinstance(asked, dict):
        return ChosenMethod()
    kind, named = asked.get("payment_method_type"), asked.get("payment_method_id")
    if not kind and not named:
        return ChosenMethod()
    found = next((method for method in kept if str(method) == str(named).lower()), None)
    if kind == "provider" and (named is None or found is not None):
        return ChosenMethod("provider", found)
    if kind == "manual" and found is None:
        return ChosenMethod("manual")
    raise Refused(invalid({"payment_method": ["invalid_payment_method"]}))


def read_currency(asked: str | None, *, otherwise: str | None) -> str:
    """Take the currency asked for, or else the customer's."""
    currency = asked or otherwise
    if not currency:
        raise Refused(invalid({"currency": ["value_is_mandatory"]}))
    if not is_currency(currency):
        raise Refused(invalid({"currency": ["value_is_invalid"]}))
    return currency


def read_period(fee: FeeInput) -> tuple[datetime | None, datetime | None]:
    """From when to when a fee is: both or neither, and in this order."""
    if not fee.from_datetime and not fee.to_datetime:
        return None, None
    from_at, to_at = read_instant(fee.from_datetime), read_instant(fee.to_datetime)
    if from_at is None or to_at is None or from_at > to_at:
        raise Refused(invalid({"boundaries": ["values_are_invalid"]}))
    return from_at, to_at


def read_unit_amount_cents(said: Any, *, otherwise: int) -> int:
    """A price in minor units, negative for a rebate; `otherwise` is the add-on's."""
    if said is None or said == "":
        return otherwise
    amount = _number(said)
    if not amount.is_integer():
        raise Refused(invalid({"unit_amount_cents": ["value_is_invalid"]}))
    if abs(amount) > MAX_CENTS:
        raise Refused(invalid({"unit_amount_cents": ["value_is_out_of_range"]}))
    return int(said) if isinstance(said, int) else int(amount)


def read_units(said: Any) -> float:
    """How many: 1 where it is not said, finite and never negative."""
    if said is None or said == "":
        return 1.0
    units = _number(said)
    if not math.isfinite(units):
        raise Refused(invalid({"units": ["value_is_invalid"]}))
    if units < 0:
        raise Refused(invalid({"units": ["value_is_out_of_range"]}))
    return abs(units)  # a negative zero is zero


def read_purchase_order_number(said: Text) -> str | None:
    """The customer's own number for it; blank is none."""
    number = (read_text(said, "purchase_order_number") or "").strip()
    if len(number) > LONGEST_PURCHASE_ORDER_NUMBER:
        raise Refused(invalid({"purchase_order_number": ["value_is_too_long"]}))
    return number or None


def read_text(said: Text, field: str) -> str | None:
    """Free text for `field`; blank is none. PostgreSQL's text has no NUL, so neither has ours."""
    found = text(said)
    if "\0" in (found or ""):
        raise Refused(invalid({field: ["value_is_invalid"]}))
    return found


def _number(said: Any) -> float:
    """A JSON number or a numeric string; nan for anything else, infinity for what is too large."""
    if isinstance(said, str):
        return float(said) if NUMERIC.fullmatch(said) else math.nan
    if isinstance(said, bool) or not isinstance(said, int | float):
        return math.nan
    try:
        return float(said)
    except OverflowError:
        return math.inf

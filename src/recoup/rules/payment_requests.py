"""What a payment request may be of, what it is called at a provider, and what it tells there.

Sources: contract sections 3.11 (what is refused, in which order) and 8.3 (reference, metadata).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec

from recoup.rules.email_addresses import are_email_addresses
from recoup.rules.invoice_status import why_not_charge
from recoup.rules.money import MAX_CENTS
from recoup.rules.records.collection import Debt
from recoup.rules.records.invoices import Invoice
from recoup.rules.records.keys import RowKey
from recoup.rules.refusal import Refusal, Refused, invalid, not_allowed
from recoup.rules.scalars import Text, text

MOST_INVOICES: Final = 1_000  # all are locked at once, and shown in every answer
NOT_OVERDUE: Final = not_allowed("invoices_not_overdue")
NOT_READY: Final = not_allowed("invoices_not_ready_for_payment_processing")
OUT_OF_RANGE: Final = invalid({"amount_cents": ["value_is_out_of_range"]})
_LONGEST_NUMBERS: Final = 200  # characters of a reference
_LONGEST_VALUE: Final = 500  # of one pair of metadata at Stripe, and at GoCardless


class PaymentRequestInput(msgspec.Struct, frozen=True):
    """A payment request as a caller asks for it. `payment_method` is not read, as at Lago."""

    external_customer_id: Text = None
    email: Text = None  # blank: the customer's
    lago_invoice_ids: list[Any] | None = None


def why_not_request(invoices: Sequence[Invoice]) -> Refusal | None:
    """Say why these invoices, one at least, cannot be asked for together; None: they can.

    Whether one is being collected already is asked next: `why_not_ready`.
    """
    if not all(invoice.payment_overdue for invoice in invoices):
        return NOT_OVERDUE
    if len({invoice.currency for invoice in invoices}) > 1:
        return not_allowed("invoices_have_different_currencies")
    if len({invoice.billing_entity_id for invoice in invoices}) > 1:
        return not_allowed("invoices_have_different_billing_entities")
    return None


def why_not_ready(debts: Sequence[Debt], busy: Collection[RowKey]) -> Refusal | None:
    """Say why these cannot be collected now; None: they can. `busy` are being collected.

    What is held waits for a person, what we owe ourselves is nobody's debt, and of what owes
    nothing any more there is nothing to ask for.
    """
    for debt in debts:
        refusal = why_not_charge(debt.status, debt.payment_status, attempt_is_open=debt.key in busy)
        if refusal or debt.held_because or debt.self_billed or debt.due_cents <= 0:
            return NOT_READY
    return None


def requested_cents(debts: Sequence[Debt]) -> int:
    """What is due of all of them.

    :raises Refused: 422, more than an amount can be.
    """
    cents = sum(debt.due_cents for debt in debts)
    if cents > MAX_CENTS:
        raise Refused(OUT_OF_RANGE)
    return cents


def requested_email(asked: Text, *, otherwise: str | None) -> str | None:
    """Who is asked to pay: whom the caller names, or else the customer's own address.

    :raises Refused: 422, what is named is no address.
    """
    email = text(asked)
    if email is None:
        return otherwise
    if not are_email_addresses(email):
        raise Refused(invalid({"email": ["invalid_email_format"]}))
    return email


def request_reference(entity_name: str, numbers: Sequence[str]) -> str:
    """What a payer reads of the charge: who asks, and as many numbers as there is room for."""
    named: list[str] = []
    for number in numbers:
        if named and len(", ".join([*named, number])) > _LONGEST_NUMBERS:
            break
        named.append(number)
    more = len(numbers) - len(named)
    tail = f" and {more} more" if more else ""
    return f"{entity_name} - Overdue invoices: {', '.join(named)}{tail}"


def request_metadata(attempt_id: UUID, request_id: UUID, debts: Sequence[Debt]) -> dict[str, str]:
    """What the provider keeps beside the charge; what the request is, first: some keep little.

    Of the invoices as many ids as one value holds: all of them are with the request.
    """
    first = debts[0]
    ids = ",".join(str(debt.id) for debt in debts)
    if len(ids) > _LONGEST_VALUE:
        ids = ids[:_LONGEST_VALUE].rpartition(",")[0]
    return {
        "lago_payable_id": str(request_id),
        "lago_payable_type": "PaymentRequest",
        "lago_customer_id": str(first.customer_id),
        "lago_organization_id": str(first.organization_id),
        "lago_billing_entity_id": str(first.billing_entity_id),
        "lago_payment_id": str(attempt_id),
        "lago_invoice_ids": ids,
    }

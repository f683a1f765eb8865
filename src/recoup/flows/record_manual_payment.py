"""Record money that came in outside of any provider: by transfer, in cash, by cheque.

What would surprise you: an attempt that is open is not looked at. It sees the smaller amount due
before it is sent; if it is sent already, what comes too much is raised as a contradiction.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from recoup.flows.issue_receipts import issue_receipts, receipt_created
from recoup.flows.tell import tell
from recoup.flows.tell_invoices import StatusChange, payment_status_updated
from recoup.rules.instants import read_instant
from recoup.rules.invoice_status import VISIBLE
from recoup.rules.one_off_asks import read_text
from recoup.rules.records.invoices import Invoice
from recoup.rules.records.keys import RowKey
from recoup.rules.records.payments import PaymentDetails
from recoup.rules.refusal import Refusal, RefusalKind, Refused, invalid, not_found
from recoup.rules.scalars import Text, text
from recoup.store import attempts, invoices, ledger, payment_requests, payments
from recoup.store.db import Conn

LONGEST_REFERENCE: Final = 40
PAYABLE: Final = frozenset({"finalized", "open"})


class PaymentInput(msgspec.Struct, frozen=True):
    """A payment as a caller reports it."""

    invoice_id: Text = None
    amount_cents: Any = None
    reference: Text = None
    paid_at: Any = None  # ISO 8601; None: now


async def record_manual_payment(
    conn: Conn,
    organization_id: UUID,
    asked: PaymentInput,
    *,
    invoice_id: UUID | None,
    payment_id: UUID,
    now: datetime,
) -> PaymentDetails:
    """Take the payment off what is due; nothing due any more makes the invoice `succeeded`.

    `invoice_id` is `asked.invoice_id` as an id, None where it is none.

    :raises Refused: 422, 404 and 403 in the contract's order (section 3.10).
    """
    if text(asked.invoice_id) is None:
        raise Refused(invalid({"invoice_id": ["value_is_mandatory"]}))
    amount_cents = asked.amount_cents
    if type(amount_cents) is not int or amount_cents <= 0:
        raise Refused(invalid({"amount_cents": ["invalid_value"]}))
    invoice = await _lock_payable(conn, organization_id, invoice_id)
    paid_at = read_instant(asked.paid_at) if asked.paid_at else now
    if paid_at is None:
        raise Refused(invalid({"paid_at": ["invalid_date"]}))
    reference = (read_text(asked.reference, "reference") or "").strip()
    if not reference:
        raise Refused(invalid({"reference": ["value_is_mandatory"]}))
    if len(reference) > LONGEST_REFERENCE:
        raise Refused(invalid({"reference": ["value_is_too_long"]}))
    if amount_cents > invoice.due_cents:
        raise Refused(invalid({"amount_cents": ["value_is_out_of_range"]}))
    if invoice.invoice_type == "credit" and amount_cents != invoice.due_cents:
        raise Refused(invalid({"amount_cents": ["invalid_amount"]}))
    if await payment_requests.has_succeeded_with(conn, invoice.key):
        raise Refused(invalid({"base": ["payment_request_is_already_succeeded"]}))
    await payments.insert_by_hand(
        conn, payment_id, invoice, amount_cents, reference=reference, paid_at=paid_at, now=now
    )
    received = ledger.transfer(
        invoice.key, payment_id, amount_cents, invoice.currency,
        debit="paid_by_hand", credit="receivable", payment_id=payment_id,
    )  # fmt: skip
    await ledger.write(conn, received, now=now)
    await invoices.add_paid(conn, invoice.key, amount_cents, now=now)
    await attempts.close_pages(conn, [invoice.key], now=now)  # it was for what was due before
    if amount_cents == invoice.due_cents:
        await _settle(conn, invoice, payment_id, now=now)
    key = RowKey(organization_id, payment_id)
    receipts = await issue_receipts(conn, [(key, invoice.customer_key)], now=now)
    details = (await payments.details(conn, [key]))[key]
    await tell(conn, [receipt_created(receipts[key], details)], now=now)
    return details


async def _lock_payable(conn: Conn, organization_id: UUID, invoice_id: UUID | None) -> Invoice:
    """Lock first: of two payments at once, the second sees what the first has left."""
    if invoice_id is not None:
        key = RowKey(organization_id, invoice_id)
        found = (await invoices.lock(conn, [key])).get(key)
        if found is not None and found.status in VISIBLE | PAYABLE:
            if found.status not in PAYABLE:
                raise Refused(Refusal(RefusalKind.FORBIDDEN, "feature_unavailable"))
            return found
    raise Refused(not_found("invoice"))


async def _settle(conn: Conn, invoice: Invoice, payment_id: UUID, *, now: datetime) -> None:
    """Nothing is due any more: show it, and tell where it is news."""
    await invoices.show_payment_status(conn, invoice.key, "succeeded", now=now)
    if invoice.payment_status != "succeeded":
        change = StatusChange(invoice.key, cause=payment_id)
        await tell(conn, await payment_status_updated(conn, [change]), now=now)

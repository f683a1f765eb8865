"""Give every payment that has succeeded its receipt, in the transaction that makes it succeed.

Called by `settlement_book`, for what a provider took, and by `record_manual_payment`: both have
written before what each invoice got of the payment, for that stands on the page of its document.

What would surprise you: a customer's receipts are numbered without a gap, so two payments of one
customer wait for each other here. Receipts come last among all that is locked.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import uuid5

from recoup.flows.issue_document import issue_documents
from recoup.flows.promise_mail import promise_mails, wanted_mails
from recoup.flows.tell import News
from recoup.rules.document_pages import receipt_page
from recoup.rules.lago.payment_receipts import payment_receipt_object
from recoup.rules.numbering import receipt_number
from recoup.rules.records.keys import RowKey
from recoup.rules.records.mails import MailKind
from recoup.rules.records.payment_receipts import PaymentReceipt, PaymentReceiptDetails
from recoup.rules.records.payments import PaymentDetails
from recoup.store import customers, organizations, payment_receipts
from recoup.store.db import Conn


async def issue_receipts(
    conn: Conn, paid: Sequence[tuple[RowKey, RowKey]], *, now: datetime
) -> dict[RowKey, PaymentReceipt]:
    """Number and keep a receipt for each of these payments, each given with its customer.

    Answers them by payment. Those of one customer are numbered in the order given.
    """
    if not paid:
        return {}
    drawn = await payment_receipts.draw(conn, [customer for _, customer in paid])
    left: dict[RowKey, int] = {}
    for _, customer in paid:
        left[customer] = left.get(customer, 0) + 1
    receipts = []
    for payment, customer in paid:
        left[customer] -= 1
        sequence = drawn[customer].last - left[customer]
        receipts.append(
            PaymentReceipt(
                organization_id=payment.organization_id,
                id=uuid5(payment.id, "receipt"),
                payment_id=payment.id,
                customer_id=customer.id,
                sequential_id=sequence,
                number=receipt_number(drawn[customer].slug, receipt_sequence=sequence),
                created_at=now,
            )
        )
    await payment_receipts.insert(conn, receipts)
    await _follow_up(conn, receipts, now=now)
    return {receipt.payment_key: receipt for receipt in receipts}


async def _follow_up(conn: Conn, receipts: Sequence[PaymentReceipt], *, now: datetime) -> None:
    """Freeze their pages, and promise their mails: a few statements, however many there are."""
    received = await payment_receipts.received(conn, {one.payment_key for one in receipts})
    whose = await customers.find(conn, {one.customer for one in received.values()})
    entities = await organizations.entities(conn, {one.entity for one in received.values()})
    pages, mails = [], []
    for receipt in receipts:
        about = received[receipt.payment_key]
        customer, entity = whose[about.customer], entities[about.entity]
        pages.append((receipt.key, receipt_page(receipt, about, customer, entity)))
        if not about.self_billed:
            kind = MailKind.PAYMENT_RECEIPT_CREATED
            mails += wanted_mails(kind, receipt.key, entity, customer.email, now=now)
    await issue_documents(conn, pages, now=now)
    await promise_mails(conn, mails)


def receipt_created(receipt: PaymentReceipt, payment: PaymentDetails) -> News:
    """`payment_receipt.created`."""
    return News(
        organization_id=receipt.organization_id,
        webhook_type="payment_receipt.created",
        object_type="payment_receipt",
        payload=payment_receipt_object(PaymentReceiptDetails(receipt, payment)),
        object_id=receipt.id,
        cause=receipt.payment_id,
    )

"""Payment requests of a shop: overdue invoices, asked for together as the API does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid5

from recoup import clock
from recoup.flows.record_manual_payment import PaymentInput, record_manual_payment
from recoup.flows.request_payment import request_payment
from recoup.flows.void_invoice import void_invoice
from recoup.rules.payment_requests import PaymentRequestInput
from recoup.rules.records.keys import RowKey
from recoup.store import db
from recoup.store.db import Pool
from tests.shop import Shop


async def overdue(
    shop: Shop, customer_id: UUID, cents: Sequence[int], **fields: Any
) -> list[RowKey]:
    """Overdue invoices of one customer, one for each of these amounts."""
    late: dict[str, Any] = {"payment_overdue": True}
    return [
        await shop.invoice(customer_id, cents=each, number=f"SHO-{place}-{each}", **late | fields)
        for place, each in enumerate(cents)
    ]


async def requested(
    shop: Shop,
    invoices: Sequence[RowKey],
    *,
    pool: Pool | None = None,
    can_mail: bool = False,
    **asked: Any,
) -> RowKey:
    """Ask for these invoices together, and answer the request."""
    key = RowKey(shop.organization_id, clock.new_id())
    async with db.transaction(pool or shop.pool, tenants=[shop.organization_id]) as conn:
        external_id = await conn.fetchval(
            "SELECT external_id FROM customers c JOIN invoices i ON i.customer_id = c.id"
            " WHERE i.id = $1",
            invoices[0].id,
        )
        await request_payment(
            conn,
            shop.organization_id,
            PaymentRequestInput(external_customer_id=external_id, **asked),
            {invoice.id for invoice in invoices},
            request_id=key.id,
            can_mail=can_mail,
            now=shop.clock.now(),
        )
    return key


def attempt_of(request: RowKey) -> RowKey:
    """The first attempt to collect for a request."""
    return RowKey(request.organization_id, uuid5(request.id, "attempt"))


async def status(shop: Shop, request: RowKey) -> str:
    """What a request shows."""
    return str((await shop.row("payment_requests", request))["payment_status"])


async def statuses(shop: Shop, invoices: Sequence[RowKey]) -> list[tuple[str, int]]:
    """What these invoices show, and what they still owe."""
    return [await shop.shown(invoice) for invoice in invoices]


async def pay_by_hand(
    shop: Shop, invoice: RowKey, cents: int, *, pool: Pool | None = None
) -> RowKey:
    """Report a payment made by hand."""
    asked = PaymentInput(invoice_id=str(invoice.id), amount_cents=cents, reference="cash")
    payment = RowKey(shop.organization_id, clock.new_id())
    async with db.transaction(pool or shop.pool, tenants=[shop.organization_id]) as conn:
        await record_manual_payment(
            conn, shop.organization_id, asked, invoice_id=invoice.id, payment_id=payment.id,
            now=shop.clock.now(),
        )  # fmt: skip
    return payment


async def void(shop: Shop, invoice: RowKey, *, pool: Pool | None = None) -> None:
    """Void an invoice."""
    async with db.transaction(pool or shop.pool, tenants=[shop.organization_id]) as conn:
        await void_invoice(conn, shop.organization_id, invoice.id, now=shop.clock.now())


async def receipts(shop: Shop) -> dict[str, UUID]:
    """The receipts made so far: which payment each number is of."""
    rows = await shop.owner.fetch("SELECT number, payment_id FROM payment_receipts ORDER BY number")
    return {row["number"]: row["payment_id"] for row in rows}

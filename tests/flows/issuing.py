"""Invoices as they are really issued, with their fees, numbers and ledger entries."""

from __future__ import annotations

from uuid import UUID

from recoup import clock
from recoup.flows.create_invoice import create_invoice
from recoup.flows.manage_add_ons import AddOnInput, create_add_on
from recoup.flows.retry_payment import Ask, retry_payments_on
from recoup.rules.one_off_asks import FeeInput, InvoiceInput
from recoup.rules.records.collection import AskedBy
from recoup.rules.records.keys import RowKey
from recoup.store import db
from recoup.store.db import Conn
from tests.shop import Shop


async def stock(shop: Shop) -> None:
    """Give the shop something to sell."""
    asked = AddOnInput(name="Work", code="work", amount_cents=1_000, amount_currency="EUR")
    async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
        await create_add_on(
            conn, shop.organization_id, asked, add_on_id=clock.new_id(), now=shop.clock.now()
        )


async def issue(
    shop: Shop, customer_id: UUID, *, cents: int = 1_000, collects: bool = False
) -> RowKey:
    """Issue an invoice of a shop with stock; `collects` begins its first charge as well."""

    async def collect(conn: Conn, invoice: RowKey) -> None:
        ask = Ask(invoice, clock.new_id(), AskedBy.CREATION)
        await retry_payments_on(conn, [ask], now=shop.clock.now())

    external_id = await shop.owner.fetchval(
        "SELECT external_id FROM customers WHERE id = $1", customer_id
    )
    asked = InvoiceInput(
        external_customer_id=external_id,
        currency="EUR",
        fees=[FeeInput(add_on_code="work", unit_amount_cents=cents, units=1)],
    )
    async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
        details = await create_invoice(
            conn, shop.organization_id, asked, invoice_id=clock.new_id(),
            collect=collect if collects else None, now=shop.clock.now(),
        )  # fmt: skip
    return details.invoice.key

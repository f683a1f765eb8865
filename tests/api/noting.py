"""Credit notes as a caller makes them, for tests of the API."""

from __future__ import annotations

from typing import Any

import asyncpg
import httpx

from recoup.flows.reports import Report, Source
from recoup.flows.settle_attempt import settle_attempts
from recoup.providers.protocol import Paid
from recoup.rules.records.keys import RowKey
from recoup.store.db import Pool
from tests.api.conftest import Tenant
from tests.shop import START


def items_of(invoice: Any, *cents: int) -> list[Any]:
    """A line for each fee of the invoice: all of it, or these amounts."""
    amounts = cents or tuple(fee["amount_cents"] for fee in invoice["fees"])
    return [
        {"fee_id": fee["lago_id"], "amount_cents": amount}
        for fee, amount in zip(invoice["fees"], amounts, strict=False)
    ]


async def ask_note(tenant: Tenant, invoice: Any, *cents: int, **fields: Any) -> httpx.Response:
    """Ask for a credit note of these amounts of its fees; of all of them where none are given."""
    asked = {"invoice_id": invoice["lago_id"], "items": items_of(invoice, *cents)} | fields
    return await tenant.post("/credit_notes", {"credit_note": asked})


async def note(tenant: Tenant, invoice: Any, *cents: int, **fields: Any) -> Any:
    """Make a credit note that must be accepted."""
    answer = await ask_note(tenant, invoice, *cents, **fields)
    assert answer.status_code == 200, answer.text
    return answer.json()["credit_note"]


async def charged(
    pool: Pool, owner: asyncpg.Connection, invoice: Any, *, charge: str = "ch_1"
) -> RowKey:
    """Have the open attempt of the invoice sent and paid; answer it."""
    row = await owner.fetchrow(
        """UPDATE payments p
              SET state = 'sent', sent_at = $2, look_up_at = $2, request = '{}',
                  provider_account_id = a.id, provider_customer_id = 'cus_c1'
             FROM payment_invoices pi, provider_accounts a
            WHERE pi.invoice_id = $1 AND pi.open AND pi.payment_id = p.id
              AND a.organization_id = p.organization_id
        RETURNING p.organization_id, p.id, p.amount_cents, p.currency""",
        invoice["lago_id"], START,
    )  # fmt: skip
    assert row is not None, "nothing is open for it"
    key = RowKey(row["organization_id"], row["id"])
    paid = Paid(charge, "succeeded", row["amount_cents"], row["currency"])
    await settle_attempts(pool, [Report(key, paid, Source.ANSWER)], now=START)
    return key

"""Credit notes of invoices that a shop has issued, made by the flow."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from recoup import clock
from recoup.flows.create_credit_note import create_credit_note
from recoup.flows.submit_refund import submit_refund
from recoup.rules.credit_note_asks import CreditNoteInput
from recoup.rules.records.credit_notes import CreditNote
from recoup.rules.records.keys import RowKey
from recoup.store import db
from recoup.store.db import Pool
from tests.shop import Shop


async def make_note(
    shop: Shop, invoice: RowKey, *, pool: Pool | None = None, **parts: int
) -> CreditNote:
    """Make a note with these parts of an invoice of one fee without taxes."""
    asked: dict[str, Any] = {f"{part}_amount_cents": cents for part, cents in parts.items()}
    async with db.transaction(pool or shop.pool, tenants=[shop.organization_id]) as conn:
        fee_id = await conn.fetchval("SELECT id FROM fees WHERE invoice_id = $1", invoice.id)
        said = CreditNoteInput(
            invoice_id=str(invoice.id),
            items=[{"fee_id": str(fee_id), "amount_cents": sum(parts.values())}],
            **asked,
        )
        details = await create_credit_note(
            conn, shop.organization_id, said, read_id=UUID, note_id=clock.new_id(),
            now=shop.clock.now(),
        )  # fmt: skip
    return details.note


async def refunds_of(shop: Shop, note: CreditNote) -> list[RowKey]:
    """The refunds of a note, those of the newest charge first."""
    rows = await shop.owner.fetch(
        """SELECT r.organization_id, r.id FROM refunds r JOIN payments p ON p.id = r.payment_id
            WHERE r.credit_note_id = $1 ORDER BY p.ended_at DESC, p.id DESC""",
        note.id,
    )
    return [RowKey(*row) for row in rows]


async def send_refunds(shop: Shop, note: CreditNote) -> None:
    """Send the note's refunds, as the worker does."""
    for refund in await refunds_of(shop, note):
        await submit_refund(shop.pool, shop.providers, refund, now=shop.clock.now)


async def status_of(shop: Shop, note: CreditNote) -> str:
    """What the note shows of its refund."""
    return (await shop.row("credit_notes", note.key))["refund_status"]

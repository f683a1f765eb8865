"""Work a draft out anew: today's prices of its add-ons, and today's taxes.

Called for `PUT /invoices/{id}/refresh`, and before a draft is made final.

What would surprise you: a price that the ask named stays, and so does what the add-on calls itself
on the line. An add-on or a customer that was deleted since counts as it was last.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from recoup.flows import price_invoice
from recoup.flows.find_invoices import find_invoice, lock_invoice
from recoup.flows.price_invoice import Line
from recoup.rules.invoice_dates import due_on
from recoup.rules.records.fees import FeeDetails
from recoup.rules.records.invoices import Invoice, InvoiceDetails
from recoup.store import add_ons, fees, invoices
from recoup.store.db import Conn


async def refresh_draft(
    conn: Conn, organization_id: UUID, invoice_id: UUID | None, *, now: datetime
) -> InvoiceDetails:
    """Work the invoice out anew, if it is a draft; answer it in any case.

    :raises Refused: `invoice_not_found`; 422 where the sums are out of range now.
    """
    invoice = await lock_invoice(conn, organization_id, invoice_id)
    details = await find_invoice(conn, organization_id, invoice.id)
    if invoice.status != "draft":
        return details
    await invoices.write(conn, await worked_out_anew(conn, details, now=now))
    return await find_invoice(conn, organization_id, invoice.id)


async def worked_out_anew(conn: Conn, details: InvoiceDetails, *, now: datetime) -> Invoice:
    """Replace the lines of this locked draft, and answer the draft with its new sums, to be stored.

    :raises Refused: 422 where they are out of range.
    """
    invoice, customer = details.invoice, details.customer
    lines = await _lines(conn, details.fees)
    totals = await price_invoice.total(conn, customer, lines, currency=invoice.currency)
    rows = price_invoice.fees_of(invoice, lines, totals)
    taxes = price_invoice.applied_taxes_of(invoice, totals, rows)
    await fees.replace(conn, invoice.key, rows, taxes)
    assert invoice.issuing_date is not None, "a draft says when it will be issued"
    anew: Invoice = msgspec.structs.replace(
        price_invoice.priced(invoice, totals),
        net_payment_term=customer.net_payment_term,
        payment_due_date=due_on(
            invoice.issuing_date, net_payment_term_days=customer.net_payment_term
        ),
        updated_at=now,
    )
    return anew


async def _lines(conn: Conn, before: Sequence[FeeDetails]) -> list[Line]:
    """The lines as they were asked for, with what their add-ons are by now."""
    organization_id = before[0].fee.organization_id
    known = await add_ons.by_ids(conn, organization_id, {one.fee.add_on_id for one in before})
    lines = []
    for one in before:
        fee, add_on = one.fee, known[one.fee.add_on_id]
        lines.append(
            Line(
                add_on=add_on,
                tax_codes=fee.named_tax_codes,
                unit_amount_cents=(
                    add_on.amount_cents if fee.priced_by_add_on else fee.unit_amount_cents
                ),
                priced_by_add_on=fee.priced_by_add_on,
                units=float(fee.units),
                display_name=fee.invoice_display_name,
                description=fee.description,
                from_at=fee.from_at,
                to_at=fee.to_at,
            )
        )
    return lines

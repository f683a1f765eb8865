"""Work out what the lines of a one-off invoice come to, and the rows that say so.

Called by whoever creates an invoice, and by whoever works out a draft anew. It stores nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID, uuid5

import msgspec

from recoup.rules import invoice_totals
from recoup.rules.invoice_totals import FeeAsk, InvoiceTotals, OutOfRange
from recoup.rules.records.add_ons import AddOn
from recoup.rules.records.customers import CustomerDetails
from recoup.rules.records.fees import AppliedTax, Fee
from recoup.rules.records.invoices import Invoice
from recoup.rules.refusal import Refused, invalid
from recoup.store import taxes
from recoup.store.db import Conn


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line, checked, with everything that its price depends on but the taxes."""

    add_on: AddOn
    tax_codes: Sequence[str]  # known or not
    unit_amount_cents: int
    priced_by_add_on: bool  # False: the ask named its price
    units: float
    display_name: str | None
    description: str | None
    from_at: datetime | None
    to_at: datetime | None


async def total(
    conn: Conn, customer: CustomerDetails, lines: Sequence[Line], *, currency: str
) -> InvoiceTotals:
    """Add the lines up, each with the taxes that apply to it.

    :raises Refused: 422 `value_is_out_of_range`, for more than an amount can be, and for less than
        nothing: rebates may not outweigh the rest, since an invoice is never a debt of ours.
    """
    organization_id, entity_id = customer.key.organization_id, customer.customer.billing_entity_id
    codes = {code for line in lines for code in line.tax_codes}
    known = await taxes.by_codes(conn, organization_id, codes) if codes else {}
    # The customer's own entity, also where another one bills.
    of_entity = await taxes.of_billing_entities(conn, organization_id, [entity_id])
    asks = [
        FeeAsk(
            unit_amount_cents=line.unit_amount_cents,
            units=line.units,
            taxes=invoice_totals.taxes_that_apply(
                named=[known[code] for code in line.tax_codes if code in known],
                of_add_on=line.add_on.taxes,
                of_customer=customer.taxes,
                of_billing_entity=of_entity.get(entity_id, ()),
            ),
        )
        for line in lines
    ]
    totals = invoice_totals.total_invoice(asks, currency=currency)
    if isinstance(totals, OutOfRange) or totals.total_amount_cents < 0:
        raise Refused(invalid({"amount_cents": ["value_is_out_of_range"]}))
    return totals


def priced(invoice: Invoice, totals: InvoiceTotals) -> Invoice:
    """The invoice with these sums; what is paid of it stays."""
    with_sums: Invoice = msgspec.structs.replace(
        invoice,
        fees_amount_cents=totals.fees_amount_cents,
        taxes_amount_cents=totals.taxes_amount_cents,
        sub_total_excluding_taxes_amount_cents=totals.sub_total_excluding_taxes_amount_cents,
        sub_total_including_taxes_amount_cents=totals.sub_total_including_taxes_amount_cents,
        total_cents=totals.total_amount_cents,
        due_cents=totals.total_amount_cents - invoice.paid_cents - invoice.offset_cents,
    )
    return with_sums


def fees_of(invoice: Invoice, lines: Sequence[Line], totals: InvoiceTotals) -> list[Fee]:
    """The rows of the lines, named by their place: worked out anew, a line keeps its id."""
    is_draft = invoice.status == "draft"
    return [
        Fee(
            organization_id=invoice.organization_id,
            id=uuid5(invoice.id, f"fee/{position}"),
            invoice_id=invoice.id,
            position=position,
            add_on_id=line.add_on.id,
            item_code=line.add_on.code,
            item_name=line.add_on.name,
            item_description=line.add_on.description,
            invoice_display_name=line.display_name,
            description=line.description,
            units=fee.units,
            unit_amount_cents=line.unit_amount_cents,
            precise_unit_amount=fee.precise_unit_amount,
            amount_cents=fee.amount_cents,
            precise_amount_cents=fee.precise_amount_cents,
            taxes_amount_cents=fee.taxes_amount_cents,
            taxes_precise_amount_cents=fee.taxes_precise_amount_cents,
            taxes_rate=fee.taxes_rate,
            amount_currency=totals.currency,
            from_at=line.from_at,
            to_at=line.to_at,
            created_at=invoice.created_at,
            priced_by_add_on=is_draft and line.priced_by_add_on,
            named_tax_codes=[code for code in line.tax_codes if is_draft and "\0" not in code],
        )
        for position, (line, fee) in enumerate(zip(lines, totals.fees, strict=True))
    ]


def applied_taxes_of(
    invoice: Invoice, totals: InvoiceTotals, rows: Sequence[Fee]
) -> list[AppliedTax]:
    """What taxes take of the whole invoice, and of each of its fees."""
    of_fees = [
        _applied_tax(part, invoice, row.id)
        for row, fee in zip(rows, totals.fees, strict=True)
        for part in fee.applied_taxes
    ]
    return [*(_applied_tax(part, invoice, None) for part in totals.applied_taxes), *of_fees]


def _applied_tax(
    part: invoice_totals.AppliedTax, invoice: Invoice, fee_id: UUID | None
) -> AppliedTax:
    return AppliedTax(
        organization_id=invoice.organization_id,
        id=uuid5(fee_id or invoice.id, f"tax/{part.tax.id}"),
        invoice_id=invoice.id,
        fee_id=fee_id,
        tax_id=part.tax.id,
        tax_name=part.tax.name,
        tax_code=part.tax.code,
        tax_rate=part.tax.rate,
        tax_description=part.tax.description,
        amount_cents=part.amount_cents,
        amount_currency=invoice.currency,
        fees_amount_cents=part.fees_amount_cents,
        created_at=invoice.created_at,
    )

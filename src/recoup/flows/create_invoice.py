"""Issue a one-off invoice: check what is asked, add it up, number it, book it, and tell.

What would surprise you: what `collect` does is part of the same transaction, so an invoice that is
to be charged never exists without its first attempt. And an invoice of nothing may be `closed` at
once: it has no number then, nobody is told, and no route shows it again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TypeAlias
from uuid import UUID, uuid5

import msgspec

from recoup.flows.issue_document import issue_invoice_document
from recoup.flows.tell import News, tell
from recoup.rules import invoice_totals
from recoup.rules.invoice_dates import due_on, issued_on
from recoup.rules.invoice_totals import FeeAsk, InvoiceTotals, OutOfRange
from recoup.rules.lago.invoices import Include, invoice_object
from recoup.rules.numbering import (
    Numbering,
    draft_number,
    number_per_billing_entity,
    number_per_customer,
    numbering_of,
)
from recoup.rules.one_off_asks import (
    ChosenMethod,
    FeeInput,
    InvoiceInput,
    read_currency,
    read_payment_method,
    read_period,
    read_purchase_order_number,
    read_text,
    read_unit_amount_cents,
    read_units,
)
from recoup.rules.records.add_ons import AddOn
from recoup.rules.records.customers import CustomerDetails
from recoup.rules.records.fees import AppliedTax, Fee
from recoup.rules.records.invoices import Invoice, InvoiceDetails
from recoup.rules.records.keys import RowKey
from recoup.rules.records.organizations import BillingEntity
from recoup.rules.refusal import Refused, invalid, not_found
from recoup.rules.scalars import text, texts
from recoup.store import (
    add_ons,
    customers,
    fees,
    invoices,
    ledger,
    organizations,
    payment_methods,
    taxes,
)
from recoup.store.db import Conn

Collect: TypeAlias = Callable[[Conn, RowKey], Awaitable[None]]


class _Line(msgspec.Struct, frozen=True):
    """One line, checked, with everything that its price depends on but the taxes."""

    add_on: AddOn
    tax_codes: list[str]  # known or not
    unit_amount_cents: int
    units: float
    display_name: str | None
    description: str | None
    from_at: datetime | None
    to_at: datetime | None


class _Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was asked and found, checked."""

    customer: CustomerDetails
    entity: BillingEntity  # in whose name it is billed: not always the customer's
    method: ChosenMethod
    currency: str
    purchase_order_number: str | None
    skip_psp: bool
    lines: tuple[_Line, ...]

    @property
    def self_billed(self) -> bool:
        """A partner's invoices are what we owe, so nobody is charged for them."""
        return self.customer.customer.account_type == "partner"


class _Numbered(msgspec.Struct, frozen=True):
    """What an invoice is called; one that is not final has no place in any sequence."""

    number: str
    sequence: int | None = None
    entity_sequence: int | None = None


async def create_invoice(
    conn: Conn,
    organization_id: UUID,
    asked: InvoiceInput,
    *,
    invoice_id: UUID,
    collect: Collect | None,
    now: datetime,
) -> InvoiceDetails:
    """Issue an invoice, and begin to collect it unless `skip_psp` is asked for.

    `collect` begins the first attempt in the same transaction; None: nobody does.

    :raises Refused: 404 `customer_not_found`, `fees_not_found`, `add_on_not_found`,
        `billing_entity_not_found`; 422 for what breaks a rule, in the contract's order.
    """
    plan = await _plan(conn, organization_id, asked)
    asks = await _asks(conn, plan)
    totals = invoice_totals.total_invoice(asks, currency=plan.currency)
    # Rebates may not outweigh the rest: an invoice is never a debt of ours.
    if isinstance(totals, OutOfRange) or totals.total_amount_cents < 0:
        raise Refused(invalid({"amount_cents": ["value_is_out_of_range"]}))
    is_shown = totals.fees_amount_cents != 0 or _finalizes_zero(plan)
    numbered = await _number(conn, plan, now=now) if is_shown else _unnumbered(plan)
    invoice = _invoice(plan, totals, numbered, invoice_id=invoice_id, now=now)
    rows = _fees(plan, totals, invoice)
    await invoices.insert(conn, invoice)
    await fees.insert(conn, rows, _applied_taxes(totals, invoice, rows))
    details = (await invoices.details(conn, [invoice.key]))[invoice.key]
    if not is_shown:
        return details
    booked = ledger.transfer(
        invoice.key, invoice.id, invoice.total_cents, invoice.currency,
        debit="receivable", credit="revenue",
    )  # fmt: skip
    await ledger.write(conn, booked, now=now)
    await tell(conn, [_created(details)], now=now)
    await issue_invoice_document(conn, details, plan.entity, now=now)
    is_to_be_charged = invoice.total_cents > 0 and not plan.skip_psp and not plan.self_billed
    if collect is not None and is_to_be_charged:
        await collect(conn, invoice.key)
    return details


async def _plan(conn: Conn, organization_id: UUID, asked: InvoiceInput) -> _Plan:
    """Check what is asked, in the contract's order, and find what it names."""
    customer = await _customer(conn, organization_id, text(asked.external_customer_id))
    if not asked.fees:
        raise Refused(not_found("fees"))
    codes = [text(fee.add_on_code) or "" for fee in asked.fees]
    known = await add_ons.by_codes(conn, organization_id, codes)
    if not known.keys() >= set(codes):
        raise Refused(not_found("add_on"))
    method = ChosenMethod()
    if asked.payment_method:
        kept = await payment_methods.of_customer(conn, customer.key)
        method = read_payment_method(asked.payment_method, [one.id for one in kept])
    entity = await _billing_entity(conn, customer, text(asked.billing_entity_code))
    currency = read_currency(asked.currency, otherwise=customer.customer.currency)
    periods = [read_period(fee) for fee in asked.fees]
    lines = [
        _line(fee, known[code], period)
        for fee, code, period in zip(asked.fees, codes, periods, strict=True)
    ]
    return _Plan(
        customer=customer,
        entity=entity,
        method=method,
        currency=currency,
        purchase_order_number=read_purchase_order_number(asked.purchase_order_number),
        skip_psp=bool(asked.skip_psp),
        lines=tuple(lines),
    )


def _line(fee: FeeInput, add_on: AddOn, period: tuple[datetime | None, datetime | None]) -> _Line:
    from_at, to_at = period
    return _Line(
        add_on=add_on,
        tax_codes=texts(fee.tax_codes or ()),
        unit_amount_cents=read_unit_amount_cents(
            fee.unit_amount_cents, otherwise=add_on.amount_cents
        ),
        units=read_units(fee.units),
        display_name=(
            read_text(fee.invoice_display_name, "invoice_display_name")
            or add_on.invoice_display_name
        ),
        description=read_text(fee.description, "description") or add_on.description,
        from_at=from_at,
        to_at=to_at,
    )


async def _customer(conn: Conn, organization_id: UUID, external_id: str | None) -> CustomerDetails:
    if external_id:
        found = await customers.by_external_ids(conn, organization_id, [external_id])
        if key := found.get(external_id):
            return (await customers.details(conn, [key]))[key]
    raise Refused(not_found("customer"))


async def _billing_entity(conn: Conn, customer: CustomerDetails, code: str | None) -> BillingEntity:
    for entity in await organizations.billing_entities(conn, customer.key.organization_id):
        is_customers = entity.id == customer.customer.billing_entity_id
        if entity.code == code or (not code and is_customers):
            return entity
    raise Refused(not_found("billing_entity"))


async def _asks(conn: Conn, plan: _Plan) -> list[FeeAsk]:
    """Each line with the taxes that apply to it."""
    organization_id, customer = plan.customer.key.organization_id, plan.customer.customer
    codes = {code for line in plan.lines for code in line.tax_codes}
    known = await taxes.by_codes(conn, organization_id, codes) if codes else {}
    entity_id = customer.billing_entity_id  # the customer's own, also where another one bills
    of_entity = await taxes.of_billing_entities(conn, organization_id, [entity_id])
    return [
        FeeAsk(
            unit_amount_cents=line.unit_amount_cents,
            units=line.units,
            taxes=invoice_totals.taxes_that_apply(
                named=[known[code] for code in line.tax_codes if code in known],
                of_add_on=line.add_on.taxes,
                of_customer=plan.customer.taxes,
                of_billing_entity=of_entity.get(entity_id, ()),
            ),
        )
        for line in plan.lines
    ]


def _finalizes_zero(plan: _Plan) -> bool:
    """Say whether an invoice of nothing is shown: the customer's word, else the entity's."""
    match plan.customer.customer.finalize_zero_amount_invoice:
        case "finalize":
            return True
        case "skip":
            return False
        case _:
            return plan.entity.finalize_zero_amount_invoice


async def _number(conn: Conn, plan: _Plan, *, now: datetime) -> _Numbered:
    """Draw the next number: under a lock, and rolled back with us, so that no number is missing."""
    entity, customer = plan.entity, plan.customer
    sequence = await invoices.next_of_customer(conn, customer.key, entity.id)
    numbering = numbering_of(Numbering(entity.document_numbering), self_billed=plan.self_billed)
    if numbering is Numbering.PER_CUSTOMER:
        number = number_per_customer(
            entity.document_number_prefix,
            customer_sequence=customer.customer.sequential_id,
            invoice_sequence=sequence,
        )
        return _Numbered(number, sequence)
    entity_sequence = await invoices.next_of_entity(conn, entity.organization_id, entity.id)
    number = number_per_billing_entity(
        entity.document_number_prefix,
        entity_sequence=entity_sequence,
        finalized_at=now,
        timezone=entity.timezone,
    )
    return _Numbered(number, sequence, entity_sequence)


def _unnumbered(plan: _Plan) -> _Numbered:
    return _Numbered(draft_number(plan.entity.document_number_prefix))


def _invoice(
    plan: _Plan, totals: InvoiceTotals, numbered: _Numbered, *, invoice_id: UUID, now: datetime
) -> Invoice:
    customer = plan.customer
    issued = issued_on(now=now, timezone=customer.timezone)
    return Invoice(
        organization_id=customer.key.organization_id,
        id=invoice_id,
        customer_id=customer.key.id,
        billing_entity_id=plan.entity.id,
        sequential_id=numbered.sequence,
        entity_sequential_id=numbered.entity_sequence,
        number=numbered.number,
        purchase_order_number=plan.purchase_order_number,
        invoice_type="one_off",
        status="closed" if numbered.sequence is None else "finalized",
        payment_status="succeeded" if totals.nothing_to_pay else "pending",
        issuing_date=issued,
        payment_due_date=due_on(issued, net_payment_term_days=customer.net_payment_term),
        net_payment_term=customer.net_payment_term,
        payment_overdue=False,
        payment_dispute_lost_at=None,
        currency=plan.currency,
        fees_amount_cents=totals.fees_amount_cents,
        taxes_amount_cents=totals.taxes_amount_cents,
        sub_total_excluding_taxes_amount_cents=totals.sub_total_excluding_taxes_amount_cents,
        sub_total_including_taxes_amount_cents=totals.sub_total_including_taxes_amount_cents,
        total_cents=totals.total_amount_cents,
        paid_cents=0,
        offset_cents=0,
        due_cents=totals.total_amount_cents,
        skip_psp=plan.skip_psp,
        payment_method_type=plan.method.type,
        payment_method_id=plan.method.id,
        self_billed=plan.self_billed,
        created_at=now,
        updated_at=now,
        voided_at=None,
    )


def _fees(plan: _Plan, totals: InvoiceTotals, invoice: Invoice) -> list[Fee]:
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
        )
        for position, (line, fee) in enumerate(zip(plan.lines, totals.fees, strict=True))
    ]


def _applied_taxes(
    totals: InvoiceTotals, invoice: Invoice, rows: Sequence[Fee]
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


def _created(details: InvoiceDetails) -> News:
    invoice = details.invoice
    return News(
        organization_id=invoice.organization_id,
        webhook_type="invoice.one_off_created",
        object_type="invoice",
        payload=invoice_object(details, Include.OF_ONE_OFF_CREATED),
        object_id=invoice.id,
        cause=invoice.id,
    )

"""Create a one-off invoice: check what is asked, add it up, and issue it, or keep it as a draft.

What would surprise you: a draft is ours. Lago issues every one-off invoice at once, and so do we
unless `draft` is asked for (docs/decisions/0011).
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from recoup.flows import price_invoice
from recoup.flows.issue_invoice import Collect, follow_up, made_final
from recoup.flows.price_invoice import Line
from recoup.flows.tell import News, tell
from recoup.rules.invoice_dates import due_on, grace_ends, issued_on
from recoup.rules.invoice_totals import InvoiceTotals
from recoup.rules.lago.invoices import Include, invoice_object
from recoup.rules.numbering import draft_number
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
from recoup.rules.records.invoices import Invoice, InvoiceDetails
from recoup.rules.records.organizations import BillingEntity
from recoup.rules.refusal import Refused, not_found
from recoup.rules.scalars import text, texts
from recoup.store import add_ons, customers, fees, invoices, organizations, payment_methods
from recoup.store.db import Conn


class _Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was asked and found, checked."""

    customer: CustomerDetails
    entity: BillingEntity  # in whose name it is billed: not always the customer's
    method: ChosenMethod
    currency: str
    purchase_order_number: str | None
    skip_psp: bool
    is_draft: bool
    lines: tuple[Line, ...]

    @property
    def self_billed(self) -> bool:
        """A partner's invoices are what we owe, so nobody is charged for them."""
        return self.customer.customer.account_type == "partner"


async def create_invoice(
    conn: Conn,
    organization_id: UUID,
    asked: InvoiceInput,
    *,
    invoice_id: UUID,
    collect: Collect | None,
    now: datetime,
) -> InvoiceDetails:
    """Issue an invoice, and begin to collect it unless `skip_psp` is asked for; or keep a draft.

    `collect` begins the first attempt in the same transaction; None: nobody does.

    :raises Refused: 404 `customer_not_found`, `fees_not_found`, `add_on_not_found`,
        `billing_entity_not_found`; 422 for what breaks a rule, in the contract's order.
    """
    plan = await _plan(conn, organization_id, asked)
    totals = await price_invoice.total(conn, plan.customer, plan.lines, currency=plan.currency)
    invoice = _draft(plan, totals, invoice_id=invoice_id, now=now)
    if not plan.is_draft:
        invoice = await made_final(conn, invoice, plan.customer, plan.entity, now=now)
    rows = price_invoice.fees_of(invoice, plan.lines, totals)
    await invoices.insert(conn, invoice)
    await fees.insert(conn, rows, price_invoice.applied_taxes_of(invoice, totals, rows))
    details = (await invoices.details(conn, [invoice.key]))[invoice.key]
    if plan.is_draft:
        await tell(conn, [_drafted(details)], now=now)
        return details
    await follow_up(
        conn,
        details,
        plan.entity,
        webhook_type="invoice.one_off_created",
        include=Include.OF_ONE_OFF_CREATED,
        collect=collect,
        now=now,
    )
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
        is_draft=bool(asked.draft),
        lines=tuple(lines),
    )


def _line(fee: FeeInput, add_on: AddOn, period: tuple[datetime | None, datetime | None]) -> Line:
    from_at, to_at = period
    return Line(
        add_on=add_on,
        tax_codes=texts(fee.tax_codes or ()),
        unit_amount_cents=read_unit_amount_cents(
            fee.unit_amount_cents, otherwise=add_on.amount_cents
        ),
        priced_by_add_on=fee.unit_amount_cents in (None, ""),
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


def _draft(plan: _Plan, totals: InvoiceTotals, *, invoice_id: UUID, now: datetime) -> Invoice:
    """The invoice as long as it is not final: without a number, and issued when its grace ends."""
    customer, entity = plan.customer, plan.entity
    own_grace = customer.customer.invoice_grace_period
    grace_days = entity.invoice_grace_period if own_grace is None else own_grace
    today = issued_on(now=now, timezone=customer.timezone)
    ends = grace_ends(today, grace_days=grace_days, timezone=customer.timezone)
    issued = due_on(today, net_payment_term_days=grace_days)
    blank = Invoice(
        organization_id=customer.key.organization_id,
        id=invoice_id,
        customer_id=customer.key.id,
        billing_entity_id=entity.id,
        sequential_id=None,
        entity_sequential_id=None,
        number=draft_number(entity.document_number_prefix),
        purchase_order_number=plan.purchase_order_number,
        invoice_type="one_off",
        status="draft",
        payment_status="pending",
        issuing_date=issued,
        payment_due_date=due_on(issued, net_payment_term_days=customer.net_payment_term),
        net_payment_term=customer.net_payment_term,
        payment_overdue=False,
        payment_dispute_lost_at=None,
        currency=plan.currency,
        fees_amount_cents=0,
        taxes_amount_cents=0,
        sub_total_excluding_taxes_amount_cents=0,
        sub_total_including_taxes_amount_cents=0,
        total_cents=0,
        paid_cents=0,
        offset_cents=0,
        due_cents=0,
        skip_psp=plan.skip_psp,
        payment_method_type=plan.method.type,
        payment_method_id=plan.method.id,
        self_billed=plan.self_billed,
        created_at=now,
        updated_at=now,
        voided_at=None,
        finalize_at=ends if grace_days else None,
    )
    return price_invoice.priced(blank, totals)


def _drafted(details: InvoiceDetails) -> News:
    invoice = details.invoice
    return News(
        organization_id=invoice.organization_id,
        webhook_type="invoice.drafted",
        object_type="invoice",
        payload=invoice_object(details, Include.OF_CREATED),
        object_id=invoice.id,
        cause=invoice.id,
    )

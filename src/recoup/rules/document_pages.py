"""What is written on a document: read off the rows when it is issued, and never again.

Called by the flows that issue, inside their transaction: cheap, and it never raises. Whatever a
tenant has written is cut to what a page can hold, so that no document takes a worker's memory.

What would surprise you: a self-billed invoice is issued by the buyer. Seller and buyer change
places, and the issuer's footer, which holds its bank account, is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Final

import msgspec

from recoup.rules.invoice_dates import issued_on
from recoup.rules.records.credit_notes import CreditNoteDetails, CreditNoteItem
from recoup.rules.records.customers import Customer, CustomerDetails
from recoup.rules.records.document_pages import (
    Collection,
    CoveredInvoice,
    CreditNotePage,
    InvoicePage,
    LeftOut,
    Line,
    Note,
    Page,
    Party,
    ReceiptPage,
    TaxLine,
)
from recoup.rules.records.fees import AppliedTax, FeeDetails
from recoup.rules.records.invoices import InvoiceDetails
from recoup.rules.records.organizations import BillingEntity
from recoup.rules.records.payment_receipts import PaymentReceipt, Received

MOST_LINES: Final = 1_000  # some thirty pages; the rest is counted and added up
MOST_TAXES: Final = 50
MOST_TEXT: Final = 200_000  # characters of all lines' descriptions together
LONGEST_DESCRIPTION: Final = 2_000
SHORTEST_CUT: Final = 60  # however many lines there are, each may say so much
LONGEST_NAME: Final = 255
LONGEST_FOOTER: Final = 2_000
MOST_NOTES: Final = 20


def invoice_page(details: InvoiceDetails, entity: BillingEntity) -> InvoicePage:
    """The page of an invoice that is being issued, in the name of `entity`."""
    invoice, customer = details.invoice, details.customer
    issuer, other = party_of_entity(entity), party_of_customer(customer.customer)
    seller, buyer = (other, issuer) if invoice.self_billed else (issuer, other)
    lines, left_out = fitting_lines(details.fees)
    taxes, taxes_left_out = fitting_taxes(details.applied_taxes)
    return InvoicePage(
        number=invoice.number,
        issued_on=invoice.issuing_date,
        due_on=invoice.payment_due_date,
        currency=invoice.currency,
        locale=customer.customer.document_locale or entity.document_locale,
        timezone=customer.timezone,
        seller=seller,
        buyer=buyer,
        footer=None if invoice.self_billed else cut(entity.invoice_footer, LONGEST_FOOTER),
        logo_url=None if invoice.self_billed else entity.logo_url,
        notes=notes_of(customer),
        lines=lines,
        left_out=left_out,
        taxes=taxes,
        taxes_left_out=taxes_left_out,
        net_cents=invoice.sub_total_excluding_taxes_amount_cents,
        taxes_cents=invoice.taxes_amount_cents,
        total_cents=invoice.total_cents,
        purchase_order_number=invoice.purchase_order_number,
        self_billed=invoice.self_billed,
        collection=collection_of(details),
    )


def credit_note_page(details: CreditNoteDetails, entity: BillingEntity) -> CreditNotePage:
    """The page of a credit note that is being issued, in the name of its invoice's `entity`."""
    note, customer = details.note, details.customer
    issuer, other = party_of_entity(entity), party_of_customer(customer.customer)
    seller, buyer = (other, issuer) if details.self_billed else (issuer, other)
    shown, more = details.items[:MOST_LINES], details.items[MOST_LINES:]
    longest = description_limit(len(shown))
    taxes, more_taxes = details.applied_taxes[:MOST_TAXES], details.applied_taxes[MOST_TAXES:]
    return CreditNotePage(
        number=note.number,
        issued_on=note.issuing_date,
        currency=note.currency,
        locale=customer.customer.document_locale or entity.document_locale,
        timezone=customer.timezone,
        seller=seller,
        buyer=buyer,
        footer=None if details.self_billed else cut(entity.invoice_footer, LONGEST_FOOTER),
        logo_url=None if details.self_billed else entity.logo_url,
        notes=notes_of(customer),
        lines=tuple(_credited(item, fee, longest) for item, fee in shown),
        left_out=left_out(item.amount_cents for item, _ in more),
        taxes=tuple(
            TaxLine(
                name=cut(one.tax_name, LONGEST_NAME) or "",
                rate=one.tax_rate,
                base_cents=one.base_amount_cents,
                amount_cents=one.amount_cents,
                description=cut(one.tax_description, LONGEST_NAME),
            )
            for one in taxes
        ),
        taxes_left_out=left_out(one.amount_cents for one in more_taxes),
        net_cents=note.sub_total_excluding_taxes_amount_cents,
        taxes_cents=note.taxes_amount_cents,
        total_cents=note.total_cents,
        purchase_order_number=details.purchase_order_number,
        self_billed=details.self_billed,
        invoice_number=details.invoice_number,
        reason=note.reason,
        description=cut(note.description, LONGEST_DESCRIPTION),
        credit_cents=note.credit_cents,
        refund_cents=note.refund_cents,
        offset_cents=note.offset_cents,
    )


def receipt_page(
    receipt: PaymentReceipt, received: Received, customer: Customer, entity: BillingEntity
) -> ReceiptPage:
    """The page of a payment's receipt, in the name of `entity`."""
    timezone = customer.timezone or entity.timezone
    issuer, other = party_of_entity(entity), party_of_customer(customer)
    seller, buyer = (other, issuer) if received.self_billed else (issuer, other)
    shown, more = received.invoices[:MOST_LINES], received.invoices[MOST_LINES:]
    return ReceiptPage(
        number=receipt.number,
        issued_on=issued_on(now=receipt.created_at, timezone=timezone),
        currency=received.currency,
        locale=customer.document_locale or entity.document_locale,
        timezone=timezone,
        seller=seller,
        buyer=buyer,
        footer=None if received.self_billed else cut(entity.invoice_footer, LONGEST_FOOTER),
        logo_url=None if received.self_billed else entity.logo_url,
        paid_on=issued_on(now=received.paid_at, timezone=timezone),
        amount_cents=received.amount_cents,
        method=_method_words(received.method),
        reference=cut(received.reference, LONGEST_NAME),
        invoices=tuple(
            CoveredInvoice(
                number=one.number,
                issued_on=one.issued_on,
                total_cents=one.total_cents,
                paid_cents=one.applied_cents,
            )
            for one in shown
        ),
        left_out=left_out(one.applied_cents for one in more),
    )


def voided(page: Page, *, on: date) -> Page:
    """The same page, marked as void."""
    marked: Page = msgspec.structs.replace(page, voided_on=on)
    return marked


def collection_of(details: InvoiceDetails) -> Collection:
    """How what an invoice comes to is to be paid, as far as that is known at issue."""
    invoice, customer = details.invoice, details.customer
    if invoice.self_billed:
        return Collection.BY_ISSUER
    if invoice.total_cents <= 0:
        return Collection.NOTHING_DUE
    by_hand = invoice.skip_psp or invoice.payment_method_type == "manual"
    return Collection.BY_BUYER if by_hand or customer.link is None else Collection.AUTOMATIC


def party_of_entity(entity: BillingEntity) -> Party:
    """A billing entity as a document names it."""
    return Party(
        name=cut(entity.legal_name or entity.name, LONGEST_NAME) or "",
        legal_number=cut(entity.legal_number, LONGEST_NAME),
        tax_identification_number=cut(entity.tax_identification_number, LONGEST_NAME),
        address_line1=cut(entity.address_line1, LONGEST_NAME),
        address_line2=cut(entity.address_line2, LONGEST_NAME),
        zipcode=cut(entity.zipcode, LONGEST_NAME),
        city=cut(entity.city, LONGEST_NAME),
        state=cut(entity.state, LONGEST_NAME),
        country=entity.country,
        email=cut(entity.email, LONGEST_NAME),
        phone=cut(entity.phone, LONGEST_NAME),
    )


def party_of_customer(customer: Customer) -> Party:
    """A customer as a document names it."""
    person = " ".join(filter(None, (customer.firstname, customer.lastname)))
    name = customer.legal_name or customer.name or person or customer.external_id
    return Party(
        name=cut(name, LONGEST_NAME) or "",
        legal_number=cut(customer.legal_number, LONGEST_NAME),
        tax_identification_number=cut(customer.tax_identification_number, LONGEST_NAME),
        address_line1=cut(customer.address_line1, LONGEST_NAME),
        address_line2=cut(customer.address_line2, LONGEST_NAME),
        zipcode=cut(customer.zipcode, LONGEST_NAME),
        city=cut(customer.city, LONGEST_NAME),
        state=cut(customer.state, LONGEST_NAME),
        country=customer.country,
        email=cut(customer.email, LONGEST_NAME),
        phone=cut(customer.phone, LONGEST_NAME),
    )


def notes_of(customer: CustomerDetails) -> tuple[Note, ...]:
    """What of the customer's metadata is meant for its invoices."""
    shown = [one for one in customer.metadata if one.display_in_invoice]
    return tuple(
        Note(cut(one.key, LONGEST_NAME) or "", cut(one.value, LONGEST_NAME) or "")
        for one in shown[:MOST_NOTES]
    )


def fitting_lines(fees: Sequence[FeeDetails]) -> tuple[tuple[Line, ...], LeftOut | None]:
    """The lines that a document shows, and what it leaves out, if anything."""
    shown = fees[:MOST_LINES]
    longest = description_limit(len(shown))
    return tuple(_line(one, longest) for one in shown), left_out(
        one.fee.amount_cents for one in fees[MOST_LINES:]
    )


def description_limit(lines: int) -> int:
    """How many characters each of so many lines may have for its description."""
    return max(SHORTEST_CUT, min(LONGEST_DESCRIPTION, MOST_TEXT // max(1, lines)))


def fitting_taxes(taxes: Sequence[AppliedTax]) -> tuple[tuple[TaxLine, ...], LeftOut | None]:
    """The taxes that a document shows, and what it leaves out, if anything."""
    return tuple(
        TaxLine(
            name=cut(one.tax_name, LONGEST_NAME) or "",
            rate=one.tax_rate,
            base_cents=one.fees_amount_cents,
            amount_cents=one.amount_cents,
            description=cut(one.tax_description, LONGEST_NAME),
        )
        for one in taxes[:MOST_TAXES]
    ), left_out(one.amount_cents for one in taxes[MOST_TAXES:])


def left_out(amounts: Iterable[int]) -> LeftOut | None:
    """So many lines are left out, and come to so much; None: there are none."""
    cents = list(amounts)
    return LeftOut(len(cents), sum(cents)) if cents else None


def cut(text: str | None, most: int) -> str | None:
    """At most so many characters, the last of them an ellipsis where it was longer; blank: None."""
    if text is None or not text.strip():
        return None
    return text if len(text) <= most else text[: most - 1] + "…"


def _line(one: FeeDetails, longest: int) -> Line:
    fee = one.fee
    return Line(
        name=cut(fee.invoice_display_name or fee.item_name, LONGEST_NAME) or "",
        description=cut(fee.description, longest),
        units=fee.units,
        unit_amount=fee.precise_unit_amount,
        amount_cents=fee.amount_cents,
        from_at=fee.from_at,
        to_at=fee.to_at,
    )


def _credited(item: CreditNoteItem, one: FeeDetails, longest: int) -> Line:
    fee = one.fee
    return Line(
        name=cut(fee.invoice_display_name or fee.item_name, LONGEST_NAME) or "",
        description=cut(fee.description, longest),
        amount_cents=item.amount_cents,
        from_at=fee.from_at,
        to_at=fee.to_at,
    )


def _method_words(told: Mapping[str, object] | None) -> str | None:
    """ "Visa •••• 4242", of what a provider has told of a method; None: it has told nothing."""
    if told is None:
        return None
    what, last4 = told.get("brand") or told.get("type"), told.get("last4")
    words = str(what).replace("_", " ") if isinstance(what, str) else ""
    words = words[:1].upper() + words[1:]
    digits = f"•••• {last4}" if isinstance(last4, str) and last4 else ""
    return cut(f"{words} {digits}".strip(), LONGEST_NAME)

"""What is written on a document, frozen when it is issued: values, and nothing formatted yet.

Kept as JSON beside the document, so a new kind of field needs a default: rows of before lack it.
Who makes them: `rules/document_pages`. Who formats them: `documents/sheets`.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

import msgspec


class DocumentKind(StrEnum):
    """Which kinds of documents there are."""

    INVOICE = "invoice"
    CREDIT_NOTE = "credit_note"
    PAYMENT_RECEIPT = "payment_receipt"


class Party(msgspec.Struct, frozen=True, kw_only=True):
    """Who sells, or who buys, as they were called at issue. Nothing of it is checked."""

    name: str
    legal_number: str | None = None
    tax_identification_number: str | None = None
    address_line1: str | None = None
    address_line2: str | None = None
    zipcode: str | None = None
    city: str | None = None
    state: str | None = None
    country: str | None = None  # ISO 3166, two letters
    email: str | None = None
    phone: str | None = None
    url: str | None = None


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of an invoice, or of a credit note, which has no units."""

    name: str
    amount_cents: int
    description: str | None = None
    units: Decimal | None = None
    unit_amount: Decimal | None = None  # in major units, as exact as it was asked for
    from_at: datetime | None = None
    to_at: datetime | None = None


class TaxLine(msgspec.Struct, frozen=True, kw_only=True):
    """What one tax takes of the whole."""

    name: str
    rate: float  # percent
    base_cents: int
    amount_cents: int
    description: str | None = None


class LeftOut(msgspec.Struct, frozen=True):
    """Lines that the page does not show, and what they come to: the totals include them."""

    lines: int
    amount_cents: int


class Note(msgspec.Struct, frozen=True):
    """A word of the seller's own about the buyer: a cost centre, an order."""

    key: str
    value: str


class Collection(StrEnum):
    """How what is due finds its way."""

    NOTHING_DUE = "nothing_due"
    AUTOMATIC = "automatic"  # from the buyer's payment method
    BY_BUYER = "by_buyer"
    BY_ISSUER = "by_issuer"  # self-billed: whoever issues it owes it


class _Page(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """What every document has."""

    number: str
    issued_on: date | None
    currency: str
    locale: str  # as somebody wished it: `de`, `pt-BR`
    timezone: str  # an IANA name, in which the lines' days are counted
    seller: Party
    buyer: Party
    footer: str | None = None
    logo_url: str | None = None
    notes: tuple[Note, ...] = ()
    voided_on: date | None = None


class _Lines(_Page, frozen=True, kw_only=True):
    """What an invoice and a credit note have."""

    lines: tuple[Line, ...]
    left_out: LeftOut | None = None
    taxes: tuple[TaxLine, ...] = ()
    taxes_left_out: LeftOut | None = None
    net_cents: int
    taxes_cents: int
    total_cents: int
    purchase_order_number: str | None = None
    self_billed: bool = False


class InvoicePage(_Lines, frozen=True, kw_only=True, tag="invoice"):
    """An invoice as it was issued: payments, which come later, are no part of it."""

    due_on: date | None
    collection: Collection


class CreditNotePage(_Lines, frozen=True, kw_only=True, tag="credit_note"):
    """A credit note as it was issued: what of the invoice is taken back, and where it goes."""

    invoice_number: str
    reason: str  # Lago's word: `order_change`
    description: str | None = None
    credit_cents: int  # kept for later invoices
    refund_cents: int  # paid back
    offset_cents: int  # taken off what is due


class CoveredInvoice(msgspec.Struct, frozen=True, kw_only=True):
    """An invoice that a payment covers, and how much of it."""

    number: str
    issued_on: date | None
    total_cents: int
    paid_cents: int  # by this payment


class ReceiptPage(_Page, frozen=True, kw_only=True, tag="payment_receipt"):
    """A receipt of one payment, which may cover several invoices."""

    paid_on: date | None
    amount_cents: int
    method: str | None = None  # "Visa •••• 4242", where it is known
    reference: str | None = None
    invoices: tuple[CoveredInvoice, ...]
    left_out: LeftOut | None = None


Page = InvoicePage | CreditNotePage | ReceiptPage

_DECODER = msgspec.json.Decoder(Page)


def written(page: Page) -> str:
    """The page as JSON, to be kept."""
    return msgspec.json.encode(page).decode()


def read(text: str | bytes) -> Page:
    """Read what `written` wrote."""
    page: Page = _DECODER.decode(text)
    return page


def kind_of(page: Page) -> DocumentKind:
    """Which kind of document the page is of."""
    match page:
        case InvoicePage():
            return DocumentKind.INVOICE
        case CreditNotePage():
            return DocumentKind.CREDIT_NOTE
        case ReceiptPage():
            return DocumentKind.PAYMENT_RECEIPT

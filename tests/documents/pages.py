"""Pages to try documents with: as a shop would issue them, and as nobody should."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec

from recoup.rules.records.document_pages import (
    Collection,
    CoveredInvoice,
    CreditNotePage,
    InvoicePage,
    Line,
    Note,
    Party,
    ReceiptPage,
    TaxLine,
)

LOGO = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="4 6 208 46" width="208" height="46">
<g fill="none" stroke="#0f5c4d" stroke-width="5" stroke-linecap="round">
<path d="M8 44c14-30 34-30 48 0"/><path d="M20 44c7-15 17-15 24 0"/></g>
<circle cx="32" cy="14" r="6" fill="#e4a11b"/>
<g fill="#0f5c4d"><rect x="78" y="20" width="8" height="28" rx="2"/>
<rect x="94" y="28" width="8" height="20" rx="2"/>
<rect x="110" y="12" width="8" height="36" rx="2"/>
<rect x="126" y="24" width="8" height="24" rx="2"/>
<rect x="142" y="32" width="70" height="6" rx="3"/>
<rect x="142" y="42" width="46" height="6" rx="3" fill="#e4a11b"/></g></svg>"""

SELLER = Party(
    name="Morgenlicht Software GmbH",
    legal_number="HRB 218764 B",
    tax_identification_number="DE298765432",
    address_line1="Schönhauser Allee 148",
    address_line2="3. Hinterhof",
    zipcode="10435",
    city="Berlin",
    country="DE",
    email="buchhaltung@morgenlicht.example",
    phone="+49 30 5550 1480",
)
BUYER = Party(
    name="Brasserie du Vieux Port SARL",
    tax_identification_number="FR40303265045",
    address_line1="12, quai de Rive Neuve",
    zipcode="13007",
    city="Marseille",
    country="FR",
    email="compta@vieuxport.example",
)
FOOTER = "Commerzbank Berlin · IBAN DE02 1005 0000 0024 2906 61 · BIC BELADEBEXXX\nGeschäftsführung: Ada Winter · Amtsgericht Charlottenburg"  # noqa: E501


def invoice(**changes: Any) -> InvoicePage:
    """An invoice of three lines and two taxes; `changes` are put in place of its fields."""
    page = InvoicePage(
        number="MOR-7F31-042-007",
        issued_on=date(2026, 3, 2),
        due_on=date(2026, 3, 16),
        currency="EUR",
        locale="en",
        timezone="Europe/Berlin",
        seller=SELLER,
        buyer=BUYER,
        footer=FOOTER,
        notes=(Note("Cost centre", "4410"),),
        lines=(
            Line(
                name="Point of sale, annual licence",
                description="Three tills, terrace included",
                units=Decimal(3),
                unit_amount=Decimal("348"),
                amount_cents=104_400,
                from_at=datetime(2026, 2, 28, 23, tzinfo=UTC),
                to_at=datetime(2027, 2, 28, 22, 59, 59, tzinfo=UTC),
            ),
            Line(
                name="Menu import",
                description="412 dishes at cost",
                units=Decimal("412"),
                unit_amount=Decimal("0.125"),
                amount_cents=5_150,
            ),
            Line(
                name="Training on site",
                units=Decimal("1.5"),
                unit_amount=Decimal("640"),
                amount_cents=96_000,
            ),
        ),
        taxes=(
            TaxLine(name="VAT", rate=20.0, base_cents=200_400, amount_cents=40_080),
            TaxLine(name="VAT reduced", rate=5.5, base_cents=5_150, amount_cents=283),
        ),
        net_cents=205_550,
        taxes_cents=40_363,
        total_cents=245_913,
        purchase_order_number="PO-2026-118",
        collection=Collection.BY_BUYER,
    )
    return msgspec.structs.replace(page, **changes)


def credit_note(**changes: Any) -> CreditNotePage:
    """A credit note of that invoice's training day."""
    page = CreditNotePage(
        number="MOR-7F31-042-007-CN001",
        issued_on=date(2026, 3, 20),
        currency="EUR",
        locale="en",
        timezone="Europe/Berlin",
        seller=SELLER,
        buyer=BUYER,
        footer=FOOTER,
        lines=(Line(name="Training on site", amount_cents=64_000),),
        taxes=(TaxLine(name="VAT", rate=20.0, base_cents=64_000, amount_cents=12_800),),
        net_cents=64_000,
        taxes_cents=12_800,
        total_cents=76_800,
        invoice_number="MOR-7F31-042-007",
        reason="order_change",
        description="The second half-day was not needed.",
        credit_cents=0,
        refund_cents=50_000,
        offset_cents=26_800,
    )
    return msgspec.structs.replace(page, **changes)


def receipt(**changes: Any) -> ReceiptPage:
    """A receipt of a payment for two invoices."""
    page = ReceiptPage(
        number="MOR-7F31-042-RCPT-000003",
        issued_on=date(2026, 3, 16),
        currency="EUR",
        locale="en",
        timezone="Europe/Berlin",
        seller=SELLER,
        buyer=BUYER,
        footer=FOOTER,
        paid_on=date(2026, 3, 16),
        amount_cents=293_913,
        method="Visa ending in 4242",
        reference="",
        invoices=(
            CoveredInvoice(
                number="MOR-7F31-042-007",
                issued_on=date(2026, 3, 2),
                total_cents=245_913,
                paid_cents=245_913,
            ),
            CoveredInvoice(
                number="MOR-7F31-042-006",
                issued_on=date(2026, 2, 2),
                total_cents=96_000,
                paid_cents=48_000,
            ),
        ),
    )
    return msgspec.structs.replace(page, **changes)

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typst

from recoup.documents.press import TEMPLATES, Press
from recoup.documents.words import WORDS
from recoup.rules.records.document_pages import DocumentKind, Line, Page
from tests.documents import pages
from tests.documents.reading import pages_of, text_of

MAKERS: dict[DocumentKind, Callable[..., Page]] = {
    DocumentKind.INVOICE: pages.invoice,
    DocumentKind.CREDIT_NOTE: pages.credit_note,
    DocumentKind.PAYMENT_RECEIPT: pages.receipt,
}


@pytest.fixture(scope="module")
def press() -> Press:
    return Press()


def test_each_kind_of_document_has_a_template() -> None:
    assert MAKERS.keys() == set(DocumentKind)
    templates = {path.stem for path in TEMPLATES.glob("*.typ")} - {"base"}
    assert templates == {kind.value for kind in DocumentKind}


@pytest.mark.parametrize("kind", [*DocumentKind])
@pytest.mark.parametrize("locale", [*WORDS])
def test_a_document_reads_in_the_customers_language(
    press: Press, kind: DocumentKind, locale: str
) -> None:
    page = MAKERS[kind](locale=locale)
    words = WORDS[locale]
    text = text_of(press.pdf(page, logo=pages.LOGO))
    title = {
        DocumentKind.INVOICE: words.invoice,
        DocumentKind.CREDIT_NOTE: words.credit_note,
        DocumentKind.PAYMENT_RECEIPT: words.receipt,
    }[kind]
    for said in (
        title, page.number, page.seller.name, page.buyer.name, "DE298765432", "FR40303265045",
        "HRB 218764 B", "IBAN DE02 1005 0000 0024 2906 61", "buchhaltung@morgenlicht.example",
        words.page.format(page=1, pages=1),
    ):  # fmt: skip
        assert said in text, said


@pytest.mark.parametrize(
    ("locale", "currency", "total"),
    [
        ("en", "EUR", "€2,459.13"),
        ("de", "EUR", "2.459,13 €"),
        ("fr", "EUR", "2 459,13 €"),
        ("en", "JPY", "¥245,913"),
        ("de", "JPY", "245.913 ¥"),
        ("en", "KWD", "KWD 245.913"),
        ("fr", "KWD", "245,913 KWD"),
    ],
)
def test_the_total_stands_there_in_the_currencys_digits(
    press: Press, locale: str, currency: str, total: str
) -> None:
    text = text_of(press.pdf(pages.invoice(locale=locale, currency=currency)))
    assert text.count(total) >= 2  # above, and under the lines


def test_an_invoice_shows_its_lines_taxes_and_totals(press: Press) -> None:
    text = text_of(press.pdf(pages.invoice()))
    for said in (
        "Point of sale, annual licence", "Three tills, terrace included",
        "March 1, 2026 – February 28, 2027", "3 €348.00 €1,044.00", "412 €0.125 €51.50",
        "1.5 €640.00 €960.00", "VAT, 20% of €2,004.00 €400.80",
        "VAT reduced, 5.5% of €51.50 €2.83", "Total €2,459.13", "PO-2026-118", "Cost centre 4410",
        "Please pay by March 16, 2026",
    ):  # fmt: skip
        assert said in text, said


MARKUP = [
    "#panic(1)", "#set page(width: 1cm)", "$x^2$", "@unknown", "<label>", "*bold* _it_ `raw`",
    "= heading", "\\ // comment", "#import \"base.typ\"", "'\"}{][)(", "#{", "/* ", "https://a.b",
    "- list", "{page} {pages}", "&amp; <svg/>",
]  # fmt: skip


@pytest.mark.parametrize("text", MARKUP)
def test_what_a_tenant_wrote_is_text_and_never_markup(press: Press, text: str) -> None:
    party = msgspec.structs.replace(pages.SELLER, name=text, address_line1=text, email=text)
    line = Line(name=text, description=text, units=Decimal(1), amount_cents=1)
    page = pages.invoice(
        seller=party, buyer=party, number=text, purchase_order_number=text, footer=text,
        lines=(line,),
    )  # fmt: skip
    found = text_of(press.pdf(page))
    # Name, address and contact of one, name and address of the other, line twice, number, order,
    # reference, footer; the title of the file apart.
    assert found.replace(" ", "").count(text.replace(" ", "")) >= 10, found


@pytest.mark.parametrize(
    "text",
    [
        "שלום עולם", "مرحبا بالعالم", "Ελληνικά Кириллица Tiếng Việt", "日本語の請求書", "🙂👩‍👩‍👧",
        "nul\0and\x07bell", "a\u202eb", "\ud800", "\n\n\n", "", " ", "\u0301" * 400, "W" * 10_000,
        "many words " * 1_000, "a\n" * 5_000, "W " * 3_000, "\ufffe\uffff",
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", [*DocumentKind])
def test_no_text_is_in_the_way_of_a_document(press: Press, kind: DocumentKind, text: str) -> None:
    party = msgspec.structs.replace(pages.SELLER, name=text, city=text, zipcode=text)
    changes: dict[str, Any] = {"seller": party, "footer": text, "number": text[:300]}
    if kind is not DocumentKind.PAYMENT_RECEIPT:
        changes["lines"] = (Line(name=text, description=text, amount_cents=1),)
    assert pages_of(press.pdf(MAKERS[kind](**changes)))


def test_a_long_table_goes_over_pages_with_its_head_and_their_numbers(press: Press) -> None:
    lines = tuple(
        Line(name=f"Stunde {number}", units=Decimal(1), unit_amount=Decimal(90), amount_cents=9_000)
        for number in range(120)
    )
    found = pages_of(press.pdf(pages.invoice(locale="de", lines=lines)))
    assert len(found) > 3
    for number, text in enumerate(found, 1):
        assert f"Seite {number} von {len(found)}" in text
        assert "Einzelpreis" in text
        head = "Morgenlicht Software GmbH Rechnung MOR-7F31-042-007 Beschreibung"
        assert text.startswith(head) == (number > 1)
    whole = "\n".join(found)
    assert all(whole.count(f"Stunde {number} ") == 1 for number in range(120))
    assert "Gesamtbetrag" in found[-1]


def test_a_void_document_is_marked_on_every_page(press: Press) -> None:
    lines = tuple(Line(name=f"line {number}", amount_cents=1) for number in range(60))
    page = pages.invoice(lines=lines, voided_on=date(2026, 4, 1))
    found = pages_of(press.pdf(page))
    assert len(found) > 1
    assert all("VOID" in text for text in found)
    assert "Voided on April 1, 2026" in found[0]
    assert "Amount due" not in "".join(found)


def test_the_same_page_gives_the_same_file(press: Press) -> None:
    again = Press().pdf(pages.invoice(), logo=pages.LOGO)
    assert press.pdf(pages.invoice(), logo=pages.LOGO) == again
    assert press.pdf(pages.invoice(), logo=None) != again


def test_a_logo_that_is_none_is_refused_by_name(press: Press) -> None:
    with pytest.raises(typst.TypstError):
        press.pdf(pages.invoice(), logo="<svg")


def test_an_operators_fonts_show_what_ours_lack(tmp_path: Path) -> None:
    assert Press(own_fonts=tmp_path).pdf(pages.invoice()).startswith(b"%PDF")

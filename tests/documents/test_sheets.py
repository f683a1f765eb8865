from __future__ import annotations

from datetime import date

import msgspec
import pytest

from recoup.documents.sheets import sheet_of
from recoup.rules.records.document_pages import Collection, LeftOut, TaxLine
from tests.documents import pages


def test_an_invoice_says_what_is_due_until_when_and_how() -> None:
    sheet = sheet_of(pages.invoice())
    assert sheet.headline == ["Amount due", "€2,459.13", "by March 16, 2026"]
    assert sheet.sentences == [
        "Please pay by March 16, 2026, and name MOR-7F31-042-007 as the reference."
    ]
    assert sheet.facts == [
        ("Date of issue", "March 2, 2026"),
        ("Due date", "March 16, 2026"),
        ("Purchase order", "PO-2026-118"),
    ]
    assert sheet.sums == [
        ("Subtotal", "€2,055.50"),
        ("VAT, 20% of €2,004.00", "€400.80"),
        ("VAT reduced, 5.5% of €51.50", "€2.83"),
    ]
    assert sheet.total == ["Total", "€2,459.13"]
    assert (sheet.stamp, sheet.stamp_note) == ("", "")


def test_who_pays_by_a_method_on_file_need_not_do_anything() -> None:
    sheet = sheet_of(pages.invoice(collection=Collection.AUTOMATIC))
    assert sheet.sentences[0].startswith("You need not do anything")


def test_what_is_due_on_the_day_of_issue_is_due_on_receipt() -> None:
    sheet = sheet_of(pages.invoice(due_on=date(2026, 3, 2)))
    assert sheet.headline[2] == "on receipt"
    assert sheet.sentences[0].startswith("Please pay on receipt")


def test_nobody_is_asked_to_pay_nothing() -> None:
    page = pages.invoice(total_cents=0, collection=Collection.NOTHING_DUE)
    sheet = sheet_of(page)
    assert sheet.headline == ["Amount due", "€0.00", "Nothing is due."]
    assert sheet.sentences == []


def test_a_self_billed_invoice_says_so_and_who_pays() -> None:
    sheet = sheet_of(pages.invoice(self_billed=True, collection=Collection.BY_ISSUER))
    assert sheet.subtitle == "Self-billing"
    assert sheet.headline[0] == "Amount payable to you"
    assert sheet.sentences == [
        "Issued by the customer on the supplier's behalf. The customer pays the amount."
    ]


@pytest.mark.parametrize("page", [pages.invoice, pages.credit_note, pages.receipt])
def test_a_void_document_says_so_and_asks_for_nothing(page: object) -> None:
    assert callable(page)
    sheet = sheet_of(page(voided_on=date(2026, 4, 1)))
    assert sheet.stamp == "VOID"
    assert sheet.stamp_note == "Voided on April 1, 2026. Nothing of it is owed any more."
    assert not any("Please pay" in said for said in sheet.sentences)
    assert "Amount due" not in sheet.headline


def test_lines_and_taxes_that_are_left_out_are_counted_and_added_up() -> None:
    sheet = sheet_of(
        pages.invoice(left_out=LeftOut(1_234, 500_000), taxes_left_out=LeftOut(3, 700))
    )
    assert sheet.more == (
        "1,234 more lines, €5,000.00 in all, are not shown here. The totals include them."
    )
    assert sheet.sums[-1] == ("3 more taxes", "€7.00")


def test_a_tax_that_takes_nothing_says_why() -> None:
    why = "Reverse charge, article 196"
    charged = TaxLine(name="VAT", rate=20.0, base_cents=100, amount_cents=20, description=why)
    free = msgspec.structs.replace(charged, rate=0.0, amount_cents=0)
    sheet = sheet_of(pages.invoice(taxes=(charged, free)))
    assert [label for label, _ in sheet.sums[1:]] == [
        "VAT, 20% of €1.00",
        f"VAT, 0% of €1.00 ({why})",
    ]


def test_both_parties_are_named_with_address_and_numbers() -> None:
    sheet = sheet_of(pages.invoice(locale="de"))
    assert sheet.seller.name == "Morgenlicht Software GmbH"
    assert sheet.seller.lines == [
        "Schönhauser Allee 148", "3. Hinterhof", "10435 Berlin", "Deutschland",
    ]  # fmt: skip
    assert sheet.seller.ids == ["USt-IdNr.\u00a0DE298765432", "Registernr.\u00a0HRB 218764 B"]
    assert sheet.seller.contact == ["buchhaltung@morgenlicht.example", "+49 30 5550 1480"]
    assert sheet.buyer.lines[-2:] == ["13007 Marseille", "Frankreich"]
    assert len(sheet.footer) == 2


def test_a_town_stands_before_its_code_where_that_is_the_custom() -> None:
    buyer = msgspec.structs.replace(
        pages.BUYER, city="Springfield", state="IL", zipcode="62701", country="US"
    )
    assert sheet_of(pages.invoice(buyer=buyer)).buyer.lines[-2:] == [
        "Springfield, IL 62701", "United States",
    ]  # fmt: skip


@pytest.mark.parametrize("footer", ["a\n" * 600, "W " * 5_000, "x" * 9_000])
def test_a_footer_leaves_room_for_the_page(footer: str) -> None:
    shown = sheet_of(pages.invoice(footer=footer)).footer
    assert 1 <= len(shown) <= 10
    assert sum(map(len, shown)) <= 10 * 110


def test_a_credit_note_says_why_and_where_the_money_goes() -> None:
    sheet = sheet_of(pages.credit_note())
    assert sheet.facts[1:] == [("For invoice", "MOR-7F31-042-007"), ("Reason", "Order changed")]
    assert sheet.total == ["Total credited", "€768.00"]
    assert sheet.split == [("Refunded", "€500.00"), ("Taken off the amount due", "€268.00")]
    assert sheet.sentences == ["The second half-day was not needed."]
    assert [row.cells for row in sheet.lines] == [["€640.00"]]


def test_a_receipt_names_the_payment_and_what_it_covers() -> None:
    sheet = sheet_of(pages.receipt())
    assert sheet.headline == ["Amount paid", "€2,939.13", "on March 16, 2026"]
    assert ("Payment method", "Visa ending in 4242") in sheet.facts
    assert [(row.name, *row.cells) for row in sheet.lines] == [
        ("MOR-7F31-042-007", "March 2, 2026", "€2,459.13", "€2,459.13"),
        ("MOR-7F31-042-006", "February 2, 2026", "€960.00", "€480.00"),
    ]
    assert sheet.total == ["Amount paid", "€2,939.13"]

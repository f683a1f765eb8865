"""A page with everything on it formatted: strings alone, which a template puts in their places.

Called in the typesetting process, away from the event loop: babel's tables take a while to load.
Nothing here raises, whatever is on the page.
"""

from __future__ import annotations

from typing import assert_never

import msgspec

from recoup.documents.formats import Reader, lines_of, plain
from recoup.documents.sheet_parts import (
    LineSheet,
    Pair,
    PartySheet,
    covered_sheet,
    footer_lines,
    left_out,
    line_sheet,
    party_sheet,
    short_name,
    tax_pair,
)
from recoup.rules.records.document_pages import (
    Collection,
    CreditNotePage,
    InvoicePage,
    Page,
    ReceiptPage,
)


class Sheet(msgspec.Struct, frozen=True, kw_only=True):
    """What a template is given. Empty strings and lists are places that stay empty."""

    kind: str
    language: str
    title: str
    subtitle: str
    number: str
    running: list[str]  # short names of the seller and the document, for the head of later pages
    seller: PartySheet
    buyer: PartySheet
    facts: list[Pair]
    headline: list[str]  # label, amount, what is said beside it
    columns: list[str]
    lines: list[LineSheet]
    more: str  # what is said of lines that are left out
    sums: list[Pair]
    total: list[str]  # label and amount, or nothing
    split: list[Pair]  # where the total goes
    sentences: list[str]
    notes: list[Pair]
    footer: list[str]
    page_of: str  # "Page {page} of {pages}"
    stamp: str
    stamp_note: str


def sheet_of(page: Page) -> Sheet:
    """Format a page."""
    reader = Reader(page.locale)
    match page:
        case InvoicePage():
            return _invoice(page, reader)
        case CreditNotePage():
            return _credit_note(page, reader)
        case ReceiptPage():
            return _receipt(page, reader)
        case _:
            assert_never(page)


def _invoice(page: InvoicePage, reader: Reader) -> Sheet:
    words, total = reader.words, reader.amount(page.total_cents, page.currency)
    due = reader.day(page.due_on)
    at_once = not due or page.due_on == page.issued_on
    when = words.due_at_once if at_once else words.due_by.format(date=due)
    number = plain(page.number)
    match page.collection:
        case Collection.BY_ISSUER:
            headline = [words.payable, total, words.due_by.format(date=due) if due else ""]
            sentences = [words.by_issuer]
        case Collection.NOTHING_DUE:
            headline = [words.amount_due, total, words.nothing_due]
            sentences = []
        case Collection.AUTOMATIC:
            headline = [words.amount_due, total, when]
            sentences = [words.automatic]
        case Collection.BY_BUYER:
            headline = [words.amount_due, total, when]
            say = words.by_buyer_at_once if at_once else words.by_buyer
            sentences = [say.format(number=number, date=due)]
        case _:
            assert_never(page.collection)
    if page.voided_on is not None:  # nobody is to pay by what was asked before
        headline, sentences = [], []
    facts = [(words.issued, reader.day(page.issued_on)), (words.due, due)]
    return _with_lines(
        page,
        reader,
        title=words.invoice,
        subtitle=words.self_billed if page.self_billed else "",
        facts=facts,
        columns=[words.description, words.units, words.unit_price, words.amount],
        headline=headline,
        total_label=words.total,
        split=[],
        sentences=sentences,
    )


def _credit_note(page: CreditNotePage, reader: Reader) -> Sheet:
    words = reader.words
    parts = (
        (words.refund, page.refund_cents),
        (words.offset, page.offset_cents),
        (words.credit, page.credit_cents),
    )
    split = [(label, reader.amount(cents, page.currency)) for label, cents in parts if cents]
    facts = [
        (words.issued, reader.day(page.issued_on)),
        (words.of_invoice, plain(page.invoice_number)),
        (words.reason, words.reasons.get(page.reason, plain(page.reason))),
    ]
    return _with_lines(
        page,
        reader,
        title=words.credit_note,
        subtitle=words.self_billed if page.self_billed else "",
        facts=facts,
        columns=[words.description, words.amount],
        headline=[words.total_credited, reader.amount(page.total_cents, page.currency), ""],
        total_label=words.total_credited,
        split=split,
        sentences=lines_of(page.description),
    )


def _with_lines(
    page: InvoicePage | CreditNotePage,
    reader: Reader,
    *,
    title: str,
    subtitle: str,
    facts: list[Pair],
    columns: list[str],
    headline: list[str],
    total_label: str,
    split: list[Pair],
    sentences: list[str],
) -> Sheet:
    words, currency = reader.words, page.currency
    if page.purchase_order_number:
        facts = [*facts, (words.purchase_order, plain(page.purchase_order_number))]
    sums = [
        (words.net, reader.amount(page.net_cents, currency)),
        *(tax_pair(one, reader, currency) for one in page.taxes),
    ]
    if page.taxes_left_out is not None:
        label = words.more_taxes.format(lines=page.taxes_left_out.lines)
        sums.append((label, reader.amount(page.taxes_left_out.amount_cents, currency)))
    return _sheet(
        page,
        reader,
        title=title,
        subtitle=subtitle,
        facts=facts,
        headline=headline,
        columns=columns,
        lines=[line_sheet(one, reader, page, len(columns) - 1) for one in page.lines],
        sums=sums,
        total=[total_label, reader.amount(page.total_cents, currency)],
        split=split,
        sentences=sentences,
        more=left_out(page, reader),
    )


def _receipt(page: ReceiptPage, reader: Reader) -> Sheet:
    words, amount = reader.words, reader.amount(page.amount_cents, page.currency)
    paid_on = reader.day(page.paid_on)
    facts = [
        (words.issued, reader.day(page.issued_on)),
        (words.method, plain(page.method)),
        (words.reference, plain(page.reference)),
    ]
    return _sheet(
        page,
        reader,
        title=words.receipt,
        subtitle="",
        facts=facts,
        headline=[words.amount_paid, amount, words.paid_on.format(date=paid_on) if paid_on else ""],
        columns=[words.invoices, words.issued, words.invoice_total, words.paid],
        lines=[covered_sheet(one, reader, page.currency) for one in page.invoices],
        sums=[],
        total=[words.amount_paid, amount],
        split=[],
        sentences=[words.thanks],
        more=left_out(page, reader),
    )


def _sheet(
    page: Page,
    reader: Reader,
    *,
    title: str,
    subtitle: str,
    facts: list[Pair],
    headline: list[str],
    columns: list[str],
    lines: list[LineSheet],
    sums: list[Pair],
    total: list[str],
    split: list[Pair],
    sentences: list[str],
    more: str,
) -> Sheet:
    words = reader.words
    voided = reader.day(page.voided_on)
    return Sheet(
        kind=str(type(page).__struct_config__.tag),
        language=reader.language,
        title=title,
        subtitle=subtitle,
        number=plain(page.number),
        running=[short_name(page.seller.name), f"{title} {short_name(page.number)}"],
        seller=party_sheet(page.seller, words.seller, reader),
        buyer=party_sheet(page.buyer, words.buyer, reader),
        facts=[(label, said) for label, said in facts if said],
        headline=headline,
        columns=columns,
        lines=lines,
        more=more,
        sums=sums,
        total=total,
        split=split,
        sentences=sentences,
        notes=[(plain(note.key), plain(note.value)) for note in page.notes],
        footer=footer_lines(page.footer),
        page_of=words.page,
        stamp=words.void if page.voided_on is not None else "",
        stamp_note=words.voided_on.format(date=voided) if page.voided_on is not None else "",
    )

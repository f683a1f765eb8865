"""A page with everything on it formatted: strings alone, which a template puts in their places.

Called in the typesetting process, away from the event loop: babel's tables take a while to load.
Nothing here raises, whatever is on the page.
"""

from __future__ import annotations

from decimal import Decimal
from math import ceil
from typing import Final, assert_never

import msgspec

from recoup.documents.formats import (
    LONGEST_AT_FOOT,
    LONGEST_IN_ADDRESS,
    Reader,
    lines_of,
    plain,
)
from recoup.rules.records.document_pages import (
    Collection,
    CoveredInvoice,
    CreditNotePage,
    InvoicePage,
    Line,
    Page,
    Party,
    ReceiptPage,
    TaxLine,
)

# Where the town stands before the code: "Springfield IL 62701".
_TOWN_FIRST: Final = frozenset({"AU", "CA", "GB", "IE", "IN", "NZ", "US"})

_RUNNING: Final = 48  # characters, in the head of a page
_FOOT_LINES: Final = 10  # what is longer would leave a page no room for anything else
_FOOT_LINE: Final = 100  # characters, of an average letter's width

Pair = tuple[str, str]


class PartySheet(msgspec.Struct, frozen=True, kw_only=True):
    """A name, an address and what else is known."""

    label: str
    name: str
    lines: list[str]  # of the address
    ids: list[str]  # tax and company numbers
    contact: list[str]


class LineSheet(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table. `cells` follow its name and details, and are set to the right."""

    name: str
    details: list[str]
    cells: list[str]


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
        *(_tax(one, reader, currency) for one in page.taxes),
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
        lines=[_line(one, reader, page, len(columns) - 1) for one in page.lines],
        sums=sums,
        total=[total_label, reader.amount(page.total_cents, currency)],
        split=split,
        sentences=sentences,
        more=_left_out(page, reader),
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
        lines=[_covered(one, reader, page.currency) for one in page.invoices],
        sums=[],
        total=[words.amount_paid, amount],
        split=[],
        sentences=[words.thanks],
        more=_left_out(page, reader),
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
        running=[_short(page.seller.name), f"{title} {_short(page.number)}"],
        seller=_party(page.seller, words.seller, reader),
        buyer=_party(page.buyer, words.buyer, reader),
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
        footer=_footer(page.footer),
        page_of=words.page,
        stamp=words.void if page.voided_on is not None else "",
        stamp_note=words.voided_on.format(date=voided) if page.voided_on is not None else "",
    )


def _line(line: Line, reader: Reader, page: InvoicePage | CreditNotePage, cells: int) -> LineSheet:
    amount = reader.amount(line.amount_cents, page.currency)
    period = reader.period(line.from_at, line.to_at, page.timezone)
    priced = [
        reader.number(line.units) if line.units is not None else "",
        reader.price(line.unit_amount, page.currency) if line.unit_amount is not None else "",
    ]
    return LineSheet(
        name=plain(line.name),
        details=[*lines_of(line.description), *([period] if period else [])],
        cells=[*priced, amount] if cells == 3 else [amount],
    )


def _covered(one: CoveredInvoice, reader: Reader, currency: str) -> LineSheet:
    return LineSheet(
        name=plain(one.number),
        details=[],
        cells=[
            reader.day(one.issued_on),
            reader.amount(one.total_cents, currency),
            reader.amount(one.paid_cents, currency),
        ],
    )


def _tax(tax: TaxLine, reader: Reader, currency: str) -> Pair:
    """The line of a tax. Nothing is charged for a reason, where the tax's own words give one."""
    label = reader.words.tax.format(
        name=plain(tax.name),
        rate=reader.percent(tax.rate),
        base=reader.amount(tax.base_cents, currency),
    )
    if tax.description and not tax.amount_cents:
        label += f" ({plain(tax.description)})"
    return label, reader.amount(tax.amount_cents, currency)


def _footer(text: str | None) -> list[str]:
    """As many lines as may stand at the foot of each page; the rest is left out."""
    shown: list[str] = []
    left = _FOOT_LINES
    for line in lines_of(text, LONGEST_AT_FOOT):
        if left == 0:
            break
        fitting = line if len(line) <= left * _FOOT_LINE else f"{line[: left * _FOOT_LINE - 1]}…"
        shown.append(fitting)
        left -= ceil(len(fitting) / _FOOT_LINE)
    return shown


def _short(name: str) -> str:
    shown = name if len(name) <= _RUNNING else f"{name[: _RUNNING - 1]}…"
    return plain(shown, LONGEST_AT_FOOT)


def _left_out(page: Page, reader: Reader) -> str:
    if page.left_out is None:
        return ""
    return reader.words.more_lines.format(
        lines=reader.number(Decimal(page.left_out.lines)),
        amount=reader.amount(page.left_out.amount_cents, page.currency),
    )


def _party(party: Party, label: str, reader: Reader) -> PartySheet:
    words = reader.words
    ids = (
        (words.tax_number, party.tax_identification_number),
        (words.legal_number, party.legal_number),
    )
    return PartySheet(
        label=label,
        name=plain(party.name, LONGEST_IN_ADDRESS),
        lines=_address(party, reader),
        ids=[f"{name}\u00a0{plain(said, LONGEST_IN_ADDRESS)}" for name, said in ids if said],
        contact=[_short(said) for said in (party.email, party.phone, party.url) if said],
    )


def _address(party: Party, reader: Reader) -> list[str]:
    code, town, state = (
        plain(said, LONGEST_IN_ADDRESS) for said in (party.zipcode, party.city, party.state)
    )
    if (party.country or "").upper() in _TOWN_FIRST:
        place = [" ".join(filter(None, (f"{town}," if town and state else town, state, code)))]
    else:
        place = [" ".join(filter(None, (code, town))), state]
    lines = [
        *lines_of(party.address_line1, LONGEST_IN_ADDRESS),
        *lines_of(party.address_line2, LONGEST_IN_ADDRESS),
        *place,
        plain(reader.country(party.country)),
    ]
    return [line for line in lines if line]

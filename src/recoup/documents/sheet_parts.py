"""The parts of a sheet: parties and their addresses, rows, taxes, what stands at the foot.

As of `sheets`, nothing here raises, whatever is on the page.
"""

from __future__ import annotations

from decimal import Decimal
from math import ceil
from typing import Final

import msgspec

from recoup.documents.formats import (
    LONGEST_AT_FOOT,
    LONGEST_IN_ADDRESS,
    Reader,
    lines_of,
    plain,
)
from recoup.rules.records.document_pages import (
    CoveredInvoice,
    CreditNotePage,
    InvoicePage,
    Line,
    Page,
    Party,
    TaxLine,
)

# Where the town stands before the code: "Springfield IL 62701".
_TOWN_FIRST: Final = frozenset({"AU", "CA", "GB", "IE", "IN", "NZ", "US"})

_RUNNING: Final = 48  # characters, in the head of a page
_FOOT_LINES: Final = 10  # what is longer would leave a page no room for anything else
_FOOT_LINE: Final = 100  # characters, of an average letter's width

Pair = tuple[str, str]  # a label and what is said


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


def line_sheet(
    line: Line, reader: Reader, page: InvoicePage | CreditNotePage, cells: int
) -> LineSheet:
    """The row of a line, with one cell or three."""
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


def covered_sheet(one: CoveredInvoice, reader: Reader, currency: str) -> LineSheet:
    """The row of an invoice that a payment covers."""
    return LineSheet(
        name=plain(one.number),
        details=[],
        cells=[
            reader.day(one.issued_on),
            reader.amount(one.total_cents, currency),
            reader.amount(one.paid_cents, currency),
        ],
    )


def tax_pair(tax: TaxLine, reader: Reader, currency: str) -> Pair:
    """The line of a tax. Nothing is charged for a reason, where the tax's own words give one."""
    label = reader.words.tax.format(
        name=plain(tax.name),
        rate=reader.percent(tax.rate),
        base=reader.amount(tax.base_cents, currency),
    )
    if tax.description and not tax.amount_cents:
        label += f" ({plain(tax.description)})"
    return label, reader.amount(tax.amount_cents, currency)


def footer_lines(text: str | None) -> list[str]:
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


def short_name(name: str) -> str:
    """What fits in the head of a page."""
    shown = name if len(name) <= _RUNNING else f"{name[: _RUNNING - 1]}…"
    return plain(shown, LONGEST_AT_FOOT)


def left_out(page: Page, reader: Reader) -> str:
    """What is said of lines that the page has no room for; nothing, if it has them all."""
    if page.left_out is None:
        return ""
    return reader.words.more_lines.format(
        lines=reader.number(Decimal(page.left_out.lines)),
        amount=reader.amount(page.left_out.amount_cents, page.currency),
    )


def party_sheet(party: Party, label: str, reader: Reader) -> PartySheet:
    """A seller or a buyer."""
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
        contact=[short_name(said) for said in (party.email, party.phone, party.url) if said],
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

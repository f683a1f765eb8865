"""`python -m tests.documents.draw`: draw the pictures of docs/documents.md anew."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Final

from recoup.documents.press import Press
from recoup.rules.records.document_pages import Collection, InvoicePage, Line, Page, TaxLine
from tests.documents import pages

PICTURES: Final = Path(__file__).parents[2] / "docs" / "pictures"
SERVICES: Final = (
    ("Beratung", "Aufnahme der Abläufe im Betrieb, Protokoll eingeschlossen"),
    ("Einrichtung der Kassen", None),
    ("Anbindung an die Buchhaltung", "DATEV-Export, monatlich, mit Belegbildern"),
    ("Schulung", "Zwei Gruppen zu je sechs Personen"),
    ("Datenübernahme", "Artikelstamm, Preislisten und Kundenkonten aus dem bisherigen System"),
)


def long_invoice() -> InvoicePage:
    """A German invoice over two pages."""
    lines = tuple(
        Line(
            name=f"{SERVICES[number % 5][0]}, Filiale {number // 5 + 1}",
            description=SERVICES[number % 5][1],
            units=Decimal(number % 7 + 1) / 2,
            unit_amount=Decimal(95),
            amount_cents=(number % 7 + 1) * 4_750,
        )
        for number in range(30)
    )
    net = sum(line.amount_cents for line in lines)
    return pages.invoice(
        locale="de",
        number="MOR-7F31-019-112",
        lines=lines,
        taxes=(TaxLine(name="USt", rate=19.0, base_cents=net, amount_cents=net * 19 // 100),),
        net_cents=net,
        taxes_cents=net * 19 // 100,
        total_cents=net + net * 19 // 100,
        collection=Collection.AUTOMATIC,
        notes=(),
    )


def drawn() -> dict[str, Page]:
    """What is drawn, by the name of its picture."""
    return {
        "invoice": pages.invoice(),
        "invoice-de": long_invoice(),
        "credit-note": pages.credit_note(),
        "receipt": pages.receipt(),
    }


def main() -> None:
    """Draw them."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    press = Press()
    for name, page in drawn().items():
        drawn_pages = press.pictures(page, logo=pages.LOGO, ppi=72 if name == "invoice-de" else 88)
        for number, picture in enumerate(drawn_pages, 1):
            several = f"-{number}" if len(drawn_pages) > 1 else ""
            (PICTURES / f"{name}{several}.png").write_bytes(picture)


if __name__ == "__main__":
    main()

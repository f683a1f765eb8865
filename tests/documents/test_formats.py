from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recoup.documents.formats import LONGEST_WORD, Reader, lines_of, plain
from recoup.documents.sheets import sheet_of
from recoup.documents.words import WORDS, Words
from recoup.rules.money import CURRENCIES, exponent
from recoup.rules.records.document_pages import (
    Collection,
    CoveredInvoice,
    LeftOut,
    Line,
    Note,
    Page,
    Party,
    TaxLine,
    read,
    written,
)
from tests.documents import pages


@pytest.mark.parametrize(
    ("locale", "currency", "cents", "shown"),
    [
        ("en", "EUR", 123_456, "€1,234.56"),
        ("en", "USD", -5, "-$0.05"),
        ("de", "EUR", 123_456, "1.234,56 €"),
        ("de-CH", "CHF", 123_456, "CHF 1’234.56"),
        ("fr", "EUR", 123_456, "1 234,56 €"),
        ("pt-BR", "BRL", 123_456, "R$ 1.234,56"),
        ("en", "JPY", 500, "¥500"),
        ("de", "JPY", 123_456, "123.456 ¥"),
        ("en", "KWD", 1_234, "KWD 1.234"),
        ("en", "CLF", 12_345, "CLF 1.2345"),
        # Two decimals by ISO 4217, and none by CLDR, which would round them away.
        ("en", "LBP", 1_050, "LBP 10.50"),
        ("en", "XXX", 150, "¤1.50"),
    ],
)
def test_an_amount_has_its_currencys_digits(
    locale: str, currency: str, cents: int, shown: str
) -> None:
    found = Reader(locale).amount(cents, currency)
    assert found.replace("\u00a0", " ").replace("\u202f", " ") == shown


@pytest.mark.parametrize("currency", [*CURRENCIES])
def test_no_minor_unit_is_rounded_away(currency: str) -> None:
    places = exponent(currency)
    digits = "".join(filter(str.isdigit, Reader("en").amount(1_234_567, currency)))
    assert digits == "1234567"
    assert ("." in Reader("en").amount(1_234_567, currency)) == (places > 0)


def test_a_unit_price_is_as_fine_as_it_was_asked_for() -> None:
    reader = Reader("en")
    assert reader.price(Decimal("0.00125"), "EUR") == "€0.00125"
    assert reader.price(Decimal(3), "EUR") == "€3.00"
    assert reader.price(Decimal("0.5"), "JPY") == "¥0.5"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("1e300", "1.000000E+300"),
        ("-1e-300", "-1.000000E-300"),
        ("1e24", "1,000,000,000,000,000,000,000,000"),
        ("0e999999", "0"),
        ("1.50", "1.5"),
        ("NaN", "NaN"),
    ],
)
def test_a_number_is_no_wider_than_a_page(value: str, shown: str) -> None:
    assert Reader("en").number(Decimal(value)) == shown


@pytest.mark.parametrize(
    ("wished", "day"),
    [
        ("en", "March 2, 2026"),
        ("en-GB", "2 March 2026"),
        ("de", "2. März 2026"),
        ("de_AT", "2. März 2026"),
        ("de-QQ", "2. März 2026"),  # a region that nobody knows: the language still is
        ("fr", "2 mars 2026"),
        ("es", "2 de marzo de 2026"),
        ("it", "2 marzo 2026"),
        ("nl", "2 maart 2026"),
        ("pt", "2 de março de 2026"),
        # No words for it: all of it in English, and not half.
        ("ja", "March 2, 2026"),
        ("xx", "March 2, 2026"),
        ("", "March 2, 2026"),
        ("-", "March 2, 2026"),
        ("de-DE-x-\0", "2. März 2026"),
    ],
)
def test_a_date_is_the_readers(wished: str, day: str) -> None:
    assert Reader(wished).day(date(2026, 3, 2)) == day


def test_days_are_counted_in_the_customers_zone() -> None:
    since, until = datetime(2026, 2, 28, 23, tzinfo=UTC), datetime(2026, 3, 31, 21, 59, tzinfo=UTC)
    assert Reader("en").period(since, until, "Europe/Berlin") == "March 1, 2026 – March 31, 2026"
    assert Reader("en").period(since, since, "Europe/Berlin") == "March 1, 2026"
    assert Reader("en").period(since, None, "Europe/Berlin") == ""


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "Pacific/Honolulu", "No/Where", "", "../etc"])
@pytest.mark.parametrize("year", [1, 9999])
def test_the_ends_of_the_calendar_have_days(zone: str, year: int) -> None:
    at = datetime(year, 1 if year == 1 else 12, 1 if year == 1 else 31, 12, tzinfo=UTC)
    assert str(year) in Reader("en").period(at, at, zone)


def test_a_text_loses_what_no_page_can_show() -> None:
    assert lines_of("one\r\ntwo\n\n  \u2028three\x00\t!") == ["one", "two", "three\ufffd !"]
    assert plain("a\nb\u202ec\ud800") == "a bc\ufffd"
    assert lines_of(None) == []


def test_a_long_word_can_be_broken_and_a_short_one_is_left() -> None:
    assert plain("x" * LONGEST_WORD) == "x" * LONGEST_WORD
    assert plain("two words " * 40) == ("two words " * 40).strip()
    assert max(map(len, plain("W" * 100).split("\u200b"))) == LONGEST_WORD / 1.8  # wider letters
    broken = plain("x" * 10_000)
    assert max(map(len, broken.split("\u200b"))) == LONGEST_WORD
    assert broken.replace("\u200b", "") == "x" * 10_000


@pytest.mark.parametrize("language", [*WORDS])
def test_every_language_says_as_much_as_english(language: str) -> None:
    """The same places in braces, and the same reasons: or a page would lack what others show."""

    def places(text: str) -> set[str]:
        return {part.partition("}")[0] for part in text.split("{")[1:]}

    ours, english = WORDS[language], WORDS["en"]
    for field in Words.__struct_fields__:
        said, model = getattr(ours, field), getattr(english, field)
        if field == "reasons":
            assert said.keys() == model.keys()
            assert all(said.values())
        else:
            assert said.strip()
            assert places(said) == places(model), field


_texts = st.text(max_size=40)
_days = st.none() | st.dates()
_instants = st.none() | st.datetimes(timezones=st.just(UTC))
_cents = st.integers(-(2**63), 2**63 - 1) | st.integers()
_decimals = st.decimals(allow_nan=True, allow_infinity=True) | st.sampled_from(
    [Decimal("1e300"), Decimal("-1e-300"), Decimal("0e999999"), Decimal("9" * 60)]
)
_parties = st.builds(
    Party,
    name=_texts,
    legal_number=st.none() | _texts,
    tax_identification_number=st.none() | _texts,
    address_line1=st.none() | _texts,
    zipcode=st.none() | _texts,
    city=st.none() | _texts,
    state=st.none() | _texts,
    country=st.none() | _texts,
    email=st.none() | _texts,
)
_lines = st.builds(
    Line,
    name=_texts,
    amount_cents=_cents,
    description=st.none() | _texts,
    units=st.none() | _decimals,
    unit_amount=st.none() | _decimals,
    from_at=_instants,
    to_at=_instants,
)
_taxes = st.builds(
    TaxLine,
    name=_texts,
    rate=st.floats(),
    base_cents=_cents,
    amount_cents=_cents,
    description=st.none() | _texts,
)
_left_out = st.none() | st.builds(LeftOut, lines=st.integers(), amount_cents=_cents)
_locales = st.sampled_from(["de", "fr-CA", "ar", "zh-Hant-TW", "zz", "", "en-XX"]) | _texts
_currencies = st.sampled_from(["EUR", "JPY", "KWD", "CLF", "", "eur", "€"]) | _texts
_zones = st.sampled_from(["Europe/Berlin", "Pacific/Kiritimati", "Etc/GMT+12", "nowhere"]) | _texts
_anything: dict[str, Any] = {
    "number": _texts,
    "issued_on": _days,
    "currency": _currencies,
    "locale": _locales,
    "timezone": _zones,
    "seller": _parties,
    "buyer": _parties,
    "footer": st.none() | _texts,
    "notes": st.lists(st.builds(Note, key=_texts, value=_texts), max_size=2).map(tuple),
    "voided_on": _days,
    "left_out": _left_out,
}
_sold: dict[str, Any] = {
    "lines": st.lists(_lines, max_size=3).map(tuple),
    "taxes": st.lists(_taxes, max_size=2).map(tuple),
    "net_cents": _cents,
    "total_cents": _cents,
    "self_billed": st.booleans(),
}
_pages = st.one_of(
    st.builds(
        pages.invoice,
        due_on=_days,
        collection=st.sampled_from(Collection),
        **_anything,
        **_sold,
    ),
    st.builds(
        pages.credit_note,
        invoice_number=_texts,
        reason=_texts,
        refund_cents=_cents,
        **_anything,
        **_sold,
    ),
    st.builds(
        pages.receipt,
        paid_on=_days,
        amount_cents=_cents,
        method=st.none() | _texts,
        invoices=st.lists(
            st.builds(
                CoveredInvoice,
                number=_texts,
                issued_on=_days,
                total_cents=_cents,
                paid_cents=_cents,
            ),
            max_size=2,
        ).map(tuple),
        **_anything,
    ),
)


@settings(max_examples=1_000, deadline=None)
@given(_pages)
def test_whatever_is_on_a_page_can_be_formatted(page: Page) -> None:
    sheet = sheet_of(page)
    assert sheet.title
    assert len(sheet.running) == 2
    assert all(len(row.cells) == len(sheet.columns) - 1 for row in sheet.lines)


def test_a_page_that_was_kept_is_read_as_it_was() -> None:
    for page in (pages.invoice(), pages.credit_note(), pages.receipt()):
        assert read(written(page)) == page

"""Dates, amounts and texts as a reader of this locale expects them. Nothing here ever raises.

A document is made of what tenants have written and asked for; what cannot be formatted as it should
is written plainly, since a page that cannot be made helps nobody.

What would surprise you: how many decimals a currency has is ISO 4217's word and ours
(`rules/money`), never that of babel's tables: those follow what coins there are, and would round
minor units away.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, date, datetime
from decimal import Decimal, localcontext
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from babel import Locale, UnknownLocaleError
from babel.dates import format_date
from babel.numbers import format_decimal, parse_pattern

from recoup.documents.words import WORDS, Words
from recoup.rules.money import EXACT, exponent

FALLBACK: Final = "en"
MOST_DIGITS: Final = 25  # what is longer is written as 1.5E+300
MOST_PLACES: Final = 12
# Letters of average width that stay together: what is longer may be broken anywhere, since nothing
# may stand over its neighbour. But no sooner: who copies a broken word copies the break.
LONGEST_WORD: Final = 36  # in a table's column, be its neighbours as wide as they may
LONGEST_IN_ADDRESS: Final = 28
LONGEST_AT_FOOT: Final = 80
_WIDE: Final = 1.8  # of a `W`, which is as wide as almost two letters
_BREAK: Final = "\u200b"  # zero width: a line may end here
# What changes the direction of the text around it could show an amount backwards.
_DIRECTIONS: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_LETTER_BY_DIGIT: Final = re.compile(r"(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])")
_LINE_ENDS: Final = re.compile(r"\r\n|[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]")


class Reader:
    """Formats for one locale. One that we have no words for is read as English."""

    def __init__(self, wished: str) -> None:
        self.locale, self.words = _locale(wished)

    @property
    def language(self) -> str:
        """Two letters, by which words are hyphenated: `de`."""
        return str(self.locale.language)

    def amount(self, cents: int, currency: str) -> str:
        """Minor units as money: `1.234,50 €`."""
        places = exponent(currency) if _is_code(currency) else 2
        try:
            major = EXACT.scaleb(Decimal(cents), -places)
        except ArithmeticError:
            return f"{cents}E-{places} {plain(currency)}"
        return self.money(major, currency, places, places)

    def money(self, major: Decimal, currency: str, least: int, most: int) -> str:
        """Major units as money, with so many decimal places."""
        if not _is_short(major):
            return f"{self.number(major)} {plain(currency)}"
        try:
            # The thread's own context has too few digits for what a column can hold.
            with localcontext(EXACT):
                return self._money(major, currency, least, most)
        except Exception:  # noqa: BLE001  whatever a locale's data lacks: it is written plainly
            return f"{major:f} {plain(currency)}"

    def _money(self, major: Decimal, currency: str, least: int, most: int) -> str:
        pattern = parse_pattern(self.locale.currency_formats["standard"].pattern)
        pattern.frac_prec = (least, most)
        shown = pattern.apply(major, self.locale, currency=currency, currency_digits=False)
        return _LETTER_BY_DIGIT.sub("\u00a0", str(shown))  # `KWD 1.234`, as CLDR spaces it

    def price(self, major: Decimal, currency: str) -> str:
        """A unit price, which may be finer than the currency's minor unit."""
        least = exponent(currency) if _is_code(currency) else 2
        return self.money(major, currency, least, max(least, MOST_PLACES))

    def number(self, value: Decimal) -> str:
        """A plain number: `1.234,5`; a very long one is `1.5E+300`."""
        if not value.is_finite():
            return str(value)
        if not _is_short(value):
            return f"{value:.6E}"
        try:
            with localcontext(EXACT):
                shape = f"#,##0.{'#' * MOST_PLACES}"
                return str(format_decimal(value, shape, locale=self.locale))
        except Exception:  # noqa: BLE001  as above
            return f"{value:f}"

    def percent(self, rate: float) -> str:
        """A tax rate: `19 %`."""
        try:
            shown = self.number(Decimal(repr(rate)))
            sign = "\u00a0%" if self.language in {"de", "es", "fr"} else "%"
            return shown + sign
        except Exception:  # noqa: BLE001  as above
            return f"{rate}%"

    def day(self, on: date | None) -> str:
        """A date: `12. März 2026`."""
        if on is None:
            return ""
        try:
            return str(format_date(on, format="long", locale=self.locale))
        except Exception:  # noqa: BLE001  as above
            return on.isoformat()

    def period(self, since: datetime | None, until: datetime | None, timezone: str) -> str:
        """The days from one instant to another; empty where either is not known."""
        if since is None or until is None:
            return ""
        first, last = _day_in(since, timezone), _day_in(until, timezone)
        return self.day(first) if first == last else f"{self.day(first)} – {self.day(last)}"

    def country(self, code: str | None) -> str:
        """A country's name: `Deutschland`."""
        if not code:
            return ""
        return str(self.locale.territories.get(code.upper(), code))


def plain(text: str | None, longest: int = LONGEST_WORD) -> str:
    """A text of a tenant's on one line: no control characters, and long words can be broken."""
    return " ".join(lines_of(text, longest))


def lines_of(text: str | None, longest: int = LONGEST_WORD) -> list[str]:
    """A text of a tenant's, line by line, without what no page can show; blank lines are left out.

    A byte that no font has becomes a replacement character, a tab a blank.
    """
    shown = [_cleaned(line).strip() for line in _LINE_ENDS.split(text or "")]
    return [_breakable(line, longest) for line in shown if line]


def _cleaned(line: str) -> str:
    return "".join(_shown(character) for character in line if character not in _DIRECTIONS)


def _shown(character: str) -> str:
    if character == "\t":
        return " "
    # Cc: control, Cs: half of a surrogate pair, which UTF-8 cannot hold.
    return "\ufffd" if unicodedata.category(character) in {"Cc", "Cs"} else character


def _breakable(line: str, longest: int) -> str:
    if len(line) * _WIDE <= longest:
        return line
    made, width = [], 0.0
    for character in line:
        wide = character.isupper() or unicodedata.east_asian_width(character) in {"W", "F"}
        width = 0.0 if character.isspace() else width + (_WIDE if wide else 1)
        if width > longest:
            made.append(_BREAK)
            width = _WIDE if wide else 1
        made.append(character)
    return "".join(made)


def _locale(wished: str) -> tuple[Locale, Words]:
    """The locale to format with and its words: the language's own where its region is unknown."""
    language, _, region = wished.replace("_", "-").partition("-")
    words = WORDS.get(language.lower())
    if words is not None:
        for name in filter(None, (region and f"{language.lower()}-{region.upper()}", language)):
            try:
                return Locale.parse(name, sep="-"), words
            except (UnknownLocaleError, ValueError, TypeError):
                continue
    return Locale.parse(FALLBACK), WORDS[FALLBACK]


def _day_in(at: datetime, timezone: str) -> date:
    """The day of an instant in a time zone; near the calendar's ends, or in no zone, in UTC."""
    try:
        return at.astimezone(ZoneInfo(timezone)).date()
    except (ZoneInfoNotFoundError, OverflowError, ValueError, OSError):
        pass
    try:
        return at.astimezone(UTC).date()
    except (OverflowError, ValueError):
        return at.date()


def _is_code(currency: str) -> bool:
    try:
        exponent(currency)
    except KeyError:
        return False
    return True


def _is_short(value: Decimal) -> bool:
    return value.is_finite() and (not value or -MOST_DIGITS < value.adjusted() < MOST_DIGITS)

"""What payers read, in their language."""

from __future__ import annotations

import re

import msgspec
import pytest

from recoup.documents.words import WORDS
from recoup.rules.payer_words import Words, amount_text, words_for

LANGUAGES = ("de", "en", "es", "fr", "it", "nl", "pt")
ENGLISH = words_for("en")


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_says_everything_and_fills_in_the_same(language: str) -> None:
    words = words_for(language)
    assert words.language == language
    for field in Words.__struct_fields__:
        said, in_english = getattr(words, field), getattr(ENGLISH, field)
        assert said, field
        assert set(re.findall(r"{\w+}", said)) == set(re.findall(r"{\w+}", in_english)), field
    said = msgspec.structs.astuple(words)
    assert language == "en" or said != msgspec.structs.astuple(ENGLISH)


def test_mails_and_pages_speak_every_language_of_documents() -> None:
    assert {words_for(language).language for language in WORDS} == set(WORDS) == set(LANGUAGES)


@pytest.mark.parametrize(
    ("locales", "language"),
    [
        (("fr",), "fr"), (("de-AT", "en"), "de"), ((None, "es"), "es"), ((None, None), "en"),
        (("ja", "fr"), "en"), ((), "en"), (("",), "en"),
    ],
)  # fmt: skip
def test_the_first_locale_that_is_said_counts(
    locales: tuple[str | None, ...], language: str
) -> None:
    assert words_for(*locales).language == language


@pytest.mark.parametrize(
    ("cents", "currency", "language", "text"),
    [
        (123_456_789, "EUR", "en", "1,234,567.89 EUR"),
        (123_456_789, "EUR", "de", "1.234.567,89 EUR"),
        (5, "USD", "en", "0.05 USD"),
        (0, "EUR", "de", "0,00 EUR"),
        (1_234, "JPY", "en", "1,234 JPY"),
        (2**53, "EUR", "en", "90,071,992,547,409.92 EUR"),
    ],
)
def test_an_amount_is_written_to_the_last_cent(
    cents: int, currency: str, language: str, text: str
) -> None:
    assert amount_text(cents, currency, words_for(language)) == text

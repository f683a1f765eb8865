"""docs/outcomes.md is what the code says, and says something of every status and class."""

from __future__ import annotations

from tests.providers import outcome_tables


def test_the_page_is_what_the_code_does() -> None:
    written = outcome_tables.PAGE.read_text()
    assert written == outcome_tables.page(), f"run {outcome_tables.COMMAND}"


def test_what_was_taken_back_and_what_was_refused_are_not_called_lost() -> None:
    lines = outcome_tables.page().splitlines()
    [taken_back] = [line for line in lines if "`charged_back`" in line]
    [refused] = [line for line in lines if "`Refused`" in line]
    assert taken_back.endswith(f"| {outcome_tables.WORDS['Reversed']} |")
    assert refused.endswith(f"| {outcome_tables.WORDS['Declined']} |")

"""Countries, time zones and languages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from recoup.rules.places import COUNTRIES, iana_timezone, is_locale


def test_countries_and_zones_are_those_of_the_contract(shared: Path) -> None:
    contract = json.loads((shared / "contract/lago-contract.json").read_text())
    fields = contract["schemas"]["CustomerCreateInput"]["properties"]["customer"]["properties"]
    assert sorted(COUNTRIES) == sorted(filter(None, fields["country"]["enum"]))
    zones = [zone for zone in fields["timezone"]["enum"] if zone]
    assert zones
    assert [zone for zone in zones if iana_timezone(zone) is None] == []


@pytest.mark.parametrize(
    "name", ["", "Mars/Olympus", "America", "../../etc/passwd", "utc ", "localtime", "Factory"]
)
def test_an_unknown_zone_is_none(name: str) -> None:
    assert iana_timezone(name) is None


@pytest.mark.parametrize(
    ("code", "known"),
    [("fr", True), ("pt-BR", True), ("pt-br", False), ("xx", False), ("fr-", False), ("", False),
     ("fra", False)],
)  # fmt: skip
def test_a_locale_is_a_language_that_may_have_a_country(code: str, known: bool) -> None:
    assert is_locale(code) is known

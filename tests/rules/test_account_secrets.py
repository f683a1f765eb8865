"""A secret of another account is told from a new one of the same, as far as it can be seen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from recoup.rules.account_secrets import ACCOUNT_SECRETS, names_of_another_account


@pytest.mark.parametrize(
    ("kept", "new", "elsewhere"),
    [
        ({"secret_key": "sk_live_1"}, {"secret_key": "sk_live_2"}, []),
        ({"secret_key": "sk_live_1"}, {"secret_key": "rk_live_2"}, []),
        ({"secret_key": "sk_test_1"}, {"secret_key": "sk_live_2"}, ["secret_key"]),
        ({"secret_key": "sk_live_1"}, {"secret_key": "rk_test_2"}, ["secret_key"]),
        ({"access_token": "sandbox_1"}, {"access_token": "live_2"}, ["access_token"]),
        ({"access_token": "live_1"}, {"access_token": "live_2"}, []),
        ({"merchant_account": "A"}, {"merchant_account": "A", "api_key": "new"}, []),
        ({"merchant_account": "A"}, {"merchant_account": "B"}, ["merchant_account"]),
        ({}, {"live_prefix": "p"}, ["live_prefix"]),
        ({"webhook_secret": "a"}, {"webhook_secret": "b"}, []),
    ],
)
def test_another_account_is_named(
    kept: Mapping[str, str], new: Mapping[str, str], elsewhere: list[str]
) -> None:
    assert names_of_another_account(kept, new) == elsewhere


def test_the_page_names_what_the_table_has() -> None:
    page = (Path(__file__).parents[2] / "docs" / "providers.md").read_text("utf-8")
    rows = {
        cells[0].strip("` "): (set(cells[1].split("`")[1::2]), set(cells[2].split("`")[1::2]))
        for line in page.splitlines()
        if len(cells := line.strip("|").split("|")) == 3
    }
    for kind, secrets in ACCOUNT_SECRETS.items():
        needed = {one.name for one in secrets if one.mandatory and one.made_as is None}
        assert rows[kind] == (needed, {one.name for one in secrets} - needed), kind

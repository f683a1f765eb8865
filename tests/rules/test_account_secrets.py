"""A secret of another account is told from a new one of the same, as far as it can be seen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from recoup.rules.account_secrets import (
    ACCOUNT_SECRETS,
    are_of_other_calls,
    names_of_another_account,
    names_that_end_a_good_one,
    secrets_after,
    wrong_secrets,
)


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


NOW, BEFORE = "webhook_secret", "previous_webhook_secret"


@pytest.mark.parametrize(
    ("kept", "given", "drops_previous", "after"),
    [
        ({NOW: "a"}, {NOW: "b"}, False, {NOW: "b", BEFORE: "a"}),
        ({NOW: "b", BEFORE: "a"}, {NOW: "b"}, False, {NOW: "b", BEFORE: "a"}),
        ({NOW: "b", BEFORE: "a"}, {NOW: "a"}, False, {NOW: "a", BEFORE: "b"}),  # back again
        ({NOW: "b", BEFORE: "a"}, {}, True, {NOW: "b"}),
        ({NOW: "b", BEFORE: "a"}, {NOW: "c"}, True, {NOW: "c", BEFORE: "b"}),
        ({NOW: "b", BEFORE: "a"}, {NOW: "b"}, True, {NOW: "b"}),
        ({NOW: "b", BEFORE: "a"}, {BEFORE: "z"}, True, {NOW: "b", BEFORE: "z"}),
        ({NOW: "b"}, {NOW: "c", BEFORE: "b"}, False, {NOW: "c", BEFORE: "b"}),
        ({NOW: "b"}, {BEFORE: "z"}, False, {NOW: "b", BEFORE: "z"}),
        ({"hmac_key": "aa"}, {"hmac_key": "bb"}, False,
         {"hmac_key": "bb", "previous_hmac_key": "aa"}),
        ({"secret_key": "1", NOW: "a"}, {"secret_key": "2"}, False, {"secret_key": "2", NOW: "a"}),
    ],
)  # fmt: skip
def test_the_webhook_secret_of_before_stays_good(
    kept: Mapping[str, str], given: Mapping[str, str], drops_previous: bool, after: object
) -> None:
    assert names_that_end_a_good_one(kept, given, drops_previous=drops_previous) == []
    assert secrets_after(kept, given, drops_previous=drops_previous) == after


@pytest.mark.parametrize(
    ("kept", "given", "drops_previous", "names"),
    [
        ({NOW: "b", BEFORE: "a"}, {NOW: "c"}, False, [NOW]),
        ({NOW: "b", BEFORE: "a"}, {BEFORE: "z"}, False, [BEFORE]),
        ({NOW: "b", BEFORE: "a"}, {NOW: "c", BEFORE: "b"}, False, [NOW, BEFORE]),
        ({NOW: "b"}, {NOW: "c", BEFORE: "z"}, False, [NOW, BEFORE]),
        ({NOW: "b", BEFORE: "a"}, {NOW: "c", BEFORE: "z"}, True, [NOW, BEFORE]),
        ({"hmac_key": "bb", "previous_hmac_key": "aa"}, {"hmac_key": "cc"}, False, ["hmac_key"]),
    ],
)
def test_none_is_ended_that_nobody_has_said_to_be_over(
    kept: Mapping[str, str], given: Mapping[str, str], drops_previous: bool, names: list[str]
) -> None:
    assert names_that_end_a_good_one(kept, given, drops_previous=drops_previous) == names


def test_what_signs_webhooks_makes_no_call() -> None:
    kept = {"secret_key": "sk_1", NOW: "a"}
    assert not are_of_other_calls(kept, kept | {NOW: "b", BEFORE: "a"})
    assert not are_of_other_calls({"hmac_key": "aa"}, {"hmac_key": "bb", "previous_hmac_key": "aa"})
    assert are_of_other_calls(kept, kept | {"secret_key": "sk_2"})
    assert are_of_other_calls(kept, kept | {"live_prefix": "p"})


@pytest.mark.parametrize("kind", ACCOUNT_SECRETS)
@pytest.mark.parametrize("blank", ["", " ", "\t"])
def test_a_blank_is_missing_where_there_must_be_something_and_wrong_elsewhere(
    kind: str, blank: str
) -> None:
    given = {one.name: blank for one in ACCOUNT_SECRETS[kind]}
    assert wrong_secrets(kind, given, is_new=False) == {
        one.name: ["value_is_mandatory" if one.mandatory else "value_is_invalid"]
        for one in ACCOUNT_SECRETS[kind]
    }


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

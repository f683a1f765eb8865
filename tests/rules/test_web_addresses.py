"""One rule for every web address that a tenant gives us."""

from __future__ import annotations

import pytest

from recoup.rules.web_addresses import why_no_web_address


def why(url: str, *, may_name_user: bool = False) -> str | None:
    return why_no_web_address(url, longest_bytes=40, may_name_user=may_name_user)


@pytest.mark.parametrize(
    "url",
    ["https://a.test", "http://a.test/thanks?x=1#y", "https://a.test:8443/", "https://[::1]:8/x",
     "HTTPS://A.TEST", "https://köln.test/grüße", "https://a.test/@ann"],
)  # fmt: skip
def test_a_whole_address_is_one(url: str) -> None:
    assert why(url) is None


@pytest.mark.parametrize(
    "url",
    ["", " ", "a.test/x", "//a.test", "ftp://a.test", "javascript:alert(1)", "https:a.test",
     "https://", "https:///x", "https://?x", "https://:80", "https://a.test:port",
     "https://a.test:99999", "https://[::1", "https://@/x", "https://a .test", " https://a.test",
     "https://a.test/\nx", "https://a.test/\0", "https://a.test/\x7f", "https://a.test/\x85",
     "https://a.test/\u2028x", "https://a.test/\u00a0", "https:\\\\a.test", "https://a.test\\@b.test"],
    ids=ascii,
)  # fmt: skip
def test_what_is_not_whole_or_holds_what_is_not_seen_is_none(url: str) -> None:
    assert why(url) == why(url, may_name_user=True) == "url_is_invalid"


@pytest.mark.parametrize("user", ["ann", "ann:pw", ":pw", "", "shop.test"])
def test_a_user_is_named_to_machines_alone(user: str) -> None:
    url = f"https://{user}@a.test/x"
    assert why(url) == "url_is_invalid"
    assert why(url, may_name_user=True) is None


@pytest.mark.parametrize("letter", ["x", "é", "\ud800"], ids=ascii)
def test_its_length_is_counted_in_bytes(letter: str) -> None:
    room = 40 - len("https://a.test/")
    width = len(letter.encode("utf-8", "replace"))
    assert why("https://a.test/" + letter * (room // width)) is None
    assert why("https://a.test/" + letter * (room // width + 1)) == "value_is_too_long"

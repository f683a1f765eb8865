"""What is taken for an email address."""

from __future__ import annotations

import pytest

from recoup.rules.email_addresses import MOST, are_email_addresses


@pytest.mark.parametrize(
    "text",
    ["a@b.co", "a.b+c@mail.example.com", "a@b.co,c@d.co", "a@b.co, c@d.co", "jörg@bücher.example",
     ",".join(f"a{place}@b.co" for place in range(MOST))],
)  # fmt: skip
def test_addresses_are_taken(text: str) -> None:
    assert are_email_addresses(text)


@pytest.mark.parametrize(
    "text",
    ["", "a", "a@", "@b.co", "a@b", "a b@c.co", "a@b.co,", "a@b.co;c@d.co", "A <a@b.co>",
     "a@b.co\nBcc: c@d.co", "a@b..co", f"{'a' * 250}@b.co", "a\x01@b.co",
     "a\x7f@b.co", "=?utf-8?q?x=0A?=@b.co", "a@b.co,=?utf-8?q??=@b.co",
     ",".join(f"a{place}@b.co" for place in range(MOST + 1))],
)  # fmt: skip
def test_anything_else_is_refused(text: str) -> None:
    assert not are_email_addresses(text)

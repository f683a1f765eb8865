"""What callers write where a text belongs."""

from __future__ import annotations

import pytest
from msgspec import UNSET

from recoup.rules.scalars import Text, text, written


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("a b", "a b"), (" a ", " a "), (5, "5"), (-5, "-5"), (10**25, "1" + "0" * 25),
        (True, "true"), (False, "false"), (1.5, "1.5"), (1.0, "1.0"), (1e16, "1.0e+16"),
        (-2e-7, "-2.0e-07"), (1.25e300, "1.25e+300"), (0.0001, "0.0001"),
    ],
)  # fmt: skip
def test_any_scalar_is_text_as_ruby_writes_it(said: Text, kept: str) -> None:
    assert written(said) == kept
    assert text(said) == kept


@pytest.mark.parametrize(("said", "kept"), [(UNSET, None), (None, None), ("", ""), (" \n", " \n")])
def test_what_is_blank_says_nothing(said: Text, kept: str | None) -> None:
    assert written(said) == kept
    assert text(said) is None

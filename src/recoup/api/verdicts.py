"""Read a person's word about how something ended."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

from recoup.rules.refusal import Refused, invalid
from recoup.rules.scalars import Text, text

Verdict = TypeVar("Verdict", bound=StrEnum)


def wanted_verdict(kind: type[Verdict], said: Text) -> Verdict:
    """Read `outcome`.

    :raises Refused: 422, it is none of the words of `kind`.
    """
    try:
        return kind(text(said) or "")
    except ValueError:
        raise Refused(invalid({"outcome": ["value_is_invalid"]})) from None

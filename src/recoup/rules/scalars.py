"""Read what callers write where a text belongs, or a yes or no.

What would surprise you: `5`, `1.5` and `true` are texts, too. Rails writes down any scalar as text,
so whoever moves here from Lago sends zip codes, order numbers and external ids as they come. And
whatever does not clearly say no is a yes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final, TypeAlias

from msgspec import UNSET, UnsetType

Scalar: TypeAlias = str | int | float | bool
Text: TypeAlias = Scalar | UnsetType | None

_FALSE: Final = (None, False, 0, "", "0", "f", "F", "false", "FALSE", "off", "OFF")


def written(said: Text) -> str | None:
    """What a caller wrote, as text, blank or not; None for what is absent or null."""
    if said is UNSET or said is None:
        return None
    if isinstance(said, bool):
        return "true" if said else "false"
    if isinstance(said, float):  # Ruby has `1.0e+16` where Python has `1e+16`
        return re.sub(r"^(-?\d+)e", r"\1.0e", repr(said))
    return str(said)


def text(said: Text) -> str | None:
    """What a caller wrote, as text; None for what is absent, null or blank."""
    said = written(said)
    return said if said and said.strip() else None


def texts(said: Iterable[Scalar]) -> list[str]:
    """The texts of a list, each as it was written."""
    return [written(one) or "" for one in said]


def is_true(said: Any) -> bool:
    """Read a yes or no as Rails does: true is everything but null and its words for false."""
    return said not in _FALSE

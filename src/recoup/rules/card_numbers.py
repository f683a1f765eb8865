"""Recognise card numbers, so that they are turned away and never stored."""

from __future__ import annotations

import re
from typing import Final

_SEPARATORS: Final = re.compile(r"[\s.-]")
_DIGITS: Final = re.compile(r"[0-9]{13,19}")  # ISO/IEC 7812: the lengths that cards have


def is_card_number(text: str) -> bool:
    """Say whether a text is a number that could be on a card, written in one piece or in groups."""
    digits = _SEPARATORS.sub("", text)
    return bool(_DIGITS.fullmatch(digits)) and _luhn(digits) % 10 == 0


def _luhn(digits: str) -> int:
    """Every second digit from the right counts twice, and twice seven is one and four."""
    doubled = [sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2]]
    return sum(doubled) + sum(int(digit) for digit in digits[-1::-2])
